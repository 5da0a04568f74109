/* The loads: how each asks, and what each checks in the answer. */
#include "nfsload.h"

static uint8_t write_verifier[VERIFIER_BYTES];
static bool wrote;

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
    check_block(get_fixed(view, count), offset_of(slot), count, options.expected);
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
    fill_block(slot->buffer + slot->length, offset, length, options.generation);
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
    char name[sizeof files->name], new_name[sizeof files->name];
    name_of(name, "churn-", slot->number);
    name_of(new_name, "churned-", slot->number);
    if (slot->step == 0) {
        put_create(slot, &directory, name, GUARDED, false);
        return;
    }
    begin(slot, slot->step == 1 ? RENAME : REMOVE);
    put_handle(slot, &directory), put_string(slot, slot->step == 1 ? name : new_name);
    if (slot->step == 1)
        put_handle(slot, &directory), put_string(slot, new_name);
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

const struct operation operations[] = {
    {"null", "calls of nothing", NULL, ask_null, NULL, NULL},
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
const unsigned operations_count = sizeof operations / sizeof *operations;
