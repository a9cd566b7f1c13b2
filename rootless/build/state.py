"""What a stage is after each of its instructions: configuration, variables, history, steps.  Pure.

An instruction arrives expanded; ``apply`` gives the state after it.  Nothing is changed in place.
"""

from __future__ import annotations

import posixpath

from rootless.build import history
from rootless.build.copies import copy_step
from rootless.build.history import HistoryLine
from rootless.build.runs import run_step
from rootless.build.steps import Step, Tree, WorkdirStep
from rootless.dockerfile.arguments import NEVER_ENVIRONMENT
from rootless.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.image.documents import ContainerConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


class StageState(NamedTuple):
    """``variables`` are what expansion sees and what a RUN has as environment: ENV and ARG together.

    ``arguments`` are the build arguments in force, in the order of their declaration.
    """

    config: ContainerConfig
    author: str = ""
    variables: Mapping[str, str] = {}
    arguments: tuple[tuple[str, str | None], ...] = ()
    cmd_is_set: bool = False
    history: tuple[HistoryLine, ...] = ()
    steps: tuple[Step, ...] = ()
    onbuild: tuple[str, ...] = ()  # the stage's own, which a stage on top of it executes


class Surroundings(NamedTuple):
    """What applying an instruction needs to know besides the state."""

    find_tree: Callable[[str], Tree]  # what a --from names; "" is the build context
    hidden_env: tuple[str, ...] = ()
    network: str = "default"


def initial(config: ContainerConfig, *, author: str = "") -> StageState:
    """The state right after FROM: the base image's configuration, always with a PATH."""
    env = list(config.get("Env", ()))
    if not any(each.startswith("PATH=") for each in env):
        env.append(f"PATH={DEFAULT_PATH}")
    # What the base image wants done on top of it is done now, once.
    kept = {key: value for key, value in config.items() if key != "OnBuild"}
    variables = dict(each.partition("=")[::2] for each in env)
    return StageState(cast("ContainerConfig", {**kept, "Env": env}), author, variables)


