"""Where a build's files come from: directory, standard input, web address, git - to local directories."""

from __future__ import annotations

import os
import sys

from rootless import files
from rootless.build.context import Context, find_dockerfile, open_context, read_text
from rootless.build.remotes import git_checkout, is_web_address
from rootless.build.steps import Download
from rootless.errors import InvalidRequest, NotFound
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine.build_requests import BuildRequest
    from rootless.paths import Paths

_MAX_DOCKERFILE_BYTES = 16 << 20


class Source(NamedTuple):
    """A build's context and the text of its Dockerfile; ``name`` is how errors call it."""

    context: Context
    text: str
    name: str


def open_source(request: BuildRequest, paths: Paths, scratch: str) -> Source:
    """Bring the context here and read the Dockerfile.  Raises NotFound, InvalidRequest and others."""
    if request.context == "-":
        return _standard_input(request, scratch)
    if request.context.startswith("/"):
        return _directory(request, request.context)
    checkout = git_checkout(request.context)
    if checkout is not None:
        from rootless.build import git

        fetched = git.check_out(checkout, f"{scratch}/context")
        return _directory(request, fetched.directory)
    if is_web_address(request.context):
        from rootless.build import downloads

        name = "Dockerfile"
        got = downloads.fetch(Download(request.context, name), paths, f"{scratch}/fetched")
        return _stream(request, got.path, scratch)
    return _directory(request, request.context)


def open_directory(value: str, kind: str, paths: Paths, scratch: str) -> str:
    """The local directory that a named context means."""
    if kind == "directory":
        if not os.path.isdir(value):
            raise NotFound(f"the build context {value} is no directory")
        return os.path.abspath(value)
    place = f"{scratch}/named-{files.random_name(4)}"
    from rootless.build import downloads, git

    if kind == "git":
        checkout = git_checkout(value)
        assert checkout is not None
        return git.check_out(checkout, place).directory
    got = downloads.fetch(Download(value, "context"), paths, f"{place}.file")
    os.mkdir(place, 0o700)
    if not _unpack(got.path, place):
        os.link(got.path, f"{place}/{os.path.basename(value) or 'context'}")
    return place


def _directory(request: BuildRequest, directory: str) -> Source:
    if not os.path.isdir(directory):
        raise NotFound(f"the build context {directory} is no directory")
    if request.file == "-":
        content = _read_standard_input()
        text, path, name = _text(content), None, "Dockerfile"
    else:
        path = find_dockerfile(directory, request.file)
        text = read_text(path)
        name = os.path.relpath(path, directory)
        name = path if name.startswith("..") else name
    return Source(open_context(directory, path, request.ignorefile), text, name)


def _standard_input(request: BuildRequest, scratch: str) -> Source:
    if request.file == "-":
        raise InvalidRequest("the context and the Dockerfile cannot both come from standard input")
    path = f"{scratch}/stdin"
    with open(path, "wb") as target:
        while chunk := os.read(0, 1 << 20):
            target.write(chunk)
    return _stream(request, path, scratch)


def _stream(request: BuildRequest, path: str, scratch: str) -> Source:
    """A tar is the context; anything else is a Dockerfile, whose build has no context."""
    directory = f"{scratch}/context"
    os.mkdir(directory, 0o700)
    if _unpack(path, directory):
        return _directory(request, directory)
    if request.file is not None:
        raise InvalidRequest("-f needs a context that is a directory, a tar or a repository")
    with open(path, "rb") as file:
        text = _text(file.read(_MAX_DOCKERFILE_BYTES + 1))
    return Source(Context(None), text, "Dockerfile")


def _unpack(path: str, directory: str) -> bool:
    """Unpack a tar as the caller: owners mean nothing in a build context."""
    from rootless.build.placement import Placement
    from rootless.build.selection import ROOT
    from rootless.build.unpack import unpack_archive
    from rootless.storage.attributes import Owners
    from rootless.userns.idmap import single

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owners = Owners(single(os.getuid(), os.getgid()))
        placement = Placement(root, owners=owners, owner=ROOT, keep_owners=False)
        found = unpack_archive(fd, placement, "/")
        placement.finish()
        return found
    finally:
        os.close(fd)
        os.close(root)


def _read_standard_input() -> bytes:
    if sys.stdin is None:
        raise InvalidRequest("there is no standard input")
    return sys.stdin.buffer.read(_MAX_DOCKERFILE_BYTES + 1)


def _text(content: bytes) -> str:
    if len(content) > _MAX_DOCKERFILE_BYTES:
        raise InvalidRequest("the Dockerfile is too large")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the Dockerfile is not UTF-8 text") from None
