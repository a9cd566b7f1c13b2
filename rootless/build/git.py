"""Files of git repositories, by the host's git, which is given no chance to ask or to run anything."""

from __future__ import annotations

import os
import subprocess

from rootless import files
from rootless.build.remotes import is_commit
from rootless.build.selection import View
from rootless.errors import BuildFailed, HostLacks, NotFound
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.build.steps import GitCheckout

_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "LC_ALL": "C",
}
# A repository must not make git read files of the host, run programs, or follow other protocols.
_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.file.allow=user"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "core.symlinks=true"),
    *("-c", "advice.detachedHead=false"),
)


class Checkout(NamedTuple):
    """A directory with the files of a commit."""

    directory: str
    commit: str

    def view(self) -> View:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return View(os.open(self.directory, flags), "git repository", anonymous=True)


def check_out(source: GitCheckout, place: str) -> Checkout:
    """Make a checkout at ``place``.  Raises BuildFailed with git's own words."""
    os.mkdir(place, 0o700)
    _git(place, "init", "--quiet")
    _git(place, "remote", "add", "origin", "--", source.url)
    _fetch(source, place)
    _git(place, "checkout", "--quiet", "--force", "FETCH_HEAD")
    commit = _git(place, "rev-parse", "HEAD").strip()
    if source.checksum and not commit.startswith(source.checksum):
        raise BuildFailed(f"{source.url} is at commit {commit}, not {source.checksum}")
    if source.submodules and os.path.exists(f"{place}/.gitmodules"):
        _git(place, "submodule", "update", "--init", "--recursive", "--depth=1", "--quiet")
    if not source.keep_git_dir:
        files.remove_tree(f"{place}/.git")
    _normalise_modes(place)
    return Checkout(_below(place, source.directory), commit)


def _fetch(source: GitCheckout, place: str) -> None:
    ref = source.ref or "HEAD"
    try:
        _git(place, "fetch", "--quiet", "--depth=1", "origin", ref)
    except BuildFailed:
        # Many servers give a single commit only together with what leads to it.
        if not is_commit(ref) and not source.checksum:
            raise
        _git(place, "fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        _git(place, "update-ref", "--no-deref", "FETCH_HEAD", ref)


def _below(place: str, directory: str) -> str:
    if not directory:
        return place
    real = os.path.realpath(f"{place}/{directory}")
    if not os.path.isdir(real) or os.path.commonpath(
        (real, os.path.realpath(place))
    ) != os.path.realpath(place):
        raise NotFound(f"the repository has no directory {directory}")
    return real


def _normalise_modes(place: str) -> None:
    """The modes that git knows, whatever the caller's umask makes of them."""
    for directory, _, names in os.walk(place):
        os.chmod(directory, 0o755)
        for name in names:
            path = f"{directory}/{name}"
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)


def _git(place: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", place, *_OPTIONS, *arguments],
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise HostLacks(
            "git is not installed", hint="an administrator can: apt-get install git"
        ) from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise BuildFailed(f"git {arguments[0]}: {words[-1] if words else 'failed'}")
    return done.stdout.decode(errors="replace")
