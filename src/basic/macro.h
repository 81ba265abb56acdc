/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The few macros that the whole tree is written in: ownership, containers, format checks. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _sentinel_ __attribute__((sentinel))
#define _unused_ __attribute__((unused))
#define _pure_ __attribute__((pure))
#define _const_ __attribute__((const))
#define _warn_unused_result_ __attribute__((warn_unused_result))
#define _fallthrough_ __attribute__((fallthrough))

#define CONCATENATE_(a, b) a##b
#define CONCATENATE(a, b) CONCATENATE_(a, b)
#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
#define UNIQUE(name) CONCATENATE(name, __COUNTER__)

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define CONTAINER_OF(pointer, type, member)                                                                 \
        ((type *) ((char *) (1 ? (pointer) : &((type *) 0)->member) - offsetof(type, member)))

/* GLib has these names too; ours evaluate each argument once. */
#undef MIN
#undef MAX
#undef CLAMP
#define MIN(a, b)                                                                                           \
        ({                                                                                                  \
                __typeof__(a) _min_a = (a);                                                                 \
                __typeof__(b) _min_b = (b);                                                                 \
                _min_a < _min_b ? _min_a : _min_b;                                                          \
        })
#define MAX(a, b)                                                                                           \
        ({                                                                                                  \
                __typeof__(a) _max_a = (a);                                                                 \
                __typeof__(b) _max_b = (b);                                                                 \
                _max_a > _max_b ? _max_a : _max_b;                                                          \
        })
#define CLAMP(x, low, high) MIN(MAX(x, low), high)

/* Hands ownership on: yields the value and leaves the "absent" value behind. */
#define TAKE_GENERIC(variable, nothing)                                                                     \
        ({                                                                                                  \
                __typeof__(variable) *_take = &(variable);                                                  \
                __typeof__(variable) _value = *_take;                                                       \
                *_take = (nothing);                                                                         \
                _value;                                                                                     \
        })
#define TAKE_PTR(pointer) TAKE_GENERIC(pointer, NULL)
#define TAKE_FD(fd) TAKE_GENERIC(fd, -EBADF)

/* For destructors of the form "T *t_free(T *t)", that accept NULL and return NULL. */
#define DEFINE_TRIVIAL_CLEANUP_FUNC(type, function)                                                         \
        static inline void function##p(type *p)                                                             \
        {                                                                                                   \
                if (*p)                                                                                     \
                        *p = function(*p);                                                                  \
        }                                                                                                   \
        struct UNIQUE(_trailing_semicolon_)

static inline void freep(void *p)
{
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(freep)

/* The table a string enum is made of: "foo_to_string(FOO_STATE_X)" and back; the prototypes stand in the
 * header. */
#define DECLARE_STRING_TABLE(name, type)                                                                    \
        const char *name##_to_string(type i);                                                               \
        type name##_from_string(const char *s)

#define DEFINE_STRING_TABLE(name, type)                                                                     \
        const char *name##_to_string(type i)                                                                \
        {                                                                                                   \
                if ((int) i < 0 || (size_t) i >= ELEMENTSOF(name##_table))                                  \
                        return NULL;                                                                        \
                return name##_table[i];                                                                     \
        }                                                                                                   \
        type name##_from_string(const char *s)                                                              \
        {                                                                                                   \
                for (size_t i = 0; s && i < ELEMENTSOF(name##_table); i++)                                  \
                        if (name##_table[i] && strcmp(name##_table[i], s) == 0)                             \
                                return (type) i;                                                            \
                return (type) - EINVAL;                                                                     \
        }                                                                                                   \
        struct UNIQUE(_trailing_semicolon_)
