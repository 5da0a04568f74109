/* fsload: put one kind of load on a mounted file system; print what came of it as a line of JSON.
 *
 * System calls and little else, so that the program costs little and costs the same whichever file
 * system is below it. Some threads start together, each in its own directory `tN` with its share
 * of the files; the time is that from the start to the end of the last. What is found is checked:
 * a wrong answer ends the program with exit code 1 and a sentence on standard error.
 *
 * Build: gcc -O2 -pthread with every .c of this directory and of ../load.
 */
#include "fsload.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

const char program_name[] = "fsload";

struct options options = {
    .prefix = "f", .file = "data", .threads = 1, .files = 1000, .size_bytes = 64 * MIB,
    .block_bytes = MIB,
};
uint64_t deadline_ns;
int base;

const struct operation operations[] = {
    {"create", "make --files empty files", NULL, create, NULL, false, false},
    {"stat", "ask for their attributes, in order; with --seconds anywhere", NULL, stat_files, NULL,
     false, true},
    {"list", "read the directories", NULL, list, NULL, false, true},
    {"list-stat", "the same, and ask for the attributes of each entry", NULL, list_and_stat, NULL,
     false, true},
    {"rename", "to renamed-NUMBER", NULL, rename_files, NULL, false, false},
    {"unlink", "remove them (after rename: --prefix renamed-)", NULL, unlink_files, NULL, false,
     false},
    {"write", "--file, in order from empty, with an fsync at the end", prepare_write, write_file,
     NULL, true, false},
    {"read", "--file, in order; it was written by `write`", prepare_read, read_file, check_file,
     true, false},
};
const unsigned operations_count = sizeof operations / sizeof *operations;

static const struct operation *operation;
static struct worker workers[THREADS_MAX];
static pthread_barrier_t start;

bool goes_on(void)
{
    return deadline_ns && now_ns() < deadline_ns;
}

static int open_directory(int parent, const char *path)
{
    if (mkdirat(parent, path, 0755) && errno != EEXIST)
        die("%s: %s", path, strerror(errno));
    int directory = openat(parent, path, O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        die("%s: %s", path, strerror(errno));
    return directory;
}

static void set_up(void)
{
    base = open_directory(AT_FDCWD, options.path);
    for (unsigned n = 0; n < options.threads; n++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "t%u", n);
        workers[n].files = options.files / options.threads;
        workers[n].directory = operation->data ? -1 : open_directory(base, name);
    }
}

static void *run(void *context)
{
    pthread_barrier_wait(&start);
    operation->work(context);
    return NULL;
}

static double run_all_s(void)
{
    pthread_t threads[THREADS_MAX];
    pthread_barrier_init(&start, NULL, options.threads + 1);
    for (unsigned n = 0; n < options.threads; n++)
        if (pthread_create(&threads[n], NULL, run, &workers[n]))
            die("no thread");
    uint64_t started_ns = now_ns();
    deadline_ns = options.seconds > 0 ? started_ns + (uint64_t)(options.seconds * 1e9) : 0;
    pthread_barrier_wait(&start);
    for (unsigned n = 0; n < options.threads; n++)
        pthread_join(threads[n], NULL);
    return (double)(now_ns() - started_ns) / 1e9;
}

static void report(double elapsed_s, double client_cpu_s, double server_cpu_s)
{
    uint64_t calls = 0, bytes = 0;
    for (unsigned n = 0; n < options.threads; n++) {
        calls += workers[n].calls;
        bytes += workers[n].bytes;
    }
    printf("{\"operation\": \"%s\", \"threads\": %u, \"calls\": %" PRIu64 ", \"done\": %" PRIu64,
           operation->name, options.threads, calls, calls);
    printf(", \"seconds\": %.6f, \"calls_per_s\": %.1f, \"done_per_s\": %.1f, ", elapsed_s,
           (double)calls / elapsed_s, (double)calls / elapsed_s);
    printf("\"mib_per_s\": %.2f, \"client_cpu_s\": %.3f, \"server_cpu_s\": ",
           (double)bytes / MIB / elapsed_s, client_cpu_s);
    if (servers_count())
        printf("%.3f}\n", server_cpu_s);
    else
        printf("null}\n");
}

