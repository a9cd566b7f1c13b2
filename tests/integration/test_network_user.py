"""User networks through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.namespaces import ask
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli import Rootless

pytestmark = pytest.mark.usefixtures("needs_user_namespace", "needs_tun")
SERVE = "while :; do echo {} | nc -l -p 80; done"


class Lab:
    """Containers and networks that are gone after the test, with everything of theirs."""

    def __init__(self, rootless: Rootless, image: str):
        self.rootless = rootless
        self.image = image
        self.containers: list[str] = []
        self.networks: list[str] = []

    def network(self, name: str, *flags: str) -> str:
        self.rootless("network", "create", *flags, name)
        self.networks.append(name)
        return name

    def start(self, name: str, *flags: str, command: str = "sleep 600") -> str:
        """A detached container that serves its name on port 80 when ``command`` says nothing else."""
        argv = ("run", "-d", "--name", name, *flags, self.image, "sh", "-c", command)
        self.containers.append(name)
        return self.rootless(*argv).stdout.strip()

    def inside(self, name: str, script: str, *, check: bool = True) -> str:
        result = self.rootless("exec", name, "sh", "-c", script, check=check)
        return result.stdout.strip()

    def reads(self, name: str, host: str) -> str:
        """What a container hears from a server."""
        return self.inside(name, f"nc -w 3 {host} 80 </dev/null", check=False)

    def close(self) -> None:
        if self.containers:
            self.rootless("rm", "-f", *self.containers, check=False)
        if self.networks:
            self.rootless("network", "rm", *self.networks, check=False)
        assert not os.path.exists(f"{self.rootless.home}/run/networks/keeper.sock")


@pytest.fixture
def lab(rootless: Rootless, busybox: str) -> Iterator[Lab]:
    made = Lab(rootless, busybox)
    yield made
    made.close()


def published(rootless: Rootless, name: str) -> int:
    """The first port of the host that a container has."""
    (found,) = json.loads(
        rootless("ps", "-a", "--filter", f"name={name}", "--format", "json").stdout
    )
    return int(found["Ports"][0]["host_port"])


def keeper(home: str) -> dict[int, str]:
    """The keeper's processes: pid and name."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                name = file.read().strip()
            if name.startswith(("rootless:[keepe", "rootless:[net]")):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if f"ROOTLESS_HOME={home}\0".encode() in file.read():
                        found[int(pid)] = name
        except OSError:
            continue
    return found


def test_containers_find_each_other_by_name_alias_and_short_id(lab):
    lab.network("n1")
    identity = lab.start(
        "server", "--network", "n1", "--network-alias", "web", command=SERVE.format("hello")
    )
    lab.start("client", "--network", "n1")
    for name in ("server", "SERVER", "web", identity[:12], "server.n1"):
        wait_until(lambda name=name: lab.reads("client", name) == "hello", f"an answer of {name}")
    address = lab.inside("server", "hostname -i").split()[0]
    assert "server" in lab.inside("client", f"nslookup {address}")


def test_a_name_nobody_has_is_not_ours_and_the_answer_comes_at_once(lab):
    lab.network("n1", "--internal")
    lab.start("client", "--network", "n1")
    assert "NXDOMAIN" in lab.inside("client", "nslookup nobody 2>&1", check=False)


def test_networks_are_separate(lab):
    lab.network("n1")
    lab.network("n2")
    lab.start("one", "--network", "n1", command=SERVE.format("one"))
    lab.start("two", "--network", "n2")
    address = lab.inside("one", "hostname -i").split()[0]
    assert lab.reads("two", "one") == ""
    assert lab.reads("two", address) == ""


def test_a_container_on_two_networks_is_found_on_both(lab):
    lab.network("n1")
    lab.network("n2", "--internal")
    lab.start("both", "--network", "n1", "--network", "n2", command=SERVE.format("both"))
    lab.start("one", "--network", "n1")
    lab.start("two", "--network", "n2")
    for name in ("one", "two"):
        wait_until(lambda name=name: lab.reads(name, "both") == "both", f"an answer for {name}")


