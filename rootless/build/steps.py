"""Steps: what a build does to a file system, in order; and the trees they read from.  Pure values.

Instructions that change only the image's configuration have no step.  ``line`` and ``title`` are for people
and take no part in a step's identity (build.keys).
"""

from __future__ import annotations

from rootless.typed import NamedTuple, TypeAlias


class Tree(NamedTuple):
    """A file system that a step may read.

    ``kind`` is ``scratch`` (empty), ``context`` (the build context), ``stage`` (``name`` is its number),
    ``image`` (``name`` is a reference) or ``named`` (``--build-context NAME=directory, git, URL``).
    ``platform`` is the platform of an image, as text.
    """

    kind: str
    name: str = ""
    platform: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "scratch" | "context":
                return self.kind
            case "stage":
                return f"stage {self.name}"
            case _:
                return f"{self.kind} {self.name}"


CONTEXT = Tree("context")
SCRATCH = Tree("scratch")


class RunMount(NamedTuple):
    """One ``RUN --mount``, complete: defaults are filled in, ``target`` is absolute.

    ``type`` is ``bind``, ``cache``, ``tmpfs``, ``secret`` or ``ssh``.
    """

    type: str
    target: str
    tree: Tree = SCRATCH  # bind: what is shown; cache: what a new one starts with
    source: str = "/"
    read_only: bool = True
    id: str = ""
    sharing: str = "shared"
    size_bytes: int = 0
    required: bool = False
    env: str = ""  # a secret that becomes a variable
    mode: int | None = None
    uid: int = 0
    gid: int = 0

    def __str__(self) -> str:
        words = [f"{self.type} on {self.target}" if self.target else self.type]
        if self.type == "bind" or self.tree.kind != "scratch":
            words.append(f"from {self.tree} {self.source}")
        if self.id:
            words.append(f"id {self.id}")
        if self.type == "cache":
            words.append(self.sharing)
        if self.env:
            words.append(f"as ${self.env}")
        if self.type in ("bind", "cache"):
            words.append("ro" if self.read_only else "rw")
        return " ".join(words)


class RunStep(NamedTuple):
    """Run a program in the root filesystem and keep what it changed.

    ``hidden_env`` is for the program only: it is in no key and no history (proxies).  ``script`` is the
    name and text of a heredoc that says its own interpreter; it lies in /dev/pipes while it runs.
    """

    title: str
    line: int
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    mounts: tuple[RunMount, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()
    script: tuple[str, str] | None = None
    hidden_env: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = [f"in {self.cwd}", f"as {self.user or 'root'}"]
        notes += [f"mount {mount}" for mount in self.mounts]
        if self.network != "default":
            notes.append(f"network {self.network}")
        if self.security != "sandbox":
            notes.append(f"security {self.security}")
        notes += [f"device {device}" for device in self.devices]
        return f"run {list(self.args)!r} ({', '.join(notes)})"


class TreeFiles(NamedTuple):
    """Files of a tree: patterns as after COPY, relative to its root."""

    tree: Tree
    patterns: tuple[str, ...]
    unpack: bool = False  # archives among them are unpacked

    def __str__(self) -> str:
        return f"{' '.join(self.patterns)} of {self.tree}{' unpacked' if self.unpack else ''}"


class InlineContent(NamedTuple):
    """A file that the Dockerfile itself holds."""

    path: str
    content: str

    def __str__(self) -> str:
        return f"<<{self.path}"


class Download(NamedTuple):
    """A file from the web."""

    url: str
    name: str  # of the file, where the target is a directory
    checksum: str = ""
    unpack: bool = False

    def __str__(self) -> str:
        return f"{self.url}{' unpacked' if self.unpack else ''}"


class GitCheckout(NamedTuple):
    """The files of a git repository at one commit."""

    url: str
    ref: str = ""
    directory: str = ""
    checksum: str = ""
    keep_git_dir: bool = False
    submodules: bool = True

    def __str__(self) -> str:
        return f"git {self.url}{f'#{self.ref}' if self.ref else ''}"


Source: TypeAlias = TreeFiles | InlineContent | Download | GitCheckout


class CopyStep(NamedTuple):
    """Put files into the root filesystem; ``target`` is absolute and keeps its trailing slash."""

    title: str
    line: int
    sources: tuple[Source, ...]
    target: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = [f"owner {self.chown}"] if self.chown else []
        notes += [f"mode {self.chmod}"] if self.chmod else []
        notes += ["linked"] if self.link else []
        notes += ["with parents"] if self.parents else []
        notes += [f"without {each}" for each in self.excludes]
        copied = ", ".join(str(source) for source in self.sources)
        suffix = f" ({', '.join(notes)})" if notes else ""
        return f"copy {copied} to {self.target}{suffix}"


class WorkdirStep(NamedTuple):
    """Make a directory and its parents where they are missing, owned by the image's user."""

    title: str
    line: int
    path: str
    user: str = ""

    def __str__(self) -> str:
        return f"make directory {self.path}{f' for {self.user}' if self.user else ''}"


Step: TypeAlias = RunStep | CopyStep | WorkdirStep


def trees_of(step: Step) -> tuple[Tree, ...]:
    """The trees that a step reads besides its own root filesystem."""
    match step:
        case RunStep(mounts=mounts):
            return tuple(mount.tree for mount in mounts if mount.type in ("bind", "cache"))
        case CopyStep(sources=sources):
            return tuple(each.tree for each in sources if isinstance(each, TreeFiles))
        case WorkdirStep():
            return ()
