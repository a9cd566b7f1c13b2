"""HTTP to one registry: TLS and proxies, redirects, retries, and errors in words.

Whatever is secret stays with the registry: an Authorization header and a client certificate are never
sent to another host, and plain HTTP is only for loopback and for registries configured as insecure.
"""

from __future__ import annotations

import os
import time
from urllib.parse import urljoin, urlsplit

from rootless import __version__
from rootless.errors import InvalidRequest, RegistryFailed, RegistryUnreachable, RootlessError
from rootless.proxies import is_loopback, proxy_for
from rootless.registry.auth import split_host
from rootless.registry.config import user_config
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from urllib3 import BaseHTTPResponse, PoolManager

    from rootless.registry.config import Source

    Body = Callable[[], "Iterable[bytes] | bytes"]

T = TypeVar("T")
_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECT_LIMIT = 5
_CONNECT_TIMEOUT_S = 15.0
_READ_TIMEOUT_S = 30.0
_BODY_DEADLINE_S = 60.0
_RETRY_AFTER_LIMIT_S = 120.0
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_CONNECTIONS = 16
WAYS_OUT = (
    "name a mirror for it in registries.conf, or bring the image in a file with `rootless load`,"
    " or make one of this host's own files with `rootless image bootstrap`"
)


class Tls(NamedTuple):
    """``verify`` is None where the configuration decides; ``cert_dir`` has *.crt, *.cert and *.key."""

    verify: bool | None = None
    cert_dir: str | None = None


class Retry(NamedTuple):
    """How often a request is made and how long the first pause is; pauses double."""

    attempts: int = 6
    first_pause_s: float = 0.25

    def pause_s(self, failures: int) -> float:
        """The pause after that many failures, with some chance so that many clients spread out."""
        jitter = 0.75 + os.urandom(1)[0] / 512
        return min(self.first_pause_s * 2.0 ** (failures - 1), 10.0) * jitter


class Transient(Exception):
    """A failure that may pass; ``error`` is what the user sees when it does not."""

    def __init__(
        self, error: RootlessError, *, retry_after_s: float | None = None, attempts: int = 99
    ):
        super().__init__(error.message)
        self.error = error
        self.retry_after_s = retry_after_s
        self.attempts = attempts