def test_an_internal_network_has_no_way_out(lab):
    lab.network("inner", "--internal")
    lab.start("closed", "--network", "inner")
    assert "default" not in lab.inside("closed", "ip route")
    lab.network("outer")
    lab.start("open", "--network", "outer")
    assert "default via" in lab.inside("open", "ip route")
    stderr = lab.rootless.fails(
        "run", "--rm", "--network", "inner", "-p", "8080:80", lab.image, "true"
    )
    assert "internal" in stderr


def test_addresses_can_be_chosen_and_two_cannot_have_the_same(lab):
    lab.network("n1", "--subnet", "10.123.45.0/24", "--gateway", "10.123.45.254")
    flags = ("--network", "n1", "--ip", "10.123.45.7", "--mac-address", "02:00:00:00:00:07")
    lab.start("one", *flags)
    shown = lab.inside("one", "ip addr show dev eth0")
    assert "10.123.45.7/24" in shown
    assert "02:00:00:00:00:07" in shown
    assert "nameserver 10.123.45.254" in lab.inside("one", "cat /etc/resolv.conf")
    again = ("run", "--rm", "--network", "n1", "--ip")
    assert "in use" in lab.rootless.fails(*again, "10.123.45.7", lab.image, "true")
    assert "gateway" in lab.rootless.fails(*again, "10.123.45.254", lab.image, "true")
    assert "not in network n1" in lab.rootless.fails(*again, "10.0.0.1", lab.image, "true")


def test_ipv6_works_beside_ipv4(lab):
    lab.network("n6", "--ipv6")
    lab.start("server", "--network", "n6", command=SERVE.format("six"))
    lab.start("client", "--network", "n6")
    address = lab.inside("server", "ip -6 addr show dev eth0 scope global | grep -o 'fd[^/]*'")
    wait_until(lambda: lab.reads("client", address) == "six", "an answer by IPv6")


def test_published_ports_work_on_a_user_network(lab):
    lab.network("n1")
    lab.start("server", "--network", "n1", "-p", "127.0.0.1:0:80", command=SERVE.format("out"))
    port = published(lab.rootless, "server")
    wait_until(lambda: ask("greeting", "127.0.0.1", port) == "out", "an answer on the host")


def test_connect_and_disconnect_take_effect_at_once(lab):
    lab.network("n1")
    lab.network("n2")
    lab.start("server", "--network", "n2", command=SERVE.format("moved"))
    lab.start("client", "--network", "n1")
    assert lab.reads("client", "server") == ""
    lab.rootless("network", "connect", "n2", "client")
    wait_until(lambda: lab.reads("client", "server") == "moved", "an answer after connecting")
    assert "already" in lab.rootless.fails("network", "connect", "n2", "client")
    lab.rootless("network", "disconnect", "n2", "client")
    assert lab.reads("client", "server") == ""
    assert "not on network" in lab.rootless.fails("network", "disconnect", "n2", "client")


def test_a_stopped_container_comes_back_to_its_networks(lab):
    lab.network("n1")
    lab.start("server", "--network", "n1", command=SERVE.format("again"))
    lab.start("client", "--network", "n1")
    lab.rootless("stop", "-t", "0", "server")
    assert lab.reads("client", "server") == ""
    lab.rootless("start", "server")
    wait_until(lambda: lab.reads("client", "server") == "again", "an answer after the restart")


def test_a_network_in_use_is_not_removed_and_says_by_whom(lab):
    lab.network("n1")
    lab.start("user", "--network", "n1")
    assert "user" in lab.rootless.fails("network", "rm", "n1")
    lab.rootless("stop", "-t", "0", "user")
    assert "user" in lab.rootless.fails("network", "rm", "n1"), "a stopped one may be started again"
    lab.rootless("network", "rm", "-f", "n1")
    assert lab.rootless("network", "exists", "n1", check=False).exit_code == 1
    assert lab.rootless("ps", "-aq").stdout == ""


def test_nothing_is_left_when_the_last_container_leaves(lab):
    lab.network("n1")
    lab.start("one", "--network", "n1")
    assert len(keeper(lab.rootless.home)) == 2
    lab.rootless("rm", "-f", "one")
    wait_until(lambda: not keeper(lab.rootless.home), "the end of the keeper")


