/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "conf-file.h"

#include <dirent.h>
#include <libeconf.h>
#include <libeconf_ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "parse-util.h"
#include "string-util.h"

/* Bad lines and repeated keys each cost another reading of the text; beyond this nobody means it. */
#define READS_MAX 128

/* From the strongest to the weakest. */
static const char *const trees[] = { "/etc", "/run", "/usr/lib" };

/* What was read, until all of it can be told in its order. */
typedef struct Assignment {
        unsigned line, section_line;
        char *section, *key, *value;
} Assignment;

typedef struct Reader {
        const char *name;
        char *text; /* what is still to be read: what was, or is bad, is blanked out */
        size_t size;
        bool *told; /* by line number, from 1: was read, and is to be blanked out before reading again */
        unsigned n_lines;
        Assignment *assignments;
        size_t n_assignments, n_allocated;
        const ConfCallbacks *callbacks;
        void *userdata;
} Reader;

static void assignment_done(Assignment *a)
{
        free(a->section);
        free(a->key);
        free(a->value);
}

static void reader_done(Reader *reader)
{
        reader->text = mfree(reader->text);
        reader->told = mfree(reader->told);
        for (size_t i = 0; i < reader->n_assignments; i++)
                assignment_done(&reader->assignments[i]);
        reader->assignments = mfree(reader->assignments);
}

static void problem(Reader *reader, unsigned line, const char *message)
{
        reader->callbacks->problem(reader->name, line, message, reader->userdata);
}

/* libeconf takes a comment in the middle of a value, too. Comments are blanked out here, so that "#" in a
 * value is an ordinary character; what libeconf is told to be one is a character that no line may have. */
#define NO_COMMENT "\001"

static bool is_blank(const char *line, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if (line[i] == '\0' || !strchr(" \t\r", line[i]))
                        return false;
        return true;
}

/* What libeconf would take for something else: the rest of a line behind a NUL for the next one's, a line
 * without "=" for more of the value above it. NULL: nothing. */
static const char *line_problem(const char *line, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if (line[i] == '\0')
                        return "The line has a NUL byte";
                else if ((unsigned char) line[i] < ' ' && line[i] != '\t' && line[i] != '\r')
                        return "The line has a control character";
        /* The text ends with a NUL. */
        if (line[strspn(line, " \t")] != '[' && !memchr(line, '=', size))
                return "The line is neither a section nor an assignment";
        return NULL;
}

static bool is_comment(const char *line, size_t size)
{
        while (size > 0 && (*line == ' ' || *line == '\t'))
                line++, size--;
        return size > 0 && (*line == '#' || *line == ';');
}

typedef bool (*line_test_t)(Reader *reader, unsigned number, const char *line, size_t size);

/* Empties lines; all keep their numbers. (Blanks would not do: libeconf takes them for more of a value.) */
static void empty_lines(Reader *reader, line_test_t is_to_go)
{
        char *line = reader->text, *end = reader->text + reader->size, *to = reader->text;

        for (unsigned number = 1; line < end; number++) {
                char *stop = memchr(line, '\n', (size_t) (end - line)) ?: end;
                size_t size = (size_t) (stop - line);

                if (!is_to_go(reader, number, line, size)) {
                        memmove(to, line, size);
                        to += size;
                }
                if (stop < end)
                        *to++ = '\n';
                line = stop + 1;
        }
        reader->size = (size_t) (to - reader->text);
        *to = '\0';
}

static bool is_unfit(Reader *reader, unsigned number, const char *line, size_t size)
{
        const char *message;

        if (is_blank(line, size) || is_comment(line, size))
                return true;
        message = line_problem(line, size);
        if (message)
                problem(reader, number, message);
        return message;
}

static bool was_told(Reader *reader, unsigned number, const char *line, size_t size)
{
        return reader->told[number];
}

static unsigned count_lines(const char *text, size_t size)
{
        unsigned n = 1;

        for (size_t i = 0; i < size; i++)
                n += text[i] == '\n';
        return n;
}

static int reader_init(Reader *reader, const char *text, size_t size)
{
        reader->n_lines = count_lines(text, size);
        reader->text = memdup_suffix0(text, size);
        reader->told = new0(bool, reader->n_lines + 1);
        reader->size = size;
        return reader->text && reader->told ? 0 : -ENOMEM;
}

