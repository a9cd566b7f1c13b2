"""Rows 19, 20, 22, 23, 27 and 28: environment, sockets, kernel parameters, cgroups, other users, names."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pty
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import oci
from tests.support.cli import Rootless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.security.conftest import Inside


@pytest.fixture(scope="module")
def running(rootless: Rootless, probe: str) -> Iterator[str]:
    """A detached container with a variable of its own."""
    rootless("run", "-d", "--network=none", "--name=around", "-e", "OWN=1", probe, "sleep", "600")
    yield "around"
    rootless("rm", "-f", "around")


SECRET = {"AWS_SECRET_ACCESS_KEY": "leak", "SSH_AUTH_SOCK": "/leak", "HTTP_COOKIE": "leak"}
USUAL = {"PATH", "HOME", "HOSTNAME", "container"}


def test_row_19_environment_is_the_image_and_the_options(inside: Inside, running: str):
    code = "report(**os.environ)"
    answer = inside(code, "-e", "GIVEN=1", env=SECRET)
    assert set(answer) - {"LC_CTYPE"} == USUAL | {"GIVEN"}
    output = inside.rootless("exec", running, *inside.program(code), env=SECRET).stdout
    assert set(json.loads(output)) - {"LC_CTYPE"} == USUAL | {"OWN"}
    assert "leak" not in output


def test_row_19_nobody_inside_reads_what_the_caller_typed(rootless: Rootless, busybox: str):
    """A process that joins, or stays as init, shows nothing of its command line, which anybody may read."""
    words = ("--env", "PASSWORD=hidden")
    line = "tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm; cat /proc/1/environ 2>&1; true"
    said = rootless("run", "--rm", "--network=none", "--init", *words, busybox, "sh", "-c", line)
    assert said.stdout.split()[:2] == ["rootless-init", "rootless:[init]"]
    assert "hidden" not in said.stdout
    watch = "while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'PASSWORD=[h]idden'; done"
    start = ("run", "-d", "--name", "watching", "--network=none", busybox, "sh", "-c", watch)
    rootless(*start)
    try:
        for _ in range(5):
            rootless("exec", *words, "watching", "true")
        assert rootless("logs", "watching").stdout == ""
    finally:
        rootless("rm", "-f", "-t", "0", "watching")


def test_row_19_no_process_of_ours_keeps_what_another_container_was_given(
    inside: Inside, running: str
):
    answer = inside(
        "report(all=[read(f'/proc/{pid}/environ') for pid in os.listdir('/proc') if pid.isdigit()])"
    )
    assert "OWN=1" not in str(answer)
    assert inside("report(pids=[pid for pid in os.listdir('/proc') if pid.isdigit()])")["pids"] == [
        "1"
    ]


# The program, its monitor and its keepers, which run parts of it by name, and the helpers.
_OURS = re.compile(rb"-m\0rootless\b|rootless\.[a-z]|rootless:\[|slirp4netns|pasta|fuse-overlayfs")


def _abstract_sockets() -> set[str]:
    """Those that are open in a process of this tool: others on this machine have some, too."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        rows = [line.split()[-2:] for line in file if len(line.split()) == 8]
    held = _held_sockets()
    return {path for inode, path in rows if path.startswith("@") and inode in held}


def _held_sockets() -> set[str]:
    found = set()
    for directory in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            if not _OURS.search(Path(directory, "cmdline").read_bytes()):
                continue
            for name in os.listdir(f"{directory}/fd"):
                with contextlib.suppress(OSError):
                    found.add(os.readlink(f"{directory}/fd/{name}"))
    return {target[len("socket:[") : -1] for target in found if target.startswith("socket:[")}


def test_row_20_an_abstract_socket_of_ours_is_seen():
    code = r"import socket,time; s=socket.socket(socket.AF_UNIX); s.bind(b'\0row-20'); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, "-m", "rootless"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        seen = _abstract_sockets()
        holder.kill()
    assert "@row-20" in seen