def test_a_killed_keeper_is_reported_and_the_next_container_gets_a_new_one(lab):
    lab.network("n1")
    lab.start("one", "--network", "n1")
    before = keeper(lab.rootless.home)
    worker = next(pid for pid, name in before.items() if name == "rootless:[net]")
    os.kill(worker, signal.SIGKILL)

    def broken() -> bool:
        run = f"{lab.rootless.home}/run/containers"
        for each in os.listdir(run):
            with open(f"{run}/{each}/state.json", encoding="utf-8") as file:
                if "keeper" in json.load(file)["network"].get("broken", ""):
                    return True
        return False

    wait_until(broken, "the report")
    lab.start("two", "--network", "n1")
    assert "nameserver" in lab.inside("two", "cat /etc/resolv.conf")


def test_addresses_come_from_the_range(lab):
    lab.network("n1", "--subnet", "10.98.7.0/24", "--ip-range", "10.98.7.128/30")
    for name, address in (("one", "10.98.7.128"), ("two", "10.98.7.129")):
        lab.start(name, "--network", "n1")
        assert f" {address}/24 " in lab.inside(name, "ip -4 addr show dev eth0")
    lab.start("three", "--network", "n1", "--ip", "10.98.7.9")
    assert " 10.98.7.9/24 " in lab.inside("three", "ip -4 addr show dev eth0")
    for name in ("four", "five"):
        lab.start(name, "--network", "n1")
    said = lab.rootless.fails("run", "--rm", "--network", "n1", lab.image, "true")
    assert "all addresses of 10.98.7.128/30 are in use" in said
    said = lab.rootless.fails(
        "run", "--rm", "--network", "n1", "--ip", "10.98.7.255", lab.image, "true"
    )
    assert "10.98.7.255 means all of network n1, or its broadcast" in said
    template = "{{range .Subnets}}{{.Gateway}} {{.LeaseRange.start_ip}}{{end}} {{.IPv6Enabled}}"
    seen = lab.rootless("network", "inspect", "-f", template, "n1").stdout
    assert seen == "10.98.7.1 10.98.7.128 false\n"
    (found,) = json.loads(lab.rootless("network", "inspect", "n1").stdout)
    assert found["subnets"][0]["lease_range"]["end_ip"] == "10.98.7.131"
    assert found["IPAM"]["Config"][0]["IPRange"] == "10.98.7.128/30"


def test_several_networks_are_named_in_one_word_or_in_several(lab):
    for name in ("n1", "n2"):
        lab.network(name)
    lab.start("both", "--network", "n1,n2", "--network-alias", "pair")
    for network in ("n1", "n2"):
        lab.start(f"on-{network}", "--network", network)
        assert "Address" in lab.inside(f"on-{network}", "nslookup pair")
    chosen = ("--network", "n1:ip=10.89.0.77,alias=x,mac=02:00:00:00:00:09", "--network", "n2")
    lab.start("apart", *chosen)
    assert "10.89.0.77/24" in lab.inside("apart", "ip addr show dev eth0")
    assert "02:00:00:00:00:09" in lab.inside("apart", "ip addr show dev eth0")
    said = lab.rootless.fails("run", "--rm", "--network", "n1,none", lab.image, "true")
    assert "only user networks can be combined" in said


def test_an_address_of_the_wrong_kind_is_refused(lab):
    lab.network("four")
    lab.network("both", "--ipv6", "--subnet", "10.98.8.0/24", "--subnet", "fd98:8::/64")
    run = ("run", "--rm", "--network")
    said = lab.rootless.fails(*run, "four", "--ip6", "fd98:8::5", lab.image, "true")
    assert "fd98:8::5 is not in network four" in said
    assert "--ipv6" in said
    lab.start("six", "--network", "both", "--ip", "fd98:8::5")
    seen = lab.inside("six", "ip addr show dev eth0")
    assert "fd98:8::5/64" in seen
    assert "10.98.8.2/24" in seen


