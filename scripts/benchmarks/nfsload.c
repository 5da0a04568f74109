/* nfsload: put one kind of NFSv3 load on a server; print what came of it as one line of JSON.
 *
 * One thread, blocking sockets, its own RPC and XDR (RFC 5531, RFC 1813), so that the client costs
 * little and costs the same whichever server it talks to. What it reads it checks: every page of
 * a file it wrote follows from a stamp at the page's start and from the page's place in the file;
 * attributes and handles are compared with those seen before the clock started. A wrong answer
 * ends the program with exit code 1 and a sentence on standard error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MOUNT_PROGRAM = 100005, NFS_PROGRAM = 100003, VERSION = 3 };
enum { MNT = 1 };
enum procedure {
    NFS_NULL = 0, GETATTR = 1, LOOKUP = 3, ACCESS = 4, READ = 6, WRITE = 7, CREATE = 8, MKDIR = 9,
    REMOVE = 12, RENAME = 14, READDIRPLUS = 17, COMMIT = 21,
};
enum { NFS3_OK = 0, NFS3ERR_NOENT = 2, NFS3ERR_JUKEBOX = 10008 };
enum { UNSTABLE = 0, FILE_SYNC = 2 };
enum { UNCHECKED = 0, GUARDED = 1 };
enum { FATTR3_BYTES = 84, WCC_ATTR_BYTES = 24, HANDLE_BYTES_MAX = 64, VERIFIER_BYTES = 8 };

enum { KIB = 1 << 10, MIB = 1 << 20, PAGE_BYTES = 4096, PAGE_WORDS = PAGE_BYTES / 8 };
enum { HEADER_BYTES_MAX = 4096, INFLIGHT_MAX = 4096, CONNECTIONS_MAX = 4096, SERVERS_MAX = 8 };
enum { ACCESS_READ = 1, ACCESS_ALL = 0x3f, DIRECTORY = 2 };

struct handle { uint32_t length; uint8_t bytes[HANDLE_BYTES_MAX]; };
struct view { const uint8_t *at, *end; };
struct file { struct handle handle; uint64_t fileid; char name[32]; };

/* One call in flight; it is encoded in place and its answer starts the slot's next one. */
struct slot {
    struct connection *connection;
    uint8_t *buffer;
    size_t length;
    uint32_t xid;
    uint64_t started_ns;
    uint64_t number; /* which piece of work, counted from 0 over the whole run */
    unsigned step;   /* which call of that piece */
    struct handle made;
    uint64_t cookie, entries;
    uint8_t cookie_verifier[VERIFIER_BYTES];
};

struct connection {
    int socket;
    uint8_t *in;
    size_t start, filled, capacity;
    struct slot *queued[INFLIGHT_MAX];
    unsigned queued_count;
};

struct operation {
    const char *name, *help;
    void (*prepare)(void);
    void (*ask)(struct slot *);                        /* encode the next call */
    bool (*answer)(struct slot *, struct view *);      /* true: this piece of work is done */
    void (*finish)(void);                              /* inside the measured time */
};

static struct {
    const char *host, *export, *directory, *prefix, *file;
    unsigned port, mount_port, connections, inflight, uid, gid, generation, expected, bytes;
    unsigned files, first;
    uint64_t count, size_bytes, block_bytes;
    double seconds;
    bool random, stable, in_place;
    int servers[SERVERS_MAX], servers_count;
} options = {
    .host = "127.0.0.1", .export = "/main", .directory = "nfsload", .prefix = "f", .file = "data",
    .connections = 1, .inflight = 1, .generation = 1, .files = 100,
};

