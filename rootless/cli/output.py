"""The only printer: results as tables, JSON or templates on standard output, remarks on standard error."""

from __future__ import annotations

import sys

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rootless.errors import RootlessError
    from rootless.runtime.log import LogRecord

# As docker's tables: cells at least this wide, and so many blanks between them.
_CELL_WIDTH = 10
_GAP = 3


def write(text: str) -> None:
    """One text and a line end on standard output."""
    _put(text if text.endswith("\n") else text + "\n")


def _put(text: str) -> None:
    """Text to standard output; what comes from images cannot talk to a terminal (security.md)."""
    if sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)
    sys.stdout.write(text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def flush() -> None:
    """What was written is seen."""
    sys.stdout.flush()


def clear_screen() -> None:
    """Begin a terminal anew; anything else just goes on."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[2J")


def write_bytes(content: bytes) -> None:
    """Bytes on standard output, after what was written before."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)


def log(records: Iterable[LogRecord], *, timestamps: bool, prefix: str, flush: bool) -> None:
    """What a container wrote, as it wrote it: its own bytes on its own streams."""
    sys.stdout.flush()
    streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    fresh = {1: True, 2: True}
    plain = not (timestamps or prefix)
    last = 1
    for record in records:
        number = record.stream
        stream = streams[number]
        if number != last:  # in the order of the log also where both are one file
            streams[last].flush()
            last = number
        if not plain and fresh[number]:
            stream.write(f"{record.time} {prefix}".encode() if timestamps else prefix.encode())
        stream.write(record.text + b"\n" if record.whole else record.text)
        fresh[number] = record.whole
        if flush:
            stream.flush()
    streams[last].flush()


def complain(message: str, hint: str | None = None) -> None:
    """A failure, and its remedy, on standard error."""
    remedy = f"\nHint: {_one_line(hint)}" if hint else ""
    sys.stderr.write(f"Error: {_one_line(message)}{remedy}\n")


def warn(text: str) -> None:
    """A line that a person should read, on standard error."""
    sys.stderr.write(f"Warning: {_one_line(text)}\n")


def left_out(damaged: Iterable[RootlessError]) -> None:
    """Name what a list had to leave out, with the remedy."""
    for message, hint in dict.fromkeys((each.message, each.hint) for each in damaged):
        warn(f"{message} (remedy: {hint})")


def remark(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(_one_line(text) + "\n")


def _one_line(text: str) -> str:
    """Names come from images and registries: no line end or control character of theirs gets out."""
    if text.isprintable():
        return text
    from rootless.cli.phrases import printable

    return printable(text.replace("\n", "; ").replace("\t", " "))


def listing(
    rows: Iterable[Mapping[str, object]],
    headers: Mapping[str, str],
    *,
    shown: Sequence[str],
    format: str | None = None,
    quiet: str | None = None,
    heading: bool = True,
    documents: Iterable[object] = (),
) -> None:
    """Rows as ``--format`` wants them.

    ``headers`` are the fields that there are, with their titles; ``shown`` those of the usual table;
    ``quiet`` the only field of interest; ``documents`` what JSON shows instead of the rows.
    """
    if format == "json":
        write(to_json(list(documents)))
    elif quiet is not None and not format:
        for row in rows:
            write(str(row[quiet]))
    elif format and not format.startswith("table"):
        template(format, rows)
    else:
        pattern = (format or "").removeprefix("table").strip(" ")
        pattern = pattern or "\t".join(f"{{{{.{field}}}}}" for field in shown)
        cells = [{key: _cell(value) for key, value in row.items()} for row in rows]
        lines = _rendered(pattern, [headers, *cells] if heading else cells)
        _put(table([line.split("\t") for line in lines]))


def template(source: str, values: Iterable[Mapping[str, object]]) -> None:
    """One line for each value."""
    for line in _rendered(source, values):
        write(line + "\n")


def _rendered(source: str, values: Iterable[Mapping[str, object]]) -> list[str]:
    from rootless.cli.template import parse
    from rootless.cli.template_run import Fields, render_all

    # docker replaces these two before it reads a template.
    source = source.replace("\\t", "\t").replace("\\n", "\n")
    nodes = parse(source)
    return [render_all(nodes, Fields(value), source) for value in values]


def document(value: Mapping[str, object], format: str | None = None) -> None:
    """One result: JSON, or what a template makes of it."""
    if format is None or format == "json":
        write(to_json(value))
    else:
        template(format, [value])


def documents(values: Sequence[Mapping[str, object]], format: str | None = None) -> None:
    """What ``inspect`` found: one JSON array, or a line of a template for each."""
    if format is None or format == "json":
        write(to_json(list(values)))
    else:
        template(format, values)


def to_json(value: object) -> str:
    """JSON for people: indented by four."""
    import json

    return json.dumps(value, indent=4, ensure_ascii=False, default=str)


def table(lines: Sequence[Sequence[str]]) -> str:
    """Cells in columns that are as wide as their widest cell."""
    widths: list[int] = []
    for line in lines:
        for column, cell in enumerate(line[:-1]):
            if column == len(widths):
                widths.append(_CELL_WIDTH - _GAP)
            widths[column] = max(widths[column], len(cell))
    text = []
    for line in lines:
        cells = [cell.ljust(widths[i] + _GAP) for i, cell in enumerate(line[:-1])]
        text.append("".join((*cells, line[-1])).rstrip() + "\n")
    return "".join(text)


def _cell(value: object) -> object:
    """A value that breaks no line of a table."""
    if not isinstance(value, str) or value.isprintable():
        return value
    from rootless.cli.phrases import printable

    return printable(value)


def fields(facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max(map(len, facts), default=0) + 1
    for name, value in facts.items():
        write(f"{(name + ':').ljust(width)}  {value}")


def outline(value: Mapping[str, object], depth: int = 0) -> None:
    """A document for people: names and values, what is inside indented."""
    indent = "  " * depth
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            write(f"{indent}{name}:")
            outline(inner, depth + 1)
        elif isinstance(inner, list) and any(isinstance(each, dict) for each in inner):
            write(f"{indent}{name}:")
            for each in inner:
                items = each.items() if isinstance(each, dict) else ()
                write(f"{indent}  - " + ", ".join(f"{k}: {_plain(v)}" for k, v in items))
        else:
            write(f"{indent}{name}: {_plain(inner)}")


def _plain(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case list() | tuple() | dict():
            return ", ".join(map(str, value)) or "-"
        case _:
            return str(value)


def confirm(question: str) -> bool:
    """Ask a person, or a pipe; only "y" or "yes" is yes.  Raises InvalidRequest where nobody answers."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer and not sys.stdin.isatty():
        from rootless.errors import InvalidRequest

        sys.stderr.write("\n")
        raise InvalidRequest("nobody is there to confirm it", hint="--force asks nobody")
    return answer.strip().lower() in ("y", "yes")


def ask(what: str, usual: str | None = None) -> str:
    """A word that a person types.  Raises InvalidRequest where nobody can answer."""
    if not sys.stdin.isatty():
        from rootless.errors import InvalidRequest

        raise InvalidRequest(
            f"nobody is there to give the {what.lower()}", hint="give it as a flag"
        )
    sys.stderr.write(f"{what} ({usual}): " if usual else f"{what}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or usual or ""


def ask_secret(what: str, *, from_stdin: bool = False) -> str:
    """A word that is not shown while it is typed, or all of standard input without its last line end."""
    if from_stdin:
        return sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        return ask(what)
    from getpass import getpass

    return getpass(f"{what}: ", sys.stderr)
