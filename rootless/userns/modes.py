"""``--userns``, ``--uidmap`` and ``--gidmap`` as id maps (podman-run(1)).  Pure.

Ids come in three kinds: those inside the container, *intermediate* ones, which are those of the usual
map - 0 is the caller, those from 1 on are the caller's subordinate ids in order - and those of the host.
"""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import NamedTuple
from rootless.userns import idmap
from rootless.userns.idmap import IdMap, IdRange

Ranges = tuple[IdRange, ...]


class Mode(NamedTuple):
    """A ``--userns`` value: ``kind`` and what follows the colon."""

    kind: str
    place: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def number(self, key: str) -> int | None:
        """An option that is a number.  Raises InvalidRequest."""
        value = dict(self.options).get(key)
        if value is None:
            return None
        if not value.isdigit():
            raise InvalidRequest(f"{key}={value} of --userns {self.kind} is not a number")
        return int(value)


_OPTIONS = {"keep-id": ("uid", "gid", "size"), "auto": ("size",)}


def parse_mode(text: str) -> Mode:
    """``host``, ``nomap``, ``keep-id[:uid=,gid=,size=]``, ``auto[:size=]``, ``container:NAME``, ``ns:PATH``."""
    kind, _, rest = text.partition(":")
    if kind in ("", "host", "private", "nomap") and not rest:
        return Mode("host" if kind in ("", "private") else kind)
    if kind in ("container", "ns") and rest:
        return Mode(kind, place=rest)
    if kind not in _OPTIONS:
        raise InvalidRequest(
            f"invalid value {text!r} of --userns",
            hint="host, keep-id, auto, nomap, container:NAME or ns:PATH",
        )
    pairs = []
    for word in filter(None, rest.split(",")):
        key, equals, value = word.partition("=")
        if key not in _OPTIONS[kind] or not equals:
            raise InvalidRequest(
                f"unknown option {word!r} of --userns {kind}", hint=" ".join(_OPTIONS[kind])
            )
        pairs.append((key, value))
    return Mode(kind, options=tuple(pairs))


def count(ranges: Ranges) -> int:
    """How many ids there are."""
    return sum(each.size for each in ranges)


def keep(store: Ranges, inside: int, size: int | None = None) -> Ranges:
    """The caller is ``inside``; the subordinate ids fill what is below and above, in order."""
    rest = count(store) - 1
    if inside > rest:
        raise InvalidRequest(
            f"id {inside} cannot be kept: it needs {inside} subordinate ids, and you have {rest}"
        )
    ranges = [IdRange(0, 1, inside), IdRange(inside, 0, 1)]
    ranges.append(IdRange(inside + 1, inside + 1, rest - inside))
    limit = count(store) if size is None else size
    cut = [each._replace(size=min(each.size, limit - each.inside)) for each in ranges]
    if limit <= inside:
        raise InvalidRequest(f"size={limit} leaves no room for id {inside}")
    return compose(tuple(each for each in cut if each.size > 0), store)


def without_caller(store: Ranges) -> Ranges:
    """``nomap``: only subordinate ids; the caller has no name inside."""
    return compose((IdRange(0, 1, count(store) - 1),), store)


def free_range(store: Ranges, taken: tuple[Ranges, ...], size: int) -> Ranges:
    """``auto``: ``size`` subordinate ids that no other container of that kind has."""
    used = sorted((each.outside, each.outside + each.size) for ranges in taken for each in ranges)
    for part in (each for each in store if each.inside > 0):
        start = part.outside
        for first, last in used:
            if first < part.outside or first >= part.outside + part.size:
                continue
            if first - start >= size:
                break
            start = max(start, last)
        if part.outside + part.size - start >= size:
            return (IdRange(0, start, size),)
    raise InvalidRequest(
        f"no {size} subordinate ids in a row are left for --userns auto",
        hint="remove containers that have some, or --userns auto:size=N",
    )


def compose(ranges: Ranges, store: Ranges) -> Ranges:
    """Inside to intermediate and intermediate to host, in one.  Raises InvalidRequest."""
    try:
        return idmap.compose(ranges, store)
    except idmap.MissingId as missing:
        raise InvalidRequest(
            f"an id map needs the intermediate id {missing}, and you have {count(store)}",
            hint="0 is you, 1 and above are your subordinate ids in order",
        ) from None


