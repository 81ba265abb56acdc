/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log-event.h"
#include "parse-util.h"
#include "random-util.h"
#include "sandbox.h"
#include "string-util.h"
#include "time-util.h"

/* string-util */

Test(string, comparisons)
{
        char word[] = "prefix-rest";

        cr_expect(streq("a", "a") && !streq("a", "b") && !streq("a", "ab"));
        cr_expect(streq_ptr(NULL, NULL) && streq_ptr("a", "a"));
        cr_expect(!streq_ptr("a", NULL) && !streq_ptr(NULL, "a") && !streq_ptr("", NULL));
        cr_expect(isempty(NULL) && isempty("") && !isempty(" "));
        cr_expect_str_eq(strna(NULL), "n/a");
        cr_expect_str_eq(strempty(NULL), "");
        cr_expect_str_eq(startswith(word, "prefix-"), "rest");
        cr_expect_str_eq(startswith(word, word), "");
        cr_expect_eq(startswith(word, ""), word);
        cr_expect_null(startswith(word, "prefix-rest-"));
        cr_expect_null(startswith("", "x"));
}

Test(string, free_and_strdup)
{
        char *s = NULL, *before;

        cr_expect_eq(free_and_strdup(&s, NULL), 0);
        cr_expect_eq(free_and_strdup(&s, "one"), 1);
        cr_expect_str_eq(s, "one");
        before = s;
        cr_expect_eq(free_and_strdup(&s, "one"), 0);
        cr_expect_eq(s, before);
        cr_expect_eq(free_and_strdup(&s, s + 1), 1, "a part of itself");
        cr_expect_str_eq(s, "ne");
        cr_expect_eq(free_and_strdup(&s, ""), 1);
        cr_expect_str_eq(s, "");
        cr_expect_eq(free_and_strdup(&s, NULL), 1);
        cr_expect_null(s);
}

static void expect_escaped(const char *s, size_t size, const char *expected)
{
        _cleanup_free_ char *escaped = cescape(s, size);

        cr_expect_str_eq(escaped, expected);
}

Test(string, cescape)
{
        expect_escaped("", 0, "");
        expect_escaped("plain ~ text", 12, "plain ~ text");
        expect_escaped("a\nb\033[1m\\\x7f", 9, "a\\x0ab\\x1b[1m\\x5c\\x7f");
        expect_escaped("nul\0 inside", 11, "nul\\x00 inside");
        expect_escaped("\xc3\xbc\xff", 3, "\\xc3\\xbc\\xff");
        expect_escaped("cut here", 3, "cut");
}

/* What cescape() makes is printable and says which bytes it was, for every byte. */
Test(string, cescape_is_unambiguous)
{
        for (int c = 0; c < 256; c++) {
                char byte = (char) c;
                _cleanup_free_ char *escaped = cescape(&byte, 1);
                unsigned back;

                for (const char *p = escaped; *p; p++)
                        cr_expect(*p >= ' ' && *p < 127);
                if (strlen(escaped) == 1)
                        cr_expect_eq(*escaped, byte);
                else
                        cr_expect(sscanf(escaped, "\\x%2x", &back) == 1 && back == (unsigned) c);
        }
}

Test(string, asprintf_safe)
{
        _cleanup_free_ char *s = asprintf_safe("%s-%d", "x", 42);

        cr_expect_str_eq(s, "x-42");
}

/* time-util */

