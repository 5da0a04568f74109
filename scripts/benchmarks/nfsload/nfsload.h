/* nfsload: what its parts share. See nfsload.c for what the program is.
 *
 * wire.c puts calls on the wire and takes answers off it; files.c makes files; operations.c
 * holds the loads themselves; nfsload.c runs one and reports.
 */
#ifndef NFSLOAD_H
#define NFSLOAD_H

#include "../load/common.h"

enum { MOUNT_PROGRAM = 100005, NFS_PROGRAM = 100003, VERSION = 3 };
enum { MNT = 1 };
enum procedure {
    NFS_NULL = 0, GETATTR = 1, LOOKUP = 3, ACCESS = 4, READ = 6, WRITE = 7, CREATE = 8, MKDIR = 9,
    REMOVE = 12, RENAME = 14, READDIRPLUS = 17, COMMIT = 21,
};
enum { NFS3_OK = 0, NFS3ERR_NOENT = 2, NFS3ERR_JUKEBOX = 10008 };
enum { UNSTABLE = 0, FILE_SYNC = 2 };
enum { UNCHECKED = 0, GUARDED = 1 };
enum { ACCESS_READ = 1, ACCESS_ALL = 0x3f };
enum { FATTR3_BYTES = 84, WCC_ATTR_BYTES = 24, HANDLE_BYTES_MAX = 64, VERIFIER_BYTES = 8 };

enum { HEADER_BYTES_MAX = 4096, INFLIGHT_MAX = 4096, ANSWER_S_MAX = 60 };

struct handle { uint32_t length; uint8_t bytes[HANDLE_BYTES_MAX]; };
struct view { const uint8_t *at, *end; };
struct file { struct handle handle; uint64_t fileid; char name[32]; };

struct connection;

/* One call in flight; it is encoded in place, and its answer starts the slot's next one. */
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
    void (*prepare)(void);                        /* before the clock starts */
    void (*ask)(struct slot *);                   /* encode the next call */
    bool (*answer)(struct slot *, struct view *); /* is the piece of work done? NULL: it is */
    void (*finish)(void);                         /* inside the measured time */
};

struct options {
    const char *host, *export, *directory, *prefix, *file;
    unsigned port, mount_port, connections, inflight, uid, gid, generation, expected, bytes;
    unsigned files, first;
    uint64_t count, size_bytes, block_bytes;
    double seconds;
    bool random, stable, in_place;
};

extern struct options options;
extern const struct operation operations[], *operation;
extern const unsigned operations_count;

extern struct slot *slots;
extern struct file *files; /* the working set, or the one big file */
extern struct handle root, directory;
extern uint64_t bytes, entries, count_max;

/* wire.c: XDR (RFC 4506) */
void put32(struct slot *slot, uint32_t value);
void put64(struct slot *slot, uint64_t value);
void put_fixed(struct slot *slot, const void *from, size_t length);
void put_opaque(struct slot *slot, const void *from, size_t length);
void put_string(struct slot *slot, const char *text);
void put_handle(struct slot *slot, const struct handle *handle);
void put_sattr(struct slot *slot, uint32_t mode, bool truncate);

/* A wrong or short answer ends the program. Fixed lengths are padded as XDR has it. */
const uint8_t *get_fixed(struct view *view, size_t length);
uint32_t get32(struct view *view);
uint64_t get64(struct view *view);
struct handle get_handle(struct view *view);
bool same_handle(const struct handle *one, const struct handle *other);
uint64_t get_fileid(struct view *view);
uint64_t get_post_op_fileid(struct view *view);
void get_wcc(struct view *view);

/* wire.c: RPC (RFC 5531) */
int connect_to(unsigned port);
void begin_program(struct slot *slot, uint32_t program, uint32_t procedure);
void begin(struct slot *slot, enum procedure procedure);
void queue(struct slot *slot);
void flush(struct connection *connection);
void receive(struct connection *connection);
bool next_record(struct connection *connection, struct view *record);
struct slot *match(struct view *view);
struct view transact(void);
uint32_t transact_status(struct view *view);

/* files.c */
bool look_up(const struct handle *parent, const char *name, struct file *found);
void put_create(struct slot *slot, const struct handle *parent, const char *name, uint32_t how,
                bool truncate);
void create_file(const struct handle *parent, const char *name, bool truncate);
void open_directory(void);
void open_files(void);
void name_of(char *name, const char *prefix, uint64_t number);

#endif
