"""git-upload-pack over a stateless transport: versions 0, 1 (gitprotocol-pack(5)) and 2
(gitprotocol-v2(5)). Bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Iterator

from gitdoor.fetching import Answer, Request, refused
from gitdoor.graph import Missing
from gitdoor.serving import Repository, Shown
from gitdoor.wire import DELIMITER, END, FLUSH, BadRequest, Packet, git_id, line, packets, text

AGENT = b"agent=fsgw"
_FORMAT = b"object-format=sha1"
_NO_ID = b"0" * 40
_V0 = (
    *(b"multi_ack_detailed", b"side-band-64k", b"thin-pack", b"ofs-delta", b"shallow"),
    *(b"deepen-since", b"deepen-not", b"deepen-relative", b"no-progress", b"include-tag"),
    *(b"filter", b"allow-tip-sha1-in-want", b"allow-reachable-sha1-in-want", _FORMAT, AGENT),
)
_V2 = (
    *(b"version 2", AGENT, b"ls-refs=unborn", b"fetch=shallow filter wait-for-done"),
    *(b"server-option", b"object-info", _FORMAT),
)


def service_header(service: bytes) -> bytes:
    """What goes before refs over HTTP (gitprotocol-http(5))."""
    return line(b"# service=" + service) + FLUSH


def advertisement(repository: Repository, version: int) -> bytes:
    """The refs, or what version 2 says in their place."""
    if version == 2:
        return b"".join([*(line(item) for item in _V2), FLUSH])
    first = [line(b"version 1")] if version == 1 else []
    capabilities = list(_V0)
    if repository.head in {ref.name for ref in repository.refs}:
        capabilities.append(b"symref=HEAD:" + repository.head)
    lines = list(ref_lines(repository, capabilities))
    lines += [line(b"shallow " + oid.hex().encode()) for oid in sorted(repository.shallow())]
    return b"".join([*first, *lines, FLUSH])


def ref_lines(
    repository: Repository, capabilities: list[bytes], *, head: bool = True
) -> Iterator[bytes]:
    """The lines of version 0, with the capabilities on the first; a push wants no HEAD."""
    found = [item for ref in repository.refs for item in _v0_lines(ref)]
    for ref in repository.refs if head else ():
        if ref.name == repository.head:
            found.insert(0, ref.id.hex().encode() + b" HEAD")
    if not found:
        found = [_NO_ID + b" capabilities^{}"]
    yield line(found[0] + b"\0" + b" ".join(capabilities))
    yield from (line(item) for item in found[1:])


def _v0_lines(ref: Shown) -> Iterator[bytes]:
    yield ref.id.hex().encode() + b" " + ref.name
    if ref.tags:
        yield ref.commit.hex().encode() + b" " + ref.name + b"^{}"


def answer(repository: Repository, data: bytes, version: int) -> Iterator[bytes]:
    """The answer to a request; what is wrong with it is told as git tells it."""
    try:
        yield from _v2(repository, data) if version == 2 else _v0(repository, data)
    except BadRequest as error:
        yield line(b"ERR " + str(error).encode())
    except Missing as error:
        yield line(b"ERR " + refused(error))


# --- versions 0 and 1 -------------------------------------------------------------------------


def _v0(repository: Repository, data: bytes) -> Iterator[bytes]:
    request = Request()
    first = True
    for packet, _ in packets(data):
        if packet is None:
            continue
        words = text(packet)
        if first and words.startswith(b"want "):
            head, _, rest = words.partition(b" ")
            words, _, capabilities = rest.partition(b" ")
            request.capabilities = set(capabilities.split())
            words = head + b" " + words
            first = False
        if not request.take(words):
            raise BadRequest(f"git upload-pack: protocol error, {words[:60]!r} is unexpected")
    if not request.wants:
        return
    request.relative = b"deepen-relative" in request.capabilities
    found = Answer(repository, request)
    if request.deepens:
        yield b"".join(_shallow_lines(found)) + FLUSH
    common = [oid for oid in request.haves if repository.knows_commit(oid)]
    detailed = b"multi_ack_detailed" in request.capabilities
    if detailed:
        yield from (line(b"ACK %s common" % oid.hex().encode()) for oid in common)
        if common and not request.done:
            yield line(b"ACK %s ready" % common[-1].hex().encode())
    if not request.done:
        if request.haves or not request.deepens:
            yield (
                line(b"ACK " + common[0].hex().encode())
                if common and not detailed
                else (line(b"NAK"))
            )
        return
    yield line(b"ACK " + common[-1].hex().encode()) if common else line(b"NAK")
    yield from found.pack()


def _shallow_lines(found: Answer) -> Iterator[bytes]:
    yield from (line(b"shallow " + oid.hex().encode()) for oid in sorted(found.shallow))
    yield from (line(b"unshallow " + oid.hex().encode()) for oid in sorted(found.unshallow))


# --- version 2 --------------------------------------------------------------------------------


def _v2(repository: Repository, data: bytes) -> Iterator[bytes]:
    command, arguments = _command(packet for packet, _ in packets(data))
    match command:
        case b"ls-refs":
            yield b"".join(_ls_refs(repository, arguments)) + FLUSH
        case b"fetch":
            yield from _fetch(repository, arguments)
        case b"object-info":
            yield b"".join(_object_info(repository, arguments)) + FLUSH
        case b"":
            return
        case _:
            raise BadRequest(f"unknown command {command[:60].decode(errors='replace')!r}")


def _command(found: Iterator[Packet]) -> tuple[bytes, list[bytes]]:
    """The command, and its arguments; what the client says of itself is passed over."""
    command, arguments, in_arguments = b"", list[bytes](), False
    for packet in found:
        if packet is None or packet == END:
            break
        if packet == DELIMITER:
            in_arguments = True
        elif in_arguments:
            arguments.append(text(packet))
        elif packet.startswith(b"command="):
            command = text(packet)[8:]
        elif text(packet).startswith(b"object-format=") and text(packet) != _FORMAT:
            raise BadRequest("mismatched object format: server sha1")
    return command, arguments


def _ls_refs(repository: Repository, arguments: list[bytes]) -> Iterator[bytes]:
    prefixes = tuple(a[11:] for a in arguments if a.startswith(b"ref-prefix "))
    symrefs, peel = b"symrefs" in arguments, b"peel" in arguments
    named = {ref.name: ref for ref in repository.refs}
    if not prefixes or b"HEAD".startswith(prefixes):
        target = b" symref-target:" + repository.head if symrefs else b""
        if repository.head in named:
            yield line(named[repository.head].id.hex().encode() + b" HEAD" + target)
        elif b"unborn" in arguments:
            yield line(b"unborn HEAD" + target)
    for ref in repository.refs:
        if not prefixes or ref.name.startswith(prefixes):
            peeled = b" peeled:" + ref.commit.hex().encode() if peel and ref.tags else b""
            yield line(ref.id.hex().encode() + b" " + ref.name + peeled)


def _fetch(repository: Repository, arguments: list[bytes]) -> Iterator[bytes]:
    request = Request(capabilities={b"side-band-64k"})
    for argument in arguments:
        if not request.take(argument):
            request.capabilities.add(argument)
    request.relative = b"deepen-relative" in request.capabilities
    found = Answer(repository, request)
    if not request.done:
        common = [oid for oid in request.haves if repository.knows_commit(oid)]
        ready = bool(common) and b"wait-for-done" not in request.capabilities
        yield line(b"acknowledgments")
        yield b"".join([line(b"ACK " + oid.hex().encode()) for oid in common]) or line(b"NAK")
        if not ready:
            yield FLUSH
            return
        yield line(b"ready") + DELIMITER
    if cut := b"".join(_shallow_lines(found)):
        yield line(b"shallow-info") + cut + DELIMITER
    elif request.deepens:
        yield line(b"shallow-info") + DELIMITER
    yield line(b"packfile")
    yield from found.pack()


def _object_info(repository: Repository, arguments: list[bytes]) -> Iterator[bytes]:
    if b"size" not in arguments:
        return
    yield line(b"size")
    for argument in arguments:
        if argument.startswith(b"oid "):
            oid = git_id(argument[4:])
            repository.commit_of(oid)
            _, size = repository.history.size_of(oid)
            yield line(b"%s %d" % (argument[4:], size))
