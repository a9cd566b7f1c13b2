"""Rows 1 and 3: the interpreter that runs us cannot be executed, opened or traced from inside."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support import oci
from tests.support.cli import Rootless
from tests.support.images import busybox_layer
from tests.support.python_image import python_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.security.conftest import Inside

# What would run if the kernel took the stage's own executable for the script's interpreter: Python.
SCRIPT = b"""#!/proc/self/exe
import os
print("running as", os.readlink("/proc/self/exe"))
fd = os.open("/proc/self/exe", os.O_RDONLY)
print("opened the interpreter")
"""

# Looks at every process that appears, and tries to open what it executes and what it has open.
SPY = """
    import time
    interpreter, own = {interpreter}, os.getpid()
    seen, got, end = set(), [], time.monotonic() + {seconds}
    print("watching", flush=True)
    while time.monotonic() < end and not os.path.exists("/stop"):
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or int(pid) in (1, own):
                continue
            seen.add(pid)
            for name in ("exe", "cwd", "root", "mem", "maps", "environ", "fd"):
                path = f"/proc/{{pid}}/{{name}}"
                try:
                    if name == "fd":
                        for each in os.listdir(path):
                            link = os.readlink(f"{{path}}/{{each}}")
                            if not link.startswith(("pipe:", "/dev/null", "socket:", "/dev/pts")):
                                got.append(f"{{pid}} fd {{each}} {{link}}")
                        continue
                    if name in ("exe", "cwd", "root"):
                        status = os.stat(path)
                        if (status.st_dev, status.st_ino) == interpreter:
                            got.append(f"{{pid}} {{name}} is the interpreter")
                    else:
                        os.close(os.open(path, os.O_RDONLY))
                    with open(f"/proc/{{pid}}/comm") as file:
                        comm = file.read().strip()
                    if comm.startswith("rootless"):
                        got.append(f"{{pid}} {{name}} of {{comm}}")
                except OSError:
                    continue
    report(seen=len(seen), got=got)
"""


class Installed(NamedTuple):
    """A command line run by an interpreter, and that interpreter's file."""

    rootless: Rootless
    interpreter: str

    @property
    def identity(self) -> tuple[int, int]:
        status = os.stat(self.interpreter)
        return status.st_dev, status.st_ino


@pytest.fixture(scope="module", params=["system", "owned"])
def installed(
    request: pytest.FixtureRequest, rootless: Rootless, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """The interpreter of the system, and one that belongs to the caller (pyenv, uv, conda)."""
    system = os.path.realpath(sys.executable)
    if request.param == "system":
        return Installed(rootless, system)
    venv = str(tmp_path_factory.mktemp("venv"))
    # The real interpreter makes the copy: out of a virtual environment it would be a link.
    make = [system, "-m", "venv", "--copies", "--without-pip", venv]
    subprocess.run(make, check=True, capture_output=True)
    packages = sysconfig.get_paths()["purelib"]
    owned = Rootless(rootless.home, dict(rootless.environment))
    owned.environment["PYTHONPATH"] += f":{packages}"
    owned.command = (f"{venv}/bin/python3", "-m", "rootless")
    assert os.access(f"{venv}/bin/python3", os.W_OK)
    return Installed(owned, f"{venv}/bin/python3")


@pytest.fixture(scope="session")
def trap(pulled: Callable[..., str]) -> str:
    """The probe image with programs that are the interpreter in disguise."""
    return pulled(
        oci.Entry("trap/script", SCRIPT, mode=0o755),
        oci.symlink("trap/link", "/proc/self/exe"),
        oci.Entry("trap/nested", b"#!/trap/link\n" + SCRIPT.partition(b"\n")[2], mode=0o755),
        oci.Entry("trap/thread", b"#!/proc/thread-self/exe\n", mode=0o755),
        oci.Entry("trap/root", b"#!/proc/1/exe\n", mode=0o755),
        base=(busybox_layer(), python_layer()),
    )


TRAPS = ("script", "link", "nested", "thread", "root")


@pytest.mark.parametrize(
    "options",
    [(), ("--privileged",), ("--user=1000",), ("--init",), ("--init", "--privileged")],
    ids=str,
)
@pytest.mark.parametrize("name", TRAPS)
def test_row_1_run_does_not_become_the_interpreter(
    installed: Installed, trap: str, name: str, options: tuple[str, ...]
):
    before = os.stat(installed.interpreter)
    result = installed.rootless(
        "run", "--rm", "--network=none", *options, trap, f"/trap/{name}", "-c", "1", check=False
    )

    assert result.exit_code == 126, str(result)
    assert "running as" not in result.stdout
    after = os.stat(installed.interpreter)
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)


def test_row_1_the_same_python_from_a_volume_still_runs(installed: Installed, trap: str):
    """Only our own file by our own mount is refused, not what the caller shows on purpose."""
    for options in ((), ("--init", "--privileged")):
        result = installed.rootless(
            *("run", "--rm", "--network=none", *options, "-v", f"{installed.interpreter}:/mine:ro"),
            *(trap, "/mine", "-I", "-S", "-c", "print('works')"),
        )
        assert result.stdout == "works\n"


@pytest.fixture
def container(installed: Installed, trap: str) -> Iterator[str]:
    """A container that runs until the test ends."""
    name = f"row1-{os.getpid()}-{os.path.basename(os.path.dirname(installed.interpreter))}"
    installed.rootless("run", "-d", "--network=none", "--name", name, trap, "sleep", "600")
    yield name
    installed.rootless("rm", "-f", name)


