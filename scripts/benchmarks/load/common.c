/* See common.h. */
#include "common.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PAGE_WORDS = PAGE_BYTES / 8, SERVERS_MAX = 8 };

const char *doing;

static int servers[SERVERS_MAX];
static unsigned servers_watched;

void die(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s: ", program_name);
    if (doing)
        fprintf(stderr, "%s: ", doing);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        die("no memory");
    return memory;
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    static const char units[] = "kmg";
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
    if (end == text || (*end && (!unit || end[1])))
        die("not a number: %s", text);
    return unit ? value << (10 * (unit - units + 1)) : value;
}

/* --- CPU time ---------------------------------------------------------------------------- */

void watch_server(int process)
{
    if (servers_watched == SERVERS_MAX)
        die("at most %d servers", SERVERS_MAX);
    servers[servers_watched++] = process;
}

unsigned servers_count(void)
{
    return servers_watched;
}

double servers_cpu_s(void)
{
    double total = 0;
    for (unsigned n = 0; n < servers_watched; n++) {
        char path[64], line[1024];
        unsigned long user, system;
        snprintf(path, sizeof path, "/proc/%d/stat", servers[n]);
        FILE *file = fopen(path, "r");
        if (!file || !fgets(line, sizeof line, file))
            die("no process %d", servers[n]);
        fclose(file);
        if (sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                   &user, &system) != 2)
            die("%s is not understood", path);
        total += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    }
    return total;
}

double own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- data that can be checked ------------------------------------------------------------ */

uint64_t mix(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

unsigned new_generation(void)
{
    return (uint32_t)(mix((uint64_t)time(NULL) << 20 ^ now_ns()) | 1);
}

static uint64_t stamp_of(uint32_t generation)
{
    return (uint64_t)0x6e66736c << 32 | generation;
}

/* A page's first word is its stamp; the others follow from the stamp and their place. */
static uint64_t word_of(uint64_t stamp, uint64_t place)
{
    return mix(stamp + place * 0x9e3779b97f4a7c15u);
}

void fill_block(uint8_t *at, uint64_t offset, uint64_t length, unsigned generation)
{
    uint64_t stamp = stamp_of(generation);
    for (uint64_t page = 0; page < length; page += PAGE_BYTES, at += PAGE_BYTES) {
        uint64_t place = (offset + page) / 8;
        memcpy(at, &stamp, sizeof stamp);
        for (unsigned n = 1; n < PAGE_WORDS; n++) {
            uint64_t word = word_of(stamp, place + n);
            memcpy(at + n * 8, &word, sizeof word);
        }
    }
}

void check_block(const uint8_t *at, uint64_t offset, uint64_t length, unsigned expected)
{
    for (uint64_t page = 0; page < length; page += PAGE_BYTES, at += PAGE_BYTES) {
        uint64_t place = (offset + page) / 8, stamp, wrong = 0;
        memcpy(&stamp, at, sizeof stamp);
        if (stamp >> 32 != stamp_of(0) >> 32)
            die("offset %" PRIu64 ": this is not what was written", offset + page);
        if (expected && stamp != stamp_of(expected))
            die("offset %" PRIu64 ": an older generation", offset + page);
        for (unsigned n = 1; n < PAGE_WORDS; n++) {
            uint64_t word;
            memcpy(&word, at + n * 8, sizeof word);
            wrong |= word ^ word_of(stamp, place + n);
        }
        if (wrong)
            die("offset %" PRIu64 ": damaged data", offset + page);
    }
}
