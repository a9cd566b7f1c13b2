"""One id only: owners are recorded, ids are believed, and nothing outside the container changes."""

from __future__ import annotations

import os
import signal
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.conftest import require
from tests.support import builds, debian_package, places, trees
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cli import Rootless

RUN = ("run", "--rm", "--network", "none")
RECORD = "user.containers.override_stat"


@pytest.fixture(scope="module")
def single(new_store, images, tmp_path_factory) -> Rootless:
    """A store of somebody who has no newuidmap, with busybox and what is built on it."""
    rootless = new_store()
    directory = str(tmp_path_factory.mktemp("bin"))
    rootless.environment["PATH"] = places.path_without(directory, "newuidmap", "newgidmap")
    rootless("pull", "-q", images.busybox)
    rootless("tag", images.busybox, "busybox")
    return rootless


@pytest.fixture
def build(single, tmp_path) -> Callable[..., dict[str, trees.File]]:
    """Build a Dockerfile; the tree of the image as anybody reads it."""

    def make(text: str, driver: str = "", network: str = "none") -> dict[str, trees.File]:
        (tmp_path / "Dockerfile").write_text(text)
        env = {"ROOTLESS_STORAGE_DRIVER": driver} if driver else {}
        options = ("--network", network, "--no-cache", "-t", "built")
        single("build", *options, str(tmp_path), env=env, timeout_s=300)
        return builds.image(single).tree

    return make


def owner(file: trees.File) -> tuple[int, int]:
    return file.uid, file.gid


STEPS = """
FROM busybox
RUN touch /a /b /c /d && mkdir -p /t/u && touch /t/u/f && ln -s /a /link
RUN chown 33:7 /a && chown user /b && chgrp wheel /b && chown -R daemon:daemon /t && chown 5:8 /link
COPY --chown=user:wheel Dockerfile /copied
RUN chgrp 9 /copied && chown 33 /c && chown 0:0 /c && chmod 4755 /d && chown 33 /d && chmod 2750 /d
RUN cd /t && chown 8 u/../../b && exec 3</d && chown 44 /proc/self/fd/3 && chown 33 /dev/stdout
"""


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "vfs"])
def test_owners_of_a_build_are_in_its_layers(build, driver):
    if driver != "vfs":
        require({"overlay": "overlay", "fuse-overlayfs": "fuse"}[driver])
    tree = build(STEPS, driver)
    assert owner(tree["a"]) == (5, 8)  # by way of the link
    assert owner(tree["b"]) == (8, 10)
    assert owner(tree["t"]) == owner(tree["t/u"]) == owner(tree["t/u/f"]) == (1, 1)
    assert owner(tree["copied"]) == (1000, 9)
    assert owner(tree["c"]) == (0, 0)
    assert (*owner(tree["d"]), tree["d"].mode) == (44, 0, "0o750")  # chown(2) clears set-id bits


def test_owners_come_back_on_save_and_push(build, single, images, tmp_path):
    build("FROM busybox\nRUN touch /a && chown 33:7 /a\n")
    single("save", "-o", str(tmp_path / "saved.tar"), "--format", "oci-archive", "built")
    reference = f"{images.registry.address}/single:latest"
    single("push", "-q", "built", reference)
    copied = f"dir:{tmp_path}/pushed"
    line = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", copied]
    subprocess.run(line, check=True, timeout=60)
    found = []
    with tarfile.open(tmp_path / "saved.tar") as archive:
        for member in archive:
            if member.isfile() and member.name.startswith("blobs/"):
                found.append(archive.extractfile(member).read())  # type: ignore[union-attr]
    for name in os.listdir(tmp_path / "pushed"):
        found.append((tmp_path / "pushed" / name).read_bytes())
    owners = []
    for content in found:
        tree: dict[str, tuple[trees.File, int]] = {}
        try:
            trees.apply(tree, content, 0)
        except tarfile.ReadError:
            continue
        owners += [owner(file) for name, (file, _) in tree.items() if name == "a"]
    assert owners == [(33, 7), (33, 7)]


