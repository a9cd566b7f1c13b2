"""Files of git repositories, by the host's git, which is given no chance to ask or to run anything."""

from __future__ import annotations

import os
import subprocess

from rootless import files
from rootless.build.remotes import is_commit
from rootless.build.selection import View
from rootless.errors import BuildFailed, HostLacks, InvalidRequest, NotFound
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.build.steps import GitCheckout

_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "LC_ALL": "C",
}
_STRANGER = {
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ASKPASS": "/bin/false",
    "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
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


def check_out(source: GitCheckout, place: str, *, as_caller: bool = True) -> Checkout:
    """Make a checkout at ``place``.  Raises BuildFailed with git's own words.

    Without ``as_caller`` git finds neither the caller's configuration nor passwords, and no repository of
    the host: for addresses that a Dockerfile names, which may be anybody's.
    """
    if source.ref.startswith("-"):
        raise InvalidRequest(f"{source.ref} is no branch, tag or commit of {source.url}")
    os.mkdir(place, 0o700)
    git = _Git(place, as_caller=as_caller)
    git("init", "--quiet")
    git("remote", "add", "origin", "--", source.url)
    _fetch(source, git)
    git("checkout", "--quiet", "--force", "FETCH_HEAD")
    commit = git("rev-parse", "HEAD").strip()
    if source.checksum and not commit.startswith(source.checksum):
        raise BuildFailed(f"{source.url} is at commit {commit}, not {source.checksum}")
    if source.submodules and os.path.exists(f"{place}/.gitmodules"):
        git("submodule", "update", "--init", "--recursive", "--depth=1", "--quiet")
    if not source.keep_git_dir:
        files.remove_tree(f"{place}/.git")
    _normalise_modes(place)
    return Checkout(_below(place, source.directory), commit)


def _fetch(source: GitCheckout, git: _Git) -> None:
    ref = source.ref or "HEAD"
    try:
        git("fetch", "--quiet", "--depth=1", "origin", ref)
    except BuildFailed:
        # Many servers give a single commit only together with what leads to it.
        if not is_commit(ref) and not source.checksum:
            raise
        git("fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        git("update-ref", "--no-deref", "FETCH_HEAD", ref)


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


class _Git:
    """Runs git in one directory."""

    def __init__(self, place: str, *, as_caller: bool):
        self._place = place
        self._environment = {**os.environ, **_ENVIRONMENT, **({} if as_caller else _STRANGER)}

    def __call__(self, *arguments: str) -> str:
        """What it printed.  Raises BuildFailed with its last words."""
        try:
            done = subprocess.run(
                ["git", "-C", self._place, *_OPTIONS, *arguments],
                env=self._environment,
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
