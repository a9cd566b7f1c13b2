"""Rows 13, 21 and 29 and promise 3: what a process starts with, and what the kernel refuses it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import CHECKOUT

if TYPE_CHECKING:
    from tests.security.conftest import Inside

ELEVEN = "00000000800405fb"
NONE = "0000000000000000"


def test_row_13_inheritable_and_ambient_capabilities_are_empty(inside: Inside):
    for user in ("0", "1000"):
        answer = inside("report(**status())", "--user", user)
        assert answer["CapInh"] == answer["CapAmb"] == NONE
        assert answer["CapBnd"] == ELEVEN
        assert answer["CapEff"] == answer["CapPrm"] == (ELEVEN if user == "0" else NONE)


def test_a_container_starts_with_little(inside: Inside):
    answer = inside("report(**status())")
    assert answer["NoNewPrivs"] == "1"
    assert answer["Seccomp"] == "2"
    assert answer["TracerPid"] == "0"
    assert answer["Groups"].strip() in ("", "0")


def test_capabilities_are_those_that_the_options_name(inside: Inside):
    def effective(*options: str) -> int:
        return int(inside("report(**status())", *options)["CapEff"], 16)

    default = int(ELEVEN, 16)
    assert effective("--cap-drop=ALL") == 0
    assert effective("--cap-drop=all", "--cap-add=NET_BIND_SERVICE") == 1 << 10
    assert (
        effective("--cap-add", "sys_ptrace", "--cap-drop", "CAP_KILL") == default ^ 1 << 19 ^ 1 << 5
    )
    assert inside.rootless.fails("run", "--cap-add=SYS_ADMN", inside.image, "true").count(
        "CAP_SYS_ADMIN"
    )


def test_no_process_has_a_capability_outside(inside: Inside):
    """Promise 1: with --privileged everything may be done to the container, nothing to the machine."""
    answer = inside(
        """
        report(
            status=status(),
            module=syscall("init_module", None, 0, b""),
            mknod=attempt(os.mknod, "/tmp/sda", 0o60600, os.makedev(8, 0)),
            swap=syscall("swapon", b"/bin/busybox", 0),
            clock=syscall("settimeofday", bytes(16), None),
            raw=syscall("iopl", 3) if "iopl" in NUMBERS else "EPERM",
            nice=attempt(os.setpriority, os.PRIO_PROCESS, 0, -20),
            printk=attempt(open, "/proc/sys/kernel/printk", "w"),
            log=syscall("syslog", 5, None, 0),
            mount=syscall("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None),
        )
        """,
        "--privileged",
    )
    assert int(answer["status"]["CapEff"], 16) > int(ELEVEN, 16)
    assert answer["mount"] == "ok"
    assert answer["module"] in ("EPERM", "ENOSYS")
    assert answer["nice"] in ("EACCES", "EPERM")
    assert {answer[each] for each in ("mknod", "swap", "clock", "raw", "log")} <= {
        "EPERM",
        "ENOSYS",
    }
    assert answer["printk"] in ("EACCES", "EPERM")


def test_row_29_new_user_namespaces_are_refused(inside: Inside):
    code = """
        report(
            unshare=syscall("unshare", 0x10000000),
            clone=syscall("clone", 0x10000000 | 17, None, None, None, None),
            upper_half=syscall("clone", 1 << 40 | 0x10000000 | 17, None, None, None, None),
            clone3=syscall("clone3", None, 0),
            setns=syscall("setns", os.open("/proc/self/ns/user", os.O_RDONLY), 0),
            thread=syscall("unshare", 0),
        )
    """
    answer = inside(code)
    assert answer["unshare"] == answer["clone"] == answer["upper_half"] == "EPERM"
    assert answer["setns"] == answer["thread"] == "EPERM"
    assert answer["clone3"] == "ENOSYS"
    opened = inside(
        'report(unshare=syscall("unshare", 0x10000000))', "--security-opt=seccomp=unconfined"
    )
    assert opened["unshare"] == "ok"


def test_row_29_other_doors_into_the_kernel_are_closed(inside: Inside):
    answer = inside(
        """
        names = "bpf perf_event_open userfaultfd keyctl add_key request_key mount pivot_root".split()
        names += "open_by_handle_at kexec_load init_module ioperm iopl swapon acct fsopen".split()
        io_uring = syscall("io_uring_setup", 8, ctypes.create_string_buffer(256))
        crypto = attempt(__import__("_socket").socket, 38, 5, 0)
        upper_half = syscall("socket", 1 << 32 | 38, 5, 0)
        vsock = attempt(__import__("_socket").socket, 40, 1, 0)
        report(
            refused={name: syscall(name, 0, 0, 0, 0, 0) for name in names if name in NUMBERS},
            io_uring=io_uring, crypto=crypto, vsock=vsock, upper_half=upper_half,
        )
        """
    )
    assert set(answer["refused"].values()) == {"EPERM"}
    assert answer["io_uring"] == "ENOSYS"
    assert answer["crypto"] == answer["vsock"] == answer["upper_half"] == "EAFNOSUPPORT"


def test_row_21_no_input_into_the_callers_terminal(inside: Inside):
    code = """
        import fcntl
        TIOCSTI, TIOCLINUX = 0x5412, 0x541C
        tty = attempt(os.open, "/dev/tty", os.O_RDWR)
        report(
            tty=tty,
            session=os.getsid(0) == os.getpid(),
            push=attempt(fcntl.ioctl, 0, TIOCSTI, b"x"),
            upper_half=syscall("ioctl", 0, 1 << 32 | TIOCSTI, b"x"),
            linux=attempt(fcntl.ioctl, 0, TIOCLINUX, b"x"),
        )
    """
    answer = inside(code)
    assert answer["tty"] == "ENXIO"  # no controlling terminal
    assert answer["session"]
    assert answer["push"] == answer["upper_half"] == answer["linux"] == "EPERM"


def test_no_new_privileges_can_be_lifted_by_name_only(inside: Inside):
    lifted = inside("report(**status())", "--security-opt=no-new-privileges=false")
    assert (lifted["NoNewPrivs"], lifted["Seccomp"]) == ("0", "2")
    other = inside("report(**status())", "--security-opt=no-new-privileges=false", "--user=1000")
    assert (other["NoNewPrivs"], other["Seccomp"], other["CapEff"]) == ("0", "2", NONE)


@pytest.mark.parametrize("option", ["seccomp=unconfined", "unmask=ALL", "landlock=off"])
def test_an_option_loosens_only_what_it_names(inside: Inside, option: str):
    answer = inside(
        'report(status=status(), kcore=attempt(open, "/proc/kcore"), masked=read("/proc/interrupts") == "")',
        f"--security-opt={option}",
    )
    assert answer["status"]["CapEff"] == ELEVEN
    assert answer["status"]["NoNewPrivs"] == "1"
    assert answer["status"]["Seccomp"] == ("0" if option.startswith("seccomp") else "2")
    assert answer["masked"] is not option.startswith("unmask")


@pytest.mark.parametrize(
    ("option", "seen"),
    [
        ("proc-opts=hidepid=2", "'hidepid' in mounts and os.path.exists('/proc/sys')"),
        ("proc-opts=hidepid=2,subset=pid", "not os.path.exists('/proc/sys')"),
        ("mask=/etc", "os.listdir('/etc') == []"),
        ("unmask=/proc/timer_list", "os.stat('/proc/timer_list').st_rdev == 0"),
        ("systempaths=unconfined", "os.access('/proc/sys/kernel/hostname', os.F_OK)"),
        ("label=disable", "True"),
        ("apparmor=unconfined", "True"),
        ("landlock=full", "syscall('mount', b'x', b'/tmp', b'tmpfs', 0, None) == 'EPERM'"),
    ],
)
def test_a_security_option_has_its_effect(inside: Inside, option: str, seen: str):
    code = f"""
    mounts = read("/proc/self/mounts")
    report(seen={seen})
    """
    assert inside(code, f"--security-opt={option}")["seen"] is True


@pytest.mark.parametrize(
    "option",
    [
        *(
            "label=type:x_t",
            "label=level:s0",
            "apparmor=mine",
            "proc-opts=newinstance",
            "landlock=some",
        ),
        *(
            "systempaths=none",
            "seccomp=/nonexistent",
            "seccomp=",
            "mask=etc",
            "mask=/a/../b",
            "unmask=x",
        ),
        *("no-new-privileges=maybe", "credentialspec=x", "selinux=x", "", "=", "mask"),
    ],
)
def test_a_security_option_that_cannot_be_enforced_is_an_error(inside: Inside, option: str):
    said = inside.rootless.fails(
        "run", "--rm", "--network=none", f"--security-opt={option}", inside.image, "true"
    )
    assert said.startswith("Error: ")


KEYRING = """
    import os
    session = syscall("keyctl", 0, -3, 0)
    serial = syscall.result
    buffer = ctypes.create_string_buffer(4096)
    listed = syscall("keyctl", 11, -3, buffer, 4096)
    report(session=session, serial=serial, listed=listed, bytes=syscall.result)
"""


# A caller with a key in its session, as pam_keyinit and Kerberos leave them.
KEYED = """
import ctypes, json, os, sys
with open(sys.argv[1], encoding="ascii") as file:
    numbers = json.load(file)[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)
session = libc.syscall(ctypes.c_long(numbers["keyctl"]), ctypes.c_long(1), None)
added = libc.syscall(ctypes.c_long(numbers["add_key"]), b"user", b"secret", b"x", 1, ctypes.c_long(-3))
assert session > 0 and added > 0, ctypes.get_errno()
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_the_callers_keyring_stays_outside(inside: Inside):
    """Promise 3: also where keyctl(2) is allowed, no key of the caller is found through its session."""
    if not os.path.exists("/proc/keys"):
        pytest.skip("a kernel without keys")
    keyed = inside.called_by(
        sys.executable, "-c", KEYED, f"{CHECKOUT}/rootless/runtime/syscalls.json"
    )
    assert keyed(KEYRING)["session"] in ("EPERM", "ENOSYS")
    unconfined = "--security-opt=seccomp=unconfined"
    serials = set()
    for options in ((), ("--privileged",), ("--user=1000",), ("--init",)):
        seen = keyed(KEYRING, unconfined, *options)
        assert (seen["session"], seen["listed"], seen["bytes"]) == ("ok", "ok", 0), options
        serials.add(seen["serial"])
    assert len(serials) == 4
    rootless = keyed.rootless
    rootless(
        "run", "-d", unconfined, "--network=none", "--name=keyring", keyed.image, "sleep", "600"
    )
    try:
        joined = rootless("exec", "--privileged", "keyring", *inside.program(KEYRING)).stdout
        seen = json.loads(joined.splitlines()[-1])
        assert (seen["session"], seen["bytes"]) == ("ok", 0)
    finally:
        rootless("rm", "-f", "-t", "0", "keyring")
