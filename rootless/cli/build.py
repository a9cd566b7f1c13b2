"""``build``."""

from __future__ import annotations

import os

from rootless.cli import output
from rootless.cli.reporting import Reporting
from rootless.engine import Engine
from rootless.typed import Any

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "git+")


def build(
    context: str = ".",
    *,
    quiet: bool = False,
    progress: str = "auto",
    call: str = "build",
    **given: Any,
) -> int:
    """Build an image from a Dockerfile; 1 where only that was checked, and there are remarks."""
    from rootless.engine.build import build as build_image

    request = build_request(context, given)
    if call == "check":
        request = request._replace(check=True)
    with Reporting(quiet=quiet, style=progress) as report:
        result = build_image(Engine.open(), request, report)
    if result.lines:
        output.write("\n".join(result.lines))
    if not result.image_id:
        return int(bool(result.warnings))
    if quiet:
        output.write(result.image_id)
        return 0
    for name in result.names:
        output.remark(f"built {name}")
    output.write(result.image_id.partition(":")[2])
    return 0


def build_to_run(context: str, file: str | None, *, quiet: bool) -> str:
    """Build a directory, which costs nothing when nothing changed; the image's name."""
    from rootless.engine.build import build as build_image
    from rootless.image.digest import digest_of, encoded

    place = os.path.abspath(file or context)
    words = "".join(each if each.isalnum() and each.isascii() else "-" for each in place.lower())
    words = "-".join(part for part in words[-40:].split("-") if part)
    name = f"localhost/run/{words or 'root'}-{encoded(digest_of(place.encode()))[:8]}"
    given: dict[str, Any] = {"tag": (name,), **({"file": file} if file else {})}
    with Reporting(quiet=quiet) as report:
        build_image(Engine.open(), build_request(context, given), report)
    return name


def build_request(context: str, given: dict[str, Any]) -> Any:
    """The request that the flags mean, relative to where the caller is."""
    from rootless.cli.values import environment, platform_of
    from rootless.engine.build_requests import BuildRequest

    remote = context == "-" or context.startswith(_REMOTE)
    if not remote:
        context = os.path.abspath(context)
    for name in ("authfile", "cert_dir", "ignorefile", "iidfile", "metadata_file"):
        if name in given:
            given[name] = os.path.abspath(given[name])
    file = given.get("file")
    if file and file != "-" and not remote:
        given["file"] = _dockerfile(file, context)
    if "pull" in given:
        given["pull"] = {"true": "newer", "false": "missing"}.get(given["pull"], given["pull"])
    # --platform may be given several times; its parts make one.
    platforms = given.pop("platform", ())
    parts = platform_of(given)
    given["platform"] = platforms or ((parts,) if parts else ())
    arguments = [*_files(given.pop("build_arg_file", ())), *given.pop("build_arg", ())]
    given["build_arg"] = (
        *(_proxies() if given.pop("http_proxy", True) else ()),
        *_epoch(arguments, given),
        *environment(arguments, os.environ),
    )
    given["secret"] = tuple(_absolute_source(each) for each in given.get("secret", ()))
    given["output"] = tuple(_absolute_destination(each) for each in given.get("output", ()))
    given["volume"] = tuple(_absolute_volume(each) for each in given.get("volume", ()))
    return BuildRequest(context, **given)


def _dockerfile(file: str, context: str) -> str:
    """As docker: relative to the caller, or else to the context."""
    here = os.path.abspath(file)
    inside = os.path.join(context, file)
    return inside if not os.path.exists(here) and os.path.exists(inside) else here


def _files(paths: tuple[str, ...]) -> list[str]:
    from rootless.cli.values import env_file
    from rootless.errors import NotFound

    found: list[str] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                found += env_file(file.read(), name=path)
        except OSError as error:
            raise NotFound(f"cannot read {path}: {error.strerror}") from None
    return found


def _proxies() -> list[str]:
    """The caller's proxies, as build arguments that no ARG needs to declare."""
    from rootless.cli.caller import proxies

    return [each for each in proxies() if not each.endswith("=")]


def _epoch(arguments: list[str], given: dict[str, Any]) -> list[str]:
    """SOURCE_DATE_EPOCH of the caller, as docker's buildx passes it on."""
    value = os.environ.get("SOURCE_DATE_EPOCH")
    named = any(each.partition("=")[0] == "SOURCE_DATE_EPOCH" for each in arguments)
    return (
        [f"SOURCE_DATE_EPOCH={value}"] if value and not named and "timestamp" not in given else []
    )


def _absolute_source(text: str) -> str:
    """``src=`` relative to the caller."""
    words = text.split(",")
    for index, word in enumerate(words):
        key, _, value = word.partition("=")
        if key in ("src", "source") and value:
            words[index] = f"{key}={os.path.abspath(os.path.expanduser(value))}"
    return ",".join(words)


def _absolute_destination(text: str) -> str:
    """``dest=`` relative to the caller."""
    if "=" not in text:
        return text if text == "-" else os.path.abspath(text)
    words = text.split(",")
    for index, word in enumerate(words):
        key, _, value = word.partition("=")
        if key == "dest" and value != "-":
            words[index] = f"{key}={os.path.abspath(value)}"
    return ",".join(words)


def _absolute_volume(text: str) -> str:
    source, colon, rest = text.partition(":")
    return f"{os.path.abspath(source)}{colon}{rest}"
