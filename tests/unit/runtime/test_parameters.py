"""Kernel parameters, limits, devices and mount targets are checked before anything runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import InvalidRequest, RootlessError, Unsupported
from rootless.runtime.options import Rlimit
from rootless.runtime.parameters import (
    Device,
    check_target,
    clean_target,
    parse_device,
    parse_sysctl,
    parse_ulimit,
    parse_ulimits,
)

OWN = ("ipc", "uts", "network", "user")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("net.core.somaxconn=1024", ("net.core.somaxconn", "1024")),
        ("net/ipv4/ip_forward=1", ("net.ipv4.ip_forward", "1")),
        ("net.ipv4.conf.eth0/100.forwarding=1", ("net.ipv4.conf.eth0/100.forwarding", "1")),
        ("net/ipv4/conf/eth0.100/forwarding=1", ("net.ipv4.conf.eth0/100.forwarding", "1")),
        ("kernel.msgmax=8192", ("kernel.msgmax", "8192")),
        ("kernel.sem=1 2 3 4", ("kernel.sem", "1 2 3 4")),
        ("fs.mqueue.msg_max=10", ("fs.mqueue.msg_max", "10")),
        ("user.max_net_namespaces=5", ("user.max_net_namespaces", "5")),
        ("kernel.domainname=here=there", ("kernel.domainname", "here=there")),
    ],
)
def test_parameters_of_a_namespace_are_allowed(text, pair):
    assert parse_sysctl(text, OWN) == pair


@pytest.mark.parametrize(
    "text",
    [
        "kernel.core_pattern=|/evil",
        "kernel.shm_rmid_forced+net=1",
        "vm.overcommit_memory=1",
        "fs.file-max=1",
        "kernel.msgmaxx=1",
        "netx.core=1",
    ],
)
def test_parameters_of_the_machine_are_refused(text):
    with pytest.raises((Unsupported, InvalidRequest)):
        parse_sysctl(text, OWN)


@pytest.mark.parametrize(
    "text",
    [
        "net.core.somaxconn",
        "=1",
        "net..x=1",
        "net./../../kernel.core_pattern=1",
        "net.//.kernel.x=1",
        "net.ipv4.x=1\nkernel.core_pattern=2",
        "net.ipv4.\0=1",
        "/net/ipv4/x=1",
        "net.ipv4.é=1",
    ],
)
def test_malformed_parameters_are_refused(text):
    with pytest.raises(InvalidRequest):
        parse_sysctl(text, OWN)


@pytest.mark.parametrize("text", ["net.core.somaxconn=1", "kernel.msgmax=1", "kernel.hostname=x"])
def test_parameters_of_shared_namespaces_are_refused(text):
    with pytest.raises(Unsupported, match="which is the host's"):
        parse_sysctl(text, ())


def test_limits_are_soft_and_hard():
    assert parse_ulimit("nofile=1024:2048") == Rlimit("RLIMIT_NOFILE", 1024, 2048)
    assert parse_ulimit("RLIMIT_CORE=0") == Rlimit("RLIMIT_CORE", 0, 0)
    assert parse_ulimit("nproc=100:-1") == Rlimit("RLIMIT_NPROC", 100, -1)
    assert parse_ulimit("as=unlimited") == Rlimit("RLIMIT_AS", -1, -1)


@pytest.mark.parametrize(
    "text",
    ["nofile", "nofile=", "nofile=2:1", "nofile=-1:5", "nofile=1:2:3", "files=1", "cpu=1s", "as=-2"]
    + ["as=" + "9" * 20, "as=²", "as=1 "],
)
def test_malformed_limits_are_refused(text):
    with pytest.raises(InvalidRequest):
        parse_ulimit(text)


def test_limits_above_the_callers_are_refused():
    current = {"RLIMIT_NOFILE": (1024, 4096), "RLIMIT_CORE": (0, -1)}
    asked = ("nofile=4096", "core=-1", "nofile=10")
    assert parse_ulimits(asked, current) == (
        Rlimit("RLIMIT_NOFILE", 10, 10),
        Rlimit("RLIMIT_CORE", -1, -1),
    )
    assert parse_ulimits(("host",), current) == (
        Rlimit("RLIMIT_NOFILE", 1024, 4096),
        Rlimit("RLIMIT_CORE", 0, -1),
    )
    for text in ("nofile=4097", "nofile=1:-1"):
        with pytest.raises(Unsupported, match="your own hard limit, which is 4096"):
            parse_ulimits((text,), current)


def test_devices_have_a_source_and_a_target():
    assert parse_device("/dev/fuse") == Device("/dev/fuse", "/dev/fuse")
    assert parse_device("/dev/fuse:rwm") == Device("/dev/fuse", "/dev/fuse")
    assert parse_device("/dev/a:/dev/b") == Device("/dev/a", "/dev/b")
    assert parse_device("/dev/a:/dev//./b:rw") == Device("/dev/a", "/dev/b")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("/dev/a:r", Unsupported),
        ("/dev/a:/dev/b:w", Unsupported),
        ("vendor.com/gpu=0", Unsupported),
        ("dev/a", InvalidRequest),
        ("/dev/a:b", InvalidRequest),
        ("/dev/a:", InvalidRequest),
        ("/dev/a:/dev/b:rw:x", InvalidRequest),
        ("", InvalidRequest),
    ],
)
def test_devices_that_cannot_be_given_are_refused(text, error):
    with pytest.raises(error):
        parse_device(text)


def test_targets_are_plain_paths():
    assert clean_target("/a/./b//c/../d/") == "/a/b/d"
    assert clean_target("/../../etc") == "/etc"
    for target in ("", "a", "/", "/a/..", "/a\0b"):
        with pytest.raises(InvalidRequest):
            clean_target(target)


@pytest.mark.parametrize(
    "target", ["/proc", "/proc/", "/x/../proc", "/proc/self/attr", "/sys", "//sys/fs"]
)
def test_nothing_goes_over_the_kernels_own_files(target):
    with pytest.raises(InvalidRequest, match="kernel"):
        check_target(target, "/home/me/volume")


def test_harmless_files_of_procfs_and_the_hosts_sysfs_may_be_shown():
    assert check_target("/proc/meminfo", "/var/lib/lxcfs/proc/meminfo") == "/proc/meminfo"
    assert check_target("/sys", "/sys") == "/sys"
    assert check_target("/sys/fs/cgroup", "/sys/fs/cgroup") == "/sys/fs/cgroup"
    assert check_target("/process", "/x") == "/process"
    for source in ("/system", "/sysx/y"):
        with pytest.raises(InvalidRequest):
            check_target("/sys", source)


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text):
    for parse in (
        lambda: parse_sysctl(text, OWN),
        lambda: parse_sysctl(f"net.{text}", OWN),
        lambda: parse_ulimit(text),
        lambda: parse_device(text),
        lambda: check_target(text),
    ):
        try:
            parse()
        except RootlessError as error:
            assert "\n" not in error.message
