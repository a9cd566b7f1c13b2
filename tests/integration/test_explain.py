"""``run --explain``: the plan, commands that do the same, and a document that another runtime takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.images import busybox_rootfs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli import Rootless

STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; umask; id -u; pwd; echo $WORD; hostname"
OPTIONS = (
    *("--network=none", "--hostname=explained", "-e", "WORD=a 'b' c", "-w", "/var/tmp"),
    *("--cap-drop=kill", "--umask=0077", "--tmpfs=/scratch"),
)


def explained(rootless: Rootless, form: str, *argv: str) -> str:
    return rootless("run", "--rm", f"--explain={form}", *argv).stdout


def test_the_plan_is_what_a_bare_flag_means(rootless: Rootless, busybox: str):
    plain = rootless("run", "--explain", "--network=none", busybox, "true").stdout
    named = explained(rootless, "plan", "--network=none", busybox, "true")
    one, other = (re.sub("[0-9a-f]{12,}", "ID", each) for each in (plain, named))
    assert one == other
    assert plain.splitlines()[0] == "new user namespace"
    assert not rootless("ps", "-aq").stdout
    assert "plan" in rootless.fails("run", "--explain=poem", busybox)


def tried(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """What a script does that is written to the directory."""
    (directory / "script").write_text(script)
    return subprocess.run(
        ["sh", str(directory / "script")],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commands_do_the_same(rootless: Rootless, busybox: str, tmp_path: Path):
    argv = (*OPTIONS, busybox, "sh", "-c", STATUS)
    script = explained(rootless, "commands", *argv)
    done = tried(script, tmp_path)
    ours = rootless("run", "--rm", *argv).stdout.replace("Seccomp:\t2", "Seccomp:\t0")
    ours = ours.replace("0077\n", "0022\n")  # a shell's umask is not a matter of namespaces
    assert done.stdout == ours, done.stderr
    assert "seccomp" in script.split("dir=")[0]  # what it leaves out, it says
    assert os.listdir(tmp_path) == ["script"]


def test_bubblewrap_does_nearly_the_same(
    rootless: Rootless, busybox: str, tmp_path: Path, needs_bwrap: None
):
    program = "echo $WORD; id -u; pwd; ls /proc | grep -c '^[0-9]'; grep CapEff /proc/self/status"
    argv = (*OPTIONS, busybox, "sh", "-c", program)
    script = explained(rootless, "commands", *argv)
    found = re.search(r"^#   (exec bwrap .*)$", script, re.MULTILINE)
    assert found
    begin = script.index("mount -t overlay")
    end = script.index("\n", begin) + 1
    changed = script[:end] + found[1] + script[script.index("\nEND\n") :]
    done = tried(changed, tmp_path)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["a 'b' c", "0", "/var/tmp"], done.stderr
    assert lines[4] == rootless("run", "--rm", *argv).stdout.splitlines()[4]


def document(rootless: Rootless, *argv: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(explained(rootless, "json", *argv))
    return spec


def test_the_document_has_the_shape_of_the_specification(
    rootless: Rootless, busybox: str, tmp_path: Path
):
    mount = f"{tmp_path}:/data:ro"
    spec = document(rootless, *OPTIONS, "-v", mount, "--sysctl=net.core.somaxconn=99", busybox)
    assert re.fullmatch(r"1\.\d+\.\d+", spec["ociVersion"])
    assert spec["root"] == {"path": "rootfs", "readonly": False}
    assert spec["process"]["cwd"] == "/var/tmp"
    assert spec["process"]["noNewPrivileges"] is True
    assert spec["linux"]["sysctl"]["net.core.somaxconn"] == "99"
    assert {each["type"] for each in spec["linux"]["namespaces"]} > {"user", "pid", "mount"}
    for each in spec["linux"]["uidMappings"]:
        assert set(each) == {"containerID", "hostID", "size"}
    for each in spec["mounts"]:
        assert each["destination"].startswith("/")
        assert isinstance(each["options"], list)
    assert {"destination": "/data", "type": "bind", "source": str(tmp_path)}.items() <= next(
        each for each in spec["mounts"] if each["destination"] == "/data"
    ).items()
    seccomp = spec["linux"]["seccomp"]
    assert seccomp["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not any({"includes", "excludes"} & set(each) for each in seccomp["syscalls"])
    assert any("openat" in each["names"] for each in seccomp["syscalls"])
    # What does not exist yet is named, and not a mount that no runtime could make.
    assert "/etc/hosts" in spec["annotations"]["io.rootless.made-at-start"]
    unconfined = document(rootless, "--security-opt=seccomp=unconfined", busybox)
    assert "seccomp" not in unconfined["linux"]


@pytest.mark.usefixtures("needs_crun", "needs_cgroup_delegation")
@pytest.mark.parametrize("more", [(), ("--read-only", "--cap-drop=all"), ("--user=1000:1000",)])
def test_crun_runs_the_document(
    rootless: Rootless, busybox: str, tmp_path: Path, more: tuple[str, ...]
):
    """And the program finds itself with the same rights under both."""
    argv = (*OPTIONS, *more, busybox, "sh", "-c", STATUS)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    busybox_rootfs(str(bundle / "rootfs"))
    spec = document(rootless, *argv)
    (bundle / "config.json").write_text(json.dumps(spec))
    run = [
        "crun",
        f"--root={tmp_path}/state",
        "--cgroup-manager=disabled",
        "run",
        "-b",
        str(bundle),
    ]
    done = subprocess.run(
        [*run, f"explained-{os.getpid()}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == rootless("run", "--rm", *argv).stdout
