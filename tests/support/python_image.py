"""An image with this host's Python: what attacks are written in that a shell cannot express.

The interpreter, the part of its library that attacks need and the shared libraries of both are packed as
they lie here; a module ``attack`` (``tests/security/attack.py``) comes with them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

from tests.support import oci
from tests.support.images import SHELL_CONFIG, busybox_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.images import Images

PACKAGES = ("collections", "ctypes", "encodings", "importlib", "json", "re")
EXTENSIONS = (
    "_ctypes",
    "_json",
    "_posixsubprocess",
    "_struct",
    "array",
    "fcntl",
    "math",
    "resource",
)
EXTENSIONS += ("_socket", "select", "termios", "_random", "_bisect", "_opcode", "mmap")


def python_image(images: Images, name: str = "python:latest") -> str:
    """Push the image unless it is there; its reference."""
    return images.serve(name, _make, "--format", "oci")


def _make(path: str) -> str:
    layout = oci.Layout(path)
    descriptor = layout.image(
        busybox_layer("python"),
        python_layer(),
        config=SHELL_CONFIG,
        compression="none",
        architecture=oci.host_architecture(),
    )
    layout.tag("image", descriptor)
    return f"oci:{path}:image"


def python_layer() -> bytes:
    """The interpreter as /usr/bin/python3, all files at their own paths."""
    interpreter = os.path.realpath(sys.executable)
    files = {interpreter, *_library_files()}
    for binary in [each for each in files if each == interpreter or each.endswith(".so")]:
        files.update(_shared_libraries(binary))
    entries = (
        [oci.symlink("usr/bin/python3", interpreter)] if interpreter != "/usr/bin/python3" else []
    )
    parents: dict[str, None] = {}
    for file in sorted(files):
        parts = file.strip("/").split("/")[:-1]
        parents.update(dict.fromkeys("/".join(parts[: n + 1]) for n in range(len(parts))))
    tables = os.path.join(
        os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "rootless/runtime"
    )
    attack = os.path.join(os.path.dirname(os.path.dirname(__file__)), "security", "attack.py")
    return oci.tar_of(
        *(oci.directory(parent) for parent in sorted({*parents, "attack"})),
        *(_entry(file) for file in sorted(files)),
        *entries,
        _entry(attack)._replace(name="attack/attack.py"),
        _entry(f"{tables}/syscalls.json")._replace(name="attack/syscalls.json"),
    )


def _entry(path: str) -> oci.Entry:
    status = os.stat(path)
    with open(path, "rb") as file:
        content = file.read()
    # The times are kept because compiled modules are only valid for a source of their time.
    mode = 0o755 if status.st_mode & 0o100 else 0o644
    return oci.Entry(path.lstrip("/"), content, mode=mode, mtime=int(status.st_mtime))


def _library_files() -> Iterator[str]:
    library = sysconfig.get_path("stdlib")
    for directory in (library, *(f"{library}/{name}" for name in PACKAGES)):
        for place in (directory, f"{directory}/__pycache__"):
            for name in os.listdir(place) if os.path.isdir(place) else ():
                if re.fullmatch(r"[\w.-]+\.pyc?", name) and ".opt-" not in name:
                    yield f"{place}/{name}"
    extensions = f"{library}/lib-dynload"
    for name in os.listdir(extensions) if os.path.isdir(extensions) else ():
        if name.partition(".")[0] in EXTENSIONS:
            yield f"{extensions}/{name}"


def _shared_libraries(binary: str) -> list[str]:
    listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(?:=> |^\s*)(/\S+) \(0x", listed, re.MULTILINE)
