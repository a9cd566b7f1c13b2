"""Hosts that lack something, made by root: a private mount namespace in which the test user runs."""

from __future__ import annotations

import os
import pwd
import shlex

USER = "rootless-test"

# What lacks something of its own and needs no root: each runs the command that follows it.
_INSIDE = ("unshare", "--user", "--map-root-user", "--map-auto")
WORLDS = {
    "single-id": ("unshare", "--user", "--map-root-user"),
    "shared-proc": (
        *(*_INSIDE, "--mount", "sh", "-c"),
        'mount -t tmpfs -o ro mask /proc/fs && exec "$@"',
        "sh",
    ),
    "shared-network": (
        *(*_INSIDE, "sh", "-c"),
        'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"',
        "sh",
    ),
}


class Place:
    """What is different there: shell lines run by root in a mount namespace before the drop.

    With ``user`` None the command stays root.  Nothing of the host's own mounts changes.
    """

    def __init__(self, *lines: str, user: str | None = USER):
        self.lines = lines
        self.user = user

    def command(self, *argv: str) -> tuple[str, ...]:
        script = "; ".join(["set -e", *self.lines, f'exec {shlex.join(self._drop())} "$@"'])
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *argv)

    def _drop(self) -> list[str]:
        if self.user is None:
            return ["env"]
        entry = pwd.getpwnam(self.user)
        ids = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups"]
        return ["setpriv", *ids, "--inh-caps=-all"]


def home_for(user: str, directory: str) -> str:
    """A directory that belongs to the user, below one that everybody may enter."""
    entry = pwd.getpwnam(user)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    return directory


def hidden(*paths: str) -> list[str]:
    """Lines that put an empty file over each path that exists."""
    return [f"if [ -e {path} ]; then mount --bind /dev/null {path}; fi" for path in paths]


def path_without(directory: str, *names: str) -> str:
    """Make ``directory`` a PATH on which everything is but some programs."""
    os.makedirs(directory, exist_ok=True)
    for place in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for name in os.listdir(place) if os.path.isdir(place) else ():
            link = f"{directory}/{name}"
            if name not in names and not os.path.islink(link):
                os.symlink(f"{place}/{name}", link)
    return directory
