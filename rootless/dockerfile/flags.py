"""The ``--flag`` of an instruction: which there are, and what they may hold.  Pure."""

from __future__ import annotations

from rootless.dockerfile.problems import did_you_mean, invalid
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.dockerfile.instructions import Origin
    from rootless.dockerfile.syntax import Statement
    from rootless.dockerfile.words import Flag

TEXT, TEXTS, SWITCH = "text", "texts", "switch"

# Every flag of the language.  An instruction that is not here has none.
FLAGS: dict[str, dict[str, str]] = {
    "from": {"platform": TEXT},
    "run": {"mount": TEXTS, "network": TEXT, "security": TEXT, "device": TEXTS},
    "copy": {
        "from": TEXT,
        "chown": TEXT,
        "chmod": TEXT,
        "link": SWITCH,
        "parents": SWITCH,
        "exclude": TEXTS,
    },
    "add": {
        "chown": TEXT,
        "chmod": TEXT,
        "link": SWITCH,
        "exclude": TEXTS,
        "checksum": TEXT,
        "unpack": SWITCH,
        "keep-git-dir": SWITCH,
    },
    "healthcheck": {
        "interval": TEXT,
        "timeout": TEXT,
        "start-period": TEXT,
        "start-interval": TEXT,
        "retries": TEXT,
    },
}


class Given:
    """The flags that a statement was given, checked against the table."""

    def __init__(self, statement: Statement):
        self._keyword = statement.keyword.lower()
        self._known = FLAGS.get(self._keyword, {})
        self._values: dict[str, list[tuple[str, Flag]]] = {}
        self.origin = statement.origin
        for flag in statement.flags:
            self._add(flag)

    def has(self, name: str) -> bool:
        """Whether the flag was given."""
        return name in self._values

    def text(self, name: str) -> str:
        """The value of a flag that may be given once; "" without it."""
        return self._values[name][0][0] if name in self._values else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be repeated."""
        return tuple(value for value, _ in self._values.get(name, ()))

    def switch(self, name: str) -> bool | None:
        """Whether a flag is on or off; None without it."""
        return self.text(name) == "true" if name in self._values else None

    def offset(self, name: str, index: int = 0) -> int:
        """Where the flag stands in the source of the instruction."""
        return self._values[name][index][1].offset if name in self._values else 0

    def _add(self, flag: Flag) -> None:
        shown, equals, value = flag.text.partition("=")
        name = shown[2:]
        kind = self._known.get(name)
        if kind is None:
            raise _unknown(self.origin, flag, self._keyword, self._known)
        if kind != TEXTS and name in self._values:
            raise invalid(self.origin, f"duplicate flag specified: {shown}", offset=flag.offset)
        if kind == SWITCH:
            value = self._switch(shown, value, flag) if equals else "true"
        elif not equals:
            raise self._no_value(shown, flag)
        self._values.setdefault(name, []).append((value, flag))

    def _switch(self, shown: str, value: str, flag: Flag) -> str:
        if not value:
            raise self._no_value(shown, flag)
        if value.lower() not in ("true", "false"):
            raise invalid(
                self.origin,
                f"expecting boolean value for flag {shown}, not: {value}",
                offset=flag.offset,
            )
        return value.lower()

    def _no_value(self, shown: str, flag: Flag) -> Exception:
        return invalid(self.origin, f"missing a value on flag: {shown}", offset=flag.offset)


def _unknown(origin: Origin, flag: Flag, keyword: str, known: dict[str, str]) -> Exception:
    shown = flag.text.partition("=")[0]
    near = did_you_mean(shown[2:], known)
    if near:
        near = near.replace("did you mean ", "did you mean --")
    elif known:
        near = f"{keyword.upper()} has {', '.join(f'--{name}' for name in known)}"
    return invalid(origin, f"unknown flag: {shown}", offset=flag.offset, hint=near)
