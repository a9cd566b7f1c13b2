"""Id maps: which ids of a user namespace are which ids outside (user_namespaces(7), subuid(5)).

Pure: the texts of /etc/subuid and the like come in as arguments.
"""

from __future__ import annotations

from rootless.typed import NamedTuple


class IdRange(NamedTuple):
    """``size`` ids from ``inside`` in the namespace are those from ``outside`` in its parent."""

    inside: int
    outside: int
    size: int


class IdMap(NamedTuple):
    """The uid and gid map of a user namespace, and how they are written.

    ``writer`` is ``helpers`` (newuidmap, newgidmap), ``direct`` (we hold CAP_SETUID and CAP_SETGID in
    the parent namespace), ``parent`` (we own the parent namespace and have to enter it; the ids outside
    are those of that one) or ``single`` (one id each, setgroups denied).
    """

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    writer: str

    @property
    def is_single(self) -> bool:
        """Whether only one uid exists inside."""
        return sum(each.size for each in self.uids) == 1


def single(uid: int, gid: int) -> IdMap:
    """Root inside is the caller outside, and there is nobody else."""
    return IdMap((IdRange(0, uid, 1),), (IdRange(0, gid, 1),), "single")


def subordinate_ranges(text: str, name: str, uid: int) -> tuple[tuple[int, int], ...]:
    """The (start, count) pairs that /etc/subuid or /etc/subgid gives a user, in file order.

    A line names the user by login name or by number (subuid(5)); malformed lines are skipped, as
    newuidmap does.
    """
    ranges = []
    for line in text.splitlines():
        owner, _, rest = line.partition(":")
        start, _, count = rest.partition(":")
        if owner in (name, str(uid)) and start.isdigit() and count.strip().isdigit() and int(count):
            ranges.append((int(start), int(count)))
    return tuple(ranges)


def stack(first: int, ranges: tuple[tuple[int, int], ...]) -> tuple[IdRange, ...]:
    """Map 0 to ``first`` and the ranges after it, one after the other."""
    mapped = [IdRange(0, first, 1)]
    for start, count in ranges:
        mapped.append(IdRange(mapped[-1].inside + mapped[-1].size, start, count))
    return tuple(mapped)


class MissingId(Exception):
    """An id that a map does not have; the message is the number."""


def compose(ranges: tuple[IdRange, ...], store: tuple[IdRange, ...]) -> tuple[IdRange, ...]:
    """Two maps in one: what ``ranges`` calls outside is what ``store`` calls inside.  Raises MissingId."""
    found = []
    for each in ranges:
        done = 0
        while done < each.size:
            middle = each.outside + done
            part = next((p for p in store if p.inside <= middle < p.inside + p.size), None)
            if part is None:
                raise MissingId(middle)
            size = min(each.size - done, part.inside + part.size - middle)
            found.append(IdRange(each.inside + done, part.outside + middle - part.inside, size))
            done += size
    return tuple(found)


def is_mapped(ranges: tuple[IdRange, ...], inside: int) -> bool:
    """Whether there is such an id inside."""
    return to_outside(ranges, inside) is not None


def to_outside(ranges: tuple[IdRange, ...], inside: int) -> int | None:
    """The id outside that ``inside`` is, or None where it is not mapped."""
    for each in ranges:
        if each.inside <= inside < each.inside + each.size:
            return each.outside + inside - each.inside
    return None


def to_inside(ranges: tuple[IdRange, ...], outside: int) -> int | None:
    """The id inside that ``outside`` is, or None where it is not mapped."""
    for each in ranges:
        if each.outside <= outside < each.outside + each.size:
            return each.inside + outside - each.outside
    return None


_EVERY_ID = 4294967295
_HIGH_RANGE = (
    0x6FFF0000,
    65536,
)  # the last that systemd leaves to containers (uids-gids(7) of systemd)


def parse_getsubids(text: str) -> tuple[tuple[int, int], ...]:
    """The (start, count) pairs that getsubids(1) prints as ``0: alice 100000 65536``."""
    lines = (line.split() for line in text.splitlines())
    return tuple(
        (int(words[-2]), int(words[-1]))
        for words in lines
        if len(words) == 4 and words[-2].isdigit() and words[-1].isdigit()
    )


def for_super_user(id_map: str, subids: str, name: str) -> tuple[IdRange, ...]:
    """A map that uid 0 with CAP_SETUID may write itself; empty where it has no other id.

    ``id_map`` is the text of /proc/self/uid_map.  In the initial namespace root of a container is
    root outside, and the others are a range of /etc/subuid, or a high one that nobody there holds; in
    a namespace that somebody made for us they are the ids that exist in it.
    """
    extents = [tuple(map(int, line.split())) for line in id_map.splitlines()]
    if extents == [(0, 0, _EVERY_ID)]:
        ranges = subordinate_ranges(subids, name, 0) or (_free_range(subids),)
        return stack(0, ranges)
    # A range must lie within one range of the parent, so they are taken one by one.
    ranges_there: list[IdRange] = []
    for inside, _, size in sorted(extents):
        if inside == sum(each.size for each in ranges_there):
            ranges_there.append(IdRange(inside, inside, size))
    return tuple(ranges_there) if sum(each.size for each in ranges_there) > 1 else ()


def _free_range(subids: str) -> tuple[int, int]:
    start, size = _HIGH_RANGE
    held = []
    for line in subids.splitlines():
        words = line.split(":")
        if len(words) == 3 and words[1].isdigit() and words[2].strip().isdigit():
            held.append((int(words[1]), int(words[2])))
    while any(first < start + size and start < first + count for first, count in held):
        start -= size
    return start, size


def within(id_map: IdMap, parent: IdMap) -> IdMap | None:
    """The same map for a namespace inside one that has the map ``parent``; None where ids are missing."""
    try:
        uids = compose(id_map.uids, _turned(parent.uids))
        gids = compose(id_map.gids, _turned(parent.gids))
    except MissingId:
        return None
    return IdMap(uids, gids, "parent")


def _turned(ranges: tuple[IdRange, ...]) -> tuple[IdRange, ...]:
    """The map the other way round."""
    return tuple(IdRange(each.outside, each.inside, each.size) for each in ranges)