/* libeconf reads files only. */
static int write_memfd(const Reader *reader, int *ret)
{
        _cleanup_close_ int fd = memfd_create("icewire-conf", MFD_CLOEXEC);
        size_t done = 0;

        if (fd < 0)
                return -errno;
        while (done < reader->size) {
                ssize_t n = write(fd, reader->text + done, reader->size - done);

                if (n < 0)
                        return -errno;
                done += (size_t) n;
        }
        *ret = TAKE_FD(fd);
        return 0;
}

static int read_text(const Reader *reader, econf_file **ret, econf_err *ret_error)
{
        _cleanup_close_ int fd = -EBADF;
        char path[64];
        int r;

        r = write_memfd(reader, &fd);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        *ret_error = econf_readFile(ret, path, "=", NO_COMMENT);
        return *ret_error == ECONF_NOMEM ? -ENOMEM : 0;
}

/* 1: the line is gone, read again. */
static int skip_bad_line(Reader *reader, econf_err error)
{
        _cleanup_free_ char *file = NULL;
        uint64_t line = 0;

        econf_errLocation(&file, &line);
        if (!file || line == 0 || line > reader->n_lines || reader->told[line]) {
                problem(reader, 0, econf_errString(error));
                return 0;
        }
        problem(reader, (unsigned) line, econf_errString(error));
        reader->told[line] = true;
        return 1;
}

/* The value (not the extended one, which is cut at 8 KiB) and the number of its line. */
static int get_value(econf_file *file, const char *section, const char *key, char **ret, unsigned *ret_line)
{
        econf_ext_value *extended = NULL;
        econf_err error;

        error = econf_getExtValue(file, section, key, &extended);
        if (error != ECONF_SUCCESS)
                return error == ECONF_NOMEM ? -ENOMEM : -ENOENT;
        *ret_line = (unsigned) extended->line_number;
        econf_freeExtValue(extended);
        error = econf_getStringValue(file, section, key, ret);
        if (error == ECONF_NOMEM)
                return -ENOMEM;
        if (error != ECONF_SUCCESS || !*ret)
                *ret = strdup("");
        return *ret ? 0 : -ENOMEM;
}

/* Is keys[i] the first of that name, and are there more? */
static bool is_repeated(char **keys, size_t n, size_t i, bool *ret_first)
{
        bool more = false;

        *ret_first = true;
        for (size_t j = 0; j < n; j++)
                if (j != i && streq(keys[i], keys[j])) {
                        more = true;
                        if (j < i)
                                *ret_first = false;
                }
        return more;
}

/* A heading as libeconf gets it: its name, and behind this character, which no line may have, where it
 * stands. So sections of one name remain as many as they are, each with its own assignments. */
#define LINE_MARK '\002'

static int mark_heading(const char *line, size_t size, unsigned number, FILE *f)
{
        const char *end = memchr(line, ']', size);
        bool marked = line[strspn(line, " \t")] == '[' && end && end > line && end[-1] != '[';
        size_t before = marked ? (size_t) (end - line) : size;

        if (fwrite(line, 1, before, f) != before)
                return -ENOMEM;
        if (marked &&
            (fprintf(f, "%c%u", LINE_MARK, number) < 0 || fwrite(end, 1, size - before, f) != size - before))
                return -ENOMEM;
        return 0;
}

static int write_marked(const Reader *reader, FILE *f)
{
        const char *line = reader->text, *end = reader->text + reader->size;
        int r = 0;

        for (unsigned number = 1; line < end && r >= 0; number++) {
                const char *stop = memchr(line, '\n', (size_t) (end - line)) ?: end;

                r = mark_heading(line, (size_t) (stop - line), number, f);
                if (r >= 0 && stop < end && fputc('\n', f) < 0)
                        r = -ENOMEM;
                line = stop + 1;
        }
        return r;
}

static int mark_headings(Reader *reader)
{
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        int r;

        if (!f)
                return -ENOMEM;
        r = write_marked(reader, f);
        if (fclose(f) != 0)
                r = -ENOMEM;
        if (r < 0) {
                free(text);
                return r;
        }
        free(reader->text);
        reader->text = text;
        reader->size = size;
        return 0;
}

