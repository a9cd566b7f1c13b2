"""``--user`` and ``USER`` looked up in the container's own passwd and group files.  Pure, docker's rules.

Both texts were written by whoever made the image.  Lines end at "\\n" alone, as for the C library;
a line that is not well-formed is no entry.
"""

from __future__ import annotations

from rootless.errors import InvalidRequest, NotFound
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES = 4 << 20  # as much of either file as a caller should read
MAX_ID = (1 << 31) - 1  # docker's limit, and what a signed id in old programs holds
MAX_GROUPS = 1024  # far below the kernel's NGROUPS_MAX, so that setgroups(2) stays cheap


class User(NamedTuple):
    """Who a program runs as; ``groups`` are the supplementary ones, ``name`` is empty without an entry."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""


def find_user(spec: str, passwd: str, group: str) -> User:
    """The user that ``[USER][:GROUP]`` means, each a name or a number; an empty spec is uid 0.

    A name must have an entry, a number need not.  Supplementary groups are those that list the user,
    and only where the spec names no group.  Raises NotFound for an unknown name and InvalidRequest
    for a spec that cannot be one.
    """
    user_spec, colon, group_spec = spec.partition(":")
    if ":" in group_spec or (colon and not group_spec) or "\0" in spec:
        raise InvalidRequest(f"user {spec!r} is not USER or USER:GROUP")
    user = _find_entry(user_spec or "0", passwd)
    if group_spec:
        return user._replace(gid=find_group(group_spec, group))
    if not user.name:
        return user
    return user._replace(groups=_groups_with(user.name, group))


def find_group(spec: str, group: str) -> int:
    """The gid of a group by name or number.  Raises NotFound for a name without an entry."""
    number = _id(spec)
    for name, gid, _ in _groups(group):
        # By name first even where it looks like a number: an entry beats its interpretation.
        if name == spec or gid == number:
            return gid
    if number is None:
        raise _unknown("group", spec)
    return number


def _find_entry(spec: str, passwd: str) -> User:
    number = _id(spec)
    for user in _users(passwd):
        if user.name == spec or user.uid == number:
            return user
    if number is None:
        raise _unknown("user", spec)
    return User(number, 0)


def _unknown(kind: str, spec: str) -> InvalidRequest | NotFound:
    if spec.removeprefix("-").isdecimal():
        return InvalidRequest(f"{kind} id {spec} is not between 0 and {MAX_ID}")
    return NotFound(
        f"no {kind} {spec!r} in the container's /etc/{'passwd' if kind == 'user' else 'group'}",
        hint="a number needs no entry",
    )


def _groups_with(name: str, group: str) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for _, gid, members in _groups(group):
        if len(found) == MAX_GROUPS:
            break
        if name in members.split(","):
            found[gid] = None
    return tuple(found)


def _users(passwd: str) -> Iterator[User]:
    for line in passwd.split("\n"):
        fields = line.split(":", 7)
        if len(fields) < 6 or not fields[0] or "\0" in line:
            continue
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid is None or gid is None:
            continue
        home = fields[5] if fields[5].startswith("/") else "/"
        yield User(uid, gid, home=home, name=fields[0])


def _groups(group: str) -> Iterator[tuple[str, int, str]]:
    """Name, gid and the text of the members of each group."""
    for line in group.split("\n"):
        fields = line.split(":", 4)
        if len(fields) < 3 or not fields[0] or "\0" in line:
            continue
        gid = _id(fields[2])
        if gid is not None:
            yield fields[0], gid, fields[3] if len(fields) > 3 else ""


def _id(text: str) -> int | None:
    """A number from 0 to MAX_ID in plain ASCII digits, else None."""
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        return None
    number = int(text)
    return number if number <= MAX_ID else None
