"""One POSIX suite: a table of small cases that any file system here has to pass.

`suite.CASES` maps a name to a function of one `fs.Fs`, an empty directory seen by the superuser.
A driver says how a file system is reached: `treefs.TreeFs` calls a store's tree interface,
`osfs.OsFs` a mounted file system through the kernel. The cases know neither; where a driver cannot
hold one, it stands with the reason in `differences.DIFFERENCES` and nowhere else.
"""
