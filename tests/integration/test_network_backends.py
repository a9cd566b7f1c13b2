"""The network helpers against namespaces without a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from rootless.errors import Conflict, HostLacks
from rootless.network import findings, probe
from rootless.network.backend import NetworkRequest
from rootless.network.pasta import Pasta
from rootless.network.ports import PortMapping, parse_ports
from rootless.network.private import Private
from rootless.network.publish import assign, listen
from rootless.network.rate import Limited, parse_rate
from rootless.network.slirp4netns import Slirp4netns
from tests.support.namespaces import Namespace, ask
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rootless.network.backend import Backend

pytestmark = pytest.mark.usefixtures("needs_user_namespace", "needs_tun")
SLIRP = "/usr/bin/slirp4netns"
PASTA = "/usr/bin/pasta"


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace() as made:
        yield made


@pytest.fixture(params=["slirp4netns", "pasta"])
def backend(request: pytest.FixtureRequest) -> Backend:
    request.getfixturevalue(f"needs_{request.param}")
    if request.param == "slirp4netns":
        return Slirp4netns(SLIRP)
    return Pasta(PASTA, publishes=False)


def free(*mappings: PortMapping) -> tuple[PortMapping, ...]:
    return assign(mappings)


def test_a_helper_gives_an_address_a_route_and_a_way_to_the_host(backend, namespace, tmp_path):
    link = backend.start(namespace.pid, NetworkRequest(directory=str(tmp_path)))
    attachment = link.wait()
    try:
        assert attachment.address in namespace.run("ip", "-o", "addr", "show", "dev", "eth0")
        assert f"default via {attachment.gateway}" in namespace.run("ip", "route")
        assert os.path.exists(f"/proc/{attachment.helper_pid}")
        assert link.broken() is None
    finally:
        link.close()
    wait_until(lambda: not is_running(attachment.helper_pid), "the end of the helper")


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("host_ip", ["", "127.0.0.1", "::1"])
def test_published_tcp_ports_reach_servers_that_speak_first_or_last(backend, namespace, host_ip):
    ports = free(PortMapping(host_ip, 0, 80), PortMapping(host_ip, 0, 81))
    link = backend.start(namespace.pid, NetworkRequest(ports=ports))
    try:
        link.wait()
        namespace.serve("greeting", 80)
        namespace.serve("echo", 81)
        for kind, mapping in (("greeting", ports[0]), ("echo", ports[1])):
            for address in (host_ip,) if host_ip else ("127.0.0.1", "::1"):
                assert ask(kind, address, mapping.host_port)
    finally:
        link.close()
    assert assign(ports) == ports, "the ports are free again"


def test_published_udp_ports_answer_from_the_address_that_was_asked(backend, namespace):
    ports = free(PortMapping("", 0, 53, "udp"))
    link = backend.start(namespace.pid, NetworkRequest(ports=ports))
    try:
        link.wait()
        namespace.serve("udp", 53)
        for address in ("127.0.0.1", "127.0.0.2", "::1"):
            assert ask("udp", address, ports[0].host_port).endswith(" 5"), address
    finally:
        link.close()


def test_the_relay_carries_megabytes_both_ways_without_a_gap(namespace, needs_slirp4netns):
    ports = free(PortMapping("127.0.0.1", 0, 80), PortMapping("127.0.0.1", 0, 81))
    link = Slirp4netns(SLIRP).start(namespace.pid, NetworkRequest(ports=ports))
    try:
        link.wait()
        namespace.serve("sink", 80)
        namespace.serve("source", 81)
        count = 50
        script = f"""
import socket
sender = socket.create_connection(("127.0.0.1", {ports[0].host_port}))
for _ in range({count}):
    sender.sendall(bytes(1 << 20))
sender.shutdown(socket.SHUT_WR)
print(sender.recv(100).decode())
receiver = socket.create_connection(("127.0.0.1", {ports[1].host_port}))
receiver.sendall(b"{count}")
total = 0
while data := receiver.recv(1 << 20):
    total += len(data)