static const struct operation *operation;
static struct connection *connections;
static struct slot *slots;
static struct file *files;
static struct handle root, directory;
static uint8_t write_verifier[VERIFIER_BYTES];
static bool wrote;
static uint64_t issued, outstanding, calls, bytes, entries, jukebox, deadline_ns, count_max;
static uint32_t *latencies_us;
static size_t latencies_capacity;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list arguments;
    fputs("nfsload: ", stderr);
    if (operation)
        fprintf(stderr, "%s: ", operation->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        die("no memory");
    return memory;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- XDR --------------------------------------------------------------------------------- */

static void put32(struct slot *slot, uint32_t value)
{
    value = htobe32(value);
    memcpy(slot->buffer + slot->length, &value, sizeof value);
    slot->length += sizeof value;
}

static void put64(struct slot *slot, uint64_t value)
{
    put32(slot, (uint32_t)(value >> 32));
    put32(slot, (uint32_t)value);
}

static void put_fixed(struct slot *slot, const void *from, size_t length)
{
    memcpy(slot->buffer + slot->length, from, length);
    slot->length += length;
    while (slot->length % 4)
        slot->buffer[slot->length++] = 0;
}

static void put_opaque(struct slot *slot, const void *from, size_t length)
{
    put32(slot, (uint32_t)length);
    put_fixed(slot, from, length);
}

static void put_string(struct slot *slot, const char *text)
{
    put_opaque(slot, text, strlen(text));
}

static void put_handle(struct slot *slot, const struct handle *handle)
{
    put_opaque(slot, handle->bytes, handle->length);
}

/* sattr3 with a mode and nothing else, or with a mode and size 0. */
static void put_sattr(struct slot *slot, uint32_t mode, bool truncate)
{
    put32(slot, 1), put32(slot, mode);
    put32(slot, 0), put32(slot, 0); /* uid, gid */
    put32(slot, truncate);
    if (truncate)
        put64(slot, 0);
    put32(slot, 0), put32(slot, 0); /* atime, mtime */
}

static const uint8_t *get_fixed(struct view *view, size_t length)
{
    const uint8_t *at = view->at;
    size_t padded = (length + 3) & ~(size_t)3;
    if ((size_t)(view->end - at) < padded)
        die("an answer is cut short");
    view->at += padded;
    return at;
}

static uint32_t get32(struct view *view)
{
    uint32_t value;
    memcpy(&value, get_fixed(view, sizeof value), sizeof value);
    return be32toh(value);
}

static uint64_t get64(struct view *view)
{
    uint64_t high = get32(view);
    return high << 32 | get32(view);
}

static struct handle get_handle(struct view *view)
{
    struct handle handle = {.length = get32(view)};
    if (!handle.length || handle.length > HANDLE_BYTES_MAX)
        die("a handle of %u bytes", handle.length);
    memcpy(handle.bytes, get_fixed(view, handle.length), handle.length);
    return handle;
}

static bool same_handle(const struct handle *one, const struct handle *other)
{
    return one->length == other->length && !memcmp(one->bytes, other->bytes, one->length);
}

/* fattr3: its file id, with a look at the type. */
static uint64_t get_fileid(struct view *view)
{
    struct view attributes = {.at = get_fixed(view, FATTR3_BYTES), .end = view->at};
    uint32_t type = get32(&attributes);
    if (type < 1 || type > 7)
        die("file type %u", type);
    get_fixed(&attributes, 48); /* mode, nlink, uid, gid, size, used, rdev, fsid */
    return get64(&attributes);
}

static uint64_t get_post_op_fileid(struct view *view)
{
    return get32(view) ? get_fileid(view) : 0;
}

static void get_wcc(struct view *view)
{
    if (get32(view))
        get_fixed(view, WCC_ATTR_BYTES);
    get_post_op_fileid(view);
}

/* --- RPC --------------------------------------------------------------------------------- */

static int connect_to(unsigned port)
{
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found;
    char service[16];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(options.host, service, &wanted, &found))
        die("no such host: %s", options.host);
    int descriptor = socket(found->ai_family, SOCK_STREAM, 0), on = 1;
    if (descriptor < 0 || connect(descriptor, found->ai_addr, found->ai_addrlen))
        die("connect to %s port %u: %s", options.host, port, strerror(errno));
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(found);
    return descriptor;
}