def custom(uid_texts: tuple[str, ...], gid_texts: tuple[str, ...], store: IdMap) -> IdMap:
    """``--uidmap`` and ``--gidmap``: ``[FLAGS]INSIDE[:OUTSIDE[:COUNT]]``.

    OUTSIDE is an intermediate id, or a host's with ``@``.  Flags: ``+`` changes the usual map instead of
    replacing it; ``u`` and ``g`` say that a line is for one kind only.  Lines of the one kind count for
    the other where that has none.
    """
    uids = [_parse(text, store.uids) for text in uid_texts]
    gids = [_parse(text, store.gids) for text in gid_texts]
    of_uids = [each for each in uids if "g" not in each[0]] + [e for e in gids if "u" in e[0]]
    of_gids = [each for each in gids if "u" not in each[0]] + [e for e in uids if "g" in e[0]]
    if not gid_texts:
        of_gids = [_parse(text, store.gids) for text in uid_texts]
        of_gids = [each for each in of_gids if each[0] != "u" and each[0] != "+u"]
    if not uid_texts:
        of_uids = [_parse(text, store.uids) for text in gid_texts]
        of_uids = [each for each in of_uids if each[0] != "g" and each[0] != "+g"]
    merged = (_merge(of_uids, store.uids), _merge(of_gids, store.gids))
    for ranges, kind in zip(merged, ("uid", "gid"), strict=True):
        if not ranges or ranges[0].inside != 0:
            raise InvalidRequest(
                f"the {kind} map leaves out {kind} 0, which makes the container",
                hint=f"--{kind}map 0:1:1000 --{kind}map 1000:0:1 makes you 1000",
            )
    return IdMap(compose(merged[0], store.uids), compose(merged[1], store.gids), store.writer)


def _parse(text: str, store: Ranges) -> tuple[str, IdRange]:
    flags = ""
    rest = text
    while rest[:1] in ("+", "u", "g"):
        flags, rest = flags + rest[0], rest[1:]
    words = rest.split(":")
    outside = words[1] if len(words) > 1 else words[0]
    is_host = outside.startswith("@")
    numbers = (words[0], outside.removeprefix("@"), words[2] if len(words) > 2 else "1")
    if len(words) > 3 or not all(each.isdigit() for each in numbers) or numbers[2] == "0":
        raise InvalidRequest(
            f"{text!r} is not INSIDE[:OUTSIDE[:COUNT]]", hint="such as 0:1:1000 or +1000:@1000:1"
        )
    inside, middle, size = map(int, numbers)
    if is_host:
        found = idmap.to_inside(store, middle)
        if found is None:
            raise InvalidRequest(f"{text!r}: id {middle} of the host is not yours to map")
        middle = found
    return flags, IdRange(inside, middle, size)


def _merge(given: list[tuple[str, IdRange]], store: Ranges) -> Ranges:
    """The lines together; with ``+`` what they leave of the usual map as well."""
    ranges = [each for _, each in given]
    if not ranges or any("+" in flags for flags, _ in given):
        usual = [IdRange(0, 0, count(store))]
        for each in ranges:
            usual = [p for u in usual for p in _cut(u, u.inside, each.inside, each.size)]
            usual = [p for u in usual for p in _cut(u, u.outside, each.outside, each.size)]
        ranges += usual
    ranges.sort()
    end = 0
    for each in ranges:
        if each.inside < end:
            raise InvalidRequest(f"an id map has id {each.inside} of the container twice")
        end = each.inside + each.size
    return tuple(ranges)


def _cut(whole: IdRange, start: int, first: int, size: int) -> list[IdRange]:
    """``whole``, which begins at ``start`` on one of its sides, without ``size`` ids from ``first`` there."""
    before = max(0, min(whole.size, first - start))
    after = max(0, min(whole.size, start + whole.size - first - size))
    pieces = []
    if before:
        pieces.append(whole._replace(size=before))
    if after:
        offset = whole.size - after
        pieces.append(IdRange(whole.inside + offset, whole.outside + offset, after))
    return pieces
