"""``--memory``, ``--cpus`` and their like as files of cgroup v2 (OCI runtime-spec, config-linux.md)."""

from __future__ import annotations

from math import ceil, log2

from rootless.errors import InvalidRequest
from rootless.runtime.cgroup import Limit
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.requests import RunRequest

_PERIOD_US = 100_000


def limits_of(request: RunRequest) -> tuple[Limit, ...]:
    """What the request limits, in the order in which it is written.  Raises InvalidRequest."""
    return (
        *_memory(request),
        *_cpu(request),
        *_other(request),
        *_io(request),
        *_raw(request),
    )


def _memory(request: RunRequest) -> list[Limit]:
    limits = []
    memory, swap = request.memory, request.memory_swap
    if memory:
        limits.append(Limit("memory.max", str(memory), "--memory"))
    if request.memory_reservation:
        limits.append(Limit("memory.low", str(request.memory_reservation), "--memory-reservation"))
    if swap is not None:
        if swap == -1:
            limits.append(Limit("memory.swap.max", "max", "--memory-swap"))
        elif not memory or swap < memory:
            raise InvalidRequest(
                "--memory-swap is memory and swap together: it needs --memory, and at least as much"
            )
        else:
            limits.append(Limit("memory.swap.max", str(swap - memory), "--memory-swap"))
    return limits


def _cpu(request: RunRequest) -> list[Limit]:
    limits = []
    if request.cpus is not None and (request.cpu_quota or request.cpu_period):
        raise InvalidRequest("--cpus excludes --cpu-quota and --cpu-period")
    if request.cpus:
        quota = max(1000, round(request.cpus * _PERIOD_US))
        limits.append(Limit("cpu.max", f"{quota} {_PERIOD_US}", "--cpus"))
    elif request.cpu_quota or request.cpu_period:
        given = str(request.cpu_quota) if (request.cpu_quota or 0) > 0 else "max"
        limits.append(
            Limit("cpu.max", f"{given} {request.cpu_period or _PERIOD_US}", "--cpu-quota")
        )
    if request.cpu_shares:
        limits.append(Limit("cpu.weight", str(weight_of(request.cpu_shares)), "--cpu-shares"))
    if request.cpuset_cpus:
        limits.append(Limit("cpuset.cpus", request.cpuset_cpus, "--cpuset-cpus"))
    if request.cpuset_mems:
        limits.append(Limit("cpuset.mems", request.cpuset_mems, "--cpuset-mems"))
    return limits


def weight_of(shares: int) -> int:
    """cpu.weight (1 to 10000) for the shares of cgroup v1 (2 to 262144), as crun and runc convert them."""
    if shares <= 2:
        return 1
    if shares >= 262_144:
        return 10_000
    exponent = log2(shares)
    return ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def _other(request: RunRequest) -> list[Limit]:
    limits = []
    if request.pids_limit is not None:
        value = str(request.pids_limit) if request.pids_limit > 0 else "max"
        limits.append(Limit("pids.max", value, "--pids-limit"))
    if request.blkio_weight:
        if not 10 <= request.blkio_weight <= 1000:
            raise InvalidRequest("--blkio-weight is a number from 10 to 1000")
        weight = 1 + (request.blkio_weight - 10) * 9999 // 990
        limits.append(Limit("io.weight", f"default {weight}", "--blkio-weight"))
    return limits


def _io(request: RunRequest) -> list[Limit]:
    keys = {
        "device_read_bps": "rbps",
        "device_read_iops": "riops",
        "device_write_bps": "wbps",
        "device_write_iops": "wiops",
    }
    return [
        Limit("io.max", f"{_device(text)} {key}={_amount(text)}", f"--{field.replace('_', '-')}")
        for field, key in keys.items()
        for text in getattr(request, field)
    ]


def _device(text: str) -> str:
    import os

    path = text.rpartition(":")[0]
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidRequest(f"no device {path!r}: {error.strerror}") from None
    if not os.major(status.st_rdev):
        raise InvalidRequest(f"{path} is not a block device")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _amount(text: str) -> int:
    number = text.rpartition(":")[2].lower().removesuffix("b")
    unit = {"k": 10, "m": 20, "g": 30}.get(number[-1:], 0)
    digits = number[:-1] if unit else number
    if not digits.isdigit():
        raise InvalidRequest(f"{text!r} is not DEVICE:RATE", hint="such as /dev/sda:1mb")
    return int(digits) << unit


def _raw(request: RunRequest) -> list[Limit]:
    limits = []
    for text in request.cgroup_conf:
        file, equals, value = text.partition("=")
        if not equals or "/" in file or "." not in file:
            raise InvalidRequest(
                f"{text!r} is not FILE=VALUE", hint="such as memory.high=1073741824"
            )
        limits.append(Limit(file, value, f"--cgroup-conf {file}"))
    return limits