@pytest.fixture
def busy(
    rootless: Rootless, probe: str, needs_slirp4netns: None
) -> Iterator[tuple[set[str], Rootless]]:
    """Everything of ours that listens: a monitor, a network's keeper, helpers with published ports.

    The abstract sockets from before, and the command line.
    """
    before = _abstract_sockets()
    options = ("--health-cmd=true", "-p", "127.0.0.1::7")
    rootless("network", "create", "row20")
    try:
        for name, network in (("one", "row20"), ("two", "slirp4netns"), ("three", "host")):
            more = options if network != "host" else ()
            rootless(
                *("run", "-d", f"--network={network}", f"--name=row20-{name}", *more),
                *(probe, "sleep", "600"),
            )
        yield before, rootless
    finally:
        rootless("rm", "-f", "row20-one", "row20-two", "row20-three", check=False)
        rootless("network", "rm", "-f", "row20")


def _sockets(home: str) -> list[str]:
    """Every socket and pipe in a store but those of images."""
    found = []
    for directory, subdirectories, files in os.walk(home):
        if directory == f"{home}/data":
            subdirectories.remove("layers")
        for name in files:
            mode = os.lstat(f"{directory}/{name}").st_mode
            if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                found.append(f"{directory}/{name}")
    return found


def test_row_20_no_abstract_sockets_and_private_ones(busy: tuple[set[str], Rootless]):
    before, rootless = busy
    assert _abstract_sockets() <= before
    found = _sockets(rootless.home)
    for path in found:
        status, above = os.lstat(path), os.stat(os.path.dirname(path))
        assert status.st_uid == above.st_uid == os.getuid(), path
        # The helper makes its own socket by the umask: then the directory keeps others out.
        assert (status.st_mode & 0o077 == 0) or above.st_mode & 0o077 == 0, path
    names = {os.path.basename(path) for path in found}
    assert "attach.sock" in names and len(found) >= 4, found


def test_row_20_a_container_on_the_hosts_network_reaches_no_socket_of_ours(
    inside: Inside, busy: tuple[set[str], Rootless]
):
    """CVE-2020-15257: what is in the network namespace is reachable; nothing of ours must be."""
    before, _ = busy
    answer = inside(
        """
        import _socket, sys
        paths = [line.split()[-1] for line in read("/proc/net/unix").splitlines()[1:] if len(line.split()) == 8]
        reached, refused = [], []
        for path in paths:
            end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            end.settimeout(2)
            try:
                end.connect("\\0" + path[1:] if path.startswith("@") else path)
                reached.append(path)
            except OSError:
                refused.append(path)
        report(reached=reached, refused=refused)
        """,
        "--network=host",
    )
    assert set(answer["reached"]) <= before
    # They are in sight there, by name, so that the attack did try them.
    assert any(path.endswith("/attach.sock") for path in answer["refused"]), answer


STRANGER = """
import os, socket, sys
answers = []
for path in sys.argv[1:]:
    os.chdir(os.path.dirname(path))  # an address holds 107 bytes
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        end = socket.socket(socket.AF_UNIX, kind)
        end.settimeout(5)
        try:
            end.connect(os.path.basename(path))
        except OSError as error:
            answers.append(error.strerror)
            continue
        try:
            end.send(b"x" * 16)
            answers.append("answer" if end.recv(64) else "closed")
        except OSError as error:
            answers.append("closed" if isinstance(error, (BrokenPipeError, ConnectionResetError)) else str(error))
print(sorted(set(answers)))
"""


