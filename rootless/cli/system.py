"""``version``, ``info`` and what looks after the store."""

from __future__ import annotations

from rootless.cli import output
from rootless.engine import Engine


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


def info(*, format: str | None = None) -> None:
    """Show what this host can do and what was chosen."""
    from rootless.engine.info import info as facts_of

    facts = facts_of(Engine.open())
    if format is None:
        output.outline(facts)
    else:
        output.document(facts, format)


def unshare(args: tuple[str, ...] = ()) -> int:
    """Run a program as root of the user namespace, for files of subordinate ids."""
    import os

    from rootless.engine import housekeeping

    return housekeeping.unshare(Engine.open(), args or (os.environ.get("SHELL") or "/bin/sh",))


def system_reset(*, force: bool = False) -> int:
    """Remove everything that was ever stored."""
    from rootless.engine import housekeeping

    question = "Remove all containers, images, volumes and caches?"
    if not force and not output.confirm(question):
        return 1
    housekeeping.reset()
    return 0


def system_check(
    *, repair: bool = False, quick: bool = False, force: bool = False, format: str | None = None
) -> int:
    """Verify everything that is stored."""
    from rootless.cli import system_rows as rows
    from rootless.cli.reporting import Reporting
    from rootless.engine.check import CheckRequest, check

    with Reporting() as report:
        checked = check(Engine.open(), CheckRequest(repair, quick, force), report)
    if format is None:
        rows.show_checked(checked, repair=repair)
    else:
        output.document(rows.checked_document(checked), format)
    return 1 if checked.findings else 0
