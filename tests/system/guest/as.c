/* as UID GID COMMAND...: runs the command as a user and a group, with no other groups. */

#include <err.h>
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 4)
        errx(2, "usage: as UID GID COMMAND...");
    if (setgroups(0, NULL) || setgid((gid_t)atol(argv[2])) || setuid((uid_t)atol(argv[1])))
        err(1, "set ids");
    execvp(argv[3], argv + 3);
    err(127, "%s", argv[3]);
}
