"""Show side by side what a default container can see and do here and under podman with crun.

The same image and the same program (``sandbox_probe.py``) run under both as the same ordinary user.

    scripts/compare-sandbox [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bench
import testbed

CHECKOUT = Path(__file__).parents[2]
PROBE = CHECKOUT / "scripts/parts/sandbox_probe.py"
HEAD = """\
# A default container here and under podman

Made by `scripts/compare-sandbox --output docs/sandbox.md`: the same image and the same program run under both as the same
ordinary user, with each tool's defaults. Linux {kernel}. An error's name is what an attempt got; `ok` is that it succeeded.
[Security](security.md) says what is promised.
"""
DIFFERENCES = """
## Why they differ

| here | because |
| --- | --- |
| no `NET_RAW`, `MKNOD`, `AUDIT_WRITE`; raw and packet sockets fail | few programs need them; `ping` works without (`net.ipv4.ping_group_range`); `--cap-add` gives them |
| `no_new_privs` | setuid files of an image gain nothing; `--security-opt no-new-privileges=false` |
| no new user namespace, no `setns`, `mount` or `umount2` past the filter | each was the way to many bugs of the kernel; `--security-opt seccomp=FILE` for programs that make sandboxes of their own |
| no keys, and no sight of the caller's session keyring | keys are not in a namespace of their own |
| no `vsock` sockets | they lead out of the machine that the host is |
| `/proc/interrupts` hidden, `nosuid,nodev,noexec` also on read-only binds | timing of keystrokes; flags that nobody misses |
| no `/run/.containerenv`, no `TERM` | `/run` is the image's, and there is no terminal; the variable `container` says it |
| `TIOCSTI` is refused by the filter | podman relies on there being no terminal, which fails where one is passed in |
| NUMA policy calls refused (`mbind`, `set_mempolicy`) | they come with `CAP_SYS_NICE`, as in docker's list |
| `cachestat`, `fchmodat2`, `futex_*`, `*xattrat`, `mseal`, `listmount`, `statmount` pass | newer than that podman's list: variants of older calls that pass there too; mounts are listed for one's own namespace only |
| `landlock_restrict_self` passes | a program may confine itself further |
| `personality` passes with the arguments that docker allows, compared in 32 bits as the kernel does | podman compares 64 |
| limits as the caller has them | podman lowers the number of processes to its own default |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="also write the table as Markdown")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        compare(options.output)
        return
    if os.geteuid() != 0:
        python = bench.install(Path.home() / ".cache/rootless-tests")
        extra = ["--output", str(options.output.resolve())] if options.output else []
        sys.exit(subprocess.run([python, __file__, "--inside", *extra], check=False).returncode)
    sys.exit(as_a_user(options.output))


def as_a_user(output: Path | None) -> int:
    """Root makes an ordinary user and runs the comparison as that one."""
    testbed.install_packages(bench.PACKAGES)
    user = testbed.ensure_user()
    testbed.fix_devices()
    testbed.CACHE.mkdir(parents=True, exist_ok=True)
    python = bench.install(testbed.CACHE)
    checkout = testbed.readable_checkout(user)
    with tempfile.TemporaryDirectory(prefix="rootless-sandbox-", dir="/var/tmp") as directory:
        os.chown(directory, user.pw_uid, user.pw_gid)
        written = Path(directory, "table.md")
        script = str(checkout / "scripts/parts/sandbox.py")
        command = [python, script, "--inside", "--output", str(written)]
        status = testbed.run_as(user, command, checkout=checkout)
        if output and written.exists():
            output.write_bytes(written.read_bytes())
    return status


def compare(output: Path | None) -> None:
    """Probe both sides and print the table."""
    sys.path.insert(0, str(CHECKOUT))
    from bench_world import World

    from tests.support.python_image import python_image

    with World(pairs=0) as world:
        image = python_image(world.images)
        world.both_pull(image)
        ours, theirs = (
            probe(world.run([*tool, "run", "--rm", "-i", image, *program()]))
            for tool in (world.ours(), ["podman"])
        )
    lines = table(ours, theirs)
    print("\n".join(lines))
    if output:
        text = "\n".join((HEAD.format(kernel=os.uname().release), *lines, DIFFERENCES))
        output.write_text(text, encoding="utf-8")


def program() -> tuple[str, ...]:
    with open(CHECKOUT / "rootless/runtime/syscalls.json", encoding="ascii") as file:
        numbers = json.load(file)[os.uname().machine]
    return ("python3", "-I", "-S", "-c", PROBE.read_text(encoding="utf-8"), json.dumps(numbers))


def probe(text: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(text.splitlines()[-1])
    return answer


def table(ours: dict, theirs: dict) -> list[str]:  # type: ignore[type-arg] # JSON
    """Rows in which both are shown; what differs in a long list is spelled out."""
    lines = ["| what | rootless | podman + crun |", "| --- | --- | --- |"]

    def row(what: str, left: object, right: object) -> None:
        lines.append(f"| {what} | {_text(left)} | {_text(right)} |")

    def sets(what: str, left: set[str], right: set[str]) -> None:
        row(what, len(left), len(right))
        for side, only in (("rootless", left - right), ("podman", right - left)):
            if only:
                lines.append(f"| {what}, {side} only | {' '.join(sorted(only))} | |")

    for key in ours["status"]:
        row(key, ours["status"][key], theirs["status"][key])
    row("id map", ours["uid_map"], theirs["uid_map"])
    host = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    row("namespaces of its own", *(_own(each["namespaces"], host) for each in (ours, theirs)))
    sets(
        "system calls that reach the kernel", *(_reached(each["calls"]) for each in (ours, theirs))
    )
    row("sockets", *(_joined(each["sockets"]) for each in (ours, theirs)))
    sets("mounts", *({" ".join(m) for m in each["mounts"]} for each in (ours, theirs)))
    row("masked", *(_joined(each["masked"]) for each in (ours, theirs)))
    sets("writable files of the kernel", *(set(each["writable"]) for each in (ours, theirs)))
    for key in ("devices", "environment", "descriptors", "processes", "groups", "interfaces"):
        row(key, *(" ".join(map(str, each[key])) for each in (ours, theirs)))
    row("limits", *(_limits(each["limits"]) for each in (ours, theirs)))
    for name in ours["actions"]:
        row(name, ours["actions"][name], theirs["actions"][name])
    for key, what in (
        ("abstract", "abstract sockets in sight"),
        ("push", "TIOCSTI without a terminal"),
        ("sysctl", "write core_pattern"),
        ("trigger", "write sysrq-trigger"),
        ("cgroup", "write cgroup.procs"),
    ):
        row(what, ours[key], theirs[key])
    return lines


def _text(value: object) -> str:
    return str(value).replace("|", "\\|") or "-"


def _own(namespaces: dict[str, str], host: dict[str, str]) -> str:
    return " ".join(sorted(name for name, link in namespaces.items() if host.get(name) != link))


def _reached(calls: dict[str, str]) -> set[str]:
    """Not refused by a filter, as far as one can see: EPERM and ENOSYS may also be the kernel's own."""
    return {
        name for name, answer in calls.items() if answer not in ("EPERM", "ENOSYS", "signal 31")
    }


def _joined(values: dict[str, str]) -> str:
    return ", ".join(f"{name.rpartition('/')[2]}: {value}" for name, value in values.items())


def _limits(values: dict[str, list[int]]) -> str:
    return ", ".join(f"{k.removeprefix('RLIMIT_').lower()} {s}/{h}" for k, (s, h) in values.items())


if __name__ == "__main__":
    main()