@pytest.mark.parametrize("mode", ["none", "private", "host"])
def test_who_is_not_on_user_networks_is_connected_while_it_is_stopped(lab, mode):
    lab.network("n1")
    lab.start("one", "--network", mode)
    said = lab.rootless.fails("network", "connect", "n1", "one")
    if mode == "host":
        assert "has the network of the host" in said
        lab.rootless("stop", "-t", "0", "one")
        assert "make it anew" in lab.rootless.fails("network", "connect", "n1", "one")
        return
    assert f"runs with --network {mode}" in said
    assert "rootless stop one; rootless network connect n1 one; rootless start one" in said
    lab.rootless("stop", "-t", "0", "one")
    lab.rootless("network", "connect", "n1", "one")
    lab.rootless("start", "one")
    assert "10.89." in lab.inside("one", "ip -4 addr show dev eth0")


def test_a_network_is_described_with_who_is_on_it(lab):
    lab.network("n1", "--label", "team=blue", "--opt", "mtu=9000", "--ipv6")
    lab.start("one", "--network", "n1", "--network-alias", "uno")
    (found,) = json.loads(lab.rootless("network", "inspect", "n1").stdout)
    (place,) = found["containers"].values()
    assert found["Labels"] == {"team": "blue"}
    assert place["name"] == "one"
    assert place["aliases"] == ["uno"]
    assert place["IPv4Address"].endswith("/24")
    assert place["IPv6Address"].startswith("fd")
    assert "mtu 9000" in lab.inside("one", "ip link show dev eth0")
    assert lab.rootless("network", "ls", "-q", "--filter", "label=team=blue").stdout == "n1\n"
    assert lab.rootless("network", "ls", "-q", "--filter", "dangling=true").stdout == ""


@pytest.mark.parametrize(
    ("flags", "name", "words"),
    [
        ((), "host", "network mode"),
        ((), "a/b", "a/b"),
        (("--driver", "macvlan"), "x", "macvlan"),
        (("--subnet", "10.9.9.0/33"), "x", "10.9.9.0/33"),
        (("--subnet", "10.9.9.0/24", "--gateway", "10.8.8.8"), "x", "gateway"),
        (("--subnet", "10.9.9.0/24", "--gateway", "10.9.9.0"), "x", "gateway"),
        (("--subnet", "10.9.9.0/24", "--gateway", "10.9.9.255"), "x", "gateway"),
        (("--subnet", "10.9.9.0/31"), "x", "no room"),
        (("--subnet", "10.9.9.0/24", "--ip-range", "10.9.8.0/25"), "x", "no part of"),
        (("--ip-range", "10.9.8.0/33"), "x", "10.9.8.0/33"),
        (("--opt", "mtu=1"), "x", "mtu"),
        (("--opt", "vlan=1"), "x", "vlan"),
    ],
)
def test_a_network_that_cannot_be_is_refused(rootless, flags, name, words):
    assert words in rootless.fails("network", "create", *flags, name)


def test_names_and_subnets_are_taken_once(lab):
    lab.network("n1", "--subnet", "10.77.0.0/16")
    assert "exists" in lab.rootless.fails("network", "create", "n1")
    lab.rootless("network", "create", "--ignore", "n1")
    overlapping = ("network", "create", "--subnet", "10.77.3.0/24", "n2")
    assert "overlaps" in lab.rootless.fails(*overlapping)
    assert "no network" in lab.rootless.fails("run", "--rm", "--network", "n9", lab.image, "true")


def test_prune_removes_what_no_container_uses(lab):
    lab.network("used")
    lab.network("unused")
    lab.start("one", "--network", "used")
    assert lab.rootless("network", "prune").stdout == "unused\n"
    assert lab.rootless("network", "ls", "-q").stdout == "used\n"


@pytest.mark.slow
def test_twenty_containers_resolve_and_reach_each_other(lab):
    lab.network("many")
    names = [f"c{number}" for number in range(20)]
    for name in names:
        lab.start(name, "--network", "many", command=SERVE.format(name))
    ask_all = f"for n in {' '.join(names)}; do nc -w 5 $n 80 </dev/null; done"
    wait_until(lambda: lab.inside("c0", ask_all).split() == names, "answers of all to the first")
    clients = [
        subprocess.Popen(
            [*lab.rootless.command, "exec", name, "sh", "-c", f"nslookup {other} | grep -c Name:"],
            env=lab.rootless.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, other in zip(names, reversed(names), strict=True)
    ]
    assert [client.communicate(timeout=60)[0].strip() for client in clients] == ["1"] * 20
