"""The one table of what a file system does otherwise: (driver, pattern of names) -> the reason.

A case that matches must fail on that driver; when it no longer does, its row has to go.
Patterns are those of fnmatch, with brackets taken as they stand.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

EXT4_SIZE = "a file of ext4 ends at 16 TiB"
EXT4_XATTR = "all attributes of an inode of ext4 share one block of 4 KiB"
NFS_XATTR = "NFS 3 has no extended attributes"
NFS_RENAME = "NFS 3 has a rename that replaces, and no other"
NFS_SEEK = "NFS 3 does not tell holes from data"
NFS_TIME = "the kernel's NFS 3 client keeps a time within 1970 to 2106, whole seconds at either end"
NFS_CLIENT_FIRST = "the kernel leaves the right to write to the server, and looks at kinds first"
NFS_OPEN = (
    "NFS 3 knows no open files: the kernel keeps one under another name instead of unlinking it"
)
NFS_EXCLUSIVE = (
    "an exclusive create sets the mode by a second call, as chmod does, and the ctime with it"
)
TIMES_END = "a time is a signed 64-bit count of nanoseconds: it ends in 2262, and later is EINVAL"
KERNEL_CLOCK = "the kernel that writes back takes times from its own clock, a tick late at the most"
KERNEL_HOLES = (
    "the kernel that writes back asks where data is without writing first: so nothing is told it"
)

DIFFERENCES: dict[tuple[str, str], str] = {
    ("tree", "times.a_time_comes_back_as_set[2400]"): TIMES_END,
    (
        "tree",
        "xattrs.a_name_needs_a_known_name_space[system]",
    ): "the tree keeps any attribute in `system.`; which of them there are is the doors' matter",
    ("fuse", "times.a_time_comes_back_as_set[2400]"): TIMES_END,
    ("fuse-writeback", "times.a_time_comes_back_as_set[2400]"): TIMES_END,
    ("fuse-writeback", "times.now_is_the_clock_of_the_file_system"): KERNEL_CLOCK,
    **{
        ("fuse-writeback", f"sparse.{pattern}"): KERNEL_HOLES
        for pattern in (
            "a_byte_far_out*",
            "a_cut_makes_a_hole_of_what_grows_back",
            "outside_what_seek_calls_data_all_is_zero",
            "seek_finds_data_and_holes",
            "seek_in_a_file_that_is_all_hole",
        )
    },
    ("ext4", "sparse.*[16 TiB]"): EXT4_SIZE,
    ("ext4", "sparse.*[1 PiB]"): EXT4_SIZE,
    ("ext4", "sparse.*[8 EiB*"): EXT4_SIZE,
    ("ext4", "sparse.a_write_up_to_the_largest_size"): EXT4_SIZE,
    ("ext4", "sparse.appending_at_the_largest_size_is_too_big"): EXT4_SIZE,
    ("ext4", "xattrs.a_large_value_comes_back_as_set*"): EXT4_XATTR,
    ("ext4", "xattrs.five_hundred_attributes"): EXT4_XATTR,
    ("nfs", "symlinks.times_of_the_link_itself_can_be_set"): NFS_TIME,
    ("nfs", "kinds.a_node_has_mode_owner_and_times*"): NFS_TIME,
    ("nfs", "times.a_time_comes_back_as_set[the epoch]"): NFS_TIME,
    ("nfs", "times.a_time_comes_back_as_set[one nanosecond]"): NFS_TIME,
    ("nfs", "times.a_time_comes_back_as_set[before the epoch*"): NFS_TIME,
    ("nfs", "times.a_time_comes_back_as_set[2106]"): NFS_TIME,
    ("nfs", "times.a_time_comes_back_as_set[2200]"): NFS_TIME,
    ("nfs", "times.a_time_comes_back_as_set[2400]"): NFS_TIME,
    ("nfs", "times.utimens_sets[omit *]"): NFS_TIME,
    ("nfs", "times.utimens_sets[both]"): NFS_TIME,
    ("nfs", "times.creat_gives_the_directory_the_files_time"): NFS_EXCLUSIVE,
    ("nfs", "set_id.creat_in_a_set_gid_directory[stranger, group does not]"): NFS_EXCLUSIVE,
    **{
        ("nfs", f"precedence.no_right_to_write_comes_before_the_wrong_kind[{label}]"): (
            NFS_CLIENT_FIRST
        )
        for label in ("unlink of a directory", "rmdir of a file", "rename onto a directory")
    },
    ("nfs", "sticky.no_right_to_write_comes_before_the_bit"): NFS_CLIENT_FIRST,
    ("nfs", "open_files.an_unlinked_file_has_no_links"): NFS_OPEN,
    ("nfs", "open_files.a_replaced_file_can_still_be_read"): NFS_OPEN,
    ("nfs", "open_files.an_open_file_with_another_link_lives_on"): NFS_OPEN,
    ("nfs", "open_files.a_directory_is_empty_whose_files_are_only_open"): NFS_OPEN,
    ("nfs", "open_files.many_unlinked_files_at_once"): NFS_OPEN,
    (
        "nfs",
        "open_files.what_a_stranger_opened_for_writing_stays_writable",
    ): "each WRITE is judged by the mode of its moment; only the owner is let through",
    ("nfs", "sparse.seek_finds_data_and_holes"): NFS_SEEK,
    ("nfs", "sparse.seek_in_a_file_that_is_all_hole"): NFS_SEEK,
    ("nfs", "sparse.outside_what_seek_calls_data_all_is_zero"): NFS_SEEK,
    ("nfs", "sparse.a_cut_makes_a_hole_of_what_grows_back"): NFS_SEEK,
    ("nfs", "sparse.a_byte_far_out*"): NFS_SEEK,
    ("nfs", "links.exchange_of_file_and_directory_moves_links"): NFS_RENAME,
    ("nfs", "directories.exchange_keeps_the_names_and_swaps_the_inodes"): NFS_RENAME,
    ("nfs", "times.exchange_moves_both_ctimes"): NFS_RENAME,
    ("nfs", "access.a_call_needs_these_bits_of_the_directory[exchange]"): NFS_RENAME,
    ("nfs", "sticky.these_may[exchange *"): NFS_RENAME,
    ("nfs", "sticky.without_the_bit_a_stranger_may[exchange *"): NFS_RENAME,
    ("nfs", "renames.exchange_*"): NFS_RENAME,
    # All but what is missing: e(mpty), f(ile), f(ifo), f(ull), s(ymlink).
    **{("nfs", f"renames.rename[noreplace {a}* over missing*"): NFS_RENAME for a in "efs"},
    **{
        ("nfs", f"renames.rename[exchange {a}* over {b}*"): NFS_RENAME for a in "efs" for b in "efs"
    },
    ("nfs", "times.times_move[*xattr]"): NFS_XATTR,
    ("nfs", "times.times_stand[getxattr]"): NFS_XATTR,
    ("nfs", "times.times_stand[failed *xattr]"): NFS_XATTR,
    ("nfs", "times.times_move[setxattr over]"): NFS_XATTR,
    ("nfs", "set_id.other_calls_clear_nothing[setxattr]"): NFS_XATTR,
    # All but those where an attribute is refused anyway.
    **{
        ("nfs", f"xattrs.{pattern}*"): NFS_XATTR
        for pattern in (
            "a_large_value",
            "a_missing_attribute",
            "a_name_has",
            "a_name_may",
            "a_name_space_alone",
            "a_new_file",
            "a_value_comes",
            "an_attribute",
            "attributes",
            "bytes",
            "calls",
            "create",
            "five",
            "in_a_sticky",
            "listing",
            "name_spaces",
            "reading",
            "replace",
            "root_may",
            "security",
            "trusted",
            "twenty",
            "writing",
        )
    },
}


def difference(driver: str, name: str) -> str | None:
    """Why this case does not hold on this driver; None where it must."""
    for (where, pattern), reason in DIFFERENCES.items():
        if where == driver and fnmatchcase(name, pattern.replace("[", "[[]")):
            return reason
    return None
