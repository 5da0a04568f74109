/* fsload: what its parts share. See fsload.c for what the program is.
 *
 * names.c holds the loads of names and attributes, data.c those of a big file; fsload.c runs one,
 * on some threads, and reports.
 */
#ifndef FSLOAD_H
#define FSLOAD_H

#include "../load/common.h"

enum { THREADS_MAX = 64, NAME_BYTES = 64 };

/* What one thread works on: a directory of its own, and a share of the files. */
struct worker {
    int directory;         /* open */
    uint64_t files;        /* how many of them are its own */
    uint64_t calls, bytes; /* that it has made, and moved */
};

struct operation {
    const char *name, *help;
    void (*prepare)(void);         /* before the clock starts */
    void (*work)(struct worker *); /* on every thread, measured; it counts its calls */
    void (*finish)(void);          /* after the clock has stopped */
    bool data;                     /* of one big file, by one thread */
    bool again;                    /* can go on until --seconds are over */
};

struct options {
    const char *path, *prefix, *file;
    unsigned threads, generation, expected;
    uint64_t files, size_bytes, block_bytes;
    double seconds;
};

extern struct options options;
extern const struct operation operations[];
extern const unsigned operations_count;
extern uint64_t deadline_ns; /* 0: once over everything */
extern int base;             /* the directory to work in, open */

bool goes_on(void);

/* names.c */
void create(struct worker *worker);
void stat_files(struct worker *worker);
void list(struct worker *worker);
void list_and_stat(struct worker *worker);
void rename_files(struct worker *worker);
void unlink_files(struct worker *worker);

/* data.c */
void prepare_write(void);
void write_file(struct worker *worker);
void prepare_read(void);
void read_file(struct worker *worker);
void check_file(void);

#endif
