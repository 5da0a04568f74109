/* Loads of one big file: written from empty and synced; read in order, and then checked whole.
 *
 * What is written is made before the clock starts. While the clock runs, of what is read only the
 * page's stamps are looked at; all of it is checked afterwards, read once more.
 */
#include "fsload.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static uint8_t *memory;

static int open_file(int flags)
{
    int file = openat(base, options.file, flags, 0644);
    if (file < 0)
        die("%s: %s", options.file, strerror(errno));
    return file;
}

void prepare_write(void)
{
    memory = allocate(1, options.size_bytes);
    fill_block(memory, 0, options.size_bytes, options.generation);
}

void write_file(struct worker *worker)
{
    int file = open_file(O_CREAT | O_TRUNC | O_WRONLY);
    while (worker->bytes < options.size_bytes) {
        ssize_t count = write(file, memory + worker->bytes, options.block_bytes);
        if (count != (ssize_t)options.block_bytes)
            die("a write of %zd bytes: %s", count, strerror(errno));
        worker->bytes += options.block_bytes;
        worker->calls++;
    }
    if (fsync(file) || close(file))
        die("%s: fsync: %s", options.file, strerror(errno));
    worker->calls++;
}

void prepare_read(void)
{
    memory = allocate(1, options.block_bytes);
    memset(memory, 1, options.block_bytes);
}

static void read_block(int file, uint64_t offset)
{
    ssize_t count = pread(file, memory, options.block_bytes, (off_t)offset);
    if (count != (ssize_t)options.block_bytes)
        die("offset %" PRIu64 ": a read of %zd bytes: %s", offset, count, strerror(errno));
}

void read_file(struct worker *worker)
{
    int file = open_file(O_RDONLY);
    uint64_t first = 0, stamp;
    for (uint64_t offset = 0; offset < options.size_bytes; offset += options.block_bytes) {
        read_block(file, offset);
        for (uint64_t page = 0; page < options.block_bytes; page += PAGE_BYTES) {
            memcpy(&stamp, memory + page, sizeof stamp);
            if (!offset && !page)
                first = stamp;
            if (stamp != first)
                die("offset %" PRIu64 ": another page", offset + page);
        }
        worker->bytes += options.block_bytes;
        worker->calls++;
    }
    close(file);
}

void check_file(void)
{
    int file = open_file(O_RDONLY);
    for (uint64_t offset = 0; offset < options.size_bytes; offset += options.block_bytes) {
        read_block(file, offset);
        check_block(memory, offset, options.block_bytes, options.expected);
    }
    close(file);
}