static void begin_program(struct slot *slot, uint32_t program, uint32_t procedure)
{
    static uint32_t sequence;
    slot->xid = ++sequence * INFLIGHT_MAX + (uint32_t)(slot - slots);
    slot->length = 4; /* the record mark, written when the call is complete */
    put32(slot, slot->xid), put32(slot, 0), put32(slot, 2);
    put32(slot, program), put32(slot, VERSION), put32(slot, procedure);
    put32(slot, 1), put32(slot, 8 * 4); /* AUTH_SYS and its length */
    put32(slot, 0), put_string(slot, "nfsload");
    put32(slot, options.uid), put32(slot, options.gid), put32(slot, 1), put32(slot, options.gid);
    put32(slot, 0), put32(slot, 0); /* AUTH_NONE verifier */
}

static void begin(struct slot *slot, enum procedure procedure)
{
    begin_program(slot, NFS_PROGRAM, procedure);
}

static void queue(struct slot *slot)
{
    struct connection *connection = slot->connection;
    uint32_t mark = htobe32(0x80000000u | (uint32_t)(slot->length - 4));
    memcpy(slot->buffer, &mark, sizeof mark);
    slot->started_ns = now_ns();
    connection->queued[connection->queued_count++] = slot;
}

static void flush(struct connection *connection)
{
    struct iovec parts[64];
    unsigned sent = 0;
    while (sent < connection->queued_count) {
        unsigned part_count = 0;
        for (unsigned n = sent; n < connection->queued_count && part_count < 64; n++, part_count++)
            parts[part_count] = (struct iovec){
                connection->queued[n]->buffer, connection->queued[n]->length};
        sent += part_count;
        for (unsigned first = 0; first < part_count;) {
            ssize_t length = writev(connection->socket, parts + first, (int)(part_count - first));
            if (length < 0)
                die("send: %s", strerror(errno));
            while (first < part_count && (size_t)length >= parts[first].iov_len)
                length -= (ssize_t)parts[first++].iov_len;
            if (first < part_count) {
                parts[first].iov_base = (uint8_t *)parts[first].iov_base + length;
                parts[first].iov_len -= (size_t)length;
            }
        }
    }
    connection->queued_count = 0;
}

static void receive(struct connection *connection)
{
    connection->filled -= connection->start;
    if (connection->start && connection->filled)
        memmove(connection->in, connection->in + connection->start, connection->filled);
    connection->start = 0;
    ssize_t length = recv(connection->socket, connection->in + connection->filled,
                          connection->capacity - connection->filled, 0);
    if (length < 0)
        die("receive: %s", strerror(errno));
    if (length == 0)
        die("the server closed the connection, or sent a record longer than asked for");
    connection->filled += (size_t)length;
}

/* The next whole record in the buffer, its fragments joined; false where there is none yet. */
static bool next_record(struct connection *connection, struct view *record)
{
    uint8_t *first = connection->in + connection->start, *end = connection->in + connection->filled;
    uint8_t *at = first;
    uint32_t mark;
    do {
        if (end - at < 4)
            return false;
        memcpy(&mark, at, sizeof mark);
        mark = be32toh(mark);
        if ((size_t)(end - at - 4) < (mark & 0x7fffffff))
            return false;
        at += 4 + (mark & 0x7fffffff);
    } while (!(mark >> 31));
    connection->start = (size_t)(at - connection->in);
    record->at = first + 4;
    uint8_t *joined = first + 4;
    for (uint8_t *fragment = first; fragment < at;) {
        memcpy(&mark, fragment, sizeof mark);
        size_t length = be32toh(mark) & 0x7fffffff;
        if (joined != fragment + 4)
            memmove(joined, fragment + 4, length);
        joined += length;
        fragment += 4 + length;
    }
    record->end = joined;
    return true;
}

/* The slot that a reply answers; the view is left at the procedure's results. */
static struct slot *match(struct view *view)
{
    uint32_t xid = get32(view);
    struct slot *slot = &slots[xid % INFLIGHT_MAX];
    if (xid % INFLIGHT_MAX >= options.inflight || slot->xid != xid)
        die("an answer to no call: xid %u", xid);
    uint32_t kind = get32(view), refused = get32(view);
    if (kind != 1 || refused)
        die("the call was refused");
    get32(view);
    get_fixed(view, get32(view)); /* the verifier */
    uint32_t outcome = get32(view);
    if (outcome)
        die("the call was not accepted: %u", outcome);
    return slot;
}

