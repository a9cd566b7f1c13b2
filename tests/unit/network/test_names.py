import pytest

from rootless.errors import HostLacks, InvalidRequest
from rootless.network import names
from rootless.network.names import ExtraHost, Resolver


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("db:10.0.0.1", ExtraHost(("db",), "10.0.0.1")),
        ("db=10.0.0.1", ExtraHost(("db",), "10.0.0.1")),
        ("db:::1", ExtraHost(("db",), "::1")),
        ("db=[::1]", ExtraHost(("db",), "::1")),
        ("a;b:10.0.0.1", ExtraHost(("a", "b"), "10.0.0.1")),
        ("me:host-gateway", ExtraHost(("me",), "host-gateway")),
    ],
)
def test_extra_hosts_are_read_as_docker_and_podman_write_them(text, extra):
    assert names.parse_extra_host(text) == extra


@pytest.mark.parametrize(
    "text", ["", "db", "db:", ":1.2.3.4", "db:nope", "a b:1.2.3.4", "a\nb:1.2.3.4"]
)
def test_what_is_not_an_extra_host_is_refused(text):
    with pytest.raises(InvalidRequest):
        names.parse_extra_host(text)


def test_hosts_name_the_container_by_its_address_and_the_host_by_its_aliases():
    text = names.hosts(
        hostname="web", addresses=("10.0.2.100",), names=("c1",), host_address="192.0.2.2"
    )
    assert text.splitlines()[0] == "127.0.0.1\tlocalhost"
    assert text.endswith(
        "192.0.2.2\thost.containers.internal host.docker.internal\n10.0.2.100\tweb c1\n"
    )


def test_without_an_address_the_container_is_its_own_loopback():
    assert names.hosts(hostname="web").endswith("127.0.0.1\tweb\n")


def test_added_hosts_win_over_ours_and_may_mean_the_host():
    text = names.hosts(
        hostname="web",
        host_address="192.0.2.2",
        extra=(
            ExtraHost(("host.docker.internal",), "10.9.9.9"),
            ExtraHost(("up",), "host-gateway"),
        ),
        base="",
    )
    assert text.splitlines() == [
        "10.9.9.9\thost.docker.internal",
        "192.0.2.2\tup",
        "192.0.2.2\thost.containers.internal",
        "127.0.0.1\tweb",
    ]


def test_the_host_cannot_be_named_where_the_network_does_not_lead_to_it():
    with pytest.raises(HostLacks):
        names.hosts(hostname="web", extra=(ExtraHost(("up",), "host-gateway"),))


def test_a_resolv_conf_is_read_as_libc_reads_it():
    text = "# c\nnameserver 127.0.0.53\nsearch a b\ndomain c\noptions edns0\noptions ndots:2\n;x\n"
    assert names.parse_resolver(text) == Resolver(("127.0.0.53",), ("c",), ("edns0", "ndots:2"))


def test_loopback_resolvers_of_the_host_stay_behind():
    host = Resolver(("127.0.0.53", "9.9.9.9"), ("lan",), ("edns0",))
    assert names.resolv_conf(host=host) == "search lan\nnameserver 9.9.9.9\noptions edns0\n"
    assert "127.0.0.53" in names.resolv_conf(host=host, own_loopback=True)


def test_options_for_dns_replace_what_the_host_says():
    text = names.resolv_conf(
        host=Resolver(("9.9.9.9",), ("lan",), ("edns0",)),
        nameservers=("10.0.2.3",),
        dns=("1.1.1.1",),
        dns_search=(".",),
        dns_options=("ndots:1",),
    )
    assert text == "nameserver 1.1.1.1\noptions ndots:1\n"


def test_the_networks_resolver_is_used_before_the_hosts():
    assert names.resolv_conf(host=Resolver(("9.9.9.9",)), nameservers=("10.0.2.3",)) == (
        "nameserver 10.0.2.3\n"
    )


def test_a_resolver_must_be_an_address():
    with pytest.raises(InvalidRequest):
        names.resolv_conf(host=Resolver(), dns=("dns.example",))
