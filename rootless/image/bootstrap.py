"""The embedded default: a root filesystem made of this host's own binaries and the libraries they need.

A static busybox where the host has one; otherwise the host's shell and small commands with the loader
and exactly the shared libraries that it names for them.  HOST SIDE, reads only.
"""

from __future__ import annotations

import io
import os
import tarfile

from rootless.errors import HostLacks
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = [
    "sh",
    "basename",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "df",
    "dirname",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "ln",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "printf",
    "ps",
    "pwd",
    "rm",
    "rmdir",
    "sed",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "wc",
    "whoami",
    "xargs",
    "tar",
    "gzip",
]
_ELF = b"\x7fELF"
_PT_INTERP = 3
_DIRECTORIES = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class Tree(NamedTuple):
    """What goes into the image: files by their path inside, and links."""

    files: dict[str, str]  # path inside -> path on the host
    links: dict[str, str]  # path inside -> text of the link
    description: str


def choose(path: str) -> Tree:
    """The best tree for the programs on ``path`` (as in PATH).  Raises HostLacks without a shell."""
    busybox = _find("busybox", path)
    if busybox is not None and _interpreter(busybox) is None:
        return _of_busybox(busybox)
    return _of_commands(path)


def _of_busybox(program: str) -> Tree:
    import subprocess

    answer = subprocess.run([program, "--list"], capture_output=True, text=True, check=False)
    names = [name for name in answer.stdout.split() if name != "busybox" and "/" not in name]
    links = {f"bin/{name}": "busybox" for name in names or ["sh", "echo", "cat", "ls"]}
    return Tree({"bin/busybox": program}, links, f"the static {program} of this host")


def _of_commands(path: str) -> Tree:
    files: dict[str, str] = {}
    for name in COMMANDS:
        program = _find(name, path)
        if program is None:
            continue
        files[f"bin/{name}"] = program
        for library in _libraries(program):
            files[library.lstrip("/")] = os.path.realpath(library)
    if "bin/sh" not in files:
        raise HostLacks("this host has no sh on PATH to make an image of", hint="set PATH")
    return Tree(files, {}, f"{len(files)} programs and libraries of this host")


def _find(name: str, path: str) -> str | None:
    for directory in path.split(":"):
        found = f"{directory}/{name}"
        if directory and os.path.isfile(found) and os.access(found, os.X_OK | os.R_OK):
            return os.path.realpath(found)
    return None


def _interpreter(program: str) -> str | None:
    """The loader that an ELF file asks for (PT_INTERP, elf(5)); None for a static one or a script."""
    with open(program, "rb") as file:
        header = file.read(64)
        if header[:4] != _ELF or header[4] != 2 or header[5] != 1:  # 64 bit, little-endian
            return None
        table, size, count = (
            int.from_bytes(header[32:40], "little"),
            int.from_bytes(header[54:56], "little"),
            int.from_bytes(header[56:58], "little"),
        )
        for index in range(count):
            file.seek(table + index * size)
            entry = file.read(size)
            if int.from_bytes(entry[:4], "little") == _PT_INTERP:
                file.seek(int.from_bytes(entry[8:16], "little"))
                length = int.from_bytes(entry[32:40], "little")
                return file.read(length).rstrip(b"\0").decode()
    return None


def _libraries(program: str) -> Iterator[str]:
    """The loader and the libraries that it would load for a program of this host (ld.so(8), --list)."""
    import subprocess

    loader = _interpreter(program)
    if loader is None:
        return
    yield loader
    answer = subprocess.run(
        [loader, "--list", program], capture_output=True, text=True, check=False
    )
    for line in answer.stdout.splitlines():
        _, arrow, rest = line.partition("=>")
        place = rest.split()[:1] if arrow else []
        if place and place[0].startswith("/"):
            yield place[0]


def write_tar(tree: Tree, *, name: str, version: str) -> bytes:
    """The tree as an uncompressed layer: everything is root's, at the beginning of time, sorted."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        texts = {**_FILES, "etc/os-release": _os_release(name, version, tree.description)}
        directories = {"bin", "dev", "etc", "proc", "sys", "run", *_DIRECTORIES}
        for path in (*tree.files, *tree.links, *texts, *_DIRECTORIES):
            directories.update(_parents(path))
        for path in sorted(directories):
            archive.addfile(_entry(path, tarfile.DIRTYPE, _DIRECTORIES.get(path, 0o755)))
        for path, source in sorted(tree.files.items()):
            _add_file(archive, path, source)
        for path, text in sorted(texts.items()):
            content = text.encode()
            entry = _entry(path, tarfile.REGTYPE, 0o644)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for path, text in sorted(tree.links.items()):
            entry = _entry(path, tarfile.SYMTYPE, 0o777)
            entry.linkname = text
            archive.addfile(entry)
    return target.getvalue()


def _add_file(archive: tarfile.TarFile, path: str, source: str) -> None:
    entry = _entry(path, tarfile.REGTYPE, 0o755)
    with open(source, "rb") as file:
        entry.size = os.fstat(file.fileno()).st_size
        archive.addfile(entry, file)


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.mtime = kind, mode, 0
    return entry


def _parents(path: str) -> set[str]:
    parts = path.split("/")[:-1]
    return {"/".join(parts[: depth + 1]) for depth in range(len(parts))}


def _os_release(name: str, version: str, description: str) -> str:
    """os-release(5): it says what it is, and never the name of a distribution."""
    return (
        'ID=rootless-host-base\nNAME="rootless host base"\n'
        f'VERSION_ID="{version}"\nPRETTY_NAME="{name}: {description}"\n'
    )
