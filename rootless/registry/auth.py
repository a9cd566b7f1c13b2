"""A registry's challenge → the Authorization header that answers it (distribution token and oauth specs).

Credentials go to the registry they belong to, and to a token server of its own site; never elsewhere
(CVE-2020-15157).
"""

from __future__ import annotations

import json
import threading
import time
from urllib.parse import urlencode, urlsplit

from rootless.errors import RegistryDenied, RegistryFailed
from rootless.events import Notice
from rootless.proxies import is_loopback
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.events import Report
    from rootless.registry.config import Source
    from rootless.registry.credentials import Credential

    # method, address, headers, body → status and body; follows no redirect
    Send = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, bytes]]

_CLIENT_ID = "rootless"
_DEFAULT_LIFE_S = 60.0
_SECOND_LEVELS = ("ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org")


class Challenge(NamedTuple):
    """One authentication scheme that a registry offers, in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


class _Token(NamedTuple):
    header: str
    expires_at: float


class Authorizer:
    """The authorization of one client at one registry.  Threads may share it."""

    def __init__(
        self, source: Source, credential: Credential | None, *, send: Send, report: Report
    ):
        self._source = source
        self._credential = credential
        self._send = send
        self._report = report
        self._lock = threading.Lock()
        self._tokens: dict[frozenset[str], _Token] = {}
        self._basic = False

    def header(self, scopes: frozenset[str]) -> str | None:
        """What to send with a request that needs ``scopes``, as far as it is known already."""
        credential = self._credential
        if credential and credential.registry_token:
            return f"Bearer {credential.registry_token}"
        if credential and self._basic:
            return credential.basic
        with self._lock:
            token = self._tokens.get(scopes)
        return token.header if token and token.expires_at > time.monotonic() else None

    def answer(self, challenge_header: str, scopes: frozenset[str], *, used: str | None) -> None:
        """Find another header after a 401; ``used`` is the one that was refused.

        Raises RegistryDenied when there is nothing left to try.
        """
        challenges = parse_challenges(challenge_header)
        offered = {each.scheme: each for each in reversed(challenges)}
        with self._lock:
            if used and self._tokens.get(scopes, _Token("", 0.0)).header not in ("", used):
                return  # another thread has found a newer one meanwhile
            if used:
                self._give_up_credential(refused=True)
                self._tokens.pop(scopes, None)
            if "bearer" in offered:
                self._tokens[scopes] = self._fetch(offered["bearer"], scopes)
            elif "basic" in offered and self._can_use_basic():
                self._basic = True
            else:
                raise self._denied()

    def _can_use_basic(self) -> bool:
        return self._credential is not None and bool(self._credential.username)

    def _give_up_credential(self, *, refused: bool) -> None:
        """Go on without a stored credential that was refused; one given for this command is an error."""
        credential = self._credential
        if credential is None or not refused or credential.source.startswith("--"):
            raise self._denied()
        self._report(
            Notice(
                f"{self._source.host} refuses the credentials of {credential.source};"
                " trying without (rootless login replaces them)",
                "warning",
            )
        )
        self._credential = None
        self._basic = False

    def _denied(self) -> RegistryDenied:
        host = self._source.host
        if self._credential is None:
            return RegistryDenied(
                f"{host} wants credentials for {self._source.repository or 'this'}, or there is no"
                " such repository",
                hint=f"rootless login {host}",
            )
        return RegistryDenied(
            f"{host} refuses the credentials of {self._credential.source}",
            hint="the name or the password is wrong, or may not do this"
            if self._credential.source.startswith("--")
            else f"rootless login {host}",
        )

    # -- tokens --------------------------------------------------------------------------------

    def _fetch(self, challenge: Challenge, scopes: frozenset[str]) -> _Token:
        realm = challenge.parameters.get("realm", "")
        check_realm(realm, self._source)
        credential = self._credential
        if credential and not may_have_credentials(realm, self._source):
            self._report(
                Notice(
                    f"{self._source.host} asks for tokens from {urlsplit(realm).netloc}, which is not"
                    " of its site: credentials are not sent there (token-hosts in config.toml"
                    " allows it)",
                    "warning",
                )
            )
            credential = None
        wanted = " ".join(sorted(scopes | set(challenge.parameters.get("scope", "").split())))
        started = time.monotonic()
        status, body = self._ask(realm, challenge.parameters.get("service"), wanted, credential)
        if status in (400, 401, 403) and credential is not None:
            self._give_up_credential(refused=True)
            status, body = self._ask(realm, challenge.parameters.get("service"), wanted, None)
        if status in (401, 403):
            raise self._denied()
        return _read_token(status, body, started=started, host=urlsplit(realm).netloc)

    def _ask(
        self, realm: str, service: str | None, scope: str, credential: Credential | None
    ) -> tuple[int, bytes]:
        if credential and credential.identity_token:
            return self._post(realm, service, scope, refresh_token=credential.identity_token)
        fields = [("service", service)] if service else []
        fields += [("scope", each) for each in scope.split()]
        if credential:
            fields.append(("account", credential.username))
        separator = "&" if urlsplit(realm).query else "?"
        address = realm + separator + urlencode(fields) if fields else realm
        headers = {"Authorization": credential.basic} if credential else {}
        answer = self._send("GET", address, headers, None)
        if answer[0] in (404, 405) and credential:
            return self._post(
                realm, service, scope, username=credential.username, password=credential.password
            )
        return answer

    def _post(
        self, realm: str, service: str | None, scope: str, **secret: str
    ) -> tuple[int, bytes]:
        fields = {
            "grant_type": "refresh_token" if "refresh_token" in secret else "password",
            "service": service or "",
            "client_id": _CLIENT_ID,
            "scope": scope,
            **secret,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", realm, headers, urlencode(fields).encode())


def _read_token(status: int, body: bytes, *, started: float, host: str) -> _Token:
    try:
        document: Any = json.loads(body)
        token = document.get("token") or document.get("access_token")
        life_s = float(document.get("expires_in") or _DEFAULT_LIFE_S)
    except (ValueError, AttributeError, TypeError, RecursionError):
        token = None
    if status != 200 or not isinstance(token, str) or not _is_header_text(token):
        raise RegistryFailed(f"the token server {host} answered {status} without a token")
    # A token is renewed a little early: the registry's clock and the way there take time too.
    return _Token(f"Bearer {token}", started + max(life_s * 0.9, 5.0))


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read a WWW-Authenticate header: ``Bearer realm="...",service="...", Basic realm="..."``.

    Any text is accepted; what makes no sense is left out.
    """
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(header):
        word, position = _word(header, position)
        if not word:
            position += 1
            continue
        if position < len(header) and header[position] == "=" and found:
            value, position = _value(header, position + 1)
            found[-1][1][word.lower()] = value
        elif position >= len(header) or header[position] in " ,":
            found.append((word.lower(), {}))
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def _word(text: str, start: int) -> tuple[str, int]:
    end = start
    while end < len(text) and text[end] not in ' ,="':
        end += 1
    return text[start:end], end


