"""Build arguments: what ARG means, where, and which ones exist without being declared.  Pure."""

from __future__ import annotations

from rootless.dockerfile.instructions import Arg
from rootless.dockerfile.problems import invalid
from rootless.dockerfile.variables import expand
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.dockerfile.instructions import Dockerfile

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")

# Given with --build-arg and declared nowhere, these are no mistake: they steer the build itself.
BUILD_SETTINGS = (
    "SOURCE_DATE_EPOCH",
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",
    "BUILDKIT_SBOM_SCAN_STAGE",
    "BUILDKIT_SYNTAX",
)

# Declared by a Dockerfile, these speak to the builder and never become environment of a RUN.
NEVER_ENVIRONMENT = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")


def platform_arguments(platform: str, *, build_platform: str, target: str = "") -> dict[str, str]:
    """The arguments that exist before the first FROM; a stage sees those that it declares."""
    arguments = {}
    for prefix, text in (("BUILD", build_platform), ("TARGET", platform)):
        system, version, architecture, variant = _parts(text)
        arguments[f"{prefix}PLATFORM"] = text
        arguments[f"{prefix}OS"] = system
        arguments[f"{prefix}OSVERSION"] = version
        arguments[f"{prefix}ARCH"] = architecture
        arguments[f"{prefix}VARIANT"] = variant
    arguments["TARGETSTAGE"] = target or "default"
    return arguments


def _parts(platform: str) -> tuple[str, str, str, str]:
    """``os[(version)]/architecture[/variant]``."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    system, _, version = system.partition("(")
    return system, version.rstrip(")"), architecture, variant


def global_scope(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    *,
    platform: str,
    build_platform: str,
    target: str = "",
) -> dict[str, str]:
    """The variables of FROM: platform arguments and every ARG before the first FROM."""
    target = target or dockerfile.stages[-1].base.name or ""
    variables = platform_arguments(platform, build_platform=build_platform, target=target)
    variables |= {name: build_args[name] for name in variables if name in build_args}
    for arg in dockerfile.global_args:
        for name, default in arg.pairs:
            if name in build_args:
                variables[name] = build_args[name]
            elif default is not None:
                variables[name] = _expanded(
                    arg, default, variables, escape=dockerfile.directives.escape
                )
    return variables


def resolve_arg(
    arg: Arg,
    variables: Mapping[str, str],
    *,
    build_args: Mapping[str, str],
    global_variables: Mapping[str, str],
    escape: str = "\\",
) -> Arg:
    """An ARG of a stage with the values in force; None where nobody gave one.

    --build-arg comes before the default, and the global scope only fills in for a missing default.
    """
    known = dict(variables)
    pairs: list[tuple[str, str | None]] = []
    for name, default in arg.pairs:
        value: str | None
        if name in build_args:
            value = build_args[name]
        elif default is not None:
            value = _expanded(arg, default, known, escape=escape)
        else:
            value = global_variables.get(name)
        if value is not None and name not in NEVER_ENVIRONMENT:
            known[name] = value
        pairs.append((name, value))
    return arg._replace(pairs=tuple(pairs))


def _expanded(arg: Arg, default: str, variables: Mapping[str, str], *, escape: str) -> str:
    try:
        return expand(default, variables, escape=escape)
    except InvalidRequest as error:
        raise invalid(arg.origin, error.message, word=default, hint=error.hint) from None


def proxy_arguments(build_args: Mapping[str, str]) -> tuple[str, ...]:
    """Environment for every RUN, from proxies that need no ARG: in both cases, in no history."""
    found = {name.upper(): build_args[name] for name in sorted(build_args) if is_proxy(name)}
    return tuple(
        f"{name}={found[upper]}"
        for upper in PROXIES
        if found.get(upper)
        for name in (upper, upper.lower())
    )


def is_proxy(name: str) -> bool:
    """Whether ``name`` is one of the proxy variables, in any case."""
    return name.upper() in PROXIES


def unused_arguments(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> tuple[str, ...]:
    """The --build-arg names that nothing declares, which docker warns about."""
    declared = {name for arg in dockerfile.global_args for name, _ in arg.pairs}
    for stage in dockerfile.stages:
        for instruction in stage.instructions:
            if isinstance(instruction, Arg):
                declared |= {name for name, _ in instruction.pairs}
    known = declared | set(BUILD_SETTINGS)
    known |= set(platform_arguments("", build_platform=""))
    return tuple(name for name in build_args if name not in known and not is_proxy(name))
