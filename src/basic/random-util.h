/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Cryptographically strong, from getrandom(2); aborts where the kernel has none to give. */
void random_bytes(void *p, size_t n);
uint64_t random_u64(void);

/* Uniform in [0, bound); bound > 0. */
uint64_t random_below(uint64_t bound);
