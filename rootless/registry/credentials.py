"""Credentials: podman's auth.json, docker's config.json, and credential helpers (containers-auth.json(5)).

Nothing here is ever printed, and a ``Credential`` does not show its secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import os

from rootless import files
from rootless.errors import HostLacks, InvalidRequest, NotFound, RegistryDenied
from rootless.image.reference import DEFAULT_REGISTRY
from rootless.registry.config import user_config
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

HUB_KEY = "https://index.docker.io/v1/"  # docker's name for docker.io in its files
_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"  # a helper's secret is then an identity token
_HELPER_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_HELPER_TIMEOUT_S = 30


class Credential(NamedTuple):
    """A user name and password, an identity token, or a registry token; and where it was found."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    source: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.username!r}, from {self.source!r})"

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class CredentialFiles(NamedTuple):
    """The files in the order in which they are searched, and the one that ``login`` writes."""

    read: tuple[str, ...]
    write: str


def find_files(environment: Mapping[str, str], authfile: str | None = None) -> CredentialFiles:
    """Where credentials are; ``authfile`` or REGISTRY_AUTH_FILE stand in for all of them.

    ``login`` writes the persistent file, so that a reboot does not log out.
    """
    chosen = authfile or environment.get("REGISTRY_AUTH_FILE")
    if chosen:
        return CredentialFiles((chosen,), chosen)
    persistent = f"{user_config(environment)}/auth.json"
    runtime = environment.get("XDG_RUNTIME_DIR")
    docker = environment.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    volatile = (f"{runtime}/containers/auth.json",) if runtime else ()
    return CredentialFiles((*volatile, persistent, f"{docker}/config.json"), persistent)


def parse_pair(text: str) -> Credential:
    """Read ``user:password`` as given to ``--creds``."""
    username, colon, password = text.partition(":")
    if not (username and colon):
        raise InvalidRequest("--creds wants user:password")
    return Credential(username, password, source="--creds")


def find(paths: CredentialFiles, name: str, *, helpers: tuple[str, ...] = ()) -> Credential | None:
    """The credential for a registry, or a repository in it; the longest matching name wins.

    ``name`` is ``host[:port][/namespace...]``.  ``helpers`` are the programs that registries.conf names.
    """
    for path in paths.read:
        document = _read(path)
        if document is None:
            continue
        found = _from_helpers(document, name, path) or _from_auths(document, name, path)
        if found is not None:
            return found
    host = name.partition("/")[0]
    for helper in helpers:
        if helper != "containers-auth.json" and (found := _ask_helper(helper, host)):
            return found
    return None


def store(path: str, host: str, credential: Credential) -> str:
    """Remember a credential; say where.  A helper named in the file is used instead of it."""
    with _locked(path):
        document = _read(path) or {}
        helper = _helper_for(document, host)
        if helper:
            _call_helper(helper, "store", _helper_document(host, credential))
            return f"the credential helper {helper}"
        entry: dict[str, str] = {}
        if credential.identity_token:
            entry["identitytoken"] = credential.identity_token
        pair = f"{credential.username}:{credential.password}".encode()
        entry["auth"] = base64.b64encode(pair).decode()
        auths = document.setdefault("auths", {})
        for key in _keys_for(auths, host):
            del auths[key]
        auths[host] = entry
        _write(path, document)
    return path


def erase(path: str, host: str) -> None:
    """Forget the credential of a host.  Raises NotFound when there is none."""
    with _locked(path):
        document = _read(path) or {}
        helper = _helper_for(document, host)
        if helper:
            _call_helper(helper, "erase", _helper_server(host).encode())
            return
        auths = document.get("auths", {})
        keys = _keys_for(auths, host)
        if not keys:
            raise NotFound(f"not logged in to {host}", hint=f"{path} holds no credentials for it")
        for key in keys:
            del auths[key]
        _write(path, document)


def erase_all(path: str) -> tuple[str, ...]:
    """Forget the credentials of every host in a file; return the hosts."""
    with _locked(path):
        document = _read(path) or {}
        hosts = tuple(document.get("auths", {}))
        if hosts:
            document["auths"] = {}
            _write(path, document)
    return hosts


