"""From an image name to clients that may be asked for it: configuration and credentials of the user."""

from __future__ import annotations

import os

from rootless.errors import NotFound, RegistryFailed, RegistryUnreachable
from rootless.registry import config, credentials
from rootless.registry.client import Client
from rootless.registry.http import Retry, Tls
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rootless.engine import Engine
    from rootless.engine.build_requests import BuildRequest
    from rootless.engine.requests import RunRequest
    from rootless.errors import RootlessError
    from rootless.events import Report
    from rootless.image.reference import Reference
    from rootless.registry.config import Registries, Source
    from rootless.registry.credentials import Credential
    from rootless.typed import TypeVar

    T = TypeVar("T")


class Access(NamedTuple):
    """How a command reaches registries, as its flags say; None means as the configuration says."""

    creds: str | None = None
    authfile: str | None = None
    tls_verify: bool | None = None
    cert_dir: str | None = None
    retry: int | None = None
    retry_delay_s: float | None = None
    signature_policy: str | None = None  # in place of policy.json of user and system


def access_of(request: RunRequest | BuildRequest) -> Access:
    """How a run or build reaches registries."""
    return Access(
        creds=request.creds,
        authfile=request.authfile,
        tls_verify=request.tls_verify,
        cert_dir=request.cert_dir,
        retry=request.retry,
        retry_delay_s=request.retry_delay,
    )


def load(engine: Engine) -> Registries:
    """What registries.conf and config.toml say."""
    return config.load(engine.paths.config, os.environ)


def client_for(source: Source, access: Access, *, registries: Registries, report: Report) -> Client:
    """A client with the credentials for that source, and for no other."""
    retry = Retry()
    if access.retry is not None:
        retry = retry._replace(attempts=access.retry + 1)
    if access.retry_delay_s is not None:
        retry = retry._replace(first_pause_s=access.retry_delay_s)
    return Client(
        source,
        credential=_credential(source, access, registries),
        tls=Tls(access.tls_verify, access.cert_dir),
        retry=retry,
        report=report,
    )


def _credential(source: Source, access: Access, registries: Registries) -> Credential | None:
    # --creds are for the registry that the user named: a mirror is not it.
    if access.creds is not None and not source.is_mirror:
        return credentials.parse_pair(access.creds)
    files = credentials.find_files(os.environ, access.authfile)
    return credentials.find(files, source.name.rstrip("/"), helpers=registries.credential_helpers)


def clients(
    engine: Engine, candidates: Sequence[Reference], access: Access, *, report: Report
) -> Iterator[tuple[Reference, Client]]:
    """Every place where the image may be, best first.  A client is closed when the next is asked for."""
    registries = load(engine)
    for reference in candidates:
        for source in registries.sources(reference):
            client = client_for(source, access, registries=registries, report=report)
            try:
                yield reference, client
            finally:
                client.close()


def first_answer(
    places: Iterator[tuple[Reference, Client]], ask: Callable[[Reference, Client], T], *, name: str
) -> T:
    """The first answer that is not a failure.  With one place its failure is raised as it is.

    ImageRefused is raised at once: a registry that lies is not passed over in silence.
    """
    failures: list[RegistryFailed | NotFound] = []
    for reference, client in places:
        try:
            return ask(reference, client)
        except (RegistryFailed, NotFound) as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    raise _joined(failures, name)


def _joined(failures: Sequence[RegistryFailed | NotFound], name: str) -> RootlessError:
    """One error of the gravest kind that tells what each place said."""
    kinds = (RegistryUnreachable, RegistryFailed, NotFound)
    kind = next(kind for kind in kinds if any(isinstance(each, kind) for each in failures))
    hints = [each.hint for each in failures if isinstance(each, kind) and each.hint]
    told = "; ".join(dict.fromkeys(each.message for each in failures))
    return kind(f"cannot pull {name}: {told}", hint=hints[-1] if hints else None)
