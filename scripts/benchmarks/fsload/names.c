/* Loads of names and attributes: each thread in its own directory, every answer checked. What a
 * walk over a directory counts as calls are the entries it sees.
 */
#include "fsload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char new_prefix[] = "renamed-";

static void name_of(char *name, const char *prefix, uint64_t number)
{
    snprintf(name, NAME_BYTES, "%.12s%07" PRIu64, prefix, number);
}

static void check(int result, const char *name)
{
    if (result < 0)
        die("%s: %s", name, strerror(errno));
}

void create(struct worker *worker)
{
    char name[NAME_BYTES];
    for (uint64_t n = 0; n < worker->files; n++, worker->calls++) {
        name_of(name, options.prefix, n);
        int file = openat(worker->directory, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
        check(file, name);
        check(close(file), name);
    }
}

static void stat_one(struct worker *worker, const char *name)
{
    struct stat found;
    check(fstatat(worker->directory, name, &found, AT_SYMLINK_NOFOLLOW), name);
    if (!S_ISREG(found.st_mode) || found.st_nlink != 1 || !found.st_ino)
        die("%s: wrong attributes", name);
    worker->calls++;
}

/* Once each in order, or with --seconds again and again, anywhere. */
void stat_files(struct worker *worker)
{
    char name[NAME_BYTES];
    for (uint64_t n = 0; deadline_ns ? goes_on() : n < worker->files; n++) {
        name_of(name, options.prefix, deadline_ns ? mix(n) % worker->files : n);
        stat_one(worker, name);
    }
}

static void walk(struct worker *worker, bool with_attributes)
{
    do {
        int descriptor = openat(worker->directory, ".", O_RDONLY | O_DIRECTORY);
        DIR *directory = descriptor < 0 ? NULL : fdopendir(descriptor);
        check(directory ? 0 : -1, ".");
        uint64_t seen = 0;
        const struct dirent *entry;
        errno = 0;
        while ((entry = readdir(directory))) {
            if (entry->d_name[0] == '.')
                continue;
            seen++;
            if (with_attributes)
                stat_one(worker, entry->d_name);
            errno = 0;
        }
        check(errno ? -1 : 0, "readdir");
        closedir(directory);
        if (seen != worker->files)
            die("%" PRIu64 " entries, not %" PRIu64, seen, worker->files);
        worker->calls += with_attributes ? 0 : seen; /* they are counted already */
    } while (goes_on());
}

void list(struct worker *worker)
{
    walk(worker, false);
}

void list_and_stat(struct worker *worker)
{
    walk(worker, true);
}

void rename_files(struct worker *worker)
{
    char name[NAME_BYTES], new_name[NAME_BYTES];
    for (uint64_t n = 0; n < worker->files; n++, worker->calls++) {
        name_of(name, options.prefix, n);
        name_of(new_name, new_prefix, n);
        check(renameat(worker->directory, name, worker->directory, new_name), name);
    }
}

void unlink_files(struct worker *worker)
{
    char name[NAME_BYTES];
    for (uint64_t n = 0; n < worker->files; n++, worker->calls++) {
        name_of(name, options.prefix, n);
        check(unlinkat(worker->directory, name, 0), name);
    }
}
