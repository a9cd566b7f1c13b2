"""``--network-rate``: a limit on what a container sends and receives, kept by its own kernel queues.

The container's root lacks CAP_NET_ADMIN, so it cannot lift it.
"""

from __future__ import annotations

import os

from rootless.errors import HostLacks, InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.network.backend import Attachment, Backend, Link, NetworkRequest
    from rootless.network.kept import Kept

_UNITS = {"": 1, "bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}
_BYTE_UNITS = {"bps": 8, "kbps": 8 * 10**3, "mbps": 8 * 10**6, "gbps": 8 * 10**9}


class Rate(NamedTuple):
    """Bits a second that a container may send (``up``) and receive (``down``); 0: as many as it can."""

    up: int = 0
    down: int = 0


def parse_rate(text: str) -> Rate:
    """``10mbit`` for both ways, or ``up=1mbit,down=2gbit``, in tc(8)'s units.  Raises InvalidRequest."""
    if "=" not in text:
        both = _bits(text, text)
        return Rate(both, both)
    found = {"up": 0, "down": 0}
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key not in found:
            raise _invalid(text)
        found[key] = _bits(text, value)
    return Rate(**found)


def _bits(text: str, value: str) -> int:
    number = value.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = {**_UNITS, **_BYTE_UNITS}.get(value[len(number) :].lower())
    try:
        bits = int(float(number) * (unit or 0))
    except (ValueError, OverflowError):
        raise _invalid(text) from None
    if unit is None or bits < 8000:
        raise _invalid(text)
    return bits


def _invalid(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"invalid --network-rate {text}", hint="such as 10mbit, or up=1mbit,down=20mbit"
    )


class Limited:
    """Implements ``Backend``: another one, with a limit."""

    def __init__(self, backend: Backend, rate: Rate):
        self._backend = backend
        self._rate = rate

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def new_namespace(self) -> bool:
        return self._backend.new_namespace

    def namespaces(self, request: NetworkRequest) -> tuple[tuple[str, str], ...]:
        return self._backend.namespaces(request)

    def addresses(self, request: NetworkRequest) -> Attachment:
        if not self.new_namespace:
            raise InvalidRequest(
                "--network-rate needs a network of the container's own", hint="leave out --network"
            )
        return self._backend.addresses(request)

    def start(self, pid: int, request: NetworkRequest) -> Link:
        limiter = Limiter(pid, self._rate, tuple(each.container_port for each in request.ports))
        try:
            return LimitedLink(self._backend.start(pid, request), limiter)
        except BaseException:
            limiter.close()
            raise


class LimitedLink:
    """Implements ``Link``: the limit is there before the program runs."""

    def __init__(self, link: Link, limiter: Limiter):
        self._link = link
        self._limiter = limiter

    def wait(self) -> Attachment:
        try:
            attachment = self._link.wait()
            self._limiter.apply()
        except BaseException:
            self.close()
            raise
        return attachment

    def fds(self) -> tuple[int, ...]:
        return self._link.fds()

    def broken(self) -> str | None:
        return self._link.broken()

    def kept(self) -> Kept | None:
        return self._link.kept()

    def close(self) -> None:
        self._limiter.close()
        self._link.close()


class Limiter:
    """A short-lived process inside: it loads the netlink library (0.3 s) while the network comes up."""

    def __init__(self, pid: int, rate: Rate, ports: tuple[int, ...]):
        from rootless.network import inside

        go_read, self._go = os.pipe2(os.O_CLOEXEC)
        self._answer, answer_write = os.pipe2(os.O_CLOEXEC)
        self._pid = inside.fork(
            lambda: _limit(pid, rate, ports, go=go_read, answer=answer_write),
            name="rate",
            kept=(go_read, answer_write),
        )
        os.close(go_read)
        os.close(answer_write)
        self._closed = False

    def apply(self) -> None:
        """Set the limit on all interfaces.  Raises HostLacks when the kernel cannot."""
        os.write(self._go, b"go")
        words = os.read(self._answer, 1024).decode(errors="replace")
        self.close()
        if words != "limited":
            raise HostLacks(
                f"cannot limit the network: {words or 'the process died'}",
                hint="the kernel needs sch_tbf, sch_ingress, cls_u32, act_mirred and ifb",
            )

    def close(self) -> None:
        """Forget it; without ``apply`` it ends by itself."""
        if self._closed:
            return
        self._closed = True
        os.close(self._go)
        os.close(self._answer)
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass  # somebody waited for all children at once


def _limit(pid: int, rate: Rate, ports: tuple[int, ...], *, go: int, answer: int) -> None:
    """In the forked child."""
    try:
        from rootless.network import inside, traffic

        inside.enter(pid)
        if os.read(go, 2) == b"go":
            traffic.limit(rate, tuple(dict.fromkeys(ports)))
            os.write(answer, b"limited")
    except Exception as error:  # whatever netlink says, the caller must hear it
        os.write(answer, str(error).encode()[:1024] or b"it gave no reason")