COPIES = """
FROM busybox
RUN touch /a && chown 33:7 /a
RUN stat -c %u:%g /a && cp -p /a /b && chgrp 9 /a && chown 34 /b && ls -ln /a | grep -q "33 .* 9 "
RUN sed -i s/x/y/ /a && [ "$(find / -xdev -user 33)" = /a ] && test -u /bin/busybox || touch /fine
RUN touch /s && chown 5 /s && chmod 2755 /s && test -g /s && mv /s /moved
"""


def test_a_build_sees_the_owners_that_are_recorded(build):
    """Programs that copy owners decide what the image gets: cp -p, sed -i, passwd."""
    tree = build(COPIES)
    assert owner(tree["a"]) == (33, 9) and owner(tree["b"]) == (34, 7) and "fine" in tree
    assert (*owner(tree["moved"]), tree["moved"].mode) == (5, 0, "0o2755")


USER = """
FROM busybox
RUN mkdir /home/user/mine /home/user/yours && chown user:user /home/user /home/user/mine
COPY --chown=user:user Dockerfile /home/user/
USER user
RUN [ "$(id -un)" = user ] && cd /home/user && mkdir new && touch new/f yours/g && echo x >> Dockerfile
RUN cd /home/user && [ "$(find . -user 1000 | sort | xargs)" = ". ./Dockerfile ./mine ./new ./new/f ./yours/g" ]
RUN cd /home/user && echo y > t && mv t Dockerfile && echo z >> /etc/group && touch fine
"""


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
def test_what_a_user_makes_in_a_build_belongs_to_it(build, driver):
    if driver == "overlay":
        require("overlay")
    tree = build(USER, driver)
    for name in (".", "mine", "new", "new/f", "yours/g", "Dockerfile", "fine"):
        path = f"home/user/{name}".removesuffix("/.")
        assert owner(tree[path]) == (1000, 1000), path
    assert owner(tree["home/user/yours"]) == owner(tree["etc/group"]) == (0, 0)


SWITCH = """
FROM busybox
RUN mkdir /home/user/group && chmod 2777 /home/user/group && chgrp wheel /home/user/group && touch /root/r
RUN su user -c 'mkdir -p /home/user/d/e && touch /home/user/d/e/f && echo x > /home/user/group/g && [ "$(stat -c %u /home/user/d)" = 1000 ]'
RUN su user -c 'cd /home/user && touch a && mv a b && cp -r d c && ln b hard'
"""


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
def test_what_a_program_makes_after_it_became_a_user(build, driver):
    if driver == "overlay":
        require("overlay")
    tree = build(SWITCH, driver)
    for name in ("d", "d/e", "d/e/f", "c/e/f", "b"):
        assert owner(tree[f"home/user/{name}"]) == (1000, 1000), name
    assert owner(tree["home/user/group/g"]) == (1000, 10)
    assert owner(tree["root/r"]) == (0, 0)


def test_a_user_owns_what_it_makes_and_the_callers_volumes(single, tmp_path):
    """git refuses a directory of somebody else, ssh a file."""
    script = "touch /tmp/new /v/new && stat -c %u /tmp/new /v /v/new /etc/passwd"
    said = single(*RUN, "-u", "user", "-v", f"{tmp_path}:/v", "busybox", "sh", "-c", script).stdout
    assert said.split() == ["1000", "1000", "1000", "0"]
    assert not os.listxattr(tmp_path / "new")


def test_programs_believe_the_ids_they_asked_for(single):
    script = "id -u; su user -c 'id -u; id -g; sh -c \"id -u\"'; id -u"
    said = single(*RUN, "busybox", "sh", "-c", script).stdout
    assert said.split() == ["0", "1000", "1000", "1000", "0"]


def test_the_user_of_run_and_exec(single):
    assert single(*RUN, "-u", "user", "busybox", "id", "-u").stdout == "1000\n"
    assert single(*RUN, "-u", "4321:7", "busybox", "id", "-g").stdout == "7\n"
    single("run", "-d", "--name", "stays", "--network", "none", "busybox", "sleep", "1000")
    try:
        assert single("exec", "-u", "user", "stays", "id", "-u").stdout == "1000\n"
        assert (
            single("exec", "stays", "sh", "-c", "touch /x && chown 33 /x && id -u").stdout == "0\n"
        )
        assert single("inspect", "-f", "{{.Backends.ownership}}", "stays").stdout == "recorded\n"
    finally:
        single("rm", "-f", "stays")


