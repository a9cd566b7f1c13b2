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


def system_df(*, verbose: bool = False, format: str | None = None) -> None:
    """Show what the store takes on disk."""
    from rootless.cli import system_rows as rows
    from rootless.engine.disk_usage import disk_usage

    engine = Engine.open()
    usage = disk_usage(engine)
    output.left_out(engine.damaged)
    if not verbose:
        output.listing(
            [rows.usage_row(each) for each in usage.lines],
            rows.USAGE_HEADERS,
            shown=("Type", "TotalCount", "Active", "Size", "Reclaimable"),
            format=format,
            documents=map(rows.usage_document, usage.lines),
        )
    elif format is None:
        rows.show_usage(usage)
    elif format == "json":
        output.document(rows.details_document(usage))
    else:
        output.template(format, [rows.details(usage)])


def system_prune(
    *,
    all: bool = False,
    volumes: bool = False,
    filter: tuple[str, ...] = (),
    force: bool = False,
) -> int:
    """Remove everything that nothing uses."""
    from rootless.cli import system_rows as rows
    from rootless.cli.reporting import Reporting
    from rootless.engine.system_prune import SystemPruneRequest
    from rootless.engine.system_prune import system_prune as prune

    request = SystemPruneRequest(all, volumes, filter)
    if not force:
        for line in rows.prune_warning(request):
            output.remark(line)
        if not output.confirm("Are you sure you want to continue?"):
            return 1
    with Reporting() as report:
        rows.show_pruned(prune(Engine.open(), request, report))
    return 0