print(total)
"""
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.split() == [str(count << 20)] * 2
    finally:
        link.close()


def test_the_relay_shows_the_clients_address_and_never_the_loopback(namespace, needs_slirp4netns):
    ports = free(PortMapping("", 0, 80))
    link = Slirp4netns(SLIRP).start(namespace.pid, NetworkRequest(ports=ports))
    try:
        attachment = link.wait()
        namespace.serve("greeting", 80)
        for address in ("127.0.0.1", "::1"):
            seen = ask("greeting", address, ports[0].host_port)
            assert seen == f"::ffff:{attachment.gateway}", "a program may trust its own loopback"
        if attachment.host_address:
            seen = ask("greeting", attachment.host_address, ports[0].host_port)
            assert seen == f"::ffff:{attachment.host_address}"
    finally:
        link.close()


def test_a_port_where_nobody_listens_inside_is_refused_to_the_client(namespace, needs_slirp4netns):
    ports = free(PortMapping("127.0.0.1", 0, 80))
    link = Slirp4netns(SLIRP).start(namespace.pid, NetworkRequest(ports=ports))
    try:
        link.wait()
        assert ask("greeting", "127.0.0.1", ports[0].host_port) == ""
        namespace.serve("greeting", 80)
        assert ask("greeting", "127.0.0.1", ports[0].host_port) != ""
    finally:
        link.close()


@pytest.mark.parametrize("name", ["short", "x" * 120])
def test_slirp4netns_can_publish_ports_itself(namespace, needs_slirp4netns, tmp_path, name):
    """Also where the directory is longer than a socket's address, which it usually is."""
    ports = free(PortMapping("127.0.0.1", 0, 80))
    directory = tmp_path / name
    directory.mkdir()
    request = NetworkRequest(
        ports=ports, options=("port_handler=slirp4netns",), directory=str(directory)
    )
    link = Slirp4netns(SLIRP).start(namespace.pid, request)
    try:
        link.wait()
        namespace.serve("greeting", 80)
        assert ask("greeting", "127.0.0.1", ports[0].host_port) != ""
    finally:
        link.close()
    assert os.listdir(directory) == [], "the control socket is gone"


def test_a_taken_port_is_named_before_anything_starts(backend):
    (port,) = free(PortMapping("127.0.0.1", 0, 80))
    with closing(listen(port)), pytest.raises(Conflict, match=str(port.host_port)):
        backend.addresses(NetworkRequest(ports=(port,)))


def test_a_low_port_names_the_setting_that_would_allow_it(backend):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        if int(file.read()) <= 1:
            pytest.skip("every port is free here")
    with pytest.raises(HostLacks) as caught:
        backend.addresses(NetworkRequest(ports=parse_ports("1:80")))
    assert "net.ipv4.ip_unprivileged_port_start=1" in (caught.value.hint or "")


