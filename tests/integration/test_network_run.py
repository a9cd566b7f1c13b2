"""``--network`` none, host and private, ports and names, through the command line."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.namespaces import ask
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli import Rootless

pytestmark = pytest.mark.usefixtures("needs_user_namespace")
SERVE = "while :; do echo {} | nc -l -p 80; done"


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """A port of the host that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def server(rootless: Rootless, busybox: str) -> Iterator[str]:
    """The name of a container; removed at the end."""
    yield "ported"
    rootless("rm", "-f", "ported", check=False)


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def two_free_ports() -> int:
    """The first of two that follow each other."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            first = int(server.getsockname()[1])
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", first + 1)):
                return first


def test_without_a_network_there_is_only_the_loopback_and_it_is_up(rootless, busybox):
    script = "ls /sys/class/net; cat /etc/hosts; nc -l -p 80 & sleep 0.2; echo | nc 127.0.0.1 80"
    out = rootless("run", "--rm", "--network", "none", busybox, "sh", "-c", script).stdout
    assert out.splitlines()[0] == "lo"
    assert "eth0" not in out


def test_the_hosts_network_is_the_hosts(rootless, busybox):
    out = rootless("run", "--rm", "--network", "host", busybox, "ls", "/sys/class/net").stdout
    assert sorted(out.split()) == sorted(os.listdir("/sys/class/net"))


def test_the_default_network_is_private_and_has_a_way_out(rootless, busybox, needs_tun):
    out = rootless("run", "--rm", busybox, "ip", "route").stdout
    assert out.startswith("default via")


def test_the_host_is_found_by_its_alias(rootless, busybox, needs_tun):
    hosts = rootless("run", "--rm", busybox, "cat", "/etc/hosts").stdout
    if "host.containers.internal" not in hosts:
        pytest.skip("this host has no address but its loopback")
    with socket.create_server(("", 0)) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        argv = ("run", "--rm", "-i", busybox, "nc", "-w", "5", "host.docker.internal", str(port))
        client = rootless.start(*argv)
        peer, _ = listener.accept()
        peer.sendall(b"from the host")
        peer.close()
        assert b"from the host" in client.communicate(timeout=30)[0]


def test_the_hosts_loopback_cannot_be_reached(rootless, busybox, needs_tun, held):
    port = str(held.getsockname()[1])
    script = f"nc -w 2 10.0.2.2 {port} </dev/null; nc -w 2 127.0.0.1 {port} </dev/null; echo end"
    assert rootless("run", "--rm", busybox, "sh", "-c", script).stdout == "end\n"
    held.settimeout(0.1)
    with pytest.raises(TimeoutError):
        held.accept()


@pytest.mark.parametrize("mode", ["private", "bridge"])
def test_published_ports_lead_to_the_container_and_are_free_afterwards(
    rootless, busybox, server, mode, needs_tun
):
    port = free_port()
    flags = ("--network", mode, "-p", f"{port}:80")
    rootless("run", "-d", "--name", server, *flags, busybox, "sh", "-c", SERVE.format("hello"))
    for address in ("127.0.0.1", "::1"):
        wait_until(
            lambda address=address: ask("greeting", address, port) == "hello", f"{address} answers"
        )
    rootless("rm", "-f", server)
    with socket.create_server(("", port)):
        pass


def test_a_range_of_ports_is_published_one_by_one(rootless, busybox, server, needs_tun):
    first = two_free_ports()
    command = "nc -ll -p 8000 -e echo low & nc -ll -p 8001 -e echo high & wait"
    flags = ("-p", f"127.0.0.1:{first}-{first + 1}:8000-8001")
    rootless("run", "-d", "--name", server, *flags, busybox, "sh", "-c", command)
    wait_until(lambda: ask("greeting", "127.0.0.1", first) == "low", "the first answers")
    wait_until(lambda: ask("greeting", "127.0.0.1", first + 1) == "high", "the second answers")


def test_a_udp_port_is_held_as_long_as_the_container_runs(rootless, busybox, server, needs_tun):
    port = free_port()
    flags = ("-p", f"127.0.0.1:{port}:53/udp")
    rootless("run", "-d", "--name", server, *flags, busybox, "sleep", "600")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        rootless("rm", "-f", server)
        other.bind(("127.0.0.1", port))


def test_a_taken_port_is_an_error_before_anything_starts(rootless, busybox, held, needs_tun):
    port = held.getsockname()[1]
    stderr = rootless.fails("run", "-p", f"127.0.0.1:{port}:80", "--name", "late", busybox, "true")
    assert f"127.0.0.1:{port}" in stderr
    assert "in use" in stderr
    assert "late" not in rootless("ps", "-a").stdout


def test_ports_on_the_hosts_network_are_discarded_and_it_is_said(rootless, busybox, held):
    port = held.getsockname()[1]  # that it is taken is none of our business
    result = rootless("run", "--rm", "--network", "host", "-p", f"{port}:80", busybox, "true")
    assert result.stderr == "Warning: published ports are discarded on the host's network\n"
    rootless("create", "--name", "discarded", "--network", "host", "-p", f"{port}:80", busybox)
    assert rootless("port", "discarded").stdout == ""
    rootless("rm", "discarded")
    result = rootless("run", "--rm", "--network", "none", "-p", f"{port}:80", busybox, "true")
    assert result.stderr == "Warning: published ports are discarded without a network\n"


def test_ports_of_all_are_those_of_containers_that_run(rootless, busybox, server, needs_tun):
    for name in ("stopped", server):
        rootless("create", "--name", name, "-p", f"{free_port()}:80", busybox, "sleep", "100")
    rootless("start", server)
    shown = rootless("port", "-a").stdout.splitlines()
    assert [each.partition("\t")[0] for each in shown] == [server]
    assert rootless("port", "stopped").stdout.startswith("80/tcp -> ")
    rootless("rm", "stopped")


@pytest.mark.parametrize("network", ["private", "slirp4netns", "bridge"])
@pytest.mark.parametrize("address", ["zz", "01:00:00:00:00:01", "02:00:00:00:00"])
def test_a_wrong_hardware_address_is_an_error_before_anything_starts(
    rootless, busybox, network, address
):
    given = ("run", "--rm", "--network", network, "--mac-address", address, busybox, "true")
    assert f"MAC address {address}" in rootless.fails(*given)
    rootless("network", "rm", "-f", "bridge", check=False)  # the usual one is made when first named


def test_a_helper_that_was_killed_is_named_by_inspect(rootless, busybox, server, needs_tun):
    rootless("run", "-d", "--name", server, busybox, "sleep", "1000")

    def field(name: str) -> str:
        template = "{{.NetworkSettings." + name + "}}"
        return rootless("inspect", "-f", template, server).stdout.strip()

    assert field("Broken") == ""
    helper = int(field("HelperPid"))
    assert helper > 1
    os.kill(helper, signal.SIGKILL)
    wait_until(lambda: field("Backend") in field("Broken"), "the report")
    rootless("restart", "-t", "0", server)
    assert field("Broken") == ""


@pytest.mark.parametrize("flags", [(), ("--rm",)])
def test_who_watches_a_container_is_told_that_its_network_broke(
    rootless, busybox, server, needs_tun, flags
):
    watching = rootless.start("run", "--name", server, *flags, busybox, "sleep", "30")
    pid = ("inspect", "-f", "{{.NetworkSettings.HelperPid}}", server)

    def helper() -> int:
        return int(rootless(*pid, check=False).stdout or 0)

    wait_until(lambda: helper() > 1, "the helper")
    os.kill(helper(), signal.SIGKILL)
    assert b"has ended: the container is cut off" in watching.stderr.readline()
    rootless("rm", "-f", server)
    watching.communicate(timeout=30)


def test_names_can_be_added_and_resolvers_chosen(rootless, busybox):
    flags = ("--network", "none", "--add-host", "db:10.1.2.3", "--dns", "10.9.9.9")
    more = ("--dns-search", "lan", "--dns-option", "ndots:2", "--hostname", "me")
    script = "cat /etc/hosts /etc/resolv.conf /etc/hostname"
    out = rootless("run", "--rm", *flags, *more, busybox, "sh", "-c", script).stdout
    assert "10.1.2.3\tdb\n" in out
    assert "search lan\nnameserver 10.9.9.9\noptions ndots:2\n" in out
    assert out.endswith("me\n")


def test_without_resolvers_the_images_own_file_is_left_alone(rootless, busybox):
    run = ("run", "--rm", "--network", "none", "--dns", "none")
    assert "No such file" in rootless.fails(*run, busybox, "cat", "/etc/resolv.conf", exit_code=1)
    for more in (("--dns", "10.9.9.9"), ("--dns-search", "lan"), ("--dns-option", "ndots:2")):
        assert "no other --dns" in rootless.fails(*run, *more, busybox, "true")


def test_no_hosts_file_and_lines_in_it_exclude_each_other(rootless, busybox):
    said = rootless.fails("run", "--rm", "--no-hosts", "--add-host", "a:1.2.3.4", busybox, "true")
    assert "--no-hosts and --add-host exclude each other" in said


def test_without_a_helper_the_default_is_none_with_one_clear_line(rootless, busybox, tmp_path):
    for program in ("newuidmap", "newgidmap"):
        found = shutil.which(program)
        if found:
            os.symlink(found, tmp_path / program)
    result = rootless("run", "--rm", busybox, "ls", "/sys/class/net", env={"PATH": str(tmp_path)})
    assert result.stdout == "lo\n"
    assert result.stderr.count("\n") == 1
    assert "neither pasta nor slirp4netns works here" in result.stderr


def test_a_helper_that_was_asked_for_is_not_replaced(rootless, busybox, tmp_path):
    stderr = rootless.fails(
        "run", "--rm", "--network", "pasta", busybox, "true", env={"PATH": str(tmp_path)}
    )
    assert "pasta does not work here" in stderr


def test_the_network_of_another_container_is_shared(rootless, busybox, server, needs_tun):
    command = "nc -ll -p 80 -e echo shared"
    rootless("run", "-d", "--name", server, busybox, "sh", "-c", command)
    argv = ("run", "--rm", "--network", f"container:{server}", busybox, "nc", "127.0.0.1", "80")
    wait_until(lambda: rootless(*argv, check=False).stdout == "shared\n", "the shared loopback")


def test_any_user_may_listen_on_low_ports_in_a_network_of_its_own(rootless, busybox):
    script = "nc -l -p 80 & sleep 0.2; echo got | nc 127.0.0.1 80; wait"
    argv = ("run", "--rm", "--network", "none", "--user", "1000", busybox, "sh", "-c", script)
    assert rootless(*argv).stdout == "got\n"