static int keep(Reader *reader, const char *section, Assignment *a)
{
        const char *mark = strchr(section, LINE_MARK);
        uint64_t line = 0;
        int r;

        /* A heading that libeconf has made out of something else has none. */
        if (mark)
                (void) parse_u64(mark + 1, 0, UINT32_MAX, &line);
        a->section_line = (unsigned) line;
        a->section = mark ? strndup(section, (size_t) (mark - section)) : strdup(section);
        if (!a->section || !a->key)
                return -ENOMEM;
        r = GROW_ARRAY(reader->assignments, reader->n_allocated, reader->n_assignments + 1);
        if (r < 0)
                return r;
        reader->assignments[reader->n_assignments++] = *a;
        *a = (Assignment) {};
        return 0;
}

static int read_key(Reader *reader, econf_file *file, const char *section, const char *key)
{
        _cleanup_(assignment_done) Assignment a = {};
        int r;

        r = get_value(file, section, key, &a.value, &a.line);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        /* Not again, when the text is read once more. */
        reader->told[MIN(a.line, reader->n_lines)] = true;
        a.key = strdup(key);
        return keep(reader, strempty(section), &a);
}

static int read_section(Reader *reader, econf_file *file, const char *section, bool *ret_again)
{
        _cleanup_(econf_freeArrayp) char **keys = NULL;
        size_t n = 0;
        int r;

        if (econf_getKeys(file, section, &n, &keys) != ECONF_SUCCESS)
                return 0;
        for (size_t i = 0; i < n; i++) {
                bool first;

                *ret_again |= is_repeated(keys, n, i, &first);
                if (!first)
                        continue;
                r = read_key(reader, file, section, keys[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_all(Reader *reader, econf_file *file, bool *ret_again)
{
        _cleanup_(econf_freeArrayp) char **sections = NULL;
        size_t n = 0;
        int r;

        r = read_section(reader, file, /* section= */ NULL, ret_again);
        if (r < 0)
                return r;
        if (econf_getGroups(file, &n, &sections) != ECONF_SUCCESS)
                return 0;
        for (size_t i = 0; i < n; i++) {
                r = read_section(reader, file, sections[i], ret_again);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One reading: the first assignment of every key. 1: there are more, read again. */
static int read_once(Reader *reader)
{
        _cleanup_(econf_freeFilep) econf_file *file = NULL;
        econf_err error;
        bool again = false;
        int r;

        r = read_text(reader, &file, &error);
        if (r < 0)
                return r;
        if (error != ECONF_SUCCESS)
                return skip_bad_line(reader, error);
        r = read_all(reader, file, &again);
        return r < 0 ? r : again;
}

static int compare_lines(const void *a, const void *b)
{
        const Assignment *x = a, *y = b;

        return x->line < y->line ? -1 : x->line > y->line;
}

static int tell_all(Reader *reader)
{
        int r = 0;

        if (reader->n_assignments > 1)
                qsort(reader->assignments, reader->n_assignments, sizeof(Assignment), compare_lines);
        for (size_t i = 0; i < reader->n_assignments && r >= 0; i++) {
                Assignment *a = &reader->assignments[i];

                r = reader->callbacks->assign(reader->name, a->line, a->section, a->section_line, a->key,
                                              a->value, reader->userdata);
        }
        return r;
}

static int read_until_done(Reader *reader)
{
        for (unsigned n = 0; n < READS_MAX; n++) {
                int r = read_once(reader);

                if (r <= 0)
                        return r;
                empty_lines(reader, was_told);
        }
        problem(reader, 0, "too many bad lines or repeated keys, the rest is skipped");
        return 0;
}

int conf_parse(const char *name, const char *text, size_t size, const ConfCallbacks *callbacks,
               void *userdata)
{
        _cleanup_(reader_done)
                Reader reader = { .name = name, .callbacks = callbacks, .userdata = userdata };
        int r;

        if (size > CONF_FILE_SIZE_MAX) {
                problem(&reader, 0, "the file is too long");
                return 0;
        }
        r = reader_init(&reader, text, size);
        if (r < 0)
                return r;
        empty_lines(&reader, is_unfit);
        r = mark_headings(&reader);
        if (r < 0)
                return r;
        r = read_until_done(&reader);
        return r < 0 ? r : tell_all(&reader);
}

/* The names and where they are found: a strv-like array of paths, sorted by base name. */
typedef struct PathList {
        char **paths;
        size_t n, allocated;
} PathList;

static void path_list_done(PathList *list)
{
        for (size_t i = 0; i < list->n; i++)
                free(list->paths[i]);
        list->paths = mfree(list->paths);
}

static const char *base_name(const char *path)
{
        return strrchr(path, '/') + 1;
}

static int compare_base_names(const void *a, const void *b)
{
        return strcmp(base_name(*(char *const *) a), base_name(*(char *const *) b));
}

static bool path_list_has(const PathList *list, const char *name)
{
        for (size_t i = 0; i < list->n; i++)
                if (streq(base_name(list->paths[i]), name))
                        return true;
        return false;
}

static int path_list_add(PathList *list, const char *folder, const char *name)
{
        char *path;
        int r;

        r = GROW_ARRAY(list->paths, list->allocated, list->n + 1);
        if (r < 0)
                return r;
        path = asprintf_safe("%s/%s", folder, name);
        if (!path)
                return -ENOMEM;
        list->paths[list->n++] = path;
        return 0;
}

static bool is_conf_name(const char *name)
{
        size_t n = strlen(name);

        return name[0] != '.' && n > strlen(".conf") && streq(name + n - strlen(".conf"), ".conf");
}

/* Adds the drop-ins of one folder whose names no stronger tree has. */
static int list_folder(PathList *list, const char *folder, const ConfCallbacks *callbacks, void *userdata)
{
        struct dirent *entry;
        DIR *d = opendir(folder);
        int r = 0;

        if (!d && errno == ENOMEM)
                return -ENOMEM;
        if (!d) {
                if (errno != ENOENT)
                        callbacks->problem(folder, 0, strerror(errno), userdata);
                return 0;
        }
        while (r >= 0 && (entry = readdir(d)))
                if (is_conf_name(entry->d_name) && !path_list_has(list, entry->d_name))
                        r = path_list_add(list, folder, entry->d_name);
        closedir(d);
        return r;
}

static int list_drop_ins(const char *root, const char *name, const ConfCallbacks *callbacks, void *userdata,
                         PathList *list)
{
        int r;

        for (size_t i = 0; i < ELEMENTSOF(trees); i++) {
                _cleanup_free_ char *folder = asprintf_safe("%s%s/%s/%s.conf.d", strempty(root), trees[i],
                                                            name, name);

                r = folder ? list_folder(list, folder, callbacks, userdata) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        if (list->n > 1)
                qsort(list->paths, list->n, sizeof(char *), compare_base_names);
        return 0;
}

/* 1: read, 0: it is not there, or could not be read (which was told). */
static int load_file(const char *path, const ConfCallbacks *callbacks, void *userdata)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = read_full_file(path, CONF_FILE_SIZE_MAX, &text, &size);
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                callbacks->problem(path, 0, r == -EFBIG ? "the file is too long" : strerror(-r), userdata);
                return 0;
        }
        r = conf_parse(path, text, size, callbacks, userdata);
        return r < 0 ? r : 1;
}

/* The strongest main file that exists; one that cannot be read still hides those below it. */
static int load_main(const char *root, const char *name, const ConfCallbacks *callbacks, void *userdata)
{
        for (size_t i = 0; i < ELEMENTSOF(trees); i++) {
                _cleanup_free_ char *path = asprintf_safe("%s%s/%s/%s.conf", strempty(root), trees[i], name,
                                                          name);

                if (!path)
                        return -ENOMEM;
                if (access(path, F_OK) >= 0 || errno != ENOENT)
                        return load_file(path, callbacks, userdata);
        }
        return 0;
}

int conf_load(const char *root, const char *name, const ConfCallbacks *callbacks, void *userdata)
{
        _cleanup_(path_list_done) PathList list = {};
        int r, n;

        r = list_drop_ins(root, name, callbacks, userdata, &list);
        if (r < 0)
                return r;
        n = load_main(root, name, callbacks, userdata);
        if (n < 0)
                return n;
        for (size_t i = 0; i < list.n; i++) {
                r = load_file(list.paths[i], callbacks, userdata);
                if (r < 0)
                        return r;
                n += r;
        }
        return n;
}
