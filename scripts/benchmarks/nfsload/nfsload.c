/* nfsload: put one kind of NFSv3 load on a server; print what came of it as one line of JSON.
 *
 * One thread, blocking sockets, its own RPC and XDR (RFC 5531, RFC 1813), so that the client costs
 * little and costs the same whichever server it talks to. What it reads it checks: every page of
 * a file it wrote follows from a stamp at the page's start and from the page's place in the file;
 * attributes and handles are compared with those seen before the clock started. A wrong answer
 * ends the program with exit code 1 and a sentence on standard error.
 *
 * Build: gcc -O2 with every .c of this directory and of ../load.
 */
#include "nfsload.h"

#include <getopt.h>
#include <sys/epoll.h>
#include <unistd.h>

const char program_name[] = "nfsload";

struct options options = {
    .host = "127.0.0.1", .export = "/main", .directory = "nfsload", .prefix = "f", .file = "data",
    .connections = 1, .inflight = 1, .files = 100,
};

const struct operation *operation;
struct slot *slots;
struct file *files;
struct handle root, directory;
uint64_t bytes, entries, count_max;

static struct connection *connections;
static uint64_t issued, outstanding, calls, jukebox, deadline_ns;
static uint32_t *latencies_us;
static size_t latencies_capacity;

/* --- the run ----------------------------------------------------------------------------- */

static void count_call(uint64_t started_ns, uint64_t ended_ns)
{
    if (calls == latencies_capacity) {
        latencies_capacity = latencies_capacity ? 2 * latencies_capacity : 1 << 16;
        latencies_us = realloc(latencies_us, latencies_capacity * sizeof *latencies_us);
        if (!latencies_us)
            die("no memory");
    }
    latencies_us[calls++] = (uint32_t)((ended_ns - started_ns) / 1000);
}

static void start_next(struct slot *slot)
{
    if (issued >= count_max || (deadline_ns && now_ns() >= deadline_ns)) {
        outstanding--;
        return;
    }
    slot->number = issued++;
    slot->step = 0;
    operation->ask(slot);
    queue(slot);
}

static void answered(struct view *view)
{
    struct slot *slot = match(view);
    uint32_t status = operation->answer ? get32(view) : NFS3_OK; /* NULL has no results */
    if (status == NFS3ERR_JUKEBOX) {
        jukebox++;
        operation->ask(slot);
        queue(slot);
        return;
    }
    if (status)
        die("status %u", status);
    count_call(slot->started_ns, now_ns());
    if (!operation->answer || operation->answer(slot, view)) {
        start_next(slot);
    } else {
        slot->step++;
        operation->ask(slot);
        queue(slot);
    }
}

static void serve(struct connection *connection)
{
    struct view view;
    receive(connection);
    while (next_record(connection, &view))
        answered(&view);
    flush(connection);
}

static void run(void)
{
    int poll = epoll_create1(0);
    for (unsigned n = 0; n < options.connections; n++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[n]};
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[n].socket, &event);
    }
    outstanding = options.inflight;
    for (unsigned n = 0; n < options.inflight; n++)
        start_next(&slots[n]);
    for (unsigned n = 0; n < options.connections; n++)
        flush(&connections[n]);
    while (outstanding && options.connections == 1)
        serve(connections);
    while (outstanding) {
        struct epoll_event ready[64];
        int ready_count = epoll_wait(poll, ready, 64, ANSWER_S_MAX * 1000);
        if (ready_count == 0)
            die("no answer in %d s", ANSWER_S_MAX);
        for (int n = 0; n < ready_count; n++)
            serve(ready[n].data.ptr);
    }
    close(poll);
    if (operation->finish)
        operation->finish();
}

static void open_connection(struct connection *connection, unsigned port)
{
    connection->socket = connect_to(port);
    connection->start = connection->filled = 0;
}

static void mount_export(void)
{
    open_connection(&connections[0], options.mount_port);
    begin_program(&slots[0], MOUNT_PROGRAM, MNT), put_string(&slots[0], options.export);
    struct view view = transact();
    uint32_t status = get32(&view);
    if (status)
        die("mount of %s: status %u", options.export, status);
    root = get_handle(&view);
    close(connections[0].socket);
}

