/* append FILE FIRST LAST SIZE: appends records FIRST..LAST of SIZE bytes each, makes each durable
 * with fsync, and only then says `acknowledged N` on the standard output. Record N is its number in
 * 12 digits, again and again. */

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: append FILE FIRST LAST SIZE");
    long first = atol(argv[2]), last = atol(argv[3]);
    size_t size = (size_t)atol(argv[4]);
    char *record = malloc(size + 16);
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (!record || file < 0)
        err(1, "%s", argv[1]);
    for (long number = first; number <= last; number++) {
        for (size_t at = 0; at < size; at += 12)
            snprintf(record + at, 13, "%012ld", number);
        for (size_t done = 0; done < size;) {
            ssize_t count = write(file, record + done, size - done);
            if (count < 0)
                err(1, "write %ld", number);
            done += (size_t)count;
        }
        if (fsync(file))
            err(1, "fsync %ld", number);
        printf("acknowledged %ld\n", number);
        fflush(stdout);
    }
    return close(file) ? 1 : 0;
}
