from rootless.network.addresses import AddressPlan, HostView, plan
from rootless.network.backend import NetworkRequest
from rootless.network.pasta import arguments as pasta_arguments
from rootless.network.ports import parse_ports
from rootless.network.slirp4netns import arguments as slirp_arguments

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
VIRTUALBOX = "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"  # 10.0.2.0/24
TENS = "tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"  # 10.0.0.0/8

HOST = HostView(AddressPlan("10.0.2"), "192.0.2.2", None, loopback_resolver=False)


def test_the_usual_network_is_taken_beside_a_default_route():
    assert plan(HEADER + DEFAULT).prefix == "10.0.2"


def test_a_network_of_the_host_is_never_the_containers_own():
    assert plan(HEADER + VIRTUALBOX).prefix == "10.98.213"
    assert plan(HEADER + TENS).prefix == "172.31.213"


def test_an_unreadable_route_table_does_no_harm():
    assert plan("").address == "10.0.2.100"


def test_pasta_gets_our_addresses_and_no_way_to_the_hosts_loopback():
    words = " ".join(pasta_arguments(NetworkRequest(), HOST))
    assert "-a 10.0.2.100 -n 24 -g 10.0.2.2 -t none -u none -T none -U none" in words
    assert words.endswith("-4 --no-map-gw")


def test_pasta_carries_ipv6_where_the_host_does():
    words = " ".join(pasta_arguments(NetworkRequest(), HOST._replace(address6="2001:db8::5")))
    assert "-a 10.0.2.100 -a fd8d:3a70:1c5e::100" in words
    assert " -4" not in words


def test_published_ports_become_specifiers_and_both_wildcards_become_one():
    ports = (
        *parse_ports("127.0.0.1:8080-8081:80-81"),
        *parse_ports("0.0.0.0:53:53/udp"),
        *parse_ports("[::]:53:53/udp"),
    )
    words = " ".join(pasta_arguments(NetworkRequest(ports=ports), HOST))
    assert "-t 127.0.0.1/8080:80 -t 127.0.0.1/8081:81 -u 53:53 " in words


def test_the_callers_options_for_pasta_replace_ours():
    request = NetworkRequest(options=("--map-gw", "-T", "5432", "--address", "10.1.1.1"))
    words = " ".join(pasta_arguments(request, HOST))
    assert "--no-map-gw" not in words
    assert "-a 10.0.2.100" not in words
    assert "-T none" not in words
    assert words.endswith("-T 5432 --address 10.1.1.1")


def test_slirp4netns_is_told_in_podmans_words():
    request = NetworkRequest(options=("mtu=1500", "allow_host_loopback=true", "cidr=10.9.9.0/24"))
    words = slirp_arguments(request, HOST, control=None)
    assert {"--mtu=1500", "--cidr=10.9.9.0/24"} <= set(words)
    assert "--disable-host-loopback" not in words
    assert "--disable-host-loopback" in slirp_arguments(NetworkRequest(), HOST, control=None)