@pytest.mark.parametrize("options", [(), ("--privileged",), ("--user=1000",)], ids=str)
def test_row_1_exec_does_not_become_the_interpreter(
    installed: Installed, container: str, options: tuple[str, ...]
):
    for name in TRAPS[:-1]:
        result = installed.rootless("exec", *options, container, f"/trap/{name}", check=False)
        assert result.exit_code == 126, str(result)
        assert "running as" not in result.stdout
    # That is the container's own first process: sleep.
    assert installed.rootless("exec", container, "/trap/root", check=False).exit_code != 126


@pytest.mark.parametrize(
    "capabilities", [(), ("--cap-add=SYS_PTRACE", "--cap-add=DAC_READ_SEARCH")]
)
def test_rows_1_and_3_a_joining_process_shows_nothing(
    installed: Installed, trap: str, inside: Inside, capabilities: tuple[str, ...]
):
    name = f"spied-{os.getpid()}"
    spy = SPY.format(interpreter=installed.identity, seconds=60)
    watching = installed.rootless.start(
        *(
            "run",
            "--rm",
            "--network=none",
            "--name",
            name,
            *capabilities,
            trap,
            *inside.program(spy),
        )
    )
    assert watching.stdout is not None
    assert watching.stdout.readline() == b"watching\n"
    for _ in range(15):
        installed.rootless("exec", name, "true")
        installed.rootless("exec", "--user=1000", name, "true")
    installed.rootless("exec", name, "touch", "/stop")
    output, errors = watching.communicate(timeout=60)
    assert watching.returncode == 0, errors.decode()
    import json

    answer = json.loads(output.splitlines()[-1])
    assert answer["got"] == []
    assert answer["seen"] >= 5  # it did see processes come


def test_row_3_exec_cannot_be_traced_while_it_joins(
    installed: Installed, trap: str, inside: Inside
):
    """CVE-2016-9962: ptrace of the joining process by root of the container."""
    name = f"traced-{os.getpid()}"
    code = """
        import time
        PTRACE_SEIZE, traced, end = 0x4206, [], time.monotonic() + 60
        print("watching", flush=True)
        while time.monotonic() < end and not os.path.exists("/stop"):
            for pid in os.listdir("/proc"):
                if pid.isdigit() and int(pid) not in (1, os.getpid()):
                    try:
                        comm = read(f"/proc/{pid}/comm").strip()
                    except OSError:
                        continue
                    if comm.startswith("rootless") and syscall("ptrace", PTRACE_SEIZE, int(pid), None, None) == "ok":
                        # It may have become the program of exec meanwhile, which is fair game.
                        comm = read(f"/proc/{pid}/comm").strip()
                        if comm.startswith("rootless"):
                            traced.append(comm)
                        os.kill(int(pid), 9)
                        os.waitpid(int(pid), 0x40000000)
        report(traced=traced)
    """
    watching = installed.rootless.start(
        *("run", "--rm", "--network=none", "--name", name, "--cap-add=SYS_PTRACE"),
        *(trap, *inside.program(code)),
    )
    assert watching.stdout is not None
    assert watching.stdout.readline() == b"watching\n"
    for _ in range(20):
        installed.rootless("exec", name, "true", check=False)  # or killed, when it was caught
    while watching.poll() is None:
        installed.rootless("exec", name, "touch", "/stop", check=False)
    output, errors = watching.communicate(timeout=60)
    assert watching.returncode == 0, errors.decode()
    assert b'{"traced": []}' in output


@pytest.mark.parametrize("options", [(), ("--privileged",)], ids=str)
def test_row_1_init_is_not_to_be_opened(inside: Inside, options: tuple[str, ...]):
    """With --init process 1 is our interpreter for the container's whole life."""
    answer = inside(
        """
        found = {name: attempt(os.stat, f"/proc/1/{name}") for name in ("exe", "cwd", "root")}
        found |= {name: attempt(open, f"/proc/1/{name}", "rb") for name in ("mem", "maps", "environ")}
        report(
            found=found, files=attempt(os.listdir, "/proc/1/fd"), name=read("/proc/1/comm").strip(),
            trace=syscall("ptrace", 16, 1, None, None), memory=syscall("process_vm_readv", 1, None, 0, None, 0, 0),
            execute=attempt(os.execv, "/proc/1/exe", ["x"]),
        )
        """,
        "--init",
        "--cap-add=SYS_PTRACE",
        *options,
    )
    assert set(answer["found"].values()) <= {"EACCES", "EPERM"}
    assert answer["files"] == answer["execute"] == "EACCES"
    assert answer["trace"] == "EPERM"
    assert answer["memory"] in ("EPERM", "ok")  # ok for reading nothing


def test_init_is_started_at_once_and_reaps(rootless: Rootless, busybox: str):
    rootless("run", "-d", "--init", "--network=none", "--name=init", busybox, "sleep", "600")
    try:
        assert "Up" in rootless("ps").stdout
        assert rootless("exec", "init", "cat", "/proc/1/comm").stdout.startswith("rootless")
        rootless("exec", "init", "sh", "-c", "(sleep 0 &) ; true")
        rootless("stop", "-t", "5", "init")
    finally:
        rootless("rm", "-f", "init")
