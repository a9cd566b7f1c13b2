"""``RUN --mount``: everything that must be there before the program starts, and go when it has ended.

``prepare`` is the HOST SIDE; what touches trees and owners runs in one child inside the user namespace.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager

from rootless import files
from rootless.build import agent, cache_mounts, stubs
from rootless.build.bind import Bind, bind_of
from rootless.build.runs import PIPES
from rootless.build.trees import read_only
from rootless.errors import InvalidRequest, NotFound
from rootless.runtime.mounted import mount_rootfs
from rootless.runtime.options import Mount
from rootless.typed import TYPE_CHECKING, NamedTuple, cast
from rootless.userns import enter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.build.steps import RunMount, RunStep
    from rootless.build.trees import Trees
    from rootless.build.workshop import Workshop
    from rootless.rootfs import Rootfs

_MAX_SECRET_BYTES = 500 << 10  # BuildKit's limit
_SAFE = ("nosuid", "nodev")


class Prepared(NamedTuple):
    """What a launch is given; ``stubs`` are mount points that the image lacks."""

    mounts: tuple[Mount, ...]
    env: tuple[str, ...]
    stubs: stubs.Stubs


@contextmanager
def prepare(
    step: RunStep, rootfs: Rootfs, *, workshop: Workshop, trees: Trees, bundle: str
) -> Iterator[Prepared]:
    """Make the step's mounts ready; leaving the block takes secrets and sockets away again."""
    with ExitStack() as stack:
        preparation = _Preparation(workshop, trees, bundle, stack)
        mounts = [preparation.mount(each) for each in step.mounts]
        if step.script is not None:
            mounts.append(preparation.script(*step.script))
        given = [each for each in mounts if each is not None]
        targets = [each.target for each in given]
        known = stubs.standard(rootfs)
        if preparation.jobs or targets or known is None:
            known = preparation.inside(rootfs, (*stubs.STANDARD, *targets))
        yield Prepared(tuple(preparation.results(given)), tuple(preparation.env), known)


class _Planned(NamedTuple):
    """A mount whose source is known only after the child has run."""

    target: str
    finish: Callable[[], Mount]


