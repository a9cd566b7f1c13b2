"""Mounts: the same flags to us and to podman, and the same to be seen inside and on the host.

Where we differ on purpose, the case says why, and what podman shows must indeed be something else.
"""

from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

import pytest

from tests.support.cli import remove_as_owner

DOCKERFILE = """\
FROM {base}
RUN mkdir -p /srv/data/below && echo seed >/srv/data/seed && chown -R 7:8 /srv/data && chmod 2750 /srv/data
VOLUME /declared
"""
POINT = "grep ' /x ' /proc/self/mountinfo | tail -n 1"
FLAGS = POINT + " | cut -d' ' -f6 | tr , '\\n' | grep -E '^(ro|rw|nosuid|nodev|noexec)$'"
PEER = POINT + " | cut -d' ' -f7 | grep -oE '^(shared|master|-)'"
OWNER = "stat -c '%u:%g %a' /x"


class Case(NamedTuple):
    """``flags`` have D for a directory of the host and V for a volume; ``after`` runs on the host in D."""

    name: str
    flags: str
    script: str
    after: str = ""
    differs: str = ""


CASES = (
    Case("bind", "-v D:/x", "ls /x; echo new >/x/new", "cat new"),
    Case("bind read-only", "-v D:/x:ro", "cat /x/file; echo >/x/new", "ls"),
    Case("bind one file", "-v D/file:/x", "cat /x; echo more >>/x", "cat file"),
    Case("bind one file read-only", "-v D/file:/x:ro", "cat /x; echo more >>/x", "cat file"),
    Case("bind flags", "-v D:/x:noexec,nosuid,nodev", FLAGS),
    Case("bind by --mount", "--mount type=bind,source=D,target=/x,readonly", FLAGS),
    Case("bind missing by --mount", "--mount type=bind,source=D/none,target=/x", "true"),
    Case("bind missing by -v", "-v D/none:/x", "true", "ls", differs="a directory is made, as docker does it"),
    Case("bind into a directory of the image", "-v D:/srv/data", "ls /srv/data"),
    Case("bind below another", "-v D:/x -v D/sub:/x/sub2", "ls /x/sub2", "ls"),
    Case("bind subpath", "--mount type=bind,source=D,target=/x,subpath=sub", "ls /x", differs="podman has it for volumes and images only"),
    Case("propagation default", "-v D:/x", PEER),
    Case("propagation private", "-v D:/x:private", PEER),
    Case("propagation rslave", "-v D:/x:rslave", PEER),
    Case("propagation rshared", "-v D:/x:rshared", PEER),
    Case("chown", "--userns host -u 33:44 -v D:/x:U", "stat -c '%u:%g' /x /x/file /x/sub/deep", "stat -c %u . file"),
    Case("overlay", "-v D:/x:O", "echo new >/x/new; rm /x/file; ls /x; " + OWNER, "ls"),
    Case("overlay read by a user", "--userns host -u 1000 -v D:/x:O", "ls /x; touch /x/mine"),
    Case("overlay of files given away", "--userns host -u 33:44 -v D:/x:U,O", "stat -c '%u:%g' /x /x/file /x/sub/deep; touch /x/new; ls /x", "stat -c %u . file; ls"),
    Case("volume new", "-v V:/x", OWNER + "; touch /x/a; ls /x"),
    Case("volume of a user", "-u 1000:10 -v V:/x", OWNER + "; touch /x/a"),
    Case("volume copy-up", "-v V:/srv/data", "stat -c '%u:%g %a %n' /srv/data /srv/data/seed; ls /srv/data"),
    Case("volume nocopy", "-v V:/srv/data:nocopy", "ls /srv/data; stat -c '%u:%g %a' /srv/data"),
    Case("volume read-only", "-v V:/srv/data:ro", "ls /srv/data; touch /srv/data/x"),
    Case("volume overlay", "-v V:/srv/data:O", "touch /srv/data/x; ls /srv/data"),
    Case("volume chown", "-u 5:6 -v V:/srv/data:U", "stat -c %u:%g /srv/data /srv/data/seed", differs="podman then forgets the content of the image"),
    Case("volume declared", "", "stat -c '%u:%g %a' /declared; grep -c ' /declared ' /proc/self/mountinfo"),
    Case("volume declared, tmpfs", "--image-volume tmpfs", "stat -f -c %T /declared"),
    Case("volume declared, ignored", "--image-volume ignore", "grep -c ' /declared ' /proc/self/mountinfo"),
    Case("tmpfs", "--tmpfs /x", "stat -f -c %T /x; " + FLAGS),
    Case("tmpfs options", "--tmpfs /x:size=1m,mode=700,noexec", OWNER + "; df -k /x | tail -n 1 | awk '{print $2}'; " + FLAGS),
    Case("tmpfs copies up", "--tmpfs /srv/data", "ls /srv/data; stat -c '%u:%g %a' /srv/data"),
    Case("tmpfs owner and mode", "--tmpfs /srv/data -u 1000", "stat -c '%u:%g %a' /srv/data /srv/data/below"),
    Case("tmpfs without", "--mount type=tmpfs,target=/srv/data,notmpcopyup", "ls /srv/data; stat -c '%u:%g %a' /srv/data"),
    Case("tmpfs by --mount", "--mount type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=1770", OWNER),
    Case("tmpfs read-only", "--tmpfs /srv/data:ro", "ls /srv/data; touch /srv/data/x"),
    Case("devpts", "--mount type=devpts,target=/x", POINT + " | grep -o 'devpts'; test -c /x/ptmx && echo ptmx"),
    Case("image", "--mount type=image,source=IMAGE,target=/x", "ls /x/srv/data; touch /x/new"),
    Case("image for writing", "--mount type=image,source=IMAGE,target=/x,rw=true", "touch /x/new && ls /x/new"),
    Case("same place twice", "-v D:/x -v V:/x", "true"),
    Case("relative target", "-v D:x", "true"),
    Case("read-only root", "--read-only -v V:/x", "touch /x/a /tmp/a && ls /x; touch /etc/a"),
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("needs_cgroup_delegation")


@pytest.fixture(scope="session")
def pair(rootless, busybox, podman, registry, tmp_path_factory):
    """One image that both have; its reference."""
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=busybox))
    reference = f"{registry.address}/mounts:latest"
    rootless("build", "-q", "--network", "none", "-t", reference, str(context))
    rootless("push", "-q", reference)
    podman("pull", "-q", "--tls-verify=false", reference)
    return reference


