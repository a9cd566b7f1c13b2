"""The overview of all commands, without typer: it is what people read first."""

from __future__ import annotations

from rootless.cli.commands import NOUNS, PANELS, resolve, summary, verbs
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_INTRODUCTION = """\
Usage: rootless COMMAND [FLAGS] [ARGUMENTS]

Containers for people without root: no daemon, no setuid, no configuration.
"""
_END = """
rootless COMMAND --help shows the flags of a command.
"""


def help_on(words: Sequence[str]) -> str:
    """All commands, those of a noun such as ``image``, or the flags of one."""
    if not words:
        return _INTRODUCTION + "".join(_panels()) + _END
    if len(words) == 1 and words[0] in NOUNS:
        return _noun(words[0])
    name, _ = resolve(words)
    from rootless.cli import load
    from rootless.cli.typer_reader import help_text

    return help_text(load(name)[0])


def _panels() -> Iterator[str]:
    width = max(len(name) for panel in PANELS.values() for name in panel) + 2
    for title, panel in PANELS.items():
        if panel:
            yield f"\n{title}:\n"
            yield from (_line(name, name, width) for name in panel)


def _line(shown: str, name: str, width: int) -> str:
    return f"  {shown.ljust(width)}{summary(name)}\n"


def _noun(noun: str) -> str:
    """The verbs of a noun, docker's words for our commands among them."""
    known = verbs(noun)
    width = max(map(len, known), default=0) + 2
    lines = (_line(verb, name, width) for verb, name in known.items())
    return f"Usage: rootless {noun} COMMAND [FLAGS] [ARGUMENTS]\n\n" + "".join(lines) + _END