def test_row_20_sockets_know_who_calls(needs_subids: None, busy: tuple[set[str], Rootless]):
    """Even where another user gets to a socket file, it is hung up on."""
    _, rootless = busy
    ours = [
        path
        for path in _sockets(f"{rootless.home}/run")
        if "slirp" not in path and stat.S_ISSOCK(os.lstat(path).st_mode)
    ]
    opened: dict[str, int] = {}
    for path in ours:
        os.chmod(path, 0o666)
    folders = {rootless.home, *(folder for folder, _, _ in os.walk(f"{rootless.home}/run"))}
    above = rootless.home
    while os.stat(above).st_uid == os.getuid():
        folders.add(above)
        above = os.path.dirname(above)
    try:
        for folder in folders:
            opened[folder] = os.stat(folder).st_mode & 0o7777
            os.chmod(folder, 0o711)
        said = subprocess.run(
            [
                *("unshare", "--user", "--map-root-user", "--map-auto"),
                *("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"),
                *("/usr/bin/python3", "-I", "-S", "-c", STRANGER, *ours),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    finally:
        for folder, mode in opened.items():
            os.chmod(folder, mode)
    assert "answer" not in said and "closed" in said, said
    assert rootless("ps", "-q").stdout.count("\n") >= 3


REFUSED = "kernel.core_pattern=|/x kernel.shm_rmid_forcedx=1 vm.swappiness=1 fs.file-max=1 kernel.hostname"
REFUSED += " net.x/../../kernel/core_pattern=1 kernel.domainname net/../kernel/core_pattern=x"


@pytest.mark.parametrize("text", REFUSED.split())
def test_row_22_parameters_outside_the_namespaces_are_refused(
    rootless: Rootless, busybox: str, text: str
):
    rootless.fails("run", "--rm", "--network=none", "--sysctl", text, busybox, "true")


def test_row_22_only_its_own_parameters_change(inside: Inside):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        before = file.read()
    code = """
        path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
        report(value=read(path).strip(), shm=read("/proc/sys/kernel/shmmni").strip(), again=attempt(open, path, "w"))
    """
    options = ("--sysctl=net.ipv4.ip_unprivileged_port_start=80", "--sysctl=kernel.shmmni=77")
    assert inside(code, *options) == {"value": "80", "shm": "77", "again": "EROFS"}
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        assert file.read() == before
    assert "which is the host's" in inside.rootless.fails(
        "run", "--network=host", "--sysctl=net.core.somaxconn=1", inside.image, "true"
    )


@pytest.mark.parametrize("options", [(), ("--network=host",), ("--user=1000",)], ids=str)
def test_row_23_cgroup_tree_is_read_only(inside: Inside, options: tuple[str, ...]):
    answer = inside(
        """
        mounts = [line.split() for line in read("/proc/self/mountinfo").splitlines()]
        below = [each for each in mounts if each[4].startswith("/sys/fs/cgroup")]
        writable = []
        for directory, _, names in os.walk("/sys/fs/cgroup"):
            writable += [f"{directory}/{name}" for name in names if attempt(open, f"{directory}/{name}", "ab") == "ok"]
            if attempt(os.mkdir, f"{directory}/new") == "ok":
                writable.append(directory)
        report(
            flags=[each[5].split(",")[0] for each in below], writable=writable,
            agent=attempt(open, "/sys/fs/cgroup/release_agent", "w"), cgroup=read("/proc/self/cgroup"),
        )
        """,
        *options,
    )
    assert set(answer["flags"][-1:]) == {"ro"}
    assert answer["writable"] == []
    assert answer["agent"] != "ok"


def test_row_23_a_cgroup_hierarchy_cannot_be_mounted_anew(inside: Inside):
    """CVE-2022-0492 needs cgroup v1 with a release_agent."""
    answer = inside(
        """
        os.mkdir("/tmp/cgroup")
        report(
            v1=syscall("mount", b"cgroup", b"/tmp/cgroup", b"cgroup", 0, b"rdma"),
            agent=os.path.exists("/tmp/cgroup/release_agent"),
            remount=syscall("mount", None, b"/sys/fs/cgroup", None, 32 | 4096, None),
            unmount=syscall("umount2", b"/sys/fs/cgroup", 2),
        )
        """
    )
    assert {answer[each] for each in ("v1", "remount", "unmount")} == {"EPERM"}
    assert answer["agent"] is False


def test_row_27_our_directories_are_ours_alone(rootless: Rootless, running: str):
    for name in os.listdir(rootless.home):
        status = os.lstat(f"{rootless.home}/{name}")
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.getuid(), 0o700), name


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o755])
def test_row_27_a_shared_or_foreign_directory_is_refused(
    rootless: Rootless, tmp_path: Path, mode: int
):
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    os.chmod(home / "data", mode)
    other = Rootless(str(home), rootless.environment | {"ROOTLESS_HOME": str(home)})
    result = other("ps", "-a", check=False)
    if mode & 0o022:
        assert result.exit_code == 125, str(result)
        assert "private directory" in result.stderr
    else:
        assert result.exit_code == 0, str(result)
        assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700


