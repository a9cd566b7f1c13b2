"""``build --check`` and what a build refuses before it begins."""

from __future__ import annotations

from rootless.build import grammar
from rootless.dockerfile.lint import Facts, lint
from rootless.engine.build_requests import BuildRequest, BuildResult
from rootless.errors import InvalidRequest, Unsupported
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.dockerfile.instructions import Dockerfile
    from rootless.engine.build_sources import Source

# Understood, and not enforced by anything here: refused rather than ignored.
_REFUSED = (
    *(
        "memory",
        "memory_swap",
        "cpu_period",
        "cpu_quota",
        "cpu_shares",
        "cpuset_cpus",
        "cpuset_mems",
    ),
    *("userns", "manifest", "squash", "squash_all"),
)
_FORMATS = ("oci", "docker")


def check_supported(request: BuildRequest) -> None:
    """Raise Unsupported for what would be ignored, InvalidRequest for what contradicts itself."""
    usual = BuildRequest(request.context)
    for name in _REFUSED:
        if getattr(request, name) != getattr(usual, name):
            raise Unsupported(f"build --{name.replace('_', '-')} is not supported")
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
    dockerfile: Dockerfile, source: Source, request: BuildRequest, build_platform: str
) -> BuildResult:
    """The linter's remarks as lines.  Raises InvalidRequest where the Dockerfile says that they are errors."""
    facts = Facts(
        build_args=grammar.pairs(request.build_arg, "--build-arg"),
        platform=request.platform[0] if request.platform else build_platform,
        build_platform=build_platform,
        target=request.target,
        ignore=source.context.patterns,
    )
    report = lint(dockerfile, facts)
    lines = tuple(
        f"{source.name}:{each.line}: {each.rule}: {each.message}" for each in report.warnings
    )
    if report.failure is not None:
        raise InvalidRequest("\n".join((*lines, report.failure.message)), hint=report.failure.hint)
    return BuildResult(
        lines=lines or ("Check complete, no warnings found.",), warnings=len(report.warnings)
    )
