"""Commands that speak with registries."""

from __future__ import annotations

import os

from rootless.cli import output
from rootless.cli.reporting import Reporting
from rootless.cli.values import platform_of
from rootless.engine import Engine
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.engine.registries import Access


def access(given: dict[str, Any]) -> Access:
    """How registries are reached: takes its flags out of ``given``."""
    from rootless.engine.registries import Access

    for name in ("authfile", "cert_dir", "signature_policy"):
        if name in given:
            given[name] = os.path.abspath(given[name])
    return Access(
        creds=given.pop("creds", None),
        authfile=given.pop("authfile", None),
        tls_verify=given.pop("tls_verify", None),
        cert_dir=given.pop("cert_dir", None),
        retry=given.pop("retry", None),
        retry_delay_s=given.pop("retry_delay", None),
        signature_policy=given.pop("signature_policy", None),
    )


def pull(
    images: tuple[str, ...],
    *,
    quiet: bool = False,
    all_tags: bool = False,
    policy: str = "always",
    **given: Any,
) -> None:
    """Download images from a registry."""
    from rootless.engine.images import ensure
    from rootless.engine.pull import PullRequest
    from rootless.engine.pull import pull as pull_all

    engine = Engine.open()
    reach, platform = access(given), platform_of(given)
    for name in images:
        with Reporting(quiet=quiet) as report:
            if all_tags:
                request = PullRequest(name, platform=platform, all_tags=True, access=reach)
                found = [each.image for each in pull_all(engine, request, report)]
            else:
                found = [
                    ensure(
                        engine, name, policy=policy, platform=platform, report=report, access=reach
                    )
                ]
        for image in found:
            output.write(image.image_id.partition(":")[2])


def push(
    image: str,
    destination: str | None = None,
    *,
    quiet: bool = False,
    all_tags: bool = False,
    compression_format: str | None = None,
    force_compression: bool | None = None,
    format: str | None = None,
    digestfile: str | None = None,
    sign_by_sigstore_private_key: str | None = None,
    sign_passphrase_file: str | None = None,
    **given: Any,
) -> None:
    """Upload images to a registry."""
    from rootless.cli.caller import read_text
    from rootless.engine.push import PushRequest
    from rootless.engine.push import push as push_all

    passphrase = read_text(sign_passphrase_file).rstrip("\n") if sign_passphrase_file else None
    request = PushRequest(
        image,
        destination,
        all_tags=all_tags,
        compression_format=compression_format,
        force_compression=force_compression,
        format=format,
        sign_by_sigstore_private_key=sign_by_sigstore_private_key,
        sign_passphrase=None if passphrase is None else passphrase.encode(),
        access=access(given),
    )
    with Reporting(quiet=quiet) as report:
        pushed = push_all(Engine.open(), request, report)
    if digestfile:
        with open(digestfile, "w", encoding="ascii") as file:
            file.write(pushed[-1].digest)
    if not quiet:
        for each in pushed:
            output.write(f"{each.reference}: digest: {each.digest} size: {each.size_bytes}")


def login(
    registry: str | None = None,
    *,
    username: str | None = None,
    password: str | None = None,
    password_stdin: bool = False,
    get_login: bool = False,
    verbose: bool = False,
    **given: Any,
) -> int:
    """Keep credentials for a registry."""
    from rootless.engine import login as engine_login

    host = registry or engine_login.LoginRequest().registry
    engine, reach = Engine.open(), access(given)
    known = engine_login.stored_login(engine, host, reach.authfile)
    if get_login:
        if known is None:
            output.complain(f"nobody is logged in to {host}")
            return 125
        output.write(known)
        return 0
    request = engine_login.LoginRequest(
        host,
        username=username or output.ask("Username", known),
        password=_password(password, from_stdin=password_stdin),
        access=reach,
    )
    place = engine_login.login(engine, request)
    if verbose:
        output.write(f"Used: {place}")
    output.write("Login Succeeded!")
    return 0


def _password(given: str | None, *, from_stdin: bool) -> str:
    from rootless.errors import InvalidRequest

    if given is not None and from_stdin:
        raise InvalidRequest("--password and --password-stdin contradict each other")
    if given is not None:
        return given
    return output.ask_secret("Password", from_stdin=from_stdin)


def logout(registry: str | None = None, *, all: bool = False, authfile: str | None = None) -> None:
    """Forget credentials for a registry."""
    from rootless.engine import login as engine_login

    host = registry or engine_login.LoginRequest().registry
    path = os.path.abspath(authfile) if authfile else None
    request = engine_login.LogoutRequest(host, all=all, authfile=path)
    for name in engine_login.logout(Engine.open(), request):
        output.write(f"Removed login credentials for {name}")


def search(
    term: str,
    *,
    filter: tuple[str, ...] = (),
    limit: int = 25,
    list_tags: bool = False,
    format: str | None = None,
    no_trunc: bool = False,
    **given: Any,
) -> None:
    """Search registries for images, or list tags."""
    from rootless.cli.phrases import ellipsis
    from rootless.engine import search as engine_search

    engine, reach = Engine.open(), access(given)
    with Reporting() as report:
        if list_tags:
            tags = engine_search.list_tags(engine, term, limit=limit, access=reach, report=report)
            output.listing(
                [{"Name": term, "Tag": tag} for tag in tags],
                {"Name": "NAME", "Tag": "TAG"},
                shown=("Name", "Tag"),
                format=format,
                documents=[{"Name": term, "Tags": tags}],
            )
            return
        request = engine_search.SearchRequest(term, limit, filter, reach)
        found = engine_search.search(engine, request, report)
    rows = [
        {
            "Index": each.registry,
            "Name": each.name,
            "Description": each.description if no_trunc else ellipsis(each.description, 45),
            "Stars": str(each.stars),
            "Official": "[OK]" if each.official else "",
            "Automated": "[OK]" if each.automated else "",
        }
        for each in found
    ]
    output.listing(
        rows,
        {
            key: key.upper()
            for key in ("Index", "Name", "Description", "Stars", "Official", "Automated")
        },
        shown=("Name", "Description", "Stars", "Official"),
        format=format,
        documents=(each._asdict() for each in found),
    )