/* Send the call in slot 0 and wait for its results; only while nothing else is in flight. */
static struct view transact(void)
{
    struct view view;
    struct connection *connection = slots[0].connection;
    queue(&slots[0]);
    flush(connection);
    while (!next_record(connection, &view))
        receive(connection);
    match(&view);
    return view;
}

/* The same for an NFS call: its status; a busy server is asked again. */
static uint32_t transact_status(struct view *view)
{
    uint32_t status;
    do {
        *view = transact();
    } while ((status = get32(view)) == NFS3ERR_JUKEBOX);
    return status;
}

/* --- files and what is in them ----------------------------------------------------------- */

static bool look_up(const struct handle *parent, const char *name, struct file *found)
{
    struct view view;
    begin(&slots[0], LOOKUP), put_handle(&slots[0], parent), put_string(&slots[0], name);
    uint32_t status = transact_status(&view);
    if (status == NFS3ERR_NOENT)
        return false;
    if (status)
        die("lookup of %s: status %u", name, status);
    found->handle = get_handle(&view);
    found->fileid = get_post_op_fileid(&view);
    return true;
}

static void put_create(struct slot *slot, const struct handle *parent, const char *name,
                       uint32_t how, bool truncate)
{
    begin(slot, CREATE), put_handle(slot, parent), put_string(slot, name);
    put32(slot, how), put_sattr(slot, 0644, truncate);
}

static void create_file(const struct handle *parent, const char *name, bool truncate)
{
    struct view view;
    put_create(&slots[0], parent, name, UNCHECKED, truncate);
    uint32_t status = transact_status(&view);
    if (status)
        die("create %s: status %u", name, status);
}

static void open_directory(void)
{
    struct file found;
    if (!look_up(&root, options.directory, &found)) {
        struct view view;
        begin(&slots[0], MKDIR), put_handle(&slots[0], &root);
        put_string(&slots[0], options.directory), put_sattr(&slots[0], 0755, false);
        uint32_t status = transact_status(&view);
        if (status || !look_up(&root, options.directory, &found))
            die("mkdir %s: status %u", options.directory, status);
    }
    directory = found.handle;
}

static void name_of(char *name, const char *prefix, uint64_t number)
{
    snprintf(name, sizeof files->name, "%.16s%07" PRIu64, prefix, options.first + number);
}

/* The working set of getattr, lookup and access: made where it is missing. */
static void open_files(void)
{
    open_directory();
    files = allocate(options.files, sizeof *files);
    for (unsigned n = 0; n < options.files; n++) {
        name_of(files[n].name, options.prefix, n);
        if (!look_up(&directory, files[n].name, &files[n])) {
            create_file(&directory, files[n].name, false);
            if (!look_up(&directory, files[n].name, &files[n]))
                die("%s is not there after its creation", files[n].name);
        }
    }
}

