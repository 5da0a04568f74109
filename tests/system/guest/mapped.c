/* mapped FILE: fills a new file of 4 MiB + 5 bytes through a shared mapping, in scattered pages, and
 * compares what read(2) and a second, private mapping show with what was stored. */

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 4 * 1024 * 1024 + 5, STEP = 12289 };

static unsigned char expected(size_t at)
{
    return at % STEP == 0 ? (unsigned char)(at / STEP + 1) : 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: mapped FILE");
    int file = open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0644);
    if (file < 0 || ftruncate(file, SIZE))
        err(1, "%s", argv[1]);
    unsigned char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED)
        err(1, "mmap");
    for (size_t at = 0; at < SIZE; at += STEP)
        shared[at] = expected(at);
    if (msync(shared, SIZE, MS_SYNC) || munmap(shared, SIZE))
        err(1, "msync");

    unsigned char *read_back = malloc(SIZE);
    if (!read_back || pread(file, read_back, SIZE, 0) != SIZE)
        err(1, "pread");
    unsigned char *private = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, file, 0);
    if (private == MAP_FAILED)
        err(1, "mmap");
    for (size_t at = 0; at < SIZE; at++)
        if (read_back[at] != expected(at) || private[at] != expected(at))
            errx(1, "byte %zu: read %d, mapped %d, stored %d", at, read_back[at], private[at],
                 expected(at));
    puts("the same");
    return 0;
}
