"""``--change`` of ``commit`` and ``import``: instructions that change an image's configuration.  Pure."""

from __future__ import annotations

from rootless.build.state import StageState, Surroundings, apply
from rootless.dockerfile.expansion import expand_instruction
from rootless.dockerfile.parser import parse_trigger
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.build.steps import Tree
    from rootless.image.documents import ContainerConfig

_ALLOWED = frozenset(
    [
        "cmd",
        "entrypoint",
        "env",
        "expose",
        "healthcheck",
        "label",
        "onbuild",
        "stopsignal",
        "user",
        "volume",
        "workdir",
        "shell",
    ]
)


def changed_config(config: ContainerConfig, changes: Iterable[str]) -> ContainerConfig:
    """The configuration after the instructions; ``KEYWORD=value``, as podman takes it, is one too.

    Raises InvalidRequest for what is no instruction, or one that makes files.
    """
    variables = dict(each.partition("=")[::2] for each in config.get("Env", ()))
    # An ENTRYPOINT here does not take the CMD away: both describe one container.
    state = StageState(config, variables=variables, cmd_is_set=True)
    around = Surroundings(find_tree=_no_tree)
    for text in changes:
        keyword, separator, rest = _split(text)
        if keyword.lower() not in _ALLOWED:
            raise InvalidRequest(
                f"--change {text!r} is not possible",
                hint="one of " + " ".join(sorted(each.upper() for each in _ALLOWED)),
            )
        line = f"{keyword} {rest}" if separator else text
        if keyword.lower() == "workdir":
            config = {**state.config, "WorkingDir": _directory(state, rest)}
            state = state._replace(config=config)
            continue
        if keyword.lower() == "onbuild":
            onbuild = [*state.config.get("OnBuild", ()), rest]
            state = state._replace(config={**state.config, "OnBuild": onbuild})
            continue
        instruction = expand_instruction(parse_trigger(line, origin="--change"), state.variables)
        state = apply(state, instruction, around)
    return state.config


def _split(text: str) -> tuple[str, str, str]:
    """Keyword, separator, rest."""
    words = text.strip()
    for position, character in enumerate(words):
        if character in " \t=":
            return words[:position], character, words[position + 1 :].strip()
    return words, "", ""


def _directory(state: StageState, path: str) -> str:
    from rootless.build.state import absolute

    return absolute(path, state.config.get("WorkingDir", ""))


def _no_tree(name: str) -> Tree:
    _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise InvalidRequest(f"--change cannot copy files from {name!r}")
