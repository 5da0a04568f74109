"""What real clients depend on, as a checklist: each fact and the tests that show it.

Most NFS servers got most of these wrong once. The facts come from the RFCs, the Linux client and
the bug trackers of other servers. A few have their test here, the others where their procedure is.
"""

from __future__ import annotations

import importlib

import pytest

from nfs.nfs3_types import nfsstat3, stable_how
from tests.nfs.client import NOW, Client, sattr
from tests.nfs.gateway import Gateway
from tests.nfs.messages import Refusal, Reply, auth, auth_sys, call_message, words

# Fact -> the tests that show it, as `module.test`; modules are below tests.nfs.
FACTS: dict[str, list[str]] = {
    # --- RPC ---
    "records of many fragments are put together": [
        "test_record.test_a_record_of_three_fragments",
        "test_record.test_the_same_records_come_out_of_any_pieces",
    ],
    "the size of a record is limited before memory is taken, for one fragment as well": [
        "test_record.test_the_limit_on_one_fragment_counts_what_is_announced",
        "test_record.test_the_limit_on_several_fragments_counts_their_sum",
        "test_record.test_memory_follows_what_arrived_not_what_was_announced",
    ],
    "every bound of XDR is enforced: groups, handles, names, machine names": [
        "test_rpc.test_sixteen_groups_and_no_more",
        "test_rpc.test_a_machine_name_of_255_bytes_and_no_more",
        "test_names.test_a_name_has_255_bytes_and_no_more",
        "test_clients.test_a_handle_has_64_bytes_and_no_more",
        "test_xdr.test_a_huge_announcement_takes_no_memory",
    ],
    "READ is clamped to rtmax": ["test_data.test_a_read_is_clamped_to_what_fsinfo_tells"],
    "the count of a WRITE matches its data": [
        "test_data.test_the_count_of_a_write_must_match_its_data"
    ],
    "every refusal of RPC is given, with ranges": [
        "test_rpc.test_a_reply_in_literal_bytes",
        "test_dispatch.test_what_there_is_not_is_refused",
        "test_dispatch.test_another_version_of_rpc_and_bad_credentials_are_denied",
        "test_dispatch.test_arguments_that_are_none_are_garbage",
    ],
    "Linux probes NFSACL and is refused, not hung up on": [
        "test_clients.test_linux_asks_for_nfsacl_and_goes_on"
    ],
    "AUTH_NONE does not slip past the export's rules": [
        "test_rules.test_a_call_without_credentials_is_anonymous",
        "test_rules.test_a_call_without_credentials_does_not_slip_past_the_rules",
    ],
    "squashing and rules hold for the second directory of RENAME and LINK": [
        "test_rules.test_rules_hold_for_the_second_directory_of_rename_and_link",
        "test_rules.test_a_squashed_superuser_has_no_rights_in_either_directory",
    ],
    "names with a slash or NUL, `.` and `..` are refused": [
        "test_names.test_what_is_no_name_is_not_made",
        "test_names.test_what_is_no_name_is_not_found_moved_or_removed",
        "test_moves.test_what_a_rename_does_not_replace",
    ],
    "privileged ports are asked for where the export says so, not else": [
        "test_rules.test_a_secure_export_is_for_privileged_ports"
    ],
    "the reply cache knows a call by address, xid, procedure and arguments": [
        "test_replies.test_a_call_is_told_by_client_xid_procedure_credential_and_arguments",
        "test_moves.test_a_call_sent_again_over_a_new_connection_gets_its_first_answer",
        "test_moves.test_a_call_of_another_client_with_the_same_xid_is_another_call",
    ],
    "the reply cache is for calls that change something": [
        "test_dispatch.test_a_call_that_changes_nothing_runs_again",
        "test_clients.test_which_calls_run_once",
    ],
    "RPC with TLS is refused cleanly": [
        "test_clients.test_tls_is_refused_without_starttls",
        "test_rpc.test_other_flavours_are_refused",
    ],
    # --- handles and attributes ---
    "handles survive restart, rename and another directory": [
        "test_rules.test_handles_survive_restart_rename_and_another_directory",
        "test_handle.test_a_handle_survives_a_restart",
    ],
    "BADHANDLE is for the malformed and the forged, STALE for what is gone": [
        "test_rules.test_a_handle_that_was_never_given_is_bad",
        "test_setattr.test_a_file_that_is_gone_is_stale",
    ],
    "a fileid is of one file for ever": [
        "test_setattr.test_the_number_and_file_system_survive_restart_rename_and_rollback",
        "test_clients.test_a_number_is_not_used_again",
    ],
    "fsid is constant for an export, and differs between branches": [
        "test_setattr.test_a_file_is_told_by_its_number_and_file_system",
        "test_rules.test_the_same_file_has_other_handles_in_another_export",
    ],
    "fsid changes inside of a mount at `.snapshots/NAME` and nowhere else": [
        "test_snapshots.test_it_is_in_the_file_system_of_its_branch"
    ],
    "wcc_data is of the step that made the change": [
        "test_setattr.test_before_and_after_are_of_the_same_step",
        "test_names.test_what_is_made_is_there_and_the_directory_has_changed",
        "test_moves.test_a_rename_says_how_both_directories_changed",
        "test_data.test_a_write_says_what_changed",
    ],
    "failures have attributes, too": [
        "test_setattr.test_a_failure_changes_nothing_and_says_so",
        "test_names.test_a_taken_name_is_taken",
        "test_moves.test_what_a_rename_does_not_replace",
        "test_data.test_a_flush_that_fails_is_told_by_commit_and_stable_writes",
    ],
    "the guard of SETATTR compares ctime exactly": [
        "test_setattr.test_the_guard_compares_ctime_exactly"
    ],
    "growing and shrinking move mtime and ctime": [
        "test_setattr.test_growing_and_shrinking_both_move_mtime_and_ctime"
    ],
    "editors cut with SETATTR and write with no CREATE or READ before": [
        "test_data.test_an_editor_that_cuts_and_writes_without_a_create"
    ],
    "the owner reads and writes after chmod 0": [
        "test_setattr.test_the_owner_reads_and_writes_after_taking_all_rights_away"
    ],
    "times that do not fit the wire have a defined form": [
        "test_attributes.test_a_time_that_the_wire_cannot_carry_is_the_nearest_that_it_can"
    ],
    # --- listings ---
    "cookies are not zero, unique, and exclusive": [
        "test_listing.test_cookies_are_not_zero_unique_and_ascending",
        "test_listing.test_every_cookie_resumes_right_behind_its_entry",
    ],
    "cookies stay valid across changes and restarts": [
        "test_listing.test_names_that_stay_are_listed_once_whatever_comes_and_goes",
        "test_listing.test_cookies_survive_a_restart_and_a_snapshot",
    ],
    "the cookie verifier is constant and none is refused": [
        "test_listing.test_the_verifier_is_constant_and_none_is_refused"
    ],
    "READDIR honours the cookie as READDIRPLUS does": [
        "test_listing.test_both_procedures_list_the_same",
        "test_listing.test_all_names_are_listed_once",
    ],
    "`.` and `..` are listed": ["test_listing.test_an_empty_directory_has_dots"],
    "replies are as large as their XDR, dircount counts names and maxcount all": [
        "test_listing.test_readdir_fills_its_room_and_no_more",
        "test_listing.test_readdirplus_fills_its_room_and_no_more",
    ],
    "no page is empty without eof: TOOSMALL": [
        "test_listing.test_readdir_fills_its_room_and_no_more",
        "test_listing.test_the_end_of_a_directory_needs_room_as_well",
    ],
    "names have 255 bytes, and PATHCONF says so": [
        "test_trouble.test_pathconf_tells_what_holds",
        "test_names.test_a_name_has_255_bytes_and_no_more",
    ],
    # --- data ---
    "one verifier of WRITE and COMMIT, changing with every start": [
        "test_data.test_the_verifier_is_the_same_until_the_gateway_ends"
    ],
    "DATA_SYNC and FILE_SYNC are honoured": [
        "test_data.test_a_stable_write_is_on_disk_when_it_is_answered",
        "test_data.test_what_waits_for_the_disk",
    ],
    "COMMIT tells of a flush that failed": [
        "test_data.test_a_flush_that_fails_is_told_by_commit_and_stable_writes"
    ],
    "eof is set by a read that reaches or passes the end": [
        "test_data.test_eof_is_set_by_a_read_that_reaches_the_end_or_passes_it"
    ],
    "an exclusive create keeps all 8 bytes of its verifier": [
        "test_names.test_all_eight_bytes_of_the_verifier_count",
        "test_names.test_an_exclusive_create_that_is_sent_again_finds_its_file",
    ],
    "ACCESS agrees with what later calls allow": [
        "test_setattr.test_access_agrees_with_what_later_calls_allow"
    ],
    "READLINK of another kind of file is INVAL": ["test_data.test_what_is_no_link_has_no_target"],
    "FSSTAT works on any handle, with totals below 2**63": [
        "test_trouble.test_fsstat_works_on_any_handle_and_shows_the_quota",
        "test_trouble.test_fsstat_without_a_quota_shows_the_disk",
    ],
    "links to symlinks, devices and sockets work": [
        "test_names.test_links_to_symlinks_devices_and_sockets_work"
    ],
    "rtpref and wtpref are what is meant, maxfilesize is honest": [
        "test_trouble.test_fsinfo_tells_what_holds"
    ],
    "clients make files of their own: .nfsXXXX, ._*": [
        "test_names.test_files_that_clients_make_for_themselves"
    ],
}