def host_directory(path):
    os.makedirs(path / "sub")
    (path / "file").write_text("host\n")
    (path / "sub" / "deep").write_text("deep\n")
    return path


def outcome(command, environment, case, directory, image):
    flags = [
        word.replace("D", str(directory))
        .replace("IMAGE", image)
        .replace("V:", f"{case_volume(case)}:")
        for word in case.flags.split()
    ]
    done = subprocess.run(
        [*command, "run", "--rm", "--network", "none", *flags, image, "sh", "-c", case.script],
        capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip
    code = done.returncode if done.returncode < 125 else 125
    seen = ["" if code == 125 else done.stdout, code]
    if case.after:
        after = subprocess.run(
            case.after, shell=True, cwd=directory, capture_output=True, text=True, check=False
        )
        seen.append(after.stdout)
    return seen, done.stderr


def case_volume(case):
    return "v-" + "".join(c for c in case.name if c.isalnum())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_as_podman_does_it(case, pair, rootless, podman, tmp_path):
    mine = host_directory(tmp_path / "ours")
    theirs = host_directory(tmp_path / "theirs")
    try:
        seen, said = outcome(rootless.command, rootless.environment, case, mine, pair)
        expected, _ = outcome(["podman"], podman.environment, case, theirs, pair)
        if seen != expected and expected[:1] == [""]:
            # podman 4.3 loses what a program says that ends at once, now and then.
            expected, _ = outcome(["podman"], podman.environment, case, theirs, pair)
    finally:
        remove_as_owner(str(tmp_path))
    assert "Traceback" not in said
    if case.differs:
        assert seen != expected, case.differs
    else:
        assert seen == expected, said
