"""``version``, ``info`` and what looks after the store."""

from __future__ import annotations

from rootless.cli import output


def version(*, format: str | None = None) -> None:
    """Show the version of rootless and what it runs on."""
    import os
    import sys

    from rootless import __version__

    host = os.uname()
    facts = {
        "Version": __version__,
        "Python": sys.version.split(maxsplit=1)[0],
        "Os": host.sysname.lower(),
        "Arch": host.machine,
        "Kernel": host.release,
    }
    if format is None:
        output.fields(facts)
    else:
        output.document({"Client": facts, **facts}, format)


def help(words: tuple[str, ...] = ()) -> None:
    """Show the commands, or one command's flags."""
    from rootless.cli import help as texts

    output.write(texts.help_on(words))
