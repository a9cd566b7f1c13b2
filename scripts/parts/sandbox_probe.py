"""Runs inside a container: what this process can see and do, as one line of JSON."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import stat
import sys

# They end, stop or fork the process that makes them, or would be noticed by others.
NOT_TRIED = frozenset(
    [
        "exit",
        "exit_group",
        "fork",
        "vfork",
        "clone",
        "clone3",
        "pause",
        "rt_sigreturn",
        "sigreturn",
        "restart_syscall",
        "rt_sigsuspend",
        "reboot",
        "vhangup",
        "sync",
        "syncfs",
        "kill",
        "tkill",
        "tgkill",
        "wait4",
        "waitid",
        "ppoll",
        "poll",
        "select",
        "pselect6",
        "sigsuspend",
    ]
)
FAMILIES = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 38: "alg", 40: "vsock"}
KERNEL_FILES = ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys")
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/fs/selinux",
]

libc = ctypes.CDLL(None, use_errno=True)
NEW_USER, NEW_NS = 0x10000000, 0x00020000


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def in_child(function, *arguments: object) -> str:
    """The name of the error, ``ok``, or how the process died; in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        signal.alarm(2)
        os.write(writer, function(*arguments).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        answer = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return answer or f"signal {-code}"


def call(number: int) -> str:
    """A system call with arguments that no call accepts."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    return "ok" if result != -1 else errno.errorcode.get(ctypes.get_errno(), "?")


def opened(path: str, mode: int) -> str:
    try:
        os.close(os.open(path, mode | os.O_NONBLOCK))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    return "ok"


def socket_of(family: int) -> str:
    kind = 3 if family in (16, 17) else 1 if family != 38 else 5
    ctypes.set_errno(0)
    result = libc.socket(family, kind, 0)
    return "ok" if result != -1 else errno.errorcode.get(ctypes.get_errno(), "?")


def made(number: int, *arguments: object) -> str:
    """A system call that is meant; numbers as long, texts as they are."""
    ctypes.set_errno(0)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *converted)
    return "ok" if result != -1 else errno.errorcode.get(ctypes.get_errno(), "?")


def tried(function, *arguments: object) -> str:
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    return "ok"


def actions(numbers: dict[str, int]) -> dict[str, str]:
    """What an attacker would try first, each in a process of its own."""
    buffer = ctypes.create_string_buffer(256)
    calls = {
        "make a user namespace": ("unshare", NEW_USER),
        "make a mount namespace": ("unshare", NEW_NS),
        "mount a tmpfs": ("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unmount /proc/sys": ("umount2", b"/proc/sys", 2),
        "change the root (chroot)": ("chroot", b"/tmp"),
        "io_uring": ("io_uring_setup", 1, buffer),
        "bpf": ("bpf", 0, buffer, 64),
        "performance counters": ("perf_event_open", buffer, 0, -1, -1, 0),
        "userfaultfd": ("userfaultfd", 0),
        "open by handle": ("open_by_handle_at", -100, buffer, 0),
        "read the kernel's log": ("syslog", 3, buffer, 256),
        "add a key": ("add_key", b"user", b"probe", b"x", 1, -3),
        "see the caller's session keyring": ("keyctl", 0, -3, 0),
        "set the clock": ("clock_settime", 0, buffer),
        "set the host name": ("sethostname", b"x", 1),
        "load a module": ("init_module", buffer, 0, b""),
        "trace another process": ("ptrace", 16, os.getppid(), 0, 0),
        "AF_ALG socket": ("socket", 38, 5, 0),
        "raw socket": ("socket", 2, 3, 1),
    }
    answers = {name: in_child(made, numbers[call], *rest) for name, (call, *rest) in calls.items()}
    for name, function, *rest in (
        ("make a device node", os.mknod, "/tmp/node", 0o20600, os.makedev(1, 1)),
        ("be killed last (oom_score_adj)", write, "/proc/self/oom_score_adj", "-1000"),
        ("a higher priority (nice)", os.setpriority, 0, 0, -5),
        ("open /dev/kmsg", os.open, "/dev/kmsg", os.O_RDONLY),
        ("write below /sys", write, "/sys/kernel/profiling", "1"),
        ("write net.core.somaxconn", write, "/proc/sys/net/core/somaxconn", "128"),
    ):
        answers[name] = in_child(tried, function, *rest)
    return answers


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def mounts() -> list[list[str]]:
    found = []
    for line in read("/proc/self/mountinfo").splitlines():
        fields = line.split()
        kind = fields[fields.index("-") + 1]
        flags = [
            each for each in fields[5].split(",") if each in ("ro", "nosuid", "nodev", "noexec")
        ]
        found.append([fields[4], kind, ",".join(flags) or "rw"])
    return found


def writable() -> list[str]:
    found = []
    for top in KERNEL_FILES:
        for directory, _, names in os.walk(top):
            for name in names:
                path = f"{directory}/{name}"
                try:
                    regular = stat.S_ISREG(os.lstat(path).st_mode)
                except OSError:
                    continue
                if regular and os.access(path, os.W_OK):
                    found.append(path)
    return found


def masked(path: str) -> str:
    if not os.path.exists(path):
        return "absent"
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        return "empty" if not os.listdir(path) else "visible"
    return "null" if status.st_rdev == os.makedev(1, 3) else "visible"


def main() -> None:
    numbers = json.loads(sys.argv[1])
    status = dict(
        line.split(":\t", 1) for line in read("/proc/self/status").splitlines() if ":\t" in line
    )
    answer = {
        "status": {
            key: status.get(key, "")
            for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
        },
        "uid_map": " ".join(read("/proc/self/uid_map").split()),
        "namespaces": {
            name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")
        },
        "groups": sorted(os.getgroups()),
        "mounts": mounts(),
        "writable": writable(),
        "masked": {path: masked(path) for path in MASKED},
        "calls": {
            name: in_child(call, number)
            for name, number in numbers.items()
            if name not in NOT_TRIED
        },
        "actions": actions(numbers),
        "sockets": {name: in_child(socket_of, family) for family, name in FAMILIES.items()},
        "devices": sorted(os.listdir("/dev")),
        "environment": sorted(os.environ),
        "descriptors": sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1],
        "processes": sorted(int(each) for each in os.listdir("/proc") if each.isdigit()),
        "limits": {
            name: list(resource.getrlimit(getattr(resource, name)))
            for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_MEMLOCK")
        },
        "interfaces": sorted(os.listdir("/sys/class/net"))
        if os.path.isdir("/sys/class/net")
        else [],
        "abstract": sum(1 for line in read("/proc/net/unix").splitlines() if " @" in line),
        "push": in_child(lambda: attempt_ioctl(0x5412)),
        "sysctl": opened("/proc/sys/kernel/core_pattern", os.O_WRONLY),
        "trigger": opened("/proc/sysrq-trigger", os.O_WRONLY),
        "cgroup": opened("/sys/fs/cgroup/cgroup.procs", os.O_WRONLY),
    }
    print(json.dumps(answer))


def attempt_ioctl(request: int) -> str:
    ctypes.set_errno(0)
    result = libc.ioctl(0, ctypes.c_ulong(request), b"x")
    return "ok" if result != -1 else errno.errorcode.get(ctypes.get_errno(), "?")


if __name__ == "__main__":
    main()
