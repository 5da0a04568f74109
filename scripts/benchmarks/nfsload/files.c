/* Files and directories to work on. */
#include "nfsload.h"

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