Test(time, format)
{
        static const struct {
                usec_t t;
                const char *s;
        } cases[] = {
                { 0, "0s" },
                { 1, "1us" },
                { 999, "999us" },
                { 1000, "1ms" },
                { 999999, "999ms" },
                { USEC_PER_SEC, "1s" },
                { 3250 * USEC_PER_MSEC, "3.25s" },
                { 12345 * USEC_PER_MSEC, "12.3s" },
                { USEC_PER_MINUTE, "1min" },
                { USEC_PER_MINUTE + 59 * USEC_PER_SEC, "1min 59s" },
                { USEC_PER_MINUTE + 999 * USEC_PER_MSEC, "1min" },
                { USEC_PER_HOUR + 2 * USEC_PER_MINUTE, "1h 2min" },
                { USEC_PER_HOUR + 59 * USEC_PER_SEC, "1h" },
                { 24 * USEC_PER_HOUR, "1d" },
                { 27 * USEC_PER_HOUR + USEC_PER_MINUTE, "1d 3h" },
                { USEC_INFINITY - 1, "213503982d 8h" },
                { USEC_INFINITY, "infinity" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_expect_str_eq(TIMESPAN_STR(cases[i].t), cases[i].s);
}

Test(time, parse)
{
        static const struct {
                const char *s;
                int result;
                usec_t t;
        } cases[] = {
                { "5", 0, 5 * USEC_PER_SEC },
                { "0", 0, 0 },
                { "5s", 0, 5 * USEC_PER_SEC },
                { "5 s", 0, 5 * USEC_PER_SEC },
                { "200ms", 0, 200 * USEC_PER_MSEC },
                { "7us", 0, 7 },
                { "2min", 0, 2 * USEC_PER_MINUTE },
                { "1h", 0, USEC_PER_HOUR },
                { "1d", 0, 24 * USEC_PER_HOUR },
                { "213503982d", 0, 213503982 * (24 * USEC_PER_HOUR) },
                { "213503983d", -ERANGE, 0 },
                { "18446744073709551614us", 0, USEC_INFINITY - 1 },
                { "18446744073709551615us", -ERANGE, 0 }, /* would mean infinity */
                { "18446744073709551616us", -ERANGE, 0 },
                { "99999999999999999999999", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "+1", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "s", -EINVAL, 0 },
                { "1x", -EINVAL, 0 },
                { "1.5s", -EINVAL, 0 },
                { "1s ", -EINVAL, 0 },
                { "1S", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                usec_t t = 4242;

                cr_expect_eq(parse_timespan(cases[i].s, &t), cases[i].result, "%s", cases[i].s);
                cr_expect_eq(t, cases[i].result < 0 ? 4242 : cases[i].t, "%s", cases[i].s);
        }
}

Test(time, saturation)
{
        cr_expect_eq(usec_add(1, 2), 3);
        cr_expect_eq(usec_add(USEC_INFINITY, 1), USEC_INFINITY);
        cr_expect_eq(usec_add(USEC_INFINITY - 1, 1), USEC_INFINITY);
        cr_expect_eq(usec_add(1, USEC_INFINITY), USEC_INFINITY);
        cr_expect_eq(usec_sub(3, 2), 1);
        cr_expect_eq(usec_sub(2, 3), 0);
        cr_expect_leq(now(CLOCK_MONOTONIC), now(CLOCK_MONOTONIC));
}

/* parse-util */

Test(parse, numbers)
{
        uint64_t u64 = 42;
        uint32_t u32 = 42;
        uint16_t u16 = 42;

        cr_expect(parse_u64("18446744073709551615", 0, UINT64_MAX, &u64) == 0 && u64 == UINT64_MAX);
        cr_expect(parse_u64("007", 0, 7, &u64) == 0 && u64 == 7);
        cr_expect_eq(parse_u64("18446744073709551616", 0, UINT64_MAX, &u64), -ERANGE);
        cr_expect_eq(parse_u64("8", 0, 7, &u64), -ERANGE);
        cr_expect_eq(parse_u64("8", 9, 10, &u64), -ERANGE);
        cr_expect(parse_u32("4294967295", &u32) == 0 && u32 == UINT32_MAX);
        cr_expect_eq(parse_u32("4294967296", &u32), -ERANGE);
        cr_expect(parse_u16("65535", &u16) == 0 && u16 == UINT16_MAX);
        cr_expect_eq(parse_u16("65536", &u16), -ERANGE);
        cr_expect(u64 == 7 && u32 == UINT32_MAX && u16 == UINT16_MAX);
}

Test(parse, not_numbers)
{
        static const char *const not_numbers[] = {
                "", " ", "x", "-1", "+1", " 1", "1 ", "1x", "0x1", "1.0", "1e3", "99999999999999999999x"
        };

        for (size_t i = 0; i < ELEMENTSOF(not_numbers); i++) {
                uint64_t n = 42;

                cr_expect_eq(parse_u64(not_numbers[i], 0, UINT64_MAX, &n), -EINVAL, "%s", not_numbers[i]);
                cr_expect_eq(n, 42);
        }
}

Test(parse, boolean)
{
        static const char *const yes[] = { "yes", "true", "on", "1", "y", "t", "YES", "True" };
        static const char *const no[] = { "no", "false", "off", "0", "n", "f", "NO", "False" };
        static const char *const neither[] = { "", "ye", "yess", "2", "01", " yes", "yes ", "ja" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                bool b = false, c = true;

                cr_expect(parse_boolean(yes[i], &b) == 0 && b, "%s", yes[i]);
                cr_expect(parse_boolean(no[i], &c) == 0 && !c, "%s", no[i]);
                cr_expect_eq(parse_boolean(neither[i], &b), -EINVAL, "%s", neither[i]);
                cr_expect(b);
        }
}

/* fd-util */

static int make_file(const void *content, size_t size, char path[static 64])
{
        int fd;

        strcpy(path, "/tmp/icewire-test-XXXXXX");
        fd = mkstemp(path);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, content, size), (ssize_t) size);
        return fd;
}

Test(fd, read_full_file)
{
        _cleanup_free_ char *text = NULL, *exact = NULL, *untouched = NULL;
        _cleanup_close_ int fd = -EBADF;
        char path[64];
        size_t size = 42;

        fd = make_file("with\0nul", 8, path);
        cr_expect_eq(read_full_file(path, 100, &text, &size), 0);
        cr_expect_eq(size, 8);
        cr_expect_arr_eq(text, "with\0nul", 9);
        cr_expect_eq(read_full_file(path, 8, &exact, NULL), 0);
        size = 42;
        cr_expect_eq(read_full_file(path, 7, &untouched, &size), -EFBIG);
        cr_expect_eq(read_full_file(path, 0, &untouched, &size), -EFBIG);
        (void) unlink(path);
        cr_expect_eq(read_full_file(path, 100, &untouched, &size), -ENOENT);
        cr_expect_eq(read_full_file("/", 100, &untouched, &size), -EISDIR);
        cr_expect_null(untouched);
        cr_expect_eq(size, 42);
}

Test(fd, read_full_file_without_size)
{
        _cleanup_free_ char *empty = NULL, *status = NULL;
        size_t size = 42;

        cr_expect_eq(read_full_file("/dev/null", 100, &empty, &size), 0);
        cr_expect_eq(size, 0);
        cr_expect_str_eq(empty, "");
        cr_expect_eq(read_full_file("/proc/self/status", 65536, &status, &size), 0);
        cr_expect_gt(size, 0);
        cr_expect_eq(read_full_file("/dev/zero", 65536, &status, &size), -EFBIG);
}

Test(fd, ownership)
{
        int fds[2], fd, taken;

        cr_assert_eq(pipe(fds), 0);
        fd = fds[0];
        taken = TAKE_FD(fd);
        cr_expect_eq(fd, -EBADF);
        cr_expect_eq(taken, fds[0]);
        errno = 4711;
        cr_expect_eq(safe_close(taken), -EBADF);
        cr_expect_eq(safe_close(-EBADF), -EBADF);
        cr_expect_eq(errno, 4711);
        cr_expect_eq(fcntl(fds[0], F_GETFD), -1);
        {
                _cleanup_close_ int scoped = fds[1];

                cr_expect_geq(fcntl(scoped, F_GETFD), 0);
        }
        cr_expect_eq(fcntl(fds[1], F_GETFD), -1);
}

/* alloc-util */

Test(alloc, grow_array)
{
        _cleanup_free_ uint32_t *array = NULL;
        size_t allocated = 0, grown = 0;

        cr_expect_eq(GROW_ARRAY(array, allocated, 0), 0);
        cr_expect_null(array);
        for (size_t i = 0; i < 1000; i++) {
                size_t before = allocated;

                cr_assert_eq(GROW_ARRAY(array, allocated, i + 1), 0);
                cr_assert_gt(allocated, i);
                grown += allocated != before;
                array[i] = (uint32_t) i;
        }
        cr_expect_leq(grown, 11, "it does not double: grown %zu times", grown);
        for (size_t i = 0; i < 1000; i++)
                cr_assert_eq(array[i], i);
}

/* An absurd size is for the allocator to refuse, and no reason for AddressSanitizer to stop. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
        return "allocator_may_return_null=1";
}

Test(alloc, grow_array_overflow)
{
        _cleanup_free_ uint32_t *array = new0(uint32_t, 1);
        uint32_t *before = array;
        size_t allocated = 1;

        cr_expect_eq(GROW_ARRAY(array, allocated, SIZE_MAX / 2), -ENOMEM);
        cr_expect_eq(GROW_ARRAY(array, allocated, SIZE_MAX), -ENOMEM);
        cr_expect_eq(array, before);
        cr_expect_eq(allocated, 1);
}

Test(alloc, memdup_suffix0)
{
        _cleanup_free_ char *a = memdup_suffix0("abc", 2), *b = memdup_suffix0(NULL, 0);

        cr_expect_str_eq(a, "ab");
        cr_expect_str_eq(b, "");
        cr_expect_null(memdup_suffix0("", SIZE_MAX));
}

Test(alloc, ownership)
{
        char *a = strdup("a"), *b = strdup("b"), *taken;

        free_and_replace(a, b);
        cr_expect_str_eq(a, "b");
        cr_expect_null(b);
        taken = TAKE_PTR(a);
        cr_expect_null(a);
        taken = mfree(taken);
        cr_expect_null(taken);
        cr_expect_null(erase_and_free_string(NULL));
        cr_expect_null(erase_and_free_string(strdup("secret")));
}

Test(alloc, erase)
{
        char secret[] = "secret", zero[sizeof(secret)] = {};

        erase(secret, sizeof(secret));
        cr_expect_arr_eq(secret, zero, sizeof(zero));
        erase(NULL, 5);
}

/* random-util */

Test(random, below)
{
        size_t seen[5] = {};

        for (size_t i = 0; i < 1000; i++) {
                uint64_t n = random_below(ELEMENTSOF(seen));

                cr_assert_lt(n, ELEMENTSOF(seen));
                seen[n]++;
        }
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                cr_expect_gt(seen[i], 0, "%zu never came in 1000 draws", i);
        cr_expect_eq(random_below(1), 0);
        cr_expect_lt(random_below(UINT64_MAX), UINT64_MAX);
        cr_expect_neq(random_u64(), random_u64());
}

/* log */

Test(log, levels)
{
        for (int i = LOG_EMERG; i <= LOG_DEBUG; i++)
                cr_expect_eq(log_level_from_string(log_level_to_string(i)), i);
        cr_expect_str_eq(log_level_to_string(LOG_ERR), "err");
        cr_expect_null(log_level_to_string(-1));
        cr_expect_null(log_level_to_string(8));
        cr_expect_eq(log_level_from_string("error"), -EINVAL);
        cr_expect_eq(log_level_from_string("ERR"), -EINVAL);
        cr_expect_eq(log_level_from_string(""), -EINVAL);
        cr_expect_eq(log_level_from_string("7"), -EINVAL);
}

Test(log, level_from_environment)
{
        setenv("ICEWIRE_LOG_LEVEL", "warning", 1);
        cr_expect_eq(log_get_max_level(), LOG_WARNING);
        log_set_max_level(99);
        cr_expect_eq(log_get_max_level(), LOG_DEBUG);
        log_set_max_level(-99);
        cr_expect_eq(log_get_max_level(), LOG_EMERG);
}

Test(log, level_from_a_bad_environment)
{
        setenv("ICEWIRE_LOG_LEVEL", "loud", 1);
        cr_expect_eq(log_get_max_level(), LOG_INFO);
}

/* Makes stderr a pipe, whose other end it returns. */
static int capture_stderr(void)
{
        int fds[2];

        cr_assert_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
        cr_assert_geq(dup2(fds[1], STDERR_FILENO), 0);
        (void) close(fds[1]);
        return fds[0];
}

static char *read_line(int fd, char *buf, size_t size)
{
        ssize_t n = read(fd, buf, size - 1);

        buf[MAX(n, 0)] = '\0';
        return buf;
}

Test(log, to_stderr)
{
        _cleanup_close_ int fd = capture_stderr();
        char buf[4096];

        unsetenv("JOURNAL_STREAM");
        log_set_max_level(LOG_INFO);
        log_info("number %d", 42);
        cr_expect_str_eq(read_line(fd, buf, sizeof(buf)), "number 42\n");
        log_debug("quiet");
        cr_expect_str_eq(read_line(fd, buf, sizeof(buf)), "");

        errno = 4711;
        cr_expect_eq(log_error_errno(-EPERM, "it failed: %m"), -EPERM);
        cr_expect_eq(errno, 4711);
        cr_expect_str_eq(read_line(fd, buf, sizeof(buf)), "it failed: Operation not permitted\n");
        cr_expect_eq(log_error_errno(EPERM, "%m"), -EPERM);
        cr_expect_eq(log_debug_errno(EPERM, "%m"), -EPERM, "not logged, but returned");
        cr_expect_eq(log_debug_errno(-EPERM, "%m"), -EPERM);

        setenv("JOURNAL_STREAM", "0:0", 1); /* a service whose stderr is something else */
        (void) read_line(fd, buf, sizeof(buf));
        log_warning("level in front");
        cr_expect_str_eq(read_line(fd, buf, sizeof(buf)), "<4>level in front\n");
}

Test(log, control_characters)
{
        _cleanup_close_ int fd = capture_stderr();
        char buf[4096], all[32] = "";

        unsetenv("JOURNAL_STREAM");
        log_info("%s", "one\ntwo\r\033[31mred\a\b\x7f\ttab");
        cr_expect_str_eq(read_line(fd, buf, sizeof(buf)), "one?two??[31mred???\ttab\n");
        log_info("%s", "gr\xc3\xbc\xc3\x9f \xc2\x9b"
                       "1m \xc2\xa0 \xc2");
        cr_expect_str_eq(read_line(fd, buf, sizeof(buf)), "gr\xc3\xbc\xc3\x9f ??1m \xc2\xa0 \xc2\n");
        for (int c = 1; c < 32; c++)
                all[c - 1] = (char) c;
        log_info("%s", all);
        cr_expect_str_eq(read_line(fd, buf, sizeof(buf)), "????????\t??????????????????????\n");
}

Test(log, long_messages_are_cut)
{
        _cleanup_close_ int fd = capture_stderr();
        char buf[8192], message[5000];

        unsetenv("JOURNAL_STREAM");
        memset(message, 'x', sizeof(message));
        message[sizeof(message) - 1] = '\0';
        log_info("%s", message);
        cr_expect_eq(strlen(read_line(fd, buf, sizeof(buf))), 2048);
        cr_expect_eq(buf[2047], '\n');
}

/* A journal of our own at the journal's address, in a mount namespace of our own. */
static int fake_journal(void)
{
        static const struct sockaddr_un address = { .sun_family = AF_UNIX,
                                                    .sun_path = "/run/systemd/journal/socket" };
        int fd;

        sandbox_enter();
        cr_assert_eq(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"), 0);
        cr_assert(mkdir("/run/systemd", 0755) == 0 && mkdir("/run/systemd/journal", 0755) == 0);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_eq(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

static void name_stderr_in_environment(void)
{
        char stream[64];
        struct stat st;

        cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
}

/* Also where the level was set before the first message; and neither message nor field forges a field. */
Test(log, to_the_journal)
{
        _cleanup_close_ int journal = fake_journal(), fd = capture_stderr();
        char buf[8192];

        name_stderr_in_environment();
        log_set_max_level(LOG_INFO);
        (void) log_full_fields(LOG_NOTICE, 0,
                               ((const char *const[]) { "PEER=one\nPRIORITY=0", "LINK=wg0", NULL }),
                               "first\nPRIORITY=0");
        read_line(journal, buf, sizeof(buf));
        cr_expect_str_empty(read_line(fd, buf + 4096, 4096), "nothing on stderr");
        cr_expect_eq(strstr(buf, "PRIORITY=5\n"), buf);
        cr_expect_not_null(strstr(buf, "\nMESSAGE=first?PRIORITY=0\n"));
        cr_expect_not_null(strstr(buf, "\nPEER=one\nLINK=wg0\n"));
        cr_expect_null(strstr(buf, "\nPRIORITY"));
        cr_expect_null(strstr(buf, "\nERRNO="));
        cr_expect_not_null(strstr(buf, "\nCODE_FUNC="));
}

/* What a filter and the catalog go by. */
Test(log, events_to_the_journal)
{
        _cleanup_close_ int journal = fake_journal();
        char buf[8192], expected[128], long_name[2 * LOG_FIELD_MAX];

        name_stderr_in_environment();
        log_set_max_level(LOG_INFO);
        cr_expect_eq(log_event(LOG_WARNING, -ECONNREFUSED, LOG_EVENT_BROKER_LOST, (), "Lost: %m"),
                     -ECONNREFUSED);
        read_line(journal, buf, sizeof(buf));
        snprintf(expected, sizeof(expected), "\nMESSAGE_ID=%s\nICEWIRE_EVENT=broker-lost\n",
                 log_event_id(LOG_EVENT_BROKER_LOST));
        cr_expect_not_null(strstr(buf, expected));
        cr_expect_not_null(strstr(buf, "\nERRNO=111\n"));
        cr_expect_not_null(strstr(buf, "\nMESSAGE=Lost: Connection refused\n"));

        log_event(LOG_INFO, 0, LOG_EVENT_LINK_GONE,
                  (LOG_FIELD("ICEWIRE_LINK=%s", "wg0"), LOG_FIELD("N=%d", 4)), "%s is gone.", "wg0");
        read_line(journal, buf, sizeof(buf));
        snprintf(expected, sizeof(expected),
                 "\nMESSAGE_ID=%s\nICEWIRE_EVENT=link-gone\nICEWIRE_LINK=wg0\nN=4\n",
                 log_event_id(LOG_EVENT_LINK_GONE));
        cr_expect_not_null(strstr(buf, expected));

        /* Not logged: nothing is sent, and the error comes back all the same. */
        cr_expect_eq(log_event(LOG_DEBUG, EPERM, LOG_EVENT_LINK_GONE, (), "quiet"), -EPERM);
        cr_expect_str_empty(read_line(journal, buf, sizeof(buf)));

        memset(long_name, 'x', sizeof(long_name));
        long_name[sizeof(long_name) - 1] = '\0';
        log_event(LOG_INFO, 0, LOG_EVENT_LINK_GONE,
                  (LOG_FIELD("ICEWIRE_LINK=%s", long_name), LOG_FIELD("N=%d", 5)), "gone");
        read_line(journal, buf, sizeof(buf));
        cr_expect_not_null(strstr(buf, "x\nN=5\n"), "cut, and the next one intact");
}
