/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-properties.h"

#include "alloc-util.h"
#include "string-util.h"
#include "system-bus.h"

/* FNV-1a, 64 bits: nobody gains from two values that look alike. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static bool is_told(const sd_bus_vtable *item)
{
        return (item->type == _SD_BUS_VTABLE_PROPERTY || item->type == _SD_BUS_VTABLE_WRITABLE_PROPERTY) &&
               item->flags & SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE;
}

static bool is_end(const sd_bus_vtable *item)
{
        return item->type == _SD_BUS_VTABLE_END;
}

size_t bus_properties_count(const sd_bus_vtable *vtable)
{
        size_t n = 0;

        for (; !is_end(vtable); vtable++)
                n += is_told(vtable);
        return n;
}

static void hash_bytes(uint64_t *h, const void *bytes, size_t n)
{
        for (const uint8_t *p = bytes; n-- > 0; p++)
                *h = (*h ^ *p) * HASH_PRIME;
}

static int hash_basic(sd_bus_message *m, char type, uint64_t *h)
{
        union {
                const char *s;
                uint64_t number;
        } value = {};
        int r = sd_bus_message_read_basic(m, type, &value);

        if (r < 0)
                return r;
        if (strchr("sog", type))
                hash_bytes(h, value.s, strlen(value.s) + 1);
        else
                hash_bytes(h, &value, sizeof(value));
        return 0;
}

/* One complete type. 0: there is none left. The types tell containers of different shapes apart. */
static int hash_value(sd_bus_message *m, uint64_t *h)
{
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r <= 0)
                return r;
        hash_bytes(h, &type, 1);
        if (!contents) {
                r = hash_basic(m, type, h);
                return r < 0 ? r : 1;
        }
        r = sd_bus_message_enter_container(m, type, contents);
        if (r < 0)
                return r;
        do
                r = hash_value(m, h);
        while (r > 0);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

/* All values, one after the other, in a message that is never sent. */
static int collect(sd_bus *bus, const char *path, const char *interface, const sd_bus_vtable *vtable,
                   void *object, sd_bus_message **ret)
{
        _cleanup_bus_message_ sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_signal(bus, &m, path, interface, "Values");
        for (; r >= 0 && !is_end(vtable); vtable++)
                if (is_told(vtable))
                        r = vtable->x.property.get(bus, path, interface, vtable->x.property.member, m,
                                                   object,
                                                   /* ret_error= */ NULL);
        if (r >= 0)
                r = sd_bus_message_seal(m, /* cookie= */ 1, /* timeout_usec= */ 0);
        if (r >= 0)
                r = sd_bus_message_rewind(m, /* complete= */ true);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int bus_properties_update(sd_bus *bus, const char *path, const char *interface, const sd_bus_vtable *vtable,
                          void *object, uint64_t *hashes, char **names)
{
        _cleanup_bus_message_ sd_bus_message *m = NULL;
        int n = 0, r;

        r = collect(bus, path, interface, vtable, object, &m);
        if (r < 0)
                return r;
        for (; !is_end(vtable); vtable++) {
                uint64_t h = HASH_START;

                if (!is_told(vtable))
                        continue;
                r = hash_value(m, &h);
                if (r < 0)
                        return r;
                if (h != *hashes)
                        names[n++] = (char *) vtable->x.property.member;
                *hashes++ = h;
        }
        names[n] = NULL;
        return n;
}

int bus_append_text(sd_bus_message *m, const char *text)
{
        _cleanup_free_ char *escaped = NULL;
        int r;

        r = sd_bus_message_append_basic(m, 's', strempty(text));
        if (r != -EINVAL)
                return r;
        escaped = cescape(text, strlen(text));
        return escaped ? sd_bus_message_append_basic(m, 's', escaped) : -ENOMEM;
}