def test_explain_and_info_say_so(single):
    said = single("run", "--explain", "-u", "user", "busybox").stdout
    assert "single-id" in said and "believe that it is 1000:1000" in said
    assert single("info", "-f", "{{.host.idMap.ownership}}").stdout == "recorded\n"


def test_errors_are_those_of_the_kernel(single):
    script = (
        "chown 33 /none; chown 33 /etc/passwd/x; ln -s loop /loop; chown 33 /loop;"
        "chown 33 /proc/self/status; exec 2>&1"
    )
    said = single(*RUN, "busybox", "sh", "-c", script).stderr
    for words in ("No such file", "Not a directory", "Symbolic link loop|Too many levels"):
        assert any(each in said for each in words.split("|")), said
    read_only = single(*RUN, "--read-only", "busybox", "chown", "33", "/etc/passwd", check=False)
    assert "Read-only file system" in read_only.stderr


def test_without_the_capability_nothing_is_emulated(single):
    result = single(
        *RUN, "--cap-drop", "CHOWN", "busybox", "chown", "33", "/etc/passwd", check=False
    )
    assert result.exit_code == 1


def test_where_the_kernel_cannot_ask_calls_succeed_and_are_forgotten(single, new_store, images):
    probes = f"{single.home}/cache/probes"
    (name,) = (each for each in os.listdir(probes) if each.startswith("notification-"))
    with open(f"{probes}/{name}", "r+") as file:
        file.write("too old")
    try:
        assert single("info", "-f", "{{.host.idMap.ownership}}").stdout == "answered\n"
        script = "chown 33 /etc/passwd && su user -c 'echo fine'"
        assert single(*RUN, "busybox", "sh", "-c", script).stdout == "fine\n"
    finally:
        os.truncate(f"{probes}/{name}", 0)


# -- what must never happen ---------------------------------------------------------------------


def test_a_volume_of_the_host_is_never_touched(single, tmp_path):
    """By name, by descriptor, by links that are swapped meanwhile, and by a working directory."""
    (tmp_path / "file").write_text("mine")
    before = os.stat(tmp_path / "file")
    script = """
        chown 33 /v/file /v && cd /v && chown 33 file ./../v/file && exec 3<file && chown 33 /dev/fd/3
        ln -s /v/file /swapped; touch /own
        (for i in $(seq 200); do ln -sfn /v/file /swapped; ln -sfn /own /swapped; done) &
        for i in $(seq 200); do chown 33 /swapped 2>/dev/null; done; wait; echo fine
    """
    said = single(*RUN, "-v", f"{tmp_path}:/v", "busybox", "sh", "-c", script).stdout
    assert said == "fine\n"
    after = os.stat(tmp_path / "file")
    assert (after.st_uid, after.st_ctime_ns) == (before.st_uid, before.st_ctime_ns)
    assert RECORD not in os.listxattr(tmp_path / "file")
    assert RECORD not in os.listxattr(tmp_path)


def test_a_descriptor_from_outside_is_never_touched(single, tmp_path):
    (tmp_path / "out").write_text("")
    before = os.stat(tmp_path / "out").st_ctime_ns
    with open(tmp_path / "out") as stream:
        subprocess.run(
            [*single.command, *RUN, "-i", "busybox", "chown", "33", "/dev/stdin"],
            stdin=stream,
            env=single.environment,
            check=True,
            timeout=60,
        )
    assert os.stat(tmp_path / "out").st_ctime_ns == before
    assert not os.listxattr(tmp_path / "out")


JAIL = """
FROM busybox
RUN mkdir -p /jail/bin /jail/etc && cp /bin/busybox /jail/bin/ && touch /jail/etc/mark /etc/mark
RUN ln -s /etc/mark /jail/link && ln -s ../../../../etc/mark /jail/dots
RUN chroot /jail /bin/busybox chown 33:1 /link && chroot /jail /bin/busybox chown 33:34 /dots
"""


