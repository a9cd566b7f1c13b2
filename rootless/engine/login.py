"""``login`` and ``logout``: credentials are tried before they are kept, and kept where podman finds them."""

from __future__ import annotations

import os

from rootless.engine import registries
from rootless.engine.registries import Access
from rootless.errors import InvalidRequest, NotFound
from rootless.events import ignore
from rootless.image.reference import DEFAULT_REGISTRY, parse_reference
from rootless.registry import credentials
from rootless.registry.client import Client
from rootless.registry.credentials import Credential
from rootless.registry.http import Tls
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report


class LoginRequest(NamedTuple):
    """A user name and password for a registry, or a repository of it (``host/namespace``)."""

    registry: str = DEFAULT_REGISTRY
    username: str = ""
    password: str = ""
    access: Access = Access()


class LogoutRequest(NamedTuple):
    """A registry to forget; with ``all`` every one."""

    registry: str = DEFAULT_REGISTRY
    all: bool = False
    authfile: str | None = None


def stored_login(engine: Engine, registry: str, authfile: str | None = None) -> str | None:
    """The user name that is stored for a registry (``login --get-login``)."""
    found = credentials.find(
        credentials.find_files(os.environ, authfile),
        host_of(registry),
        helpers=registries.load(engine).credential_helpers,
    )
    return found.username if found else None


def login(engine: Engine, request: LoginRequest, report: Report = ignore) -> str:
    """Try the credentials and keep them; returns where they are.

    Raises RegistryDenied when the registry refuses them, RegistryUnreachable when it does not answer.
    """
    host = host_of(request.registry)
    if not request.username or ":" in request.username:
        raise InvalidRequest(f"{request.username!r} is not a user name")
    credential = Credential(request.username, request.password, source="--username")
    source = registries.load(engine).source_of_host(host.partition("/")[0])
    client = Client(
        source,
        credential=credential,
        tls=Tls(request.access.tls_verify, request.access.cert_dir),
        report=report,
    )
    try:
        client.ping()
    finally:
        client.close()
    paths = credentials.find_files(os.environ, request.access.authfile)
    return credentials.store(paths.write, host, credential)


def logout(engine: Engine, request: LogoutRequest) -> tuple[str, ...]:
    """Forget credentials in the file that ``login`` writes; returns the registries.

    Raises NotFound when there are none, and says where else there are some.
    """
    paths = credentials.find_files(os.environ, request.authfile)
    if request.all:
        return credentials.erase_all(paths.write)
    host = host_of(request.registry)
    try:
        credentials.erase(paths.write, host)
    except NotFound as error:
        found = credentials.find(paths, host)
        if found is None:
            raise
        raise NotFound(
            error.message, hint=f"{found.source} has credentials for it: another tool wrote them"
        ) from None
    return (host,)


def host_of(text: str) -> str:
    """A registry as it is stored: without scheme, docker.io under its one name."""
    name = credentials.normal_key(text)
    parse_reference(name if "/" in name else f"{name}/x")  # raises InvalidRequest
    return name