def normal_key(key: str) -> str:
    """A key of ``auths`` as ``host[:port][/path]``: docker wrote addresses where podman writes hosts."""
    rest = key.partition("://")[2] or key
    for version in ("/v1/", "/v2/", "/v1", "/v2"):
        rest = rest.removesuffix(version)
    rest = rest.rstrip("/")
    host, slash, path = rest.partition("/")
    return (DEFAULT_REGISTRY if host in _HUB_HOSTS else host) + slash + path


def _from_auths(document: dict[str, Any], name: str, path: str) -> Credential | None:
    auths = {normal_key(key): entry for key, entry in document.get("auths", {}).items()}
    wanted = normal_key(name)
    while wanted:
        entry = auths.get(wanted)
        if entry:
            return _credential(entry, path)
        wanted = wanted.rpartition("/")[0]
    return None


def _credential(entry: Any, path: str) -> Credential | None:
    if not isinstance(entry, dict):
        raise InvalidRequest(f"{path}: an entry of auths is not an object")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            pair = base64.b64decode(str(auth), validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidRequest(f"{path}: an auth of auths is not base64") from None
        username, _, password = pair.partition(":")
    credential = Credential(
        username=username,
        password=password.strip("\0"),
        identity_token=str(entry.get("identitytoken") or ""),
        registry_token=str(entry.get("registrytoken") or ""),
        source=path,
    )
    return credential if any(credential[:4]) else None


def _from_helpers(document: dict[str, Any], name: str, path: str) -> Credential | None:
    host = normal_key(name).partition("/")[0]
    helper = _helper_for(document, host)
    if not helper:
        return None
    found = _ask_helper(helper, host)
    return found._replace(source=f"the credential helper {helper} ({path})") if found else None


def _helper_for(document: dict[str, Any], host: str) -> str | None:
    helpers = document.get("credHelpers") or {}
    for key, helper in helpers.items():
        if normal_key(key) == normal_key(host):
            return str(helper)
    return str(document["credsStore"]) if document.get("credsStore") else None


def _ask_helper(helper: str, host: str) -> Credential | None:
    answer = _call_helper(helper, "get", _helper_server(host).encode())
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        username, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryDenied(
            f"docker-credential-{helper} gave an answer that is no credential"
        ) from None
    source = f"the credential helper {helper}"
    if username == _TOKEN_USER:
        return Credential(identity_token=secret, source=source)
    return Credential(username, secret, source=source)


def _call_helper(helper: str, verb: str, request: bytes) -> bytes | None:
    """Run a credential helper; None when it has nothing for the host."""
    import subprocess

    if not helper or not _HELPER_NAME.issuperset(helper):
        raise InvalidRequest(f"{helper!r} is not the name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb],
            input=request,
            capture_output=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise HostLacks(
            f"{program} is not installed", hint="an auth.json or config.json of yours names it"
        ) from None
    except subprocess.TimeoutExpired:
        raise RegistryDenied(f"{program} did not answer in {_HELPER_TIMEOUT_S} s") from None
    if done.returncode == 0:
        return done.stdout
    words = (done.stdout or done.stderr).decode(errors="replace").strip()
    if verb == "get" and "not found" in words:
        return None
    raise RegistryDenied(f"{program} {verb} failed: {words[:200]}")


def _helper_document(host: str, credential: Credential) -> bytes:
    token = credential.identity_token
    return json.dumps(
        {
            "ServerURL": _helper_server(host),
            "Username": _TOKEN_USER if token else credential.username,
            "Secret": token or credential.password,
        }
    ).encode()


def _helper_server(host: str) -> str:
    return HUB_KEY if normal_key(host) == DEFAULT_REGISTRY else host


def _keys_for(auths: dict[str, Any], host: str) -> list[str]:
    return [key for key in auths if normal_key(key) == normal_key(host)]


def _read(path: str) -> dict[str, Any] | None:
    try:
        content = files.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from None
    if not content.strip():
        return None
    try:
        document = json.loads(content)
        if not isinstance(document, dict) or not isinstance(document.get("auths", {}), dict):
            raise ValueError("it has no object auths")
    except ValueError as error:
        raise InvalidRequest(f"{path} is not an auth file: {error}") from None
    return document


def _write(path: str, document: dict[str, Any]) -> None:
    files.write_atomic(path, json.dumps(document, indent="\t").encode() + b"\n", mode=0o600)


def _locked(path: str) -> AbstractContextManager[int]:
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    return files.lock(f"{path}.lock")
