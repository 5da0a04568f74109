/* What the load programs share: dying, clocks, numbers, the servers' CPU time, and data that can be
 * checked.
 *
 * Every page of data follows from a stamp at its start and from its place in the file; it does not
 * compress, and differs from run to run with the generation that is part of the stamp.
 */
#ifndef LOAD_COMMON_H
#define LOAD_COMMON_H

#define _GNU_SOURCE
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIB = 1 << 10, MIB = 1 << 20, PAGE_BYTES = 4096 };

extern const char program_name[]; /* its name, defined by each program */
extern const char *doing;    /* its operation, once that is known */

/* One sentence on standard error, and exit code 1. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
void *allocate(size_t count, size_t size);
uint64_t now_ns(void);
uint64_t mix(uint64_t word);

/* A number with k, m or g for its unit, if any. */
uint64_t number(const char *text);

/* Count a process among the servers, whose CPU seconds, user and system, of all threads so far
 * `servers_cpu_s` tells; `own_cpu_s` tells the program's own. */
void watch_server(int process);
unsigned servers_count(void);
double servers_cpu_s(void);
double own_cpu_s(void);

/* A generation that no other run has, for all that matters. */
unsigned new_generation(void);
void fill_block(uint8_t *at, uint64_t offset, uint64_t length, unsigned generation);
/* `expected`: the generation it must have, 0 for any. Other data ends the program. */
void check_block(const uint8_t *at, uint64_t offset, uint64_t length, unsigned expected);

#endif
