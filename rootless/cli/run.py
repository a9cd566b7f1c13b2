"""``run`` and ``create``."""

from __future__ import annotations

import os
import sys

from rootless.cli.caller import everything, proxies, read_text
from rootless.cli.reporting import Reporting
from rootless.engine import Engine
from rootless.engine.requests import MountRequest, RunRequest
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.cli.argv import Values

_PATHS = ("cidfile", "pidfile", "authfile", "cert_dir")


def run(*, quiet: bool = False, explain: str | None = None, **given: Any) -> int:
    """Make a container and run a program in it."""
    build_first("run", given, quiet=quiet)
    if "preserve_fds" in given or "LISTEN_FDS" in os.environ:
        from rootless.cli.activation import preserve

        preserve(given)
    request = run_request(given)
    if request.detach:
        request = request._replace(**_as_typed())
    engine = Engine.open()
    with Reporting(quiet=quiet) as report:
        if explain:
            from rootless.cli import output
            from rootless.engine.explain import explain_run

            output.write("\n".join(explain_run(engine, request, explain, report)))
            return 0
        from rootless.engine.run import run as run_container

        result = run_container(engine, request, report)
    if result.exit_code is None:
        from rootless.cli import output

        output.write(result.container_id)
    return result.exit_code or 0


def _as_typed() -> dict[str, Any]:
    """How this container was made, for ``generate systemd --new``."""
    words = sys.argv[1:]
    if words[:1] == ["container"]:
        del words[0]
    if words[:1] != ["run"]:
        return {}
    try:
        return {"create_command": tuple(words[1:]), "create_directory": os.getcwd()}
    except FileNotFoundError:  # the directory was removed
        return {}


def create(*, quiet: bool = False, **given: Any) -> None:
    """Make a container without starting it."""
    from rootless.cli import output
    from rootless.engine.create import create as create_container

    build_first("create", given, quiet=quiet)
    with Reporting(quiet=quiet) as report:
        prepared = create_container(Engine.open(), run_request(given), report)
    output.write(prepared.container.id)


def build_first(verb: str, given: Values, *, quiet: bool) -> None:
    """``run .`` and ``run -f Dockerfile``: put an image in the place of a directory.

    Raises InvalidRequest where neither is named.
    """
    image = given.get("image", "")
    if "file" not in given and (given.get("rootfs") or not _is_directory(image)):
        if not image:
            from rootless.errors import InvalidRequest

            raise InvalidRequest(f"rootless {verb} needs IMAGE", hint=f"rootless {verb} --help")
        return
    from rootless.cli.build import build_to_run

    file = given.pop("file", None)
    if file is not None and image:  # then every word is the program's
        given["args"] = (image, *given.get("args", ()))
    given["image"] = build_to_run(
        os.path.dirname(file) or "." if file else image, file, quiet=quiet
    )


def _is_directory(image: str) -> bool:
    """No image is called so."""
    return image in (".", "..") or image.startswith(("./", "../", "/"))


def run_request(given: Values) -> RunRequest:
    """The request that flags make, with what they mean in the caller's surroundings."""
    for name in _PATHS:
        if name in given:
            given[name] = os.path.abspath(given[name])
    for name in ("volume", "mount"):
        if name in given:
            given[name] = tuple(map(_absolute, given[name]))
    if given.get("rootfs"):
        directory, colon, option = given["image"].partition(":")
        given["image"] = os.path.abspath(directory) + colon + option
    if "env" in given or "env_file" in given:
        given["env"] = environment(given.get("env", ()), given.pop("env_file", ()))
    if "label_file" in given:
        given["label"] = _labels(given.pop("label_file")) + given.get("label", ())
    for name, variables in (("env_host", everything), ("http_proxy", proxies)):
        if name in given:
            given[name] = variables() if given[name] else ()
    if not given.keys().isdisjoint(("os", "arch", "variant")):
        from rootless.cli.values import platform

        chosen = platform(*(given.pop(name, None) for name in ("os", "arch", "variant")))
        given.setdefault("platform", chosen)
    return RunRequest(**given)


def _absolute(mount: MountRequest) -> MountRequest:
    if mount.type not in ("bind", "glob") or mount.source.startswith("/"):
        return mount
    return mount._replace(source=os.path.abspath(mount.source))


def environment(variables: tuple[str, ...], paths: tuple[str, ...]) -> tuple[str, ...]:
    """``-e`` and ``--env-file`` as pairs; ``-e`` is stronger."""
    from rootless.cli import values

    lines = (line for path in paths for line in values.env_file(read_text(path), name=path))
    return values.environment((*lines, *variables), os.environ)


def _labels(paths: tuple[str, ...]) -> tuple[str, ...]:
    from rootless.cli import values

    return tuple(
        values.pair(line) for path in paths for line in values.env_file(read_text(path), name=path)
    )