/* --- the command line -------------------------------------------------------------------- */

static const char usage[] =
    "usage: fsload [OPTION]... OPERATION DIR\n"
    "  --threads N        that work at once (1)\n"
    "  --files N          in all directories together; a multiple of the threads (1000)\n"
    "  --prefix NAME      of file names (f)\n"
    "  --seconds S        stat, list, list-stat: how long to go on (once over everything)\n"
    "  --file NAME        read, write: the file (data)\n"
    "  --size BYTES       read, write: its size; k, m and g are understood (64m)\n"
    "  --block BYTES      read, write: bytes a call (1m)\n"
    "  --generation N     write: goes into the data, so that it differs from run to run (clock)\n"
    "  --expect N         read: every page must be of that generation (any)\n"
    "  --server-pid PID   report that process's CPU seconds in the measured time; repeatable\n"
    "operations, in DIR, which is made if missing:\n";

static void help(void)
{
    fputs(usage, stdout);
    for (unsigned n = 0; n < operations_count; n++)
        printf("  %-18s %s\n", operations[n].name, operations[n].help);
    exit(0);
}

enum flag {
    THREADS, FILES, PREFIX, SECONDS, FILE_NAME, SIZE, BLOCK, GENERATION, EXPECT, SERVER_PID, HELP,
};

static const struct option long_options[] = {
    {"threads", 1, 0, THREADS}, {"files", 1, 0, FILES}, {"prefix", 1, 0, PREFIX},
    {"seconds", 1, 0, SECONDS}, {"file", 1, 0, FILE_NAME}, {"size", 1, 0, SIZE},
    {"block", 1, 0, BLOCK}, {"generation", 1, 0, GENERATION}, {"expect", 1, 0, EXPECT},
    {"server-pid", 1, 0, SERVER_PID}, {"help", 0, 0, HELP}, {0},
};

static void set_option(enum flag flag, const char *text)
{
    switch (flag) {
    case THREADS: options.threads = (unsigned)number(text); break;
    case FILES: options.files = number(text); break;
    case PREFIX: options.prefix = text; break;
    case SECONDS: options.seconds = strtod(text, NULL); break;
    case FILE_NAME: options.file = text; break;
    case SIZE: options.size_bytes = number(text); break;
    case BLOCK: options.block_bytes = number(text); break;
    case GENERATION: options.generation = (unsigned)number(text); break;
    case EXPECT: options.expected = (unsigned)number(text); break;
    case SERVER_PID: watch_server((int)number(text)); break;
    case HELP: help();
    }
}

static void parse(int count, char **words)
{
    int option;
    while ((option = getopt_long(count, words, "", long_options, NULL)) != -1) {
        if (option == '?')
            exit(2);
        set_option((enum flag)option, optarg);
    }
    for (unsigned n = 0; n < operations_count && optind == count - 2; n++)
        if (!strcmp(words[optind], operations[n].name))
            operation = &operations[n];
    doing = operation ? operation->name : NULL;
    if (!operation)
        die("one operation and a directory are needed; see --help");
    options.path = words[optind + 1];
    if (options.threads < 1 || options.threads > (operation->data ? 1 : THREADS_MAX))
        die("--threads: from 1 to %d", operation->data ? 1 : THREADS_MAX);
    if (!options.files || options.files % options.threads)
        die("--files: a multiple of the threads");
    if (options.seconds && !operation->again)
        die("--seconds: it ends by itself");
    if (!options.size_bytes || !options.block_bytes || options.block_bytes % PAGE_BYTES ||
        options.size_bytes % options.block_bytes)
        die("blocks are whole pages of 4 KiB, and files whole blocks");
    if (!options.generation)
        options.generation = new_generation();
}

int main(int count, char **words)
{
    parse(count, words);
    set_up();
    if (operation->prepare)
        operation->prepare();
    double client_cpu_s = own_cpu_s(), server_cpu_s = servers_cpu_s();
    double elapsed_s = run_all_s();
    client_cpu_s = own_cpu_s() - client_cpu_s;
    server_cpu_s = servers_cpu_s() - server_cpu_s;
    if (operation->finish)
        operation->finish();
    report(elapsed_s, client_cpu_s, server_cpu_s);
    return 0;
}