class Http:
    """Connections to one registry and to where it redirects.  Threads may share it."""

    def __init__(self, source: Source, tls: Tls | None = None, retry: Retry | None = None):
        self.source = source
        self.retry = retry or Retry()
        self.tls = tls or Tls()
        self._host, _ = split_host(source.host)
        self._pools: dict[tuple[bool, str, str], PoolManager] = {}
        self._base = ""

    @property
    def insecure(self) -> bool:
        """Whether the registry may be spoken to without a certificate that can be verified."""
        return self.source.insecure if self.tls.verify is None else not self.tls.verify

    @property
    def base(self) -> str:
        """``https://host``, or ``http://host`` where that is allowed and is what answers."""
        if not self._base:
            self._base = self._find_base()
        return self._base

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.clear()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Body | None = None
    ) -> tuple[BaseHTTPResponse, bool]:
        """Make one request; the answer's body is not read.  The flag says whether the registry gave it.

        Raises Transient for what may pass; ``repeat`` is the way to try again.
        """
        response, own = self._follow(method, url, headers, body)
        if response.status not in _TRANSIENT:
            return response, own
        words = failure_words(response, read_document(response, limit=64 << 10))
        error = RegistryFailed(f"{urlsplit(url).netloc} {words}")
        raise Transient(error, retry_after_s=_retry_after(response.headers.get("Retry-After")))

    def repeat(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` again while it raises Transient, with growing pauses; then raise its error."""
        failures = 0
        while True:
            try:
                return attempt()
            except Transient as failure:
                failures += 1
                self.pause(failure, failures)

    def pause(
        self, failure: Transient, failures: int, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """Wait before the next attempt, or raise the error when there is none."""
        if failures >= min(self.retry.attempts, failure.attempts):
            raise failure.error from None
        pause_s = self.retry.pause_s(failures)
        if failure.retry_after_s is not None:
            pause_s = failure.retry_after_s
            if pause_s > _RETRY_AFTER_LIMIT_S:
                raise RegistryFailed(
                    f"{failure.error.message}; it asks to wait {pause_s:.0f} s"
                ) from None
        sleep(pause_s)

    # -- one exchange --------------------------------------------------------------------------

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None
    ) -> tuple[BaseHTTPResponse, bool]:
        """Make a request and follow redirects; only to the registry itself goes what is secret."""
        own = self._is_own(url)
        if not own:
            self._check_redirect(self._base or url, url)
            headers = _without_authorization(headers)
        for _ in range(_REDIRECT_LIMIT):
            response = self._exchange(method, url, headers, body, own=own)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location or method not in ("GET", "HEAD"):
                return response, own
            response.drain_conn()
            target = urljoin(url, location)
            self._check_redirect(url, target)
            if _origin(target) != _origin(url):
                own = False
                headers = _without_authorization(headers)
            url = target
        raise RegistryFailed(f"{self.source.host} redirects in circles")

    def _is_own(self, url: str) -> bool:
        """Whether an address is the registry's: what it names for uploads may be elsewhere."""
        scheme, host, port = _origin(url)
        return (host, port) == _origin(f"{scheme}://{self.source.host}")[1:] and (
            scheme == "https" or self.insecure or is_loopback(host)
        )

    def _check_redirect(self, url: str, target: str) -> None:
        try:
            parts = urlsplit(target)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or parts.username:
            raise RegistryFailed(
                f"{self.source.host} redirects to what is no address: {target[:80]!r}"
            )
        if parts.scheme == "https" or self.insecure:
            return
        if urlsplit(url).scheme == "https" or not is_loopback(host):
            raise RegistryFailed(
                f"{self.source.host} redirects to {parts.netloc} without TLS",
                hint="only a registry configured as insecure may do that",
            )

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, *, own: bool
    ) -> BaseHTTPResponse:
        import urllib3
        from urllib3.exceptions import HTTPError

        host = urlsplit(url).netloc
        try:
            pool = self._pool(url, own=own)
            return pool.request(
                method,
                url,
                body=body() if body else None,
                headers={
                    "User-Agent": f"rootless/{__version__}",
                    "Accept-Encoding": "identity",
                    **headers,
                },
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S),
            )
        except (HTTPError, OSError) as error:
            raise translate(error, host) from None

    def _pool(self, url: str, *, own: bool) -> PoolManager:
        from rootless.registry.connections import pool_manager

        # A pool made for plain HTTP knows none of our certificates.
        scheme, proxy = urlsplit(url).scheme, proxy_for(url)
        pool = self._pools.get((own, scheme, proxy))
        if pool is None:
            options: dict[str, Any] = {"num_pools": 8, "maxsize": _CONNECTIONS, "block": False}
            if scheme == "https":
                options["ssl_context"] = self._context(own=own)
            pool = pool_manager(proxy, options)
            self._pools[own, scheme, proxy] = pool
        return pool

    def _context(self, *, own: bool) -> ssl.SSLContext:
        import ssl

        context = ssl.create_default_context()
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if own and (directory := _certificates(self.tls.cert_dir, self.source.host)):
            _load_certificates(context, directory)
        return context

    # -- TLS or not ----------------------------------------------------------------------------

    def _find_base(self) -> str:
        host = self.source.host
        if self.tls.verify or not (self.insecure or is_loopback(self._host)):
            return f"https://{host}"
        # On loopback plain HTTP is the rule; nothing secret is sent before the scheme is known.
        schemes = ("http", "https") if is_loopback(self._host) else ("https", "http")
        return self.repeat(lambda: self._probe(tuple(f"{each}://{host}" for each in schemes)))

    def _probe(self, bases: tuple[str, ...]) -> str:
        failure: Transient | None = None
        for base in bases:
            try:
                response = self._exchange("GET", f"{base}/v2/", {}, None, own=True)
            except Transient as error:
                failure = failure if failure and "certificate" in str(failure) else error
                continue
            response.drain_conn()
            # A server for TLS answers 400 to plain HTTP, or sends away to where TLS is.
            if response.status != 400 and response.status not in _REDIRECTS:
                return base
        raise failure or RegistryFailed(f"{self.source.host} is not a registry")


def read_document(response: BaseHTTPResponse, *, limit: int) -> bytes:
    """The body of an answer, at most ``limit`` bytes and within a minute.

    Raises RegistryFailed for a longer one, Transient for one that breaks off or drips.
    """
    from urllib3.exceptions import HTTPError

    host = _host_of(response)
    deadline = time.monotonic() + _BODY_DEADLINE_S
    content = b""
    try:
        while chunk := response.read1(64 << 10):
            content += chunk
            if len(content) > limit:
                response.close()
                raise RegistryFailed(f"{host} answered with more than {limit >> 10} KiB")
            if time.monotonic() > deadline:
                response.close()
                raise Transient(RegistryUnreachable(f"{host} sends too slowly"), attempts=2)
    except (HTTPError, OSError) as error:
        raise translate(error, host) from None
    response.release_conn()
    return content


def failure_words(response: BaseHTTPResponse, body: bytes) -> str:
    """``answered 404 (MANIFEST_UNKNOWN: manifest unknown)``, from the specification's error document."""
    import json

    words = ""
    try:
        first = json.loads(body)["errors"][0]
        words = ": ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    shown = "".join(each if each.isprintable() else "?" for each in words[:200])
    return f"answered {response.status}" + (f" ({shown})" if shown else "")


def translate(error: Exception, host: str) -> Transient:
    """An error of urllib3 or the system as the failure that the user reads."""
    from urllib3 import exceptions

    reason = getattr(error, "__cause__", None) or error
    unreachable = RegistryUnreachable(f"cannot reach {host}: {_reason(error)}", hint=WAYS_OUT)
    match error:
        case exceptions.NameResolutionError():
            return Transient(
                RegistryUnreachable(
                    f"cannot reach {host}: its name cannot be resolved", hint=WAYS_OUT
                ),
                attempts=1,
            )
        case exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Transient(_certificate_error(str(error), host), attempts=1)
        case exceptions.SSLError():
            return Transient(unreachable, attempts=2)
        case exceptions.ProxyError():
            return Transient(
                RegistryUnreachable(
                    f"cannot reach {host} through the proxy: {_reason(reason)}",
                    hint="see the environment variables HTTPS_PROXY and NO_PROXY",
                ),
                attempts=2,
            )
        case exceptions.ConnectTimeoutError():
            return Transient(unreachable, attempts=2)
        case exceptions.NewConnectionError():
            return Transient(unreachable, attempts=3)
        case _:
            return Transient(unreachable)


def _certificate_error(text: str, host: str) -> RegistryUnreachable:
    detail = text.partition("CERTIFICATE_VERIFY_FAILED]")[2].partition("(_ssl")[0].strip()
    detail = detail.removeprefix("certificate verify failed:").strip() or "it is not trusted"
    return RegistryUnreachable(
        f"the certificate of {host} cannot be verified: {detail}",
        hint=f"put its CA into ~/.config/containers/certs.d/{host}/ca.crt or name --cert-dir;"
        " --tls-verify=false trusts anybody",
    )


def _reason(error: BaseException) -> str:
    """The last and plainest words of a chain of errors."""
    text = str(error)
    for known, words in (
        ("Connection refused", "connection refused"),
        ("Network is unreachable", "the network is unreachable"),
        ("No route to host", "no route to the host"),
        ("Read timed out", "it does not answer"),
        ("timed out", "it does not answer"),
        ("Connection reset", "connection reset"),
        ("WRONG_VERSION_NUMBER", "it does not speak TLS"),
        ("record layer failure", "it does not speak TLS"),
        ("Remote end closed", "it closed the connection"),
        ("IncompleteRead", "it closed the connection early"),
    ):
        if known in text:
            return words
    return text.rpartition(": ")[2][:200] or type(error).__name__


def _retry_after(value: str | None) -> float | None:
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime

    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _without_authorization(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {key: value for key, value in headers.items() if key.lower() != "authorization"}


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def _host_of(response: BaseHTTPResponse) -> str:
    return urlsplit(response.url or "").netloc or "the registry"


def _certificates(chosen: str | None, host: str) -> str | None:
    """The directory with certificates for a registry (containers-certs.d(5))."""
    if chosen:
        if not os.path.isdir(chosen):
            raise InvalidRequest(f"no directory {chosen}", hint="--cert-dir names it")
        return chosen
    own = user_config(os.environ)
    places = (f"{own}/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d")
    return next((path for each in places if os.path.isdir(path := f"{each}/{host}")), None)


def _load_certificates(context: ssl.SSLContext, directory: str) -> None:
    path = directory
    try:
        for name in sorted(os.listdir(directory)):
            path = f"{directory}/{name}"
            if name.endswith(".crt"):
                context.load_verify_locations(path)
            elif name.endswith(".cert"):
                context.load_cert_chain(path, f"{path.removesuffix('.cert')}.key")
    except OSError as error:  # ssl.SSLError is one
        raise InvalidRequest(
            f"cannot use the certificate {path}: {error.strerror or error}"
        ) from None