static void set_up(void)
{
    uint64_t payload = options.block_bytes > options.bytes ? options.block_bytes : options.bytes;
    slots = allocate(options.inflight, sizeof *slots);
    connections = allocate(options.connections, sizeof *connections);
    for (unsigned n = 0; n < options.inflight; n++) {
        slots[n].connection = &connections[n % options.connections];
        slots[n].buffer = allocate(1, payload + HEADER_BYTES_MAX);
    }
    for (unsigned n = 0; n < options.connections; n++) {
        connections[n].capacity = 2 * (payload + 64 * KIB);
        connections[n].in = allocate(1, connections[n].capacity);
    }
    mount_export();
    for (unsigned n = 0; n < options.connections; n++)
        open_connection(&connections[n], options.port);
}

static int by_size(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static uint32_t percentile_us(unsigned percent)
{
    return calls ? latencies_us[(calls - 1) * percent / 100] : 0;
}

static void report(double elapsed_s, double client_cpu_s, double server_cpu_s)
{
    qsort(latencies_us, calls, sizeof *latencies_us, by_size);
    printf("{\"operation\": \"%s\", \"connections\": %u, \"inflight\": %u, ", operation->name,
           options.connections, options.inflight);
    printf("\"calls\": %" PRIu64 ", \"done\": %" PRIu64 ", \"seconds\": %.6f, ", calls, issued,
           elapsed_s);
    printf("\"calls_per_s\": %.1f, \"done_per_s\": %.1f, \"mib_per_s\": %.2f, ",
           (double)calls / elapsed_s, (double)issued / elapsed_s,
           (double)bytes / MIB / elapsed_s);
    printf("\"entries_per_s\": %.1f, \"p50_us\": %u, \"p99_us\": %u, \"jukebox\": %" PRIu64 ", ",
           (double)entries / elapsed_s, percentile_us(50), percentile_us(99), jukebox);
    printf("\"client_cpu_s\": %.3f, \"server_cpu_s\": ", client_cpu_s);
    if (servers_count())
        printf("%.3f, \"server_cpu_ms_per_call\": %.4f}\n", server_cpu_s,
               calls ? server_cpu_s * 1000 / (double)calls : 0);
    else
        printf("null, \"server_cpu_ms_per_call\": null}\n");
}

/* --- the command line -------------------------------------------------------------------- */

static const char usage[] =
    "usage: nfsload --port P [OPTION]... OPERATION\n"
    "  --host H           address of the server (127.0.0.1)\n"
    "  --port P           its NFS port\n"
    "  --mount-port P     its MOUNT port (the NFS port)\n"
    "  --export PATH      what to mount (/main)\n"
    "  --uid N --gid N    AUTH_SYS ids of every call (0)\n"
    "  --connections N    over which the calls are spread (1)\n"
    "  --inflight N       calls in flight, over all connections (1)\n"
    "  --seconds S        how long to go on (3 where neither a count nor a size ends the run)\n"
    "  --count N          how many pieces of work; whichever of the two ends first\n"
    "  --dir NAME         directory of the export to work in; made if missing (nfsload)\n"
    "  --files N          getattr, lookup, access: the working set; readdirplus: expected (100)\n"
    "  --prefix NAME      of file names (f)\n"
    "  --first N          number of the first name (0)\n"
    "  --file NAME        read, write: the file (data)\n"
    "  --size BYTES       read, write: its size; k, m and g are understood (64m)\n"
    "  --block BYTES      read, write: bytes a call (64k); readdirplus: bytes a reply (32k)\n"
    "  --random           read, write: at random places instead of in order\n"
    "  --in-place         write: over what is there, without emptying the file first\n"
    "  --stable           write: every call FILE_SYNC, instead of UNSTABLE and one COMMIT\n"
    "  --generation N     write: goes into the data, so that it differs from run to run (clock)\n"
    "  --expect N         read: every page must be of that generation (any)\n"
    "  --bytes N          create: bytes in each file, in pages of 4096 (0)\n"
    "  --server-pid PID   report that process's CPU seconds in the measured time; repeatable\n"
    "operations:\n";

static void help(void)
{
    fputs(usage, stdout);
    for (unsigned n = 0; n < operations_count; n++)
        printf("  %-18s %s\n", operations[n].name, operations[n].help);
    exit(0);
}

enum flag {
    HOST, PORT, MOUNT_PORT, EXPORT, UID, GID, CONNECTIONS, INFLIGHT, SECONDS, COUNT, DIR, FILES,
    PREFIX, FIRST, FILE_NAME, SIZE, BLOCK, RANDOM, IN_PLACE, STABLE, GENERATION, EXPECT, BYTES,
    SERVER_PID, HELP,
};

static const struct option long_options[] = {
    {"host", 1, 0, HOST}, {"port", 1, 0, PORT}, {"mount-port", 1, 0, MOUNT_PORT},
    {"export", 1, 0, EXPORT}, {"uid", 1, 0, UID}, {"gid", 1, 0, GID},
    {"connections", 1, 0, CONNECTIONS}, {"inflight", 1, 0, INFLIGHT}, {"seconds", 1, 0, SECONDS},
    {"count", 1, 0, COUNT}, {"dir", 1, 0, DIR}, {"files", 1, 0, FILES}, {"prefix", 1, 0, PREFIX},
    {"first", 1, 0, FIRST}, {"file", 1, 0, FILE_NAME}, {"size", 1, 0, SIZE},
    {"block", 1, 0, BLOCK}, {"random", 0, 0, RANDOM}, {"in-place", 0, 0, IN_PLACE},
    {"stable", 0, 0, STABLE}, {"generation", 1, 0, GENERATION}, {"expect", 1, 0, EXPECT},
    {"bytes", 1, 0, BYTES}, {"server-pid", 1, 0, SERVER_PID}, {"help", 0, 0, HELP}, {0},
};

static void set_option(enum flag flag, const char *text)
{
    switch (flag) {
    case HOST: options.host = text; break;
    case PORT: options.port = (unsigned)number(text); break;
    case MOUNT_PORT: options.mount_port = (unsigned)number(text); break;
    case EXPORT: options.export = text; break;
    case UID: options.uid = (unsigned)number(text); break;
    case GID: options.gid = (unsigned)number(text); break;
    case CONNECTIONS: options.connections = (unsigned)number(text); break;
    case INFLIGHT: options.inflight = (unsigned)number(text); break;
    case SECONDS: options.seconds = strtod(text, NULL); break;
    case COUNT: options.count = number(text); break;
    case DIR: options.directory = text; break;
    case FILES: options.files = (unsigned)number(text); break;
    case PREFIX: options.prefix = text; break;
    case FIRST: options.first = (unsigned)number(text); break;
    case FILE_NAME: options.file = text; break;
    case SIZE: options.size_bytes = number(text); break;
    case BLOCK: options.block_bytes = number(text); break;
    case RANDOM: options.random = true; break;
    case IN_PLACE: options.in_place = true; break;
    case STABLE: options.stable = true; break;
    case GENERATION: options.generation = (unsigned)number(text); break;
    case EXPECT: options.expected = (unsigned)number(text); break;
    case BYTES: options.bytes = (unsigned)number(text); break;
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
    for (unsigned n = 0; n < operations_count && optind == count - 1; n++)
        if (!strcmp(words[optind], operations[n].name))
            operation = &operations[n];
    doing = operation ? operation->name : NULL;
    if (!operation || !options.port)
        die("one operation and --port are needed; see --help");
    bool walks = !strcmp(operation->name, "readdirplus");
    if (!options.mount_port)
        options.mount_port = options.port;
    if (!options.size_bytes)
        options.size_bytes = 64 * MIB;
    if (!options.block_bytes)
        options.block_bytes = walks ? 32 * KIB : 64 * KIB;
    if (options.inflight < 1 || options.inflight > INFLIGHT_MAX || options.connections < 1 ||
        options.connections > options.inflight)
        die("from 1 connection to as many as there are calls in flight, and no more than %d",
            INFLIGHT_MAX);
    if (options.files < 1 && !walks)
        die("--files: at least 1");
    if (options.bytes % PAGE_BYTES)
        die("--bytes: whole pages of %d", PAGE_BYTES);
    if (!options.generation)
        options.generation = new_generation();
    count_max = options.count ? options.count : UINT64_MAX;
}

int main(int count, char **words)
{
    parse(count, words);
    set_up();
    if (operation->prepare)
        operation->prepare();
    if (!options.seconds && count_max == UINT64_MAX)
        options.seconds = 3;
    double client_cpu_s = own_cpu_s(), server_cpu_s = servers_cpu_s();
    uint64_t started_ns = now_ns();
    deadline_ns = options.seconds > 0 ? started_ns + (uint64_t)(options.seconds * 1e9) : 0;
    run();
    double elapsed_s = (double)(now_ns() - started_ns) / 1e9;
    report(elapsed_s, own_cpu_s() - client_cpu_s, servers_cpu_s() - server_cpu_s);
    return 0;
}
