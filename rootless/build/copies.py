"""COPY and ADD as a step: what each source is, where it goes.  Pure."""

from __future__ import annotations

import posixpath

from rootless.build.remotes import file_name, git_checkout, is_web_address
from rootless.build.steps import (
    CONTEXT,
    CopyStep,
    Download,
    GitCheckout,
    InlineContent,
    Source,
    Tree,
    TreeFiles,
)
from rootless.dockerfile.instructions import Add, Copy
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def copy_step(instruction: Copy | Add, *, cwd: str, find_tree: Callable[[str], Tree]) -> CopyStep:
    """The step for an expanded COPY or ADD."""
    sources = (
        _add_sources(instruction)
        if isinstance(instruction, Add)
        else _copy_sources(instruction, find_tree)
    )
    inline = tuple(InlineContent(each.path, each.content) for each in instruction.inline)
    return CopyStep(
        title=instruction.origin.source,
        line=instruction.origin.line,
        sources=(*sources, *inline),
        target=target_path(instruction.target, cwd),
        chown=instruction.chown,
        chmod=instruction.chmod,
        link=instruction.link,
        parents=isinstance(instruction, Copy) and instruction.parents,
        excludes=instruction.excludes,
    )


def target_path(target: str, cwd: str) -> str:
    """The absolute target; it ends with a slash where it must be a directory."""
    path = posixpath.normpath(posixpath.join("/", cwd, target)).replace("//", "/")
    is_directory = target.endswith(("/", "/.", "/..")) or target in ("", ".", "..")
    return path + "/" if is_directory and path != "/" else path


def _copy_sources(copy: Copy, find_tree: Callable[[str], Tree]) -> tuple[Source, ...]:
    for source in copy.sources:
        if git_checkout(source) or is_web_address(source):
            raise InvalidRequest(f"COPY takes local files; {source} needs ADD")
    if not copy.sources:
        return ()
    return (TreeFiles(find_tree(copy.from_name), copy.sources),)


def _add_sources(add: Add) -> tuple[Source, ...]:
    if add.checksum and (len(add.sources) != 1 or not _is_remote(add.sources[0])):
        raise InvalidRequest(
            "ADD --checksum needs exactly one source, a web address or a git repository"
        )
    return tuple(_add_source(add, source) for source in add.sources)


def _is_remote(source: str) -> bool:
    return git_checkout(source) is not None or is_web_address(source)


def _add_source(add: Add, source: str) -> Source:
    checkout = git_checkout(source)
    if checkout is not None:
        return _git_source(add, checkout)
    if is_web_address(source):
        name = file_name(source)
        if not name and add.target.endswith("/"):
            raise InvalidRequest(f"{source} has no file name for the directory {add.target}")
        return Download(source, name or "__unnamed__", add.checksum, unpack=bool(add.unpack))
    # Archives from the context are unpacked unless told otherwise; downloaded ones are not.
    return TreeFiles(CONTEXT, (source,), unpack=add.unpack is not False)


def _git_source(add: Add, checkout: GitCheckout) -> GitCheckout:
    if checkout.url.startswith("file:"):
        raise InvalidRequest(
            "ADD cannot name a repository of the host",
            hint="--build-context NAME=git+file://... and COPY --from=NAME",
        )
    if add.checksum and checkout.checksum and add.checksum != checkout.checksum:
        raise InvalidRequest(f"two different checksums for {checkout.url}")
    if add.checksum:
        checkout = checkout._replace(checksum=add.checksum)
    if add.keep_git_dir is not None:
        checkout = checkout._replace(keep_git_dir=add.keep_git_dir)
    return checkout
