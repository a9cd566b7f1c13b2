"""Which paths of a build context an ignore file leaves out; also COPY --exclude and --parents.  Pure.

Patterns are those of ``.dockerignore``: ``*`` and ``?`` and ``[a-z]`` within a component, ``**`` across
components, ``!`` for exceptions.  The last pattern that matches a path, or a directory it lies in,
decides.
"""

from __future__ import annotations

import posixpath
import re

from rootless.dockerfile import globs
from rootless.dockerfile.variables import SPACE
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_WILD = "*?[\\"
_MOST_REMEMBERED = 10_000


def ignore_file_names(dockerfile: str) -> tuple[str, ...]:
    """Where patterns may be written, best first; the first two lie beside the Dockerfile."""
    return (
        f"{dockerfile}.dockerignore",
        f"{dockerfile}.containerignore",
        ".containerignore",
        ".dockerignore",
    )


def read_ignore_file(text: str, *, name: str = ".dockerignore") -> tuple[str, ...]:
    """The patterns of an ignore file, cleaned.  Raises InvalidRequest with the line of a bad one."""
    patterns = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.startswith("#"):
            continue
        pattern = line.strip(SPACE)
        exception = pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip(SPACE)
        if pattern:
            pattern = posixpath.normpath(pattern)
            # The context is the root: /a and a are the same.
            pattern = pattern.lstrip("/").strip(SPACE) or "/"
        if pattern or exception:
            pattern = f"!{pattern}" if exception else pattern
            try:
                _rule(pattern)
            except InvalidRequest as error:
                raise InvalidRequest(
                    f"{name}:{number}:1: {error.message}", hint=error.hint
                ) from None
            patterns.append(pattern)
    return tuple(patterns)


class _Rule(NamedTuple):
    text: str  # without "!"
    exception: bool
    expression: str  # of the whole path
    matcher: re.Pattern[str]


class Ignore:
    """Decide about one path after the other."""

    def __init__(self, patterns: Iterable[str]):
        """Raises InvalidRequest for a pattern that makes no sense."""
        stripped = (pattern.strip(SPACE) for pattern in patterns)
        self._rules = tuple(_rule(pattern) for pattern in stripped if pattern)
        self.has_exceptions = any(rule.exception for rule in self._rules)
        self._directories: dict[str, tuple[bool, ...]] = {}
        # Without exceptions the order does not matter, and one expression answers for all.
        alternatives = "|".join(rule.expression for rule in self._rules)
        self._any = re.compile(rf"(?:{alternatives})(?:/|\Z)", re.DOTALL) if alternatives else None

    def excludes(self, path: str) -> bool:
        """Whether the path, relative to the root and without "..", is left out."""
        path = path.strip("/")
        if not path or path == "." or self._any is None:
            return False
        if not self.has_exceptions:
            return self._any.match(path) is not None
        matches = self._matches(path)
        return self._decide(matches)

    def prunes(self, directory: str) -> bool:
        """Whether the directory and all that can lie below it is left out, so that nobody need look."""
        if not self.excludes(directory):
            return False
        inside = f"{directory.strip('/')}/"
        return not any(
            rule.exception and _may_match_below(rule.text, inside) for rule in self._rules
        )

    def _decide(self, matches: tuple[bool, ...]) -> bool:
        for rule, matched in zip(reversed(self._rules), reversed(matches), strict=True):
            if matched:
                return not rule.exception
        return False

    def _matches(self, path: str) -> tuple[bool, ...]:
        """For each rule, whether it decided about the path or a directory above it."""
        above: tuple[bool, ...] = (False,) * len(self._rules)
        end = path.find("/")
        while end >= 0:
            directory = path[:end]
            known = self._directories.get(directory)
            if known is None:
                known = self._extend(above, directory)
                if len(self._directories) >= _MOST_REMEMBERED:
                    self._directories.clear()
                self._directories[directory] = known
            above = known
            end = path.find("/", end + 1)
        return self._extend(above, path)

    def _extend(self, above: tuple[bool, ...], path: str) -> tuple[bool, ...]:
        """BuildKit asks a rule only if it can change the verdict, and remembers a "no" otherwise."""
        excluded = False
        matches = []
        for rule, inherited in zip(self._rules, above, strict=True):
            matched = inherited or (
                rule.exception == excluded and rule.matcher.fullmatch(path) is not None
            )
            if matched:
                excluded = not rule.exception
            matches.append(matched)
        return tuple(matches)


def _may_match_below(pattern: str, inside: str) -> bool:
    """Whether the part of the pattern before its first wildcard leads into the directory."""
    plain = len(pattern)
    for index, character in enumerate(pattern):
        if character in _WILD:
            plain = index
            break
    if plain < len(pattern):
        return inside.startswith(pattern[:plain]) or pattern[:plain].startswith(inside)
    return pattern.startswith(inside)


def _rule(pattern: str) -> _Rule:
    text = posixpath.normpath(pattern)
    exception = text.startswith("!")
    text = text.removeprefix("!")
    if not text:
        raise InvalidRequest('illegal exclusion pattern: "!"', hint="write what to keep: !path")
    expression = globs.expression(text)
    return _Rule(text, exception, expression, re.compile(expression, re.DOTALL))
