"""The one table of what a file system does otherwise: (driver, pattern of names) -> the reason.

A case that matches must fail on that driver; when it no longer does, its row has to go.
Patterns are those of fnmatch, with brackets taken as they stand.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

EXT4_SIZE = "a file of ext4 ends at 16 TiB"
EXT4_XATTR = "all attributes of an inode of ext4 share one block of 4 KiB"

DIFFERENCES: dict[tuple[str, str], str] = {
    (
        "tree",
        "times.a_time_comes_back_as_set[2400]",
    ): "a time is a signed 64-bit count of nanoseconds: it ends in 2262, and later is EINVAL",
    (
        "tree",
        "xattrs.a_name_needs_a_known_name_space[system]",
    ): "the tree keeps any attribute in `system.`; which of them there are is the doors' matter",
    ("ext4", "sparse.*[16 TiB]"): EXT4_SIZE,
    ("ext4", "sparse.*[1 PiB]"): EXT4_SIZE,
    ("ext4", "sparse.*[8 EiB*"): EXT4_SIZE,
    ("ext4", "sparse.a_write_up_to_the_largest_size"): EXT4_SIZE,
    ("ext4", "sparse.appending_at_the_largest_size_is_too_big"): EXT4_SIZE,
    ("ext4", "xattrs.a_large_value_comes_back_as_set*"): EXT4_XATTR,
    ("ext4", "xattrs.five_hundred_attributes"): EXT4_XATTR,
}


def difference(driver: str, name: str) -> str | None:
    """Why this case does not hold on this driver; None where it must."""
    for (where, pattern), reason in DIFFERENCES.items():
        if where == driver and fnmatchcase(name, pattern.replace("[", "[[]")):
            return reason
    return None
