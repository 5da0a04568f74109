/* Calls and answers on the wire: XDR, record marking, RPC version 2. Knows no file. */
#include "nfsload.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- XDR --------------------------------------------------------------------------------- */

void put32(struct slot *slot, uint32_t value)
{
    value = htobe32(value);
    memcpy(slot->buffer + slot->length, &value, sizeof value);
    slot->length += sizeof value;
}

void put64(struct slot *slot, uint64_t value)
{
    put32(slot, (uint32_t)(value >> 32));
    put32(slot, (uint32_t)value);
}

void put_fixed(struct slot *slot, const void *from, size_t length)
{
    memcpy(slot->buffer + slot->length, from, length);
    slot->length += length;
    while (slot->length % 4)
        slot->buffer[slot->length++] = 0;
}

void put_opaque(struct slot *slot, const void *from, size_t length)
{
    put32(slot, (uint32_t)length);
    put_fixed(slot, from, length);
}

void put_string(struct slot *slot, const char *text)
{
    put_opaque(slot, text, strlen(text));
}

void put_handle(struct slot *slot, const struct handle *handle)
{
    put_opaque(slot, handle->bytes, handle->length);
}

/* sattr3 with a mode and nothing else, or with a mode and size 0. */
void put_sattr(struct slot *slot, uint32_t mode, bool truncate)
{
    put32(slot, 1), put32(slot, mode);
    put32(slot, 0), put32(slot, 0); /* uid, gid */
    put32(slot, truncate);
    if (truncate)
        put64(slot, 0);
    put32(slot, 0), put32(slot, 0); /* atime, mtime */
}

const uint8_t *get_fixed(struct view *view, size_t length)
{
    const uint8_t *at = view->at;
    size_t padded = (length + 3) & ~(size_t)3;
    if ((size_t)(view->end - at) < padded)
        die("an answer is cut short");
    view->at += padded;
    return at;
}

uint32_t get32(struct view *view)
{
    uint32_t value;
    memcpy(&value, get_fixed(view, sizeof value), sizeof value);
    return be32toh(value);
}

uint64_t get64(struct view *view)
{
    uint64_t high = get32(view);
    return high << 32 | get32(view);
}

struct handle get_handle(struct view *view)
{
    struct handle handle = {.length = get32(view)};
    if (!handle.length || handle.length > HANDLE_BYTES_MAX)
        die("a handle of %u bytes", handle.length);
    memcpy(handle.bytes, get_fixed(view, handle.length), handle.length);
    return handle;
}

bool same_handle(const struct handle *one, const struct handle *other)
{
    return one->length == other->length && !memcmp(one->bytes, other->bytes, one->length);
}

/* fattr3: its file id, with a look at the type. */
uint64_t get_fileid(struct view *view)
{
    struct view attributes = {.at = get_fixed(view, FATTR3_BYTES), .end = view->at};
    uint32_t type = get32(&attributes);
    if (type < 1 || type > 7)
        die("file type %u", type);
    get_fixed(&attributes, 48); /* mode, nlink, uid, gid, size, used, rdev, fsid */
    return get64(&attributes);
}

uint64_t get_post_op_fileid(struct view *view)
{
    return get32(view) ? get_fileid(view) : 0;
}

void get_wcc(struct view *view)
{
    if (get32(view))
        get_fixed(view, WCC_ATTR_BYTES);
    get_post_op_fileid(view);
}

/* --- RPC --------------------------------------------------------------------------------- */

int connect_to(unsigned port)
{
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found;
    char service[16];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(options.host, service, &wanted, &found))
        die("no such host: %s", options.host);
    int descriptor = socket(found->ai_family, SOCK_STREAM, 0), on = 1;
    if (descriptor < 0 || connect(descriptor, found->ai_addr, found->ai_addrlen))
        die("connect to %s port %u: %s", options.host, port, strerror(errno));
    struct timeval patience = {.tv_sec = ANSWER_S_MAX};
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    freeaddrinfo(found);
    return descriptor;
}

void begin_program(struct slot *slot, uint32_t program, uint32_t procedure)
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

void begin(struct slot *slot, enum procedure procedure)
{
    begin_program(slot, NFS_PROGRAM, procedure);
}

void queue(struct slot *slot)
{
    struct connection *connection = slot->connection;
    uint32_t mark = htobe32(0x80000000u | (uint32_t)(slot->length - 4));
    memcpy(slot->buffer, &mark, sizeof mark);
    slot->started_ns = now_ns();
    connection->queued[connection->queued_count++] = slot;
}

void flush(struct connection *connection)
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

void receive(struct connection *connection)
{
    connection->filled -= connection->start;
    if (connection->start && connection->filled)
        memmove(connection->in, connection->in + connection->start, connection->filled);
    connection->start = 0;
    ssize_t length = recv(connection->socket, connection->in + connection->filled,
                          connection->capacity - connection->filled, 0);
    if (length < 0 && errno == EAGAIN)
        die("no answer in %d s", ANSWER_S_MAX);
    if (length < 0)
        die("receive: %s", strerror(errno));
    if (length == 0)
        die("the server closed the connection, or sent a record longer than asked for");
    connection->filled += (size_t)length;
}

/* The next whole record in the buffer, its fragments joined; false where there is none yet. */
bool next_record(struct connection *connection, struct view *record)
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
struct slot *match(struct view *view)
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
struct view transact(void)
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
uint32_t transact_status(struct view *view)
{
    uint32_t status;
    do {
        *view = transact();
    } while ((status = get32(view)) == NFS3ERR_JUKEBOX);
    return status;
}