@pytest.mark.parametrize("fact", FACTS)
def test_each_fact_has_its_tests(fact: str) -> None:
    assert FACTS[fact]
    for name in FACTS[fact]:
        module, _, test = name.partition(".")
        found = getattr(importlib.import_module(f"tests.nfs.{module}"), test, None)
        assert callable(found), f"{name} is no test"


# --- the tests that belong nowhere else ---------------------------------------------------------


def test_linux_asks_for_nfsacl_and_goes_on(root: Client, top: bytes) -> None:
    probe = call_message(1, 100227, 3, 0, credential=auth_sys())
    assert root.exchange(probe) == Refusal(1, False, 1, b"")  # PROG_UNAVAIL
    root.getattr(top).ok()


def test_tls_is_refused_without_starttls(root: Client, top: bytes) -> None:
    """RFC 9289 4.1: a verifier with `STARTTLS` would say that there is TLS."""
    probe = call_message(1, 100003, 3, 0, credential=auth(7, b""))
    assert root.exchange(probe) == Refusal(1, True, 1, words(1))  # AUTH_BADCRED
    root.getattr(top).ok()


def test_a_handle_has_64_bytes_and_no_more(root: Client) -> None:
    for length, wanted in [(0, None), (64, None), (65, 4), (2**32 - 1, 4)]:
        data = words(length) + bytes(min(length + 3 & ~3, 200))
        reply = root.exchange(call_message(1, 100003, 3, 1, data, credential=root.credential))
        if wanted is None:
            assert isinstance(reply, Reply)
            assert reply.results == words(nfsstat3.BADHANDLE)
        else:
            assert reply == Refusal(1, False, wanted, b"")  # GARBAGE_ARGS


