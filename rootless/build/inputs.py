"""What steps read, identified: files of contexts by content, layers by chain ID, downloads by digest."""

from __future__ import annotations

import os

from rootless.build.patterns import escaped
from rootless.build.steps import CopyStep, Download, GitCheckout, RunStep, Step, TreeFiles
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.downloads import Fetched
    from rootless.build.git import Checkout
    from rootless.build.selection import Entry, View
    from rootless.build.steps import RunMount, Tree
    from rootless.build.trees import Trees
    from rootless.build.workshop import Workshop


class Inputs:
    """Looks at what the steps of a stage read; remembers what it fetched."""

    def __init__(self, workshop: Workshop, trees: Trees):
        self._workshop = workshop
        self._trees = trees
        self._fetched: dict[Download, Fetched] = {}
        self._checkouts: dict[GitCheckout, Checkout] = {}

    def digests(self, step: Step, contents: dict[str, str], *, by_content: bool) -> list[str]:
        """A digest for each mount or source, "" where there is nothing to read.

        ``contents`` receives the digests of single files.  With ``by_content`` layers are read too.
        """
        match step:
            case RunStep(mounts=mounts):
                return [self._mount(mount, contents) for mount in mounts]
            case CopyStep(sources=sources):
                return [
                    self._source(step, source, contents, by_content=by_content)
                    for source in sources
                ]
            case _:
                return []

    def reads_layers(self, step: CopyStep) -> bool:
        """Whether files of a stage or an image are copied."""
        return any(
            isinstance(source, TreeFiles) and self._trees.identity(source.tree)
            for source in step.sources
        )

    def fetched(self, download: Download) -> Fetched:
        """A download, done at most once."""
        if download not in self._fetched:
            from rootless.build import downloads

            place = f"{self._workshop.scratch}/download-{len(self._fetched)}-{os.getpid()}"
            self._fetched[download] = downloads.fetch(download, self._workshop.paths, place)
        return self._fetched[download]

    def checkout(self, source: GitCheckout) -> Checkout:
        """A git checkout, done at most once."""
        if source not in self._checkouts:
            from rootless.build import git

            if _is_ssh(source.url) and "default" not in self._workshop.settings.ssh:
                raise InvalidRequest(
                    f"{source.url} needs the caller's ssh keys", hint="allow it with --ssh default"
                )
            place = f"{self._workshop.scratch}/git-{len(self._checkouts)}-{os.getpid()}"
            self._checkouts[source] = git.check_out(source, place, as_caller=False)
        return self._checkouts[source]

    def _mount(self, mount: RunMount, contents: dict[str, str]) -> str:
        if mount.type == "cache":
            return self._trees.identity(mount.tree)
        if mount.type != "bind":
            return ""
        return self._trees.identity(mount.tree) or self._context(
            mount.tree, (escaped(mount.source),), contents
        )

    def _source(
        self, step: CopyStep, source: object, contents: dict[str, str], *, by_content: bool
    ) -> str:
        match source:
            case Download():
                return self.fetched(source).digest
            case GitCheckout():
                return self.checkout(source).commit
            case TreeFiles(tree=tree, patterns=patterns):
                identity = self._trees.identity(tree)
                if identity and not by_content:
                    return identity
                if not identity:
                    return self._context(tree, patterns, contents, step)
                return self._layers(tree, patterns, step)
            case _:
                return ""

    def _context(
        self,
        tree: Tree,
        patterns: tuple[str, ...],
        contents: dict[str, str],
        step: CopyStep | None = None,
    ) -> str:
        view = self._trees.opener(tree)()
        try:
            return _identify(view, patterns, step, self._workshop.digests, contents)
        finally:
            os.close(view.root)

    def _layers(self, tree: Tree, patterns: tuple[str, ...], step: CopyStep) -> str:
        from rootless.userns import enter

        open_view = self._trees.opener(tree)
        return enter.call(
            lambda: _identify(open_view(), patterns, step, None, None),
            self._workshop.id_map,
            mount_namespace=True,
        )


def _is_ssh(url: str) -> bool:
    return url.startswith("ssh:") or "://" not in url


def _identify(
    view: View,
    patterns: tuple[str, ...],
    step: CopyStep | None,
    content: Callable[[Entry], str] | None,
    parts: dict[str, str] | None,
) -> str:
    from rootless.build.fingerprint import fingerprint
    from rootless.build.selection import select

    parents = step is not None and step.parents
    items = [item for pattern in patterns for item in select(view, pattern, parents=parents)]
    excludes = step.excludes if step is not None else ()
    return fingerprint(view, items, excludes, content=content, parts=parts)