class _Preparation:
    def __init__(self, workshop: Workshop, trees: Trees, bundle: str, stack: ExitStack):
        self._workshop = workshop
        self._trees = trees
        self._bundle = bundle
        self._stack = stack
        self._private = ""
        self._count = 0
        self.env: list[str] = []
        self.jobs: list[Callable[[], object]] = []
        self._answers: list[object] = []

    def mount(self, mount: RunMount) -> Mount | _Planned | None:
        """One mount; None for a secret that is only a variable, or is not there and not required."""
        match mount.type:
            case "tmpfs":
                size = (f"size={mount.size_bytes}",) if mount.size_bytes else ()
                return Mount("tmpfs", "tmpfs", mount.target, (*_SAFE, *size))
            case "secret":
                return self._secret(mount)
            case "ssh":
                return self._agent(mount)
            case "cache":
                return self._cache(mount)
            case _:
                return self._bind(mount)

    def script(self, name: str, content: str) -> Mount:
        """A heredoc that is a program."""
        directory = self._place()
        os.mkdir(directory, 0o755)
        files.write_atomic(f"{directory}/{name}", content.encode(), mode=0o755, durable=False)
        os.chmod(f"{directory}/{name}", 0o755)
        return Mount("bind", directory, PIPES, ("bind", "ro", *_SAFE))

    def inside(self, rootfs: Rootfs, targets: tuple[str, ...]) -> stubs.Stubs:
        """Run the jobs, and look up the mount points."""
        id_map = self._workshop.id_map
        place = f"{self._bundle}/rootfs"
        os.makedirs(place, mode=0o700, exist_ok=True)

        def work() -> tuple[list[object], tuple[tuple[str, ...], ...]]:
            answers = [job() for job in self.jobs]
            root = mount_rootfs(read_only(rootfs), place)
            return answers, tuple(stubs.look_up(root, targets, id_map))

        self._answers, found = enter.call(work, id_map, mount_namespace=True)
        return stubs.Stubs(*found)

    def results(self, mounts: list[Mount | _Planned]) -> list[Mount]:
        """The mounts, now that the jobs are done."""
        return [each.finish() if isinstance(each, _Planned) else each for each in mounts]

    def _job(self, job: Callable[[], object]) -> Callable[[], object]:
        """Have it done inside; what is returned gives its answer afterwards."""
        number = len(self.jobs)
        self.jobs.append(job)
        return lambda: self._answers[number]

    def _place(self) -> str:
        self._count += 1
        return f"{self._bundle}/mount-{self._count}"

    def _secrets_directory(self) -> str:
        """A directory on the run-time file system, which is memory and private."""
        if not self._private:
            scratch = files.scratch(f"{self._workshop.paths.run}/scratch", "build")
            self._private = self._stack.enter_context(scratch)
        return self._private

    def _secret(self, mount: RunMount) -> Mount | None:
        value = self._secret_value(mount)
        if value is None:
            return None
        if mount.env:
            self.env.append(f"{mount.env}={value.decode(errors='surrogateescape')}")
        if not mount.target:
            return None
        self._count += 1
        path = f"{self._secrets_directory()}/{self._count}"
        files.write_atomic(path, value, durable=False)
        os.chmod(path, mount.mode or 0o400)
        if mount.uid or mount.gid:
            self._job(lambda: os.chown(path, mount.uid, mount.gid))
        return Mount("bind", path, mount.target, ("bind", "ro", "noexec", *_SAFE))

    def _secret_value(self, mount: RunMount) -> bytes | None:
        secret = self._workshop.settings.secrets.get(mount.id)
        if secret is None:
            if mount.required:
                raise NotFound(
                    f"the build needs the secret {mount.id}",
                    hint=f"--secret id={mount.id},src=FILE",
                )
            return None
        if secret.variable:
            return os.environb.get(os.fsencode(secret.variable), b"")
        try:
            with open(secret.path, "rb") as file:
                value = file.read(_MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise NotFound(f"cannot read the secret {mount.id}: {error.strerror}") from None
        if len(value) > _MAX_SECRET_BYTES:
            raise InvalidRequest(
                f"the secret {mount.id} is larger than {_MAX_SECRET_BYTES >> 10} KiB"
            )
        return value

    def _agent(self, mount: RunMount) -> Mount | None:
        sources = self._workshop.settings.ssh.get(mount.id)
        if sources is None:
            if mount.required:
                raise NotFound(f"the build needs ssh access {mount.id}", hint=f"--ssh {mount.id}")
            return None
        self._count += 1
        path = f"{self._secrets_directory()}/{self._count}.sock"
        forwarder = agent.forward(path, sources, mode=mount.mode or 0o600)
        self._stack.callback(forwarder.close)
        if mount.uid or mount.gid:
            self._job(lambda: os.chown(path, mount.uid, mount.gid))
        return Mount("bind", path, mount.target, ("bind", *_SAFE))

    def _cache(self, mount: RunMount) -> Mount:
        settings = self._workshop.settings
        cache_id = cache_mounts.full_id(settings.cache_namespace, mount.id)
        cache = cache_mounts.acquire(self._workshop.paths, cache_id, mount.sharing)
        self._stack.callback(cache.release)
        if not os.path.exists(cache.data):
            start = (
                bind_of(mount, self._trees, self._bundle, cache.data) if _has_start(mount) else None
            )
            self._job(lambda: _new_cache(cache.data, mount, start))
        read_only = ("ro",) if mount.read_only else ()
        return Mount("bind", cache.data, mount.target, ("bind", *read_only, *_SAFE))

    def _bind(self, mount: RunMount) -> Mount | _Planned:
        bind = bind_of(mount, self._trees, self._bundle, self._place())
        answer = self._job(bind.resolve)
        return _Planned(
            mount.target, lambda: bind.mount(cast("tuple[str, tuple[str, ...]]", answer()))
        )


def _has_start(mount: RunMount) -> bool:
    return mount.tree.kind != "scratch"


def _new_cache(data: str, mount: RunMount, start: Bind | None) -> None:
    """Make a cache directory with what it starts with (INSIDE the user namespace), unless it is there.

    RUNs that share it begin together; the first one makes it and the others wait.
    """
    with files.lock(f"{os.path.dirname(data)}/making.lock"):
        if os.path.exists(data):
            return
        unfinished = f"{data}.new"
        files.remove_tree(unfinished, missing_ok=True)
        if start is None:
            os.mkdir(unfinished)
        else:
            start.copy_to(unfinished)
        os.chown(unfinished, mount.uid, mount.gid)
        os.chmod(unfinished, mount.mode or 0o755)
        os.rename(unfinished, data)
