"""The wire types of rpcbind versions 3 and 4 (RFC 1833 2.1), each declared once.

`nfs.rpcbind` answers with them, `nfs.registration` asks with them.
"""

# ruff: noqa: N801  the RFC's names

from __future__ import annotations

from typing import Annotated, NamedTuple

from nfs.universal import TADDR_BYTES_MAX, UADDR_BYTES_MAX
from nfs.xdr import chain, int32, opaque, string, uint32

# The RFC gives no bounds; rpcbind's own is 128 bytes for each.
netid_text = Annotated[bytes, string(128)]
uaddr_text = Annotated[bytes, string(UADDR_BYTES_MAX)]
owner_text = Annotated[bytes, string(128)]


class rpcb(NamedTuple):
    """RFC 1833 2.1."""

    r_prog: uint32
    r_vers: uint32
    r_netid: netid_text
    r_addr: uaddr_text
    r_owner: owner_text


class rpcblist(NamedTuple):
    """RFC 1833 2.1."""

    entries: Annotated[list[rpcb], chain(rpcb)]


class universal_address(NamedTuple):
    """A result or argument that is one (RFC 1833 2.1); empty: there is none."""

    address: uaddr_text


class seconds(NamedTuple):
    """The result of GETTIME: since 1970 (RFC 1833 2.1)."""

    time: uint32


class netbuf(NamedTuple):
    """RFC 1833 2.1; an empty one: there is none."""

    maxlen: uint32
    buf: Annotated[bytes, opaque(TADDR_BYTES_MAX)]


class rpcb_entry(NamedTuple):
    """RFC 1833 2.1."""

    r_maddr: uaddr_text
    r_nc_netid: netid_text
    r_nc_semantics: uint32
    r_nc_protofmly: netid_text
    r_nc_proto: netid_text


class rpcb_entry_list(NamedTuple):
    """RFC 1833 2.1."""

    entries: Annotated[list[rpcb_entry], chain(rpcb_entry)]


class rpcbs_proc(NamedTuple):
    """Calls of each procedure: int[RPCBSTAT_HIGHPROC], 13 of them (RFC 1833 2.1)."""

    null: int32
    set: int32
    unset: int32
    getaddr: int32
    dump: int32
    callit: int32
    gettime: int32
    uaddr2taddr: int32
    taddr2uaddr: int32
    getversaddr: int32
    indirect: int32
    getaddrlist: int32
    getstat: int32


class rpcbs_addrlist(NamedTuple):
    """RFC 1833 2.1, but for the link."""

    prog: uint32
    vers: uint32
    success: int32
    failure: int32
    netid: netid_text


class rpcbs_rmtcalllist(NamedTuple):
    """RFC 1833 2.1, but for the link."""

    prog: uint32
    vers: uint32
    proc: uint32
    success: int32
    failure: int32
    indirect: int32
    netid: netid_text


class rpcb_stat(NamedTuple):
    """RFC 1833 2.1. `setinfo` and `unsetinfo` count those that succeeded."""

    info: rpcbs_proc
    setinfo: int32
    unsetinfo: int32
    addrinfo: Annotated[list[rpcbs_addrlist], chain(rpcbs_addrlist)]
    rmtinfo: Annotated[list[rpcbs_rmtcalllist], chain(rpcbs_rmtcalllist)]


class rpcb_stat_byvers(NamedTuple):
    """One for each version (RFC 1833 2.1)."""

    portmap: rpcb_stat
    rpcbind3: rpcb_stat
    rpcbind4: rpcb_stat
