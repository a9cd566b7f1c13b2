import pytest

from rootless.errors import Conflict, InvalidRequest, Unsupported
from rootless.network.ports import (
    PortMapping,
    check_conflicts,
    parse_exposed,
    parse_ports,
    publish_all,
)


@pytest.mark.parametrize(
    ("text", "mappings"),
    [
        ("80", [PortMapping("", 0, 80)]),
        ("8080:80", [PortMapping("", 8080, 80)]),
        ("8080:80/TCP", [PortMapping("", 8080, 80)]),
        ("53:53/udp", [PortMapping("", 53, 53, "udp")]),
        ("127.0.0.1:8080:80", [PortMapping("127.0.0.1", 8080, 80)]),
        ("127.0.0.1:0:80", [PortMapping("127.0.0.1", 0, 80)]),
        ("127.0.0.1::80", [PortMapping("127.0.0.1", 0, 80)]),
        ("[::1]:8080:80", [PortMapping("::1", 8080, 80)]),
        ("[::]::80/udp", [PortMapping("::", 0, 80, "udp")]),
        ("80-81", [PortMapping("", 0, 80), PortMapping("", 0, 81)]),
        (
            "127.0.0.1:8080-8081:80-81/udp",
            [PortMapping("127.0.0.1", 8080, 80, "udp"), PortMapping("127.0.0.1", 8081, 81, "udp")],
        ),
        ("8000-8010:80", [PortMapping("", 8000, 80, "tcp", 8010)]),
    ],
)
def test_port_mappings_are_read_as_docker_reads_them(text, mappings):
    assert list(parse_ports(text)) == mappings


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "80:",
        "0",
        "8080:0",
        "65536",
        "a",
        "80-79",
        "8080-8082:80-81",
        "1.2.3:80:80",
        "::1:80:80",
    ]
    + [
        "[::1:80:80",
        "[::1]",
        "[::1]:",
        "[nope]:80:80",
        "80/",
        "80/icmp",
        "+80",
        "٨٠",
        "1.2.3.4:5:6:7",
    ],
)
def test_what_is_not_a_port_mapping_is_refused_with_its_text(text):
    with pytest.raises(InvalidRequest) as caught:
        parse_ports(text)
    assert text in caught.value.message


def test_sctp_is_refused_by_name():
    with pytest.raises(Unsupported, match="SCTP"):
        parse_ports("80:80/sctp")


def test_exposed_ports_may_be_ranges():
    assert parse_exposed("80-81/udp") == ((80, "udp"), (81, "udp"))


def test_publishing_all_skips_ports_that_are_published_already():
    mappings = parse_ports("8080:80")
    assert publish_all(((80, "tcp"), (53, "udp")), mappings) == (
        PortMapping("", 8080, 80),
        PortMapping("", 0, 53, "udp"),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [("8080:80", "8080:81"), ("127.0.0.1:80:80", "80:80"), ("[::]:80:80", "[::1]:80:80")]
    + [("0.0.0.0:80:80", "127.0.0.1:80:81")],
)
def test_two_mappings_of_one_host_port_conflict(one, other):
    with pytest.raises(Conflict):
        check_conflicts((*parse_ports(one), *parse_ports(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [("8080:80", "8080:80/udp"), ("127.0.0.1:80:80", "127.0.0.2:80:80")]
    + [("0.0.0.0:80:80", "[::]:80:80"), ("80", "80")],
)
def test_mappings_that_do_not_meet_may_stand_together(one, other):
    check_conflicts((*parse_ports(one), *parse_ports(other)))