def test_a_helper_dies_with_its_owner_even_when_that_is_killed(backend, namespace):
    name, program = ("Slirp4netns", SLIRP) if backend.name == "slirp4netns" else ("Pasta", PASTA)
    script = f"""
import os, signal
from rootless.network.backend import NetworkRequest
from rootless.network.{backend.name} import {name}
from rootless.network.ports import PortMapping
from rootless.network.publish import assign
ports = assign((PortMapping("127.0.0.1", 0, 80),))
link = {name}({program!r}).start({namespace.pid}, NetworkRequest(ports=ports))
print(link.wait().helper_pid, flush=True)
signal.pause()
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert owner.stdout is not None
    with owner.stdout:
        helper = int(owner.stdout.readline())
    assert is_running(helper)
    owner.kill()
    owner.wait()
    wait_until(lambda: not is_running(helper), "the end of the helper")
    wait_until(lambda: not running_as("rootless:[ports"), "the end of the relay")


def running_as(name: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = os.stat(f"/proc/{pid}")
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if status.st_uid == os.getuid() and file.read().startswith(name):
                    found.append(pid)
        except OSError:
            continue
    return [pid for pid in found if is_running(int(pid))]


def test_a_killed_helper_is_reported_and_says_who_it_was(backend, namespace):
    link = backend.start(namespace.pid, NetworkRequest())
    try:
        helper = link.wait().helper_pid
        os.kill(helper, signal.SIGKILL)
        wait_until(link.broken, "the report")
        assert backend.name in link.broken()
    finally:
        link.close()


def test_a_helper_that_is_no_helper_is_refused_with_its_own_words(namespace, tmp_path):
    fake = tmp_path / "pasta"
    fake.write_text("#!/bin/sh\necho no such luck >&2\nexit 1\n")
    fake.chmod(0o755)
    link = Pasta(str(fake)).start(namespace.pid, NetworkRequest())
    with pytest.raises(HostLacks, match="no such luck"):
        link.wait()


def test_the_next_helper_is_taken_when_the_first_does_not_start(
    namespace, tmp_path, needs_slirp4netns
):
    fake = tmp_path / "pasta"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    link = Private((Pasta(str(fake)), Slirp4netns(SLIRP))).start(namespace.pid, NetworkRequest())
    try:
        assert link.wait().backend == "slirp4netns"
    finally:
        link.close()


def test_helpers_start_with_sigpipe_ignored_and_keep_no_descriptor(namespace, needs_slirp4netns):
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    previous = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        link = Slirp4netns(SLIRP).start(namespace.pid, NetworkRequest())
        link.wait()
        os.close(write_end)
        assert os.read(read_end, 1) == b"", "the helper holds our pipe"
        link.close()
    finally:
        signal.signal(signal.SIGPIPE, previous)
        os.close(read_end)


def test_a_probe_finds_a_working_helper_and_says_why_another_does_not_work(
    tmp_path: Path, needs_slirp4netns
):
    assert probe.probe_slirp4netns(SLIRP) == probe.Findings(None, None)
    fake = tmp_path / "pasta"
    fake.write_text("#!/bin/sh\necho cannot do it >&2\nexit 1\n")
    fake.chmod(0o755)
    cache = str(tmp_path / "cache")
    unusable, _, _ = findings.find("pasta", str(fake), cache)
    assert "cannot do it" in (unusable or "")
    fake.write_text("#!/bin/sh\nexit 2\n")  # another program: the answer is not remembered
    assert "cannot do it" not in (findings.find("pasta", str(fake), cache)[0] or "")


def test_a_helper_is_not_slow_where_what_is_sent_arrives(needs_slirp4netns):
    with Namespace() as made:
        link = Slirp4netns(SLIRP).start(made.pid, NetworkRequest())
        try:
            host = link.wait().host_address
            assert host is None or probe.use_upload(made.pid, host) is None
        finally:
            link.close()


def test_what_was_found_is_remembered(tmp_path, monkeypatch, needs_tun):
    answer = probe.Findings(None, "no\nports", "9 of 64 MiB in 1.5 s")
    monkeypatch.setattr(probe, "probe_pasta", lambda program: answer)
    expected = (None, "no ports", "9 of 64 MiB in 1.5 s")
    program, cache = sys.executable, str(tmp_path / "cache")
    assert findings.find("pasta", program, cache) == expected
    monkeypatch.setattr(probe, "probe_pasta", None)
    assert findings.find("pasta", program, cache) == expected


def test_a_helper_that_is_not_installed_is_no_mystery(tmp_path):
    assert findings.find("pasta", None, str(tmp_path)) == (
        "pasta is not installed",
        "pasta is not installed",
        None,
    )


def test_a_rate_limits_both_ways_and_published_ports_too(namespace, needs_slirp4netns):
    ports = free(PortMapping("127.0.0.1", 0, 84), PortMapping("127.0.0.1", 0, 85))
    backend = Limited(Slirp4netns(SLIRP), parse_rate("up=40mbit,down=80mbit"))
    link = backend.start(namespace.pid, NetworkRequest(ports=ports))
    try:
        link.wait()
        namespace.serve("sink", 84)
        namespace.serve("source", 85)
        script = """
import socket, sys, time
peer = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
begin = time.monotonic()
if sys.argv[1] == "down":
    peer.sendall(bytes(4 << 20))
    peer.shutdown(socket.SHUT_WR)
    peer.recv(100)
else:
    peer.sendall(b"4")
    while peer.recv(1 << 20):
        pass
print((4 << 23) / (time.monotonic() - begin) / 1e6)
"""
        for way, mapping, limit in (("down", ports[0], 80), ("up", ports[1], 40)):
            argv = [sys.executable, "-c", script, way, str(mapping.host_port)]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
            assert limit * 0.5 < float(done.stdout) < limit * 1.5, way
    finally:
        link.close()