def test_which_calls_run_once(gw: Gateway) -> None:
    """Those that are not the same twice; WRITE is, and COMMIT."""
    rows = gw.dispatcher.programs[100003].versions[3].values()
    assert {row.name for row in rows if row.changes} == {
        "SETATTR", "CREATE", "MKDIR", "SYMLINK", "MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK",
    }  # fmt: skip


def test_a_number_is_not_used_again(gw: Gateway, root: Client, top: bytes) -> None:
    seen: set[int] = set()
    for _ in range(3):
        for name in (b"a", b"b", b"c"):
            found = root.create(top, name).ok().obj_attributes.fileid
            assert found not in seen
            assert found < 2**53
            seen.add(found)
            root.remove(top, name).ok()
        gw.restart()


def test_how_linux_creates_a_file_exclusively(root: Client, top: bytes) -> None:
    """CREATE with a verifier, then SETATTR of all that it could not say, then data."""
    made = root.create_exclusive(top, b"f", b"\x12\x34\x56\x78\x9a\xbc\xde\xf0").ok()
    wanted = sattr(mode=0o644, uid=1000, gid=1000, atime=NOW, mtime=NOW)
    now = root.setattr(made.obj, wanted).ok().wcc.after
    assert (now.mode, now.uid, now.gid, now.size) == (0o644, 1000, 1000, 0)
    root.write(made.obj, 0, b"data", stable_how.UNSTABLE).ok()
    root.commit(made.obj).ok()
    assert root.lookup(top, b"f").ok().object == made.obj


def test_how_linux_removes_a_file_that_is_open(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    root.rename(top, b"f", top, b".nfs0000000000000001").ok()
    assert root.read(file).ok().data == b"data"
    assert root.lookup(top, b"f").status == nfsstat3.NOENT
    root.remove(top, b".nfs0000000000000001").ok()
    assert root.read(file).status == nfsstat3.STALE
