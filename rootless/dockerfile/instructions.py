"""The Dockerfile language as values: one class per instruction, words as written (unexpanded).

What works on them, each pure::

    parser.parse(text, *, name="Dockerfile") -> Dockerfile
    parser.parse_trigger(expression, *, escape, origin) -> Instruction     an ONBUILD of the base image
    expansion.expand_instruction(instruction, variables, *, escape="\\") -> Instruction
    expansion.expand_base(base, variables, *, escape="\\") -> From
    arguments.*                                                           what ARG means, where
    lint.lint(dockerfile, ...) -> tuple[LintWarning, ...]
"""

from __future__ import annotations

import re
from bisect import bisect_right

from rootless.typed import NamedTuple, TypeAlias

_LEADING_TABS = r"(?m)^\t+"


class Origin(NamedTuple):
    """Where an instruction stands in its file, for messages, history and the linter."""

    name: str = "Dockerfile"
    line: int = 0  # of the keyword; counted from 1
    end_line: int = 0  # of the last continuation or heredoc terminator
    source: str = ""  # the instruction on one line: continuations joined, comments dropped, trimmed
    comments: tuple[str, ...] = ()  # the comment lines directly above, without "#"
    pieces: tuple[tuple[int, int, int], ...] = ()  # (offset in source, line, column) of each part

    def at(self, offset: int) -> tuple[int, int]:
        """The line and column (from 1) of a character of ``source``."""
        index = bisect_right(self.pieces, offset, key=lambda piece: piece[0]) - 1
        if index < 0:
            return self.line, 1
        start, line, column = self.pieces[index]
        return line, column + offset - start


NOWHERE = Origin()


class Heredoc(NamedTuple):
    """A document inside the Dockerfile: ``<<NAME``, ``<<-NAME``, ``<<"NAME"``."""

    name: str
    content: str  # as written, with the tabs that ``<<-`` removes
    expand: bool = True  # no part of the name was quoted
    strip_tabs: bool = False

    @property
    def text(self) -> str:
        """The document without the leading tabs that ``<<-`` asks to remove."""
        return re.sub(_LEADING_TABS, "", self.content) if self.strip_tabs else self.content


class InlineFile(NamedTuple):
    """A heredoc that COPY or ADD turns into a file."""

    path: str
    content: str
    expand: bool = True


class Mount(NamedTuple):
    """One ``RUN --mount``.  Until expanded, only ``text`` and ``from_name`` can be relied upon.

    None and "" mean "not given": the executor owns the defaults that depend on the type.
    """

    text: str
    type: str = "bind"  # bind cache tmpfs secret ssh
    from_name: str = ""  # stage, image or named context; never holds a variable
    source: str = ""
    target: str = ""
    read_only: bool = True
    size_bytes: int = 0
    id: str = ""
    sharing: str = ""  # shared private locked
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class Device(NamedTuple):
    """One ``RUN --device``: a CDI device, or class, by name."""

    name: str
    required: bool = False


class From(NamedTuple):
    """``FROM [--platform=P] IMAGE [AS NAME]``; ``image`` may be an earlier stage or ``scratch``."""

    image: str
    name: str | None = None  # lower case, as stages are found regardless of case
    platform: str = ""
    origin: Origin = NOWHERE


class Run(NamedTuple):
    """``RUN``; in shell form ``command`` is one string for the shell, or none at all."""

    command: tuple[str, ...]
    shell: bool = True
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: str = "default"  # default none host
    security: str = "sandbox"  # sandbox insecure
    devices: tuple[Device, ...] = ()
    origin: Origin = NOWHERE


class Copy(NamedTuple):
    """``COPY``; everything a path can be, from the context, a stage, an image or a heredoc."""

    sources: tuple[str, ...]
    target: str
    inline: tuple[InlineFile, ...] = ()
    from_name: str = ""  # stage name or number, image or named context; "" is the build context
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    origin: Origin = NOWHERE