def empty_config() -> ContainerConfig:
    """The configuration of ``scratch``."""
    return {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"}


def on_top_of(state: StageState) -> StageState:
    """The state right after FROM an earlier stage: as that one, its ONBUILD done and forgotten."""
    return state._replace(
        config=_without(state.config, "OnBuild"), cmd_is_set=False, onbuild=(), steps=()
    )


def apply(state: StageState, instruction: Instruction, around: Surroundings) -> StageState:
    """The state after one expanded instruction."""
    match instruction:
        case Run():
            return _run(state, instruction, around)
        case Copy() | Add():
            return _copy(state, instruction, around)
        case Workdir():
            return _workdir(state, instruction)
        case Arg(pairs=pairs):
            return _arg(state, pairs)
        case Env(pairs=pairs):
            return _env(state, pairs)
        case _:
            return _metadata(state, instruction)


def _metadata(state: StageState, instruction: Instruction) -> StageState:
    match instruction:
        case Label(pairs=pairs):
            labels = {**state.config.get("Labels", {}), **dict(pairs)}
            return _changed(state, history.pairs_text("LABEL", pairs), Labels=labels)
        case User(user=user):
            return _changed(state, f"USER {user}", User=user)
        case Cmd() | Entrypoint():
            return _command(state, instruction)
        case Expose(ports=ports):
            return _expose(state, ports)
        case Volume(paths=paths):
            if "" in paths:
                raise InvalidRequest("VOLUME cannot be an empty path")
            volumes = {**state.config.get("Volumes", {}), **{path: {} for path in paths}}
            text = history.list_text("VOLUME", paths, quote=False)
            return _changed(state, text, Volumes=volumes)
        case Shell(command=command):
            text = history.list_text("SHELL", command, quote=False)
            return _changed(state, text, Shell=list(command))
        case StopSignal(signal=signal):
            return _changed(state, f"STOPSIGNAL {signal}", StopSignal=signal)
        case Healthcheck():
            return _changed(
                state, history.health_text(instruction), Healthcheck=_health(instruction)
            )
        case Maintainer(name=name):
            return _changed(state, f"MAINTAINER {name}")._replace(author=name)
        case Onbuild(expression=expression):
            config = {**state.config, "OnBuild": [*state.config.get("OnBuild", ()), expression]}
            onbuild = (*state.onbuild, expression)
            return state._replace(config=cast("ContainerConfig", config), onbuild=onbuild)
        case _:
            raise AssertionError(f"no meaning for {instruction!r}")


def _changed(state: StageState, created_by: str, **changes: object) -> StageState:
    """The state with some of its configuration replaced, and a line of history that says so."""
    return state._replace(
        config=cast("ContainerConfig", {**state.config, **changes}),
        history=(*state.history, HistoryLine(created_by)),
    )


def _without(config: ContainerConfig, key: str) -> ContainerConfig:
    return cast("ContainerConfig", {name: value for name, value in config.items() if name != key})


def _env(state: StageState, pairs: tuple[tuple[str, str], ...]) -> StageState:
    env = list(state.config.get("Env", ()))
    for name, value in pairs:
        set_variable(env, name, value)
    changed = _changed(state, history.pairs_text("ENV", pairs), Env=env)
    return changed._replace(variables={**state.variables, **dict(pairs)})


def set_variable(env: list[str], name: str, value: str) -> None:
    """Set one variable in a list of ``NAME=value``, at its place when it is there already."""
    for index, each in enumerate(env):
        if each.partition("=")[0] == name:
            env[index] = f"{name}={value}"
            return
    env.append(f"{name}={value}")


def _arg(state: StageState, pairs: tuple[tuple[str, str | None], ...]) -> StageState:
    """``pairs`` hold the values in force: default, --build-arg, global scope."""
    given = {
        name: value for name, value in pairs if value is not None and name not in NEVER_ENVIRONMENT
    }
    return state._replace(
        variables={**state.variables, **given},
        arguments=(*state.arguments, *pairs),
        history=(*state.history, HistoryLine(history.args_text(pairs))),
    )


def _command(state: StageState, instruction: Cmd | Entrypoint) -> StageState:
    args = list(instruction.command)
    if instruction.shell:
        args = [*shell_of(state), " ".join(instruction.command)]
    if isinstance(instruction, Cmd):
        text = history.list_text("CMD", args, quote=True)
        # docker's readers take it as "the shell is in Cmd already"; BuildKit always sets it.
        return _changed(state, text, Cmd=args, ArgsEscaped=True)._replace(cmd_is_set=True)
    changed = _changed(state, history.list_text("ENTRYPOINT", args, quote=True), Entrypoint=args)
    if state.cmd_is_set:
        return changed
    # An inherited CMD was meant for the inherited ENTRYPOINT.
    return changed._replace(config=_without(changed.config, "Cmd"))


def shell_of(state: StageState) -> tuple[str, ...]:
    """What shell forms are given to."""
    return tuple(state.config.get("Shell", ())) or DEFAULT_SHELL


def _expose(state: StageState, ports: tuple[str, ...]) -> StageState:
    named = [each for port in ports for each in port_names(port)]
    exposed = {**state.config.get("ExposedPorts", {}), **{each: {} for each in named}}
    text = history.list_text("EXPOSE", named, quote=False)
    return _changed(state, text, ExposedPorts=exposed)


def port_names(text: str) -> tuple[str, ...]:
    """``80`` is ``80/tcp``; ``8000-8001/udp`` are two.  A host port before a colon has no meaning here."""
    ports, _, protocol = text.rpartition(":")[2].partition("/")
    protocol = protocol.lower() or "tcp"
    first, _, last = ports.partition("-")
    last = last or first
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise InvalidRequest(f"EXPOSE: {text!r} is not a port")
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidRequest(f"EXPOSE: {protocol!r} is not tcp, udp or sctp")
    if not 0 <= int(first) <= int(last) <= 65535:
        raise InvalidRequest(f"EXPOSE: {text!r} is not a range of ports")
    return tuple(f"{port}/{protocol}" for port in range(int(first), int(last) + 1))


def _health(check: Healthcheck) -> dict[str, object]:
    fields: dict[str, object] = {
        "Test": list(check.test),
        "Interval": check.interval_ns,
        "Timeout": check.timeout_ns,
        "StartPeriod": check.start_period_ns,
        "StartInterval": check.start_interval_ns,
        "Retries": check.retries,
    }
    return {name: value for name, value in fields.items() if value}


def _workdir(state: StageState, instruction: Workdir) -> StageState:
    path = absolute(instruction.path, state.config.get("WorkingDir", ""))
    if path == "/":
        return _changed(state, f"WORKDIR {path}", WorkingDir=path)
    step = WorkdirStep(
        instruction.origin.source, instruction.origin.line, path, state.config.get("User", "")
    )
    changed = _changed(state, "", WorkingDir=path)
    return with_step(changed._replace(history=state.history), step, f"WORKDIR {path}")


def absolute(path: str, directory: str) -> str:
    """``path`` as seen from a working directory, without "." and ".."."""
    return posixpath.normpath(posixpath.join("/", directory, path)).replace("//", "/")


def with_step(state: StageState, step: Step, created_by: str) -> StageState:
    """The state with one more step, and the line of history for its layer."""
    return state._replace(
        steps=(*state.steps, step),
        history=(*state.history, HistoryLine(created_by, empty=False)),
    )


def _run(state: StageState, instruction: Run, around: Surroundings) -> StageState:
    step = run_step(
        instruction,
        shell=shell_of(state),
        env=tuple(f"{name}={value}" for name, value in state.variables.items()),
        cwd=absolute("", state.config.get("WorkingDir", "")),
        user=state.config.get("User", ""),
        find_tree=around.find_tree,
    )
    network = around.network if step.network == "default" else step.network
    step = step._replace(hidden_env=around.hidden_env, network=network)
    return with_step(state, step, history.run_text(step.args, state.arguments, state.variables))


def _copy(state: StageState, instruction: Copy | Add, around: Surroundings) -> StageState:
    step = copy_step(
        instruction,
        cwd=absolute("", state.config.get("WorkingDir", "")),
        find_tree=around.find_tree,
    )
    created_by = history.copy_text(
        type(instruction).__name__.upper(),
        (*instruction.sources, *(f"<<{each.path}" for each in instruction.inline)),
        instruction.target,
        parents=step.parents,
        chown=step.chown,
        chmod=step.chmod,
    )
    return with_step(state, step, created_by)
