"""From a Dockerfile to a BuildPlan: stages of steps, and the image that they make.  Pure."""

from __future__ import annotations

from rootless.build import state as states
from rootless.build.stages import Choices, Outline, find_tree, global_variables, outline
from rootless.build.steps import CopyStep, TreeFiles
from rootless.dockerfile.arguments import proxy_arguments, resolve_arg
from rootless.dockerfile.expansion import expand_instruction
from rootless.dockerfile.instructions import Arg
from rootless.errors import RootlessError
from rootless.typed import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.history import HistoryLine
    from rootless.build.state import StageState
    from rootless.build.steps import Step, Tree
    from rootless.dockerfile.instructions import Dockerfile, Instruction
    from rootless.image.documents import ContainerConfig, ImageConfig


class StagePlan(NamedTuple):
    """A stage: what it stands on, what it does, and the configuration that it ends with.

    ``history`` are the lines since the base image, those of the stages below included.
    """

    number: int
    name: str
    base: Tree
    platform: str
    steps: tuple[Step, ...]
    config: ContainerConfig
    author: str
    history: tuple[HistoryLine, ...]
    needs: tuple[Tree, ...]

    @property
    def label(self) -> str:
        """How progress calls it."""
        return self.name or f"stage-{self.number}"


class BuildPlan(NamedTuple):
    """The stages that the target needs, in an order in which they can be built; the target is last."""

    stages: tuple[StagePlan, ...]

    @property
    def target(self) -> StagePlan:
        return self.stages[-1]

    def stage(self, number: int) -> StagePlan:
        """The stage with that number in the Dockerfile."""
        return next(each for each in self.stages if each.number == number)


def plan_build(
    dockerfile: Dockerfile, choices: Choices, images: Mapping[Tree, ImageConfig]
) -> BuildPlan:
    """Fold every needed stage; ``images`` must hold all that ``stages.images_of`` names as bases."""
    variables = global_variables(dockerfile, choices)
    ends: dict[int, StageState] = {}
    plans = []
    outlines = outline(dockerfile, choices, images)
    for each in outlines:
        fold = _Fold(dockerfile, choices, variables, outlines)
        state = fold.stage(each, _start(each, ends, images))
        ends[each.number] = state
        plans.append(_stage_plan(each, state))
    return BuildPlan(tuple(plans))


def explain(plan: BuildPlan) -> list[str]:
    """The plan as lines for people and tests."""
    lines = []
    for stage in plan.stages:
        lines.append(f"stage {stage.label} on {stage.base} for {stage.platform}")
        lines += [f"  {step}" for step in stage.steps]
    return lines


def _start(
    each: Outline, ends: Mapping[int, StageState], images: Mapping[Tree, ImageConfig]
) -> StageState:
    if each.base.kind == "stage":
        return states.on_top_of(ends[int(each.base.name)])
    if each.base.kind == "image":
        config = images[each.base]
        return states.initial(config.get("config", {}), author=config.get("author", ""))
    if each.base.kind == "named":
        # A directory stands for an image: its files are the first layer.
        files = TreeFiles(each.base, ("/",))
        step = CopyStep(f"FROM {each.base.name}", each.line, (files,), "/")
        return states.with_step(states.initial(states.empty_config()), step, step.title)
    return states.initial(states.empty_config())


def _stage_plan(each: Outline, state: StageState) -> StagePlan:
    return StagePlan(
        number=each.number,
        name=each.name,
        base=each.base,
        platform=each.platform,
        steps=state.steps,
        config=state.config,
        author=state.author,
        history=state.history,
        needs=each.needs,
    )


class _Fold:
    """Apply the instructions of a stage one after the other."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        choices: Choices,
        variables: Mapping[str, str],
        outlines: tuple[Outline, ...],
    ):
        self._dockerfile = dockerfile
        self._choices = choices
        self._variables = variables
        self._outlines = outlines

    def stage(self, each: Outline, state: StageState) -> StageState:
        platform = each.platform
        around = states.Surroundings(
            find_tree=lambda name: find_tree(name, before, self._choices, platform),
            hidden_env=proxy_arguments(self._choices.build_args),
            network=self._choices.network,
        )
        before = [found for found in self._outlines if found.number < each.number]
        for instruction in each.instructions:
            try:
                state = states.apply(state, self._expanded(instruction, state), around)
            except RootlessError as error:
                raise _located(error, instruction, self._dockerfile.name) from None
        return state

    def _expanded(self, instruction: Instruction, state: StageState) -> Instruction:
        if isinstance(instruction, Arg):
            return resolve_arg(
                instruction,
                state.variables,
                build_args=self._choices.build_args,
                global_variables=self._variables,
                escape=self._dockerfile.directives.escape,
            )
        return expand_instruction(
            instruction, state.variables, escape=self._dockerfile.directives.escape
        )


def _located(error: RootlessError, instruction: Instruction, name: str) -> RootlessError:
    """The same error, with file and line in front unless they are there already."""
    place = f"{instruction.origin.name or name}:{instruction.origin.line}"
    if error.message.startswith(instruction.origin.name):
        return error
    return type(error)(f"{place}: {error.message}", hint=error.hint, exit_code=error.exit_code)


def finish_config(
    config: ContainerConfig,
    *,
    labels: tuple[tuple[str, str], ...] = (),
    env: tuple[tuple[str, str], ...] = (),
    unset_env: tuple[str, ...] = (),
    unset_labels: tuple[str, ...] = (),
) -> ContainerConfig:
    """The configuration after ``--label``, ``--env`` and their opposites."""
    changed = dict(config)
    merged = {**config.get("Labels", {}), **dict(labels)}
    merged = {name: value for name, value in merged.items() if name not in unset_labels}
    if merged or "Labels" in config:
        changed["Labels"] = merged
    variables = [each for each in config.get("Env", ()) if each.partition("=")[0] not in unset_env]
    for name, value in env:
        states.set_variable(variables, name, value)
    changed["Env"] = variables
    return cast("ContainerConfig", changed)