class Add(NamedTuple):
    """``ADD``; like COPY from the context, plus URLs, git repositories and archives."""

    sources: tuple[str, ...]
    target: str
    inline: tuple[InlineFile, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    unpack: bool | None = None  # None: local archives are, downloaded ones are not
    keep_git_dir: bool | None = None
    origin: Origin = NOWHERE


class Env(NamedTuple):
    """``ENV K=V ...``, or the legacy ``ENV K V``."""

    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False
    origin: Origin = NOWHERE


class Label(NamedTuple):
    """``LABEL K=V ...``, or the legacy ``LABEL K V``."""

    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False
    origin: Origin = NOWHERE


class Arg(NamedTuple):
    """``ARG NAME[=DEFAULT] ...``; no default is not the same as an empty one."""

    pairs: tuple[tuple[str, str | None], ...]
    origin: Origin = NOWHERE


class Workdir(NamedTuple):
    """``WORKDIR PATH``."""

    path: str
    origin: Origin = NOWHERE


class User(NamedTuple):
    """``USER NAME[:GROUP]``."""

    user: str
    origin: Origin = NOWHERE


class Cmd(NamedTuple):
    """``CMD``; see Run for ``command`` and ``shell``."""

    command: tuple[str, ...]
    shell: bool = True
    origin: Origin = NOWHERE


class Entrypoint(NamedTuple):
    """``ENTRYPOINT``; see Run for ``command`` and ``shell``."""

    command: tuple[str, ...]
    shell: bool = True
    origin: Origin = NOWHERE


class Expose(NamedTuple):
    """``EXPOSE PORT[/PROTOCOL] ...``, sorted; a port may be a range."""

    ports: tuple[str, ...]
    origin: Origin = NOWHERE


class Volume(NamedTuple):
    """``VOLUME PATH ...``."""

    paths: tuple[str, ...]
    origin: Origin = NOWHERE


class Shell(NamedTuple):
    """``SHELL ["executable", ...]``: what shell forms are given to from here on."""

    command: tuple[str, ...]
    origin: Origin = NOWHERE


class StopSignal(NamedTuple):
    """``STOPSIGNAL NAME`` or number."""

    signal: str
    origin: Origin = NOWHERE


class Healthcheck(NamedTuple):
    """``HEALTHCHECK``; zeros mean "inherit or default", as in Docker's image specification."""

    test: tuple[str, ...]  # ("NONE",), ("CMD", argument ...) or ("CMD-SHELL", text)
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0
    origin: Origin = NOWHERE


class Onbuild(NamedTuple):
    """``ONBUILD INSTRUCTION``, kept as text for the Dockerfile that builds on this image."""

    expression: str
    origin: Origin = NOWHERE


class Maintainer(NamedTuple):
    """``MAINTAINER NAME``: deprecated, sets the author."""

    name: str
    origin: Origin = NOWHERE


Instruction: TypeAlias = (
    Run
    | Copy
    | Add
    | Env
    | Label
    | Arg
    | Workdir
    | User
    | Cmd
    | Entrypoint
    | Expose
    | Volume
    | Shell
    | StopSignal
    | Healthcheck
    | Onbuild
    | Maintainer
)


class Stage(NamedTuple):
    """A FROM and what follows it."""

    base: From
    instructions: tuple[Instruction, ...] = ()


class Directives(NamedTuple):
    """The parser directives at the very top of the file."""

    syntax: str = ""
    escape: str = "\\"
    check: str = ""
    line_count: int = 0


class LintWarning(NamedTuple):
    """One remark of the linter; ``rule`` is BuildKit's name of it."""

    rule: str
    message: str
    line: int


class Dockerfile(NamedTuple):
    """A parsed Dockerfile."""

    stages: tuple[Stage, ...]
    global_args: tuple[Arg, ...] = ()  # those before the first FROM
    directives: Directives = Directives()
    warnings: tuple[LintWarning, ...] = ()  # what only the text shows: empty continuation lines
    name: str = "Dockerfile"
