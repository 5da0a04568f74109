/* Files and directories to work on, and the pattern by which their data can be checked. */
#include "nfsload.h"

enum { PAGE_WORDS = PAGE_BYTES / 8 };

bool look_up(const struct handle *parent, const char *name, struct file *found)
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

void put_create(struct slot *slot, const struct handle *parent, const char *name, uint32_t how,
                bool truncate)
{
    begin(slot, CREATE), put_handle(slot, parent), put_string(slot, name);
    put32(slot, how), put_sattr(slot, 0644, truncate);
}

void create_file(const struct handle *parent, const char *name, bool truncate)
{
    struct view view;
    put_create(&slots[0], parent, name, UNCHECKED, truncate);
    uint32_t status = transact_status(&view);
    if (status)
        die("create %s: status %u", name, status);
}

void open_directory(void)
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

void name_of(char *name, const char *prefix, uint64_t number)
{
    snprintf(name, sizeof files->name, "%.16s%07" PRIu64, prefix, options.first + number);
}

/* The working set of getattr, lookup and access: made where it is missing. */
void open_files(void)
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

uint64_t mix(uint64_t word)
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

void fill_block(uint8_t *at, uint64_t offset, uint64_t length)
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

void check_block(const uint8_t *at, uint64_t offset, uint64_t length)
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
