"""Traffic control by netlink, in the network namespace of this process.  Imported only for a limit."""

from __future__ import annotations

from pyroute2 import IPRoute  # type: ignore[import-untyped]  # has no types

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.network.rate import Rate

# One packet of a helper's interface has up to 64 KiB, and a bucket must hold some.
_LEAST_BURST_BYTES = 256 << 10
_LATENCY = "100ms"
_ETH_P_ALL = 3
_ETH_P_IP = 0x0800
_ETH_P_IPV6 = 0x86DD
_INGRESS = 0xFFFF0000
_IFF_UP = 1
_INTERMEDIATE = "rate0"


def limit(rate: Rate, ports: tuple[int, ...]) -> None:
    """Limit what all interfaces but the loopback send, and what they receive together.

    Published ``ports`` are served over the loopback by our relay, and by pasta's short cut: there
    they have a limit of their own.
    """
    with IPRoute() as routes:
        found = [
            each["index"]
            for each in routes.get_links()
            if each.get_attr("IFLA_IFNAME") != "lo" and each["flags"] & _IFF_UP
        ]
        for index in found:
            if rate.up:
                _shape(routes, index, rate.up)
        if rate.down:
            through = _add_intermediate(routes, rate.down)
            for index in found:
                _redirect_received(routes, index, through)
        if ports:
            _limit_ports(routes, rate, ports)


def _shape(routes: IPRoute, index: int, bits: int) -> None:
    """A token bucket that delays what an interface sends (tc-tbf(8))."""
    burst = _burst(bits)
    routes.tc("add", "tbf", index, 0, rate=bits // 8, burst=burst, latency=_LATENCY)


def _add_intermediate(routes: IPRoute, bits: int) -> int:
    """A device that sends what others have received, so that it can be delayed: a queue only sends."""
    routes.link("add", ifname=_INTERMEDIATE, kind="ifb")
    index = int(routes.link_lookup(ifname=_INTERMEDIATE)[0])
    routes.link("set", index=index, state="up")
    _shape(routes, index, bits)
    return index


def _redirect_received(routes: IPRoute, index: int, through: int) -> None:
    routes.tc("add", "ingress", index, _INGRESS)
    routes.tc(
        "add-filter",
        "u32",
        index,
        parent=_INGRESS,
        prio=10,
        protocol=_ETH_P_ALL,
        target=0x10020,
        keys=["0x0/0x0+12"],
        action={
            "kind": "mirred",
            "direction": "egress",
            "action": "redirect",
            "ifindex": through,
        },
    )


def _limit_ports(routes: IPRoute, rate: Rate, ports: tuple[int, ...]) -> None:
    """Classes on the loopback for what comes from and goes to these ports; all else passes freely."""
    index = int(routes.link_lookup(ifname="lo")[0])
    routes.tc("add", "htb", index, 0x10000, default=0)
    for class_id, bits, field in ((0x10001, rate.up, 0), (0x10002, rate.down, 2)):
        if not bits:
            continue
        burst = _burst(bits)
        routes.tc(
            "add-class", "htb", index, class_id,
            parent=0x10000, rate=bits // 8, ceil=bits // 8, burst=burst, cburst=burst,
        )  # fmt: skip
        for port in ports:
            # The source port, then the destination: behind an IPv4 header of 20 bytes, an IPv6 one of 40.
            for protocol, offset in ((_ETH_P_IP, 20), (_ETH_P_IPV6, 40)):
                routes.tc(
                    "add-filter", "u32", index,
                    parent=0x10000, prio=offset, protocol=protocol, target=class_id,
                    keys=[f"{port:#x}/0xffff+{offset + field}"],
                )  # fmt: skip


def _burst(bits: int) -> int:
    """What may pass at once: 20 ms of it, and never less than some packets."""
    return max(_LEAST_BURST_BYTES, bits // 8 // 50)
