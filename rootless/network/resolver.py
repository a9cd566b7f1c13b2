"""DNS between containers: questions about our names are answered, all others are passed on.  Messages are pure.

Only what such a resolver needs of RFC 1035: one question, A, AAAA and PTR.
"""

from __future__ import annotations

import struct

from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = struct.Struct("!HHHHHH")
_ANSWERS = 0x8000
_TRUNCATED = 0x0200
_RECURSION_DESIRED = 0x0100
_RECURSION_AVAILABLE = 0x0080
_AUTHORITATIVE = 0x0400
NAME_ERROR = 3
REFUSED = 5
SERVER_FAILURE = 2
A, PTR, AAAA = 1, 12, 28
_INTERNET = 1
_TTL_S = 1  # a container may be replaced at any time
_MOST_ANSWERS = 64


class Question(NamedTuple):
    """What is asked; ``name`` is in lower case without the last dot."""

    id: int
    flags: int
    name: str
    type: int
    wire: bytes  # the question section as it came


def parse_question(message: bytes) -> Question | None:
    """The one question of a query, or None for anything else: that is passed on or dropped."""
    if len(message) < _HEADER.size:
        return None
    identity, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & _ANSWERS or flags & 0x7800 or questions != 1:
        return None
    labels: list[str] = []
    position = _HEADER.size
    while position < len(message):
        length = message[position]
        position += 1
        if not length:
            if position + 4 > len(message):
                return None
            kind, family = struct.unpack_from("!HH", message, position)
            if family != _INTERNET:
                return None
            wire = message[_HEADER.size : position + 4]
            return Question(identity, flags, ".".join(labels).lower(), kind, wire)
        if length > 63:  # a compressed name in a question makes no sense
            return None
        labels.append(message[position : position + length].decode("latin-1"))
        position += length
    return None


def answer(question: Question, records: tuple[bytes, ...], *, code: int = 0) -> bytes:
    """A response with these answer records (``address_record``, ``name_record``)."""
    flags = _ANSWERS | _AUTHORITATIVE | _RECURSION_AVAILABLE | code
    flags |= question.flags & _RECURSION_DESIRED
    header = _HEADER.pack(question.id, flags, 1, len(records), 0, 0)
    return header + question.wire + b"".join(records)


def truncated(response: bytes) -> bytes:
    """The response without its records, asking for TCP."""
    identity, flags, questions, *_ = _HEADER.unpack_from(response)
    question = response[_HEADER.size : _HEADER.size + _question_size(response)]
    return _HEADER.pack(identity, flags | _TRUNCATED, questions, 0, 0, 0) + question


def _question_size(message: bytes) -> int:
    position = _HEADER.size
    while message[position]:
        position += message[position] + 1
    return position + 5 - _HEADER.size


def address_record(address: bytes) -> bytes:
    """An A or AAAA record of the name that was asked."""
    kind = A if len(address) == 4 else AAAA
    # 0xC00C points at the name in the question.
    return struct.pack("!HHHIH", 0xC00C, kind, _INTERNET, _TTL_S, len(address)) + address


def name_record(name: str) -> bytes:
    """A PTR record."""
    content = b"".join(bytes((len(part),)) + part for part in name.encode().split(b".")) + b"\0"
    return struct.pack("!HHHIH", 0xC00C, PTR, _INTERNET, _TTL_S, len(content)) + content


def reverse_name(address: str) -> str:
    """The name under which an address is asked for: ``2.0.89.10.in-addr.arpa``."""
    from ipaddress import ip_address

    return ip_address(address).reverse_pointer


def own_answer(
    question: Question,
    *,
    addresses: Callable[[str], list[str] | None],
    name_of: Callable[[str], str | None],
) -> bytes | None:
    """The answer to a question about our containers, or None when it is not about them.

    ``addresses`` gives those of a name (None: not ours), ``name_of`` the name of a reverse name.
    """
    if question.type == PTR:
        name = name_of(question.name)
        return None if name is None else answer(question, (name_record(name),))
    found = addresses(question.name)
    if found is None:
        return None
    # A name that exists without such an address is an empty answer: NXDOMAIN would end the search.
    family = {A: 4, AAAA: 16}.get(question.type)
    packed = [each for each in map(_packed, found) if len(each) == family]
    return answer(question, tuple(address_record(each) for each in packed[:_MOST_ANSWERS]))


def _packed(address: str) -> bytes:
    from ipaddress import ip_address

    return ip_address(address).packed
