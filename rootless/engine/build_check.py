"""``build --check`` and what a build refuses before it begins."""

from __future__ import annotations

from rootless.build import grammar
from rootless.engine.build_requests import BuildResult
from rootless.errors import InvalidRequest, RootlessError, Unsupported
from rootless.events import Notice
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.stages import Choices
    from rootless.dockerfile.instructions import Dockerfile
    from rootless.dockerfile.stage_lint import BaseImage
    from rootless.engine import Engine
    from rootless.engine.build_requests import BuildRequest
    from rootless.engine.build_sources import Source
    from rootless.events import Report

_FORMATS = ("oci", "docker")
# For podman "host" is the namespace in which it keeps the caller's whole range, which each of ours has.
_USER_NAMESPACES = (None, "", "auto", "private", "host")


def check_supported(request: BuildRequest) -> None:
    """Raise Unsupported for what would be ignored, InvalidRequest for what contradicts itself."""
    if request.userns not in _USER_NAMESPACES:
        raise Unsupported(
            f"build --userns={request.userns}: every RUN has a user namespace of its own with all ids",
            hint="auto, private and host mean that",
        )
    if request.format not in _FORMATS:
        raise InvalidRequest(f"no image format {request.format!r}", hint="oci or docker")
    if request.on_error not in ("stop", "shell"):
        raise InvalidRequest(f"no action {request.on_error!r} on an error", hint="stop or shell")
    if request.compression_format not in ("gzip", "zstd"):
        raise InvalidRequest(f"no compression {request.compression_format!r}", hint="gzip or zstd")
    if request.format == "docker" and request.compression_format == "zstd":
        raise InvalidRequest("docker's image format knows no zstd layers", hint="--format oci")
    for text in request.output:
        grammar.parse_output(text)


def check(
    engine: Engine, dockerfile: Dockerfile, source: Source, request: BuildRequest, choices: Choices
) -> BuildResult:
    """The linter's remarks as lines.  Raises InvalidRequest where the Dockerfile says that they are errors."""
    lines, failure = _remarks(engine, dockerfile, source, request, choices)
    if failure is not None:
        raise InvalidRequest("\n".join((*lines, failure.message)), hint=failure.hint)
    return BuildResult(lines=lines or ("Check complete, no warnings found.",), warnings=len(lines))


def remark(
    engine: Engine,
    dockerfile: Dockerfile,
    source: Source,
    request: BuildRequest,
    choices: Choices,
    *,
    report: Report,
) -> None:
    """Tell the linter's remarks after a build."""
    lines, _ = _remarks(engine, dockerfile, source, request, choices)
    if lines:
        report(Notice(f"{len(lines)} warning{'s' if len(lines) > 1 else ''} found:"))
    for line in lines:
        report(Notice(f" - {line}"))


def _remarks(
    engine: Engine, dockerfile: Dockerfile, source: Source, request: BuildRequest, choices: Choices
) -> tuple[tuple[str, ...], RootlessError | None]:
    """The lines, and the error that the Dockerfile makes of them."""
    from rootless.dockerfile.lint import Facts, lint

    facts = Facts(
        build_args=choices.build_args,
        platform=choices.platform,
        build_platform=choices.build_platform,
        target=request.target,
        images=_stored_images(engine, dockerfile, choices),
        ignore=source.context.patterns,
    )
    found = lint(dockerfile, facts)
    lines = tuple(
        f"{source.name}:{each.line}: {each.rule}: {each.message}" for each in found.warnings
    )
    return lines, found.failure


def is_strict(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> bool:
    """Whether the Dockerfile wants no build where the linter has a remark."""
    text = build_args.get("BUILDKIT_DOCKERFILE_CHECK", dockerfile.directives.check) or ""
    return "error" in text


def _stored_images(
    engine: Engine, dockerfile: Dockerfile, choices: Choices
) -> dict[str, BaseImage]:
    """What is known of base images without fetching any."""
    from rootless.build.stages import global_variables
    from rootless.dockerfile.expansion import expand_base
    from rootless.dockerfile.stage_lint import BaseImage
    from rootless.engine.images import find

    variables = global_variables(dockerfile, choices)
    found = {}
    for stage in dockerfile.stages:
        try:
            name = expand_base(stage.base, variables, escape=dockerfile.directives.escape).image
            config = find(engine, name).container_config
        except RootlessError:
            continue
        env = dict(each.partition("=")[::2] for each in config.get("Env", ()))
        found[name] = BaseImage(
            env, has_shell=bool(config.get("Shell")), onbuild=tuple(config.get("OnBuild", ()))
        )
    return found
