"""ONC RPC (RFC 5531): headers, credentials, and every refusal in literal bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs import rpc
from nfs.rpc import AcceptStat, AuthStat, BadMessage, Refused
from store.types import Caller
from tests.nfs.messages import auth, auth_sys, call_message, counted, words

CALL = bytes.fromhex(
    "12345678"  # xid
    "00000000"  # CALL
    "00000002"  # RPC version 2
    "000186a3"  # program 100003
    "00000003"  # version 3
    "00000001"  # procedure 1
    "00000001"  # credential: AUTH_SYS
    "00000024"  # of 36 bytes
    "00000007"  # stamp
    "00000005 67756573 74000000"  # machine name: guest
    "000003e8"  # uid 1000
    "00000064"  # gid 100
    "00000002 0000000a 00000014"  # groups: 10 and 20
    "00000000 00000000"  # verifier: AUTH_NONE
)


def test_a_call_in_literal_bytes() -> None:
    header = rpc.header(CALL + b"args")
    assert header[:5] == (0x12345678, 100003, 3, 1, 1)
    assert header.credential == CALL[24:68]
    assert header.end == len(CALL)
    assert rpc.caller(header.flavour, header.credential) == Caller(1000, 100, frozenset({10, 20}))
    assert rpc.xid_of(CALL) == 0x12345678


def test_a_call_without_credentials() -> None:
    header = rpc.header(call_message(1, 2, 3, 4))
    assert header == (1, 2, 3, 4, 0, bytes(8), 40)
    assert rpc.caller(header.flavour, header.credential) is None


def test_a_verifier_is_skipped() -> None:
    message = call_message(1, 2, 3, 4, b"args", verifier=auth(0, b"abcde"))
    assert message[rpc.header(message).end :] == b"args"


def test_a_credential_ends_before_its_padding() -> None:
    message = call_message(1, 2, 3, 4, b"args", credential=auth(0, b"abcde"))
    header = rpc.header(message)
    assert header.credential == bytes.fromhex("00000000 00000005") + b"abcde"
    assert message[header.end :] == b"args"


@pytest.mark.parametrize("length", range(len(CALL)))
def test_a_header_cut_short_is_no_call(length: int) -> None:
    with pytest.raises(BadMessage):
        rpc.header(CALL[:length])


def test_a_reply_is_no_call() -> None:
    for kind in (1, 2, 2**32 - 1):
        with pytest.raises(BadMessage):
            rpc.header(CALL[:4] + words(kind) + CALL[8:])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_call_or_refused_or_no_call(data: bytes) -> None:
    try:
        header = rpc.header(data)
        assert header.end <= len(data)
        rpc.caller(header.flavour, header.credential)
    except BadMessage:
        pass
    except Refused as refused:
        assert len(refused.reply) >= 16


@given(st.binary(max_size=60), st.integers(0, 7))
def test_any_credential_is_understood_or_refused(body: bytes, flavour: int) -> None:
    header = rpc.header(call_message(1, 2, 3, 4, credential=auth(flavour, body)))
    try:
        rpc.caller(header.flavour, header.credential)
    except Refused as refused:
        assert refused.reply == rpc.denied_auth(AuthStat.BADCRED)


# --- refusals, all that follows the xid ---------------------------------------------------------

ACCEPTED = (
    "00000001"  # REPLY
    "00000000"  # MSG_ACCEPTED
    "00000000 00000000"  # verifier: AUTH_NONE
)
DENIED = (
    "00000001"  # REPLY
    "00000001"  # MSG_DENIED; RPC_MISMATCH or AUTH_ERROR follows
)
REPLIES: list[tuple[str, bytes, str]] = [
    ("SUCCESS", rpc.SUCCESS, ACCEPTED + "00000000"),
    ("PROG_UNAVAIL", rpc.accepted(AcceptStat.PROG_UNAVAIL), ACCEPTED + "00000001"),
    ("PROG_MISMATCH, 3 to 4", rpc.mismatch(3, 4), ACCEPTED + "00000002 00000003 00000004"),
    ("PROC_UNAVAIL", rpc.accepted(AcceptStat.PROC_UNAVAIL), ACCEPTED + "00000003"),
    ("GARBAGE_ARGS", rpc.accepted(AcceptStat.GARBAGE_ARGS), ACCEPTED + "00000004"),
    ("SYSTEM_ERR", rpc.accepted(AcceptStat.SYSTEM_ERR), ACCEPTED + "00000005"),
    ("RPC_MISMATCH, 2 to 2", rpc.denied_version(), DENIED + "00000000 00000002 00000002"),
    ("AUTH_BADCRED", rpc.denied_auth(AuthStat.BADCRED), DENIED + "00000001 00000001"),
    ("AUTH_BADVERF", rpc.denied_auth(AuthStat.BADVERF), DENIED + "00000001 00000003"),
    ("AUTH_TOOWEAK", rpc.denied_auth(AuthStat.TOOWEAK), DENIED + "00000001 00000005"),
]


@pytest.mark.parametrize(("reply", "data"), [r[1:] for r in REPLIES], ids=[r[0] for r in REPLIES])
def test_a_reply_in_literal_bytes(reply: bytes, data: str) -> None:
    assert reply == bytes.fromhex(data)


def refusal(message: bytes) -> bytes:
    """What a message is refused with."""
    try:
        header = rpc.header(message)
        rpc.caller(header.flavour, header.credential)
    except Refused as refused:
        return refused.reply
    raise AssertionError("not refused")


@pytest.mark.parametrize("version", [0, 1, 3, 2**32 - 1])
def test_another_version_of_rpc_is_refused(version: int) -> None:
    assert refusal(CALL[:8] + words(version) + CALL[12:]) == rpc.denied_version()


@pytest.mark.parametrize("flavour", [2, 3, 4, 5, 6, 7, 390003, 2**32 - 1])
def test_other_flavours_are_refused(flavour: int) -> None:
    """AUTH_SHORT, AUTH_DH, RPCSEC_GSS and, with no STARTTLS in the verifier, AUTH_TLS."""
    message = call_message(1, 100003, 3, 0, credential=auth(flavour, b""))
    assert refusal(message) == rpc.denied_auth(AuthStat.BADCRED)


def with_credential(credential: bytes) -> bytes:
    """A call with that."""
    return call_message(1, 100003, 3, 1, credential=credential)


def understood(credential: bytes) -> Caller | None:
    """Who a credential says calls."""
    header = rpc.header(with_credential(credential))
    return rpc.caller(header.flavour, header.credential)


def test_sixteen_groups_and_no_more() -> None:
    groups = tuple(range(16))
    assert understood(auth_sys(1, 2, groups)) == Caller(1, 2, frozenset(groups))
    too_many = auth_sys(1, 2, (*groups, 16))
    assert refusal(with_credential(too_many)) == rpc.denied_auth(AuthStat.BADCRED)


def test_a_machine_name_of_255_bytes_and_no_more() -> None:
    assert understood(auth_sys(1, 2, host=b"m" * 255)) == Caller(1, 2)
    assert understood(auth_sys(1, 2, host=b"")) == Caller(1, 2)
    too_long = auth_sys(1, 2, host=b"m" * 256)
    assert refusal(with_credential(too_long)) == rpc.denied_auth(AuthStat.BADCRED)


def test_the_largest_credential() -> None:
    largest = auth_sys(2**32 - 1, 2**32 - 1, (2**32 - 1,) * 16, host=b"m" * 255)
    assert len(largest) == 8 + 4 + 4 + 256 + 4 + 4 + 4 + 64
    assert understood(largest) == Caller(2**32 - 1, 2**32 - 1, frozenset({2**32 - 1}))


def test_a_credential_cut_short_is_refused() -> None:
    body = auth_sys(1, 2, (3, 4))[8:]
    for length in range(len(body)):
        message = with_credential(words(1) + counted(body[:length]))
        assert refusal(message) == rpc.denied_auth(AuthStat.BADCRED)


def test_a_credential_with_more_behind_it_is_refused() -> None:
    body = auth_sys(1, 2, (3, 4))[8:]
    for more in (b"\0", bytes(4)):
        message = with_credential(auth(1, body + more))
        assert refusal(message) == rpc.denied_auth(AuthStat.BADCRED)


def test_four_hundred_bytes_of_credential_and_verifier_and_no_more() -> None:
    assert understood(auth(0, bytes(400))) is None
    for length in (401, 404, 2**31, 2**32 - 1):
        message = call_message(1, 2, 3, 4, credential=words(0, length) + bytes(500))
        assert refusal(message) == rpc.denied_auth(AuthStat.BADCRED)
        message = call_message(1, 2, 3, 4, verifier=words(0, length) + bytes(500))
        assert refusal(message) == rpc.denied_auth(AuthStat.BADVERF)
    message = call_message(1, 2, 3, 4, verifier=auth(0, bytes(400)))
    assert rpc.header(message).end == len(message)