def test_row_27_a_link_is_no_directory_of_ours(rootless: Rootless, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    for name in ("data", "run", "cache"):
        home = tmp_path / name
        home.mkdir()
        os.symlink(elsewhere, home / name)
        other = Rootless(str(home), rootless.environment | {"ROOTLESS_HOME": str(home)})
        result = other("run", "--rm", "--network=none", "localhost/none", "true", check=False)
        assert result.exit_code == 125, str(result)
    assert list(elsewhere.iterdir()) == []


def test_row_27_without_a_runtime_directory_no_shared_name_is_trusted(
    rootless: Rootless, tmp_path: Path
):
    """/tmp/rootless-UID may have been made by somebody else: it has to be checked."""
    from rootless import paths

    directory = tmp_path / "rootless-1"
    for make in (
        lambda: directory.mkdir(mode=0o777) or os.chmod(directory, 0o777),
        lambda: os.symlink(tmp_path, directory),
        lambda: directory.write_text(""),
    ):
        make()
        with pytest.raises(paths.StoreFailed):
            paths.private_directory(str(directory))
        directory.unlink() if not directory.is_dir() or directory.is_symlink() else directory.rmdir()


NAMES = [
    "../x",
    "a/b",
    "",
    ".",
    "..",
    "-x",
    "a b",
    "a\nb",
    "a\x1b[2Jb",
    "ä",
    "a" * 300,
    "/etc",
    "a:b",
    "%s",
]


@pytest.mark.parametrize("name", NAMES)
def test_row_28_names_are_names(rootless: Rootless, busybox: str, name: str):
    said = rootless.fails("create", f"--name={name}", "--network=none", busybox, "true")
    assert "\x1b" not in said
    assert len(said.splitlines()) <= 2
    assert "\x1b" not in rootless("rm", name or "''", check=False).stderr


ESCAPE = "\x1b[31m\x1b]0;title\x07\x9b2J\rover\bwritten\u202e"


def on_a_terminal(rootless: Rootless, *argv: str) -> str:
    """What the command writes where a person would see it; data in a pipe stays as it is."""
    ours, theirs = pty.openpty()
    process = rootless.start(*argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 65536):
            output += chunk
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    process.wait(timeout=30)
    return output.decode()


def test_row_28_text_of_an_image_is_escaped_as_metadata(
    rootless: Rootless, pulled: Callable[..., str]
):
    image = pulled(
        config={
            "Labels": {f"key{ESCAPE}": f"value{ESCAPE}"},
            "Env": [f"NAME={ESCAPE}"],
            "Cmd": ["echo", ESCAPE],
            "StopSignal": "SIGTERM",
        },
        changes={"history": [{"created_by": f"RUN {ESCAPE}", "comment": ESCAPE}], "author": ESCAPE},
    )
    rootless("create", "--network=none", "--name=row28", image)
    try:
        for command in (
            ("images",),
            ("images", "--digests", "--no-trunc"),
            ("history", "--no-trunc", image),
            ("image", "inspect", image),
            ("ps", "-a", "--no-trunc"),
            ("inspect", "row28"),
            ("run", "--rm", "--network=none", "--explain", image),
        ):
            shown = on_a_terminal(rootless, *command)
            for character in "\x1b\x9b\b\x07\u202e":
                assert character not in shown, f"{command} {character!r}"
    finally:
        rootless("rm", "-f", "row28")


def test_row_28_errors_escape_what_an_image_says(rootless: Rootless, pulled: Callable[..., str]):
    for config in (
        {"WorkingDir": f"relative{ESCAPE}\0"},
        {"User": ESCAPE},
        {"Entrypoint": [ESCAPE]},
    ):
        image = pulled(config=config)
        said = rootless("run", "--rm", "--network=none", image, check=False).stderr
        for character in "\x1b\x9b\r\b\x07\u202e":
            assert character not in said, f"{config} {character!r}"
    image = pulled(oci.symlink("etc/passwd", ESCAPE), config={"User": "x"})
    assert "\x1b" not in rootless("run", "--rm", "--network=none", image, check=False).stderr