def test_links_and_roots_lead_nowhere_else(build):
    """An absolute link, dots and a root of the caller's own are resolved below the caller's root."""
    tree = build(JAIL)
    assert owner(tree["jail/etc/mark"]) == (33, 34) and owner(tree["etc/mark"]) == (0, 0)


def supervisors(home: str) -> list[int]:
    """The processes that answer for containers of that store."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/comm") as file, open(f"/proc/{entry}/environ", "rb") as text:
                if file.read() == "rootless:[owner\n" and f"ROOTLESS_HOME={home}\0".encode() in (
                    text.read()
                ):
                    found.append(int(entry))
        except OSError:
            continue
    return found


def test_the_supervisor_is_out_of_sight_and_ends_with_the_container(single):
    process = subprocess.Popen(
        [
            *single.command,
            *RUN,
            "busybox",
            "sh",
            "-c",
            "chown 33 /etc/passwd; ps; echo; sleep 1000",
        ],
        stdout=subprocess.PIPE,
        env=single.environment,
        text=True,
    )
    seen = []
    for line in process.stdout:  # type: ignore[union-attr]
        if line == "\n":
            break
        seen.append(line)
    assert not any("rootless" in line for line in seen)
    assert len(supervisors(single.home)) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()  # type: ignore[union-attr]
    wait_until(lambda: not supervisors(single.home), "the supervisor ends")


def test_calls_do_not_hang_when_the_supervisor_is_killed(single):
    script = "while chown 33 /etc/passwd; do :; done; echo ended"
    single("run", "-d", "--name", "lonely", "--network", "none", "busybox", "sh", "-c", script)
    try:
        (pid,) = supervisors(single.home)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: single("logs", "lonely").stdout == "ended\n", "the calls fail")
    finally:
        single("rm", "-f", "lonely")


# -- Debian -------------------------------------------------------------------------------------

DEBIAN = """
FROM debian
RUN sh /make && rm -r /p
RUN apt-get install -y /thing.deb
RUN cp /usr/bin/id /raise && chmod 4755 /raise && [ "$(setpriv --reuid 33 --regid 33 --clear-groups /raise -u)" = 0 ]
RUN tar -C / -cf /t.tar --owner=7 --group=8 etc/hostname && mkdir /x && tar -C /x -xpf /t.tar
"""


def test_a_package_with_a_system_user_installs_in_debian(single, build, images, tmp_path):
    """apt-get, which drops its rights, and a real package that makes a user and gives it files."""
    require("mmdebstrap")
    single("pull", "-q", images.debian, timeout_s=300)
    single("tag", images.debian, "debian")
    (tmp_path / "make").write_text(debian_package.MAKE)
    text = DEBIAN.replace("RUN sh", "COPY make /make\nRUN sh", 1)
    tree = build(text)
    thing = owner(tree["srv/thing"])
    assert 0 < thing[0] < 1000 and 0 < thing[1] < 1000
    assert (tree["usr/bin/as-thing"].uid, tree["usr/bin/as-thing"].gid) == (thing[0], 4)
    assert tree["usr/bin/as-thing"].mode == "0o4750"
    assert owner(tree["x/etc/hostname"]) == (7, 8)
    # The same in a container, where nothing is to be recorded for long.
    said = single(
        *RUN, "built", "sh", "-c", "apt-get install -y --reinstall /thing.deb; adduser --system abc"
    )
    assert "Setting up thing" in said.stdout or "not possible" in said.stdout


@pytest.mark.show
def test_a_storm_of_chown(single):
    """What ten thousand answers cost, bounded generously."""
    script = """
        mkdir /many && cd /many && seq 10000 | xargs touch && cd / && sync
        time chown -R 33:33 /many
    """
    said = single(*RUN, "busybox", "sh", "-c", script).stderr
    seconds = float(said.partition("real")[2].split()[1].rstrip("s"))
    assert seconds < 20, f"10,000 files took {seconds:.2f} s"