static uint64_t mix(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
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

static void fill_block(uint8_t *at, uint64_t offset, uint64_t length)
{
    uint64_t stamp = stamp_of(options.generation);
    for (uint64_t page = 0; page < length; page += PAGE_BYTES, at += PAGE_BYTES) {
        uint64_t place = (offset + page) / 8;
        memcpy(at, &stamp, sizeof stamp);
        for (unsigned n = 1; n < PAGE_WORDS; n++) {
            uint64_t word = word_of(stamp, place + n);
            memcpy(at + n * 8, &word, sizeof word);
        }
    }
}

static void check_block(const uint8_t *at, uint64_t offset, uint64_t length)
{
    for (uint64_t page = 0; page < length; page += PAGE_BYTES, at += PAGE_BYTES) {
        uint64_t place = (offset + page) / 8, stamp, wrong = 0;
        memcpy(&stamp, at, sizeof stamp);
        if (stamp >> 32 != stamp_of(0) >> 32)
            die("offset %" PRIu64 ": this is not what was written", offset + page);
        if (options.expected && stamp != stamp_of(options.expected))
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

/* --- the operations ---------------------------------------------------------------------- */

static const struct file *file_of(const struct slot *slot)
{
    return &files[mix(slot->number) % options.files];
}

static void ask_null(struct slot *slot)
{
    begin(slot, NFS_NULL);
}

static void ask_getattr(struct slot *slot)
{
    begin(slot, GETATTR), put_handle(slot, &file_of(slot)->handle);
}

static bool answer_getattr(struct slot *slot, struct view *view)
{
    if (get_fileid(view) != file_of(slot)->fileid)
        die("the attributes of another file");
    return true;
}

static void ask_lookup(struct slot *slot)
{
    begin(slot, LOOKUP), put_handle(slot, &directory), put_string(slot, file_of(slot)->name);
}

static bool answer_lookup(struct slot *slot, struct view *view)
{
    struct handle found = get_handle(view);
    if (!same_handle(&found, &file_of(slot)->handle))
        die("the handle of another file");
    get_post_op_fileid(view);
    return true;
}

static void ask_access(struct slot *slot)
{
    begin(slot, ACCESS), put_handle(slot, &file_of(slot)->handle), put32(slot, ACCESS_ALL);
}

static bool answer_access(struct slot *slot, struct view *view)
{
    (void)slot;
    get_post_op_fileid(view);
    if (!(get32(view) & ACCESS_READ))
        die("may not read a file of its own");
    return true;
}

static void open_data(bool truncate, bool must_exist)
{
    struct file found;
    if (options.block_bytes % PAGE_BYTES || options.size_bytes % options.block_bytes)
        die("blocks are whole pages of 4 KiB, and files whole blocks");
    open_directory();
    if (!must_exist)
        create_file(&directory, options.file, truncate);
    if (!look_up(&directory, options.file, &found))
        die("no file %s: write it first", options.file);
    files = allocate(1, sizeof *files);
    files[0] = found;
    if (!options.seconds && !options.count)
        count_max = options.size_bytes / options.block_bytes;
}

static uint64_t offset_of(const struct slot *slot)
{
    uint64_t blocks = options.size_bytes / options.block_bytes;
    uint64_t salt = (uint64_t)options.generation << 40;
    uint64_t block = options.random ? mix(slot->number + salt) : slot->number;
    return block % blocks * options.block_bytes;
}

static void prepare_read(void)
{
    open_data(false, true);
}

static void ask_read(struct slot *slot)
{
    begin(slot, READ), put_handle(slot, &files[0].handle);
    put64(slot, offset_of(slot)), put32(slot, (uint32_t)options.block_bytes);
}

static bool answer_read(struct slot *slot, struct view *view)
{
    get_post_op_fileid(view);
    uint32_t count = get32(view);
    get32(view); /* eof */
    if (count != options.block_bytes || get32(view) != count)
        die("a read of %u bytes", count);
    check_block(get_fixed(view, count), offset_of(slot), count);
    bytes += count;
    return true;
}

static void prepare_write(void)
{
    open_data(!options.random && !options.in_place, false);
}

static void put_write(struct slot *slot, const struct handle *handle, uint64_t offset,
                      uint64_t length, uint32_t stable)
{
    begin(slot, WRITE), put_handle(slot, handle);
    put64(slot, offset), put32(slot, (uint32_t)length), put32(slot, stable);
    put32(slot, (uint32_t)length);
    fill_block(slot->buffer + slot->length, offset, length);
    slot->length += length;
}

static void ask_write(struct slot *slot)
{
    put_write(slot, &files[0].handle, offset_of(slot), options.block_bytes,
              options.stable ? FILE_SYNC : UNSTABLE);
}

static void check_verifier(const uint8_t *verifier)
{
    if (wrote && memcmp(verifier, write_verifier, VERIFIER_BYTES))
        die("the write verifier changed: the server was restarted");
    memcpy(write_verifier, verifier, VERIFIER_BYTES);
    wrote = true;
}

static void get_written(struct view *view, uint64_t length, bool stable)
{
    get_wcc(view);
    uint32_t count = get32(view), committed = get32(view);
    if (count != length)
        die("a write of %u bytes", count);
    if (stable && committed != FILE_SYNC)
        die("a stable write was not made stable");
    check_verifier(get_fixed(view, VERIFIER_BYTES));
    bytes += count;
}

static bool answer_write(struct slot *slot, struct view *view)
{
    (void)slot;
    get_written(view, options.block_bytes, options.stable);
    return true;
}

static void finish_write(void)
{
    struct view view;
    if (options.stable)
        return;
    begin(&slots[0], COMMIT), put_handle(&slots[0], &files[0].handle);
    put64(&slots[0], 0), put32(&slots[0], 0);
    uint32_t status = transact_status(&view);
    if (status)
        die("commit: status %u", status);
    get_wcc(&view);
    check_verifier(get_fixed(&view, VERIFIER_BYTES));
}

/* CREATE, and with --bytes a stable WRITE of that much, as a client does at close(). */
static void ask_create(struct slot *slot)
{
    char name[sizeof files->name];
    if (slot->step == 0) {
        name_of(name, options.prefix, slot->number);
        put_create(slot, &directory, name, GUARDED, false);
    } else {
        put_write(slot, &slot->made, 0, options.bytes, FILE_SYNC);
    }
}

static bool answer_create(struct slot *slot, struct view *view)
{
    if (slot->step == 1) {
        get_written(view, options.bytes, true);
        return true;
    }
    if (!get32(view))
        die("no handle for a new file");
    slot->made = get_handle(view);
    return !options.bytes;
}

static void ask_rename(struct slot *slot)
{
    char name[sizeof files->name];
    name_of(name, options.prefix, slot->number);
    begin(slot, RENAME), put_handle(slot, &directory), put_string(slot, name);
    name_of(name, "renamed-", slot->number);
    put_handle(slot, &directory), put_string(slot, name);
}

static void ask_remove(struct slot *slot)
{
    char name[sizeof files->name];
    name_of(name, options.prefix, slot->number);
    begin(slot, REMOVE), put_handle(slot, &directory), put_string(slot, name);
}

/* CREATE, RENAME and REMOVE of one name after another, leaving nothing. */
static void ask_churn(struct slot *slot)
{
    char name[sizeof files->name];
    void (*const asks[])(struct slot *) = {ask_create, ask_rename};
    if (slot->step < 2) {
        asks[slot->step](slot);
    } else {
        name_of(name, "renamed-", slot->number);
        begin(slot, REMOVE), put_handle(slot, &directory), put_string(slot, name);
    }
}

static bool answer_churn(struct slot *slot, struct view *view)
{
    (void)view;
    return slot->step == 2;
}

static bool answer_status(struct slot *slot, struct view *view)
{
    (void)slot, (void)view;
    return true;
}

static void prepare_walk(void)
{
    open_directory();
    if (!options.seconds && !options.count)
        count_max = 1;
}

static void ask_walk(struct slot *slot)
{
    if (slot->step == 0) {
        slot->cookie = slot->entries = 0;
        memset(slot->cookie_verifier, 0, VERIFIER_BYTES);
    }
    begin(slot, READDIRPLUS), put_handle(slot, &directory), put64(slot, slot->cookie);
    put_fixed(slot, slot->cookie_verifier, VERIFIER_BYTES);
    put32(slot, (uint32_t)options.block_bytes), put32(slot, (uint32_t)options.block_bytes);
}

static bool answer_walk(struct slot *slot, struct view *view)
{
    get_post_op_fileid(view);
    memcpy(slot->cookie_verifier, get_fixed(view, VERIFIER_BYTES), VERIFIER_BYTES);
    uint64_t before = slot->entries;
    while (get32(view)) {
        uint64_t fileid = get64(view);
        uint32_t length = get32(view);
        const uint8_t *name = get_fixed(view, length);
        slot->cookie = get64(view);
        uint64_t attributes_fileid = get_post_op_fileid(view);
        bool has_handle = get32(view);
        if (has_handle)
            get_handle(view);
        bool dots = name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
        if (!dots && (!has_handle || attributes_fileid != fileid))
            die("an entry without its handle or its attributes: %.*s", (int)length, name);
        slot->entries++;
    }
    bool end = get32(view);
    if (!end && slot->entries == before)
        die("an empty page");
    if (end && options.files && slot->entries != options.files + 2)
        die("%" PRIu64 " entries, not %u files, . and ..", slot->entries, options.files);
    if (end)
        entries += slot->entries;
    return end;
}

static const struct operation operations[] = {
    {"null", "calls of nothing", NULL, ask_null, answer_status, NULL},
    {"getattr", "of --files files", open_files, ask_getattr, answer_getattr, NULL},
    {"lookup", "of --files names", open_files, ask_lookup, answer_lookup, NULL},
    {"access", "to --files files", open_files, ask_access, answer_access, NULL},
    {"read", "--file, in order or --random; it was written by `write`", prepare_read, ask_read,
     answer_read, NULL},
    {"write", "--file, in order from empty, or --random or --in-place; COMMIT at the end",
     prepare_write, ask_write, answer_write, finish_write},
    {"create", "new files --prefix NUMBER; with --bytes N each gets a stable write", open_directory,
     ask_create, answer_create, NULL},
    {"rename", "what `create` made to renamed-NUMBER", open_directory, ask_rename, answer_status,
     NULL},
    {"remove", "files --prefix NUMBER (after rename: --prefix renamed-)", open_directory,
     ask_remove, answer_status, NULL},
    {"churn", "create, rename and remove one name after another", open_directory, ask_churn,
     answer_churn, NULL},
    {"readdirplus", "walk the whole directory --count times; --files 0: any number of entries",
     prepare_walk, ask_walk, answer_walk, NULL},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

/* --- the run ----------------------------------------------------------------------------- */

/* CPU seconds, user and system, of all threads of the servers so far. */
static double servers_cpu_s(void)
{
    double total = 0;
    for (int n = 0; n < options.servers_count; n++) {
        char path[64], line[1024];
        unsigned long user, system;
        snprintf(path, sizeof path, "/proc/%d/stat", options.servers[n]);
        FILE *file = fopen(path, "r");
        if (!file || !fgets(line, sizeof line, file))
            die("no process %d", options.servers[n]);
        fclose(file);
        if (sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                   &user, &system) != 2)
            die("%s is not understood", path);
        total += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    }
    return total;
}

static double own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

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
    uint32_t status = operation->ask == ask_null ? NFS3_OK : get32(view);
    if (status == NFS3ERR_JUKEBOX) {
        jukebox++;
        operation->ask(slot);
        queue(slot);
        return;
    }
    if (status)
        die("status %u", status);
    count_call(slot->started_ns, now_ns());
    if (operation->answer(slot, view)) {
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
        int ready_count = epoll_wait(poll, ready, 64, -1);
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
    if (options.servers_count)
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
    "  --generation N     write: goes into the data, so that it differs from run to run (1)\n"
    "  --expect N         read: every page must be of that generation (any)\n"
    "  --bytes N          create: bytes in each file, in pages of 4096 (0)\n"
    "  --server-pid PID   report that process's CPU seconds in the measured time; repeatable\n"
    "operations:\n";

static void help(void)
{
    fputs(usage, stdout);
    for (unsigned n = 0; n < OPERATIONS; n++)
        printf("  %-18s %s\n", operations[n].name, operations[n].help);
    exit(0);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    static const char units[] = "kmg";
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
    if (end == text || (*end && (!unit || end[1])))
        die("not a number: %s", text);
    return unit ? value << (10 * (unit - units + 1)) : value;
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
    case SERVER_PID:
        if (options.servers_count == SERVERS_MAX)
            die("at most %d servers", SERVERS_MAX);
        options.servers[options.servers_count++] = (int)number(text);
        break;
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
    for (unsigned n = 0; n < OPERATIONS && optind == count - 1; n++)
        if (!strcmp(words[optind], operations[n].name))
            operation = &operations[n];
    if (!operation || !options.port)
        die("one operation and --port are needed; see --help");
    bool walks = operation->ask == ask_walk;
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