def _value(text: str, start: int) -> tuple[str, int]:
    if start >= len(text) or text[start] != '"':
        return _word(text, start)
    value = ""
    position = start + 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        value += text[position]
        position += 1
    return value, position + 1


def check_realm(realm: str, source: Source) -> None:
    """Raise RegistryFailed unless the token server's address is one that may be asked at all."""
    try:
        parts = urlsplit(realm)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
        _ = parts.port
    except ValueError:
        valid = False
    if not valid or not _is_header_text(realm):
        raise RegistryFailed(
            f"{source.host} names a token server that is no address: {realm[:80]!r}"
        )
    if parts.scheme == "http" and not (source.insecure or is_loopback(parts.hostname or "")):
        raise RegistryFailed(
            f"{source.host} names the token server {parts.netloc} without TLS",
            hint="only a registry configured as insecure may do that",
        )


def may_have_credentials(realm: str, source: Source) -> bool:
    """Whether a token server may see the registry's credentials: the same host, or TLS and the same site."""
    parts = urlsplit(realm)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.netloc in source.token_hosts or host in source.token_hosts:
        return True
    own_host, own_port = split_host(source.host)
    if host == own_host and port in ((own_port,) if own_port else (80, 443)):
        return True
    if parts.scheme != "https" or _is_address(host) or _is_address(own_host):
        return False
    site = _site(own_host)
    return host == site or host.endswith(f".{site}")


def split_host(netloc: str) -> tuple[str, int | None]:
    """The host, in lower case and without brackets, and the port of ``host[:port]``."""
    parts = urlsplit(f"//{netloc}")
    return (parts.hostname or "").lower(), parts.port


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit() or "." not in host


def _site(host: str) -> str:
    """The domain that a registry's host is in: ``registry-1.docker.io`` is of ``docker.io``."""
    labels = host.split(".")
    least = 3 if len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVELS else 2
    return ".".join(labels[1:]) if len(labels) > least else host


def _is_header_text(text: str) -> bool:
    return bool(text) and all(" " < character < "\x7f" for character in text)
