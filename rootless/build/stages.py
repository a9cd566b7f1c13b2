"""Which stages and images a target needs: the graph that FROM, COPY --from and RUN --mount make.  Pure."""

from __future__ import annotations

from rootless.build.steps import CONTEXT, SCRATCH, Tree
from rootless.dockerfile.arguments import global_scope
from rootless.dockerfile.expansion import expand_base
from rootless.dockerfile.instructions import Copy, Onbuild, Run
from rootless.dockerfile.parser import parse_trigger
from rootless.errors import InvalidRequest, NotFound
from rootless.image.reference import parse_reference
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.dockerfile.instructions import Dockerfile, Instruction, Stage
    from rootless.image.documents import ImageConfig


class Choices(NamedTuple):
    """What the caller decides about a build besides the Dockerfile.

    ``contexts`` maps the names of ``--build-context``, as ``context_name`` writes them, to what they
    replace.  ``platform`` and ``build_platform`` are texts such as ``linux/arm64``.
    """

    target: str = ""
    build_args: Mapping[str, str] = {}
    platform: str = "linux/amd64"
    build_platform: str = "linux/amd64"
    contexts: Mapping[str, Tree] = {}
    network: str = "default"
    base: str = ""  # instead of the image of the first FROM


class Outline(NamedTuple):
    """A stage that the target needs: its base and what it reads, before anything is folded."""

    number: int
    name: str
    base: Tree
    platform: str
    instructions: tuple[Instruction, ...]
    needs: tuple[Tree, ...]
    line: int = 0


def outline(
    dockerfile: Dockerfile, choices: Choices, images: Mapping[Tree, ImageConfig]
) -> tuple[Outline, ...]:
    """The stages that the target needs, in file order; the last one is the target.

    ``images`` are the images known so far.  The triggers of a base image that is not among them are
    missing, so resolve ``images_of`` the answer and ask again until nothing new appears.
    """
    survey = _Survey(dockerfile, choices, images)
    found: list[Outline] = []
    for stage in dockerfile.stages:
        found.append(survey.stage(stage, found))
    target = _target(found, choices.target)
    needed = _reachable(found, target)
    return tuple(each for each in found[: target + 1] if each.number in needed)


def images_of(outlines: tuple[Outline, ...], *, bases_only: bool = False) -> tuple[Tree, ...]:
    """The images that the stages stand on, and (unless ``bases_only``) copy or mount from."""
    trees: dict[Tree, None] = {}
    for each in outlines:
        wanted = (each.base,) if bases_only else (each.base, *each.needs)
        trees.update((tree, None) for tree in wanted if tree.kind == "image")
    return tuple(trees)


def context_name(name: str) -> str:
    """The name under which a build context replaces an image: familiar, without ``:latest``."""
    try:
        return parse_reference(name).familiar.removesuffix(":latest")
    except InvalidRequest:
        return name.lower()


def find_tree(name: str, found: list[Outline], choices: Choices, platform: str) -> Tree:
    """What ``--from=NAME`` means to a stage that comes after the stages ``found``."""
    if not name:
        return CONTEXT
    if name.isascii() and name.isdigit():
        if not any(each.number == int(name) for each in found):
            raise InvalidRequest(f"--from={name}: there is no such stage before this one")
        return Tree("stage", name)
    for each in reversed(found):
        if each.name and each.name == name.lower():
            return Tree("stage", str(each.number))
    return _outside(name, choices, platform)


def _outside(name: str, choices: Choices, platform: str) -> Tree:
    """A named context or an image."""
    if name.lower() == "scratch":
        return SCRATCH
    replacement = choices.contexts.get(context_name(name))
    if replacement is not None:
        return replacement._replace(platform=platform if replacement.kind == "image" else "")
    parse_reference(name)
    return Tree("image", name, platform)


class _Survey:
    """Outline one stage after the other."""

    def __init__(
        self, dockerfile: Dockerfile, choices: Choices, images: Mapping[Tree, ImageConfig]
    ):
        self._choices = choices
        self._images = images
        self._escape = dockerfile.directives.escape
        self._variables = global_variables(dockerfile, choices)

    def stage(self, stage: Stage, found: list[Outline]) -> Outline:
        """The outline of the stage that comes after ``found``."""
        choices = self._choices
        expanded = expand_base(stage.base, self._variables, escape=self._escape)
        platform = expanded.platform or choices.platform
        name = stage.base.name or ""
        line = stage.base.origin.line
        if name and context_name(name) in choices.contexts:
            base = _outside(name, choices, platform)
            return Outline(len(found), name, base, platform, (), (), line)
        image = choices.base if not found and choices.base else expanded.image
        base = _base(image, found, choices, platform)
        if base.kind == "stage":
            platform = found[int(base.name)].platform
        instructions = (*_triggers(base, found, self._images), *stage.instructions)
        needs = tuple(
            find_tree(name, found, choices, platform)
            for each in instructions
            for name in _origins(each)
        )
        return Outline(len(found), name, base, platform, instructions, needs, line)


def global_variables(dockerfile: Dockerfile, choices: Choices) -> dict[str, str]:
    """The variables of every FROM."""
    return global_scope(
        dockerfile,
        choices.build_args,
        platform=choices.platform,
        build_platform=choices.build_platform,
        target=choices.target,
    )


def _base(image: str, found: list[Outline], choices: Choices, platform: str) -> Tree:
    if not image:
        raise InvalidRequest("FROM: the name of the base image is empty")
    for each in reversed(found):
        if each.name and each.name == image.lower():
            return Tree("stage", str(each.number))
    return _outside(image, choices, platform)


def _triggers(
    base: Tree, found: list[Outline], images: Mapping[Tree, ImageConfig]
) -> tuple[Instruction, ...]:
    """What the base left to be done by the stages on top of it."""
    if base.kind == "stage":
        stage = found[int(base.name)]
        texts = [each.expression for each in stage.instructions if isinstance(each, Onbuild)]
    elif base in images:
        texts = images[base].get("config", {}).get("OnBuild", [])
    else:
        texts = []
    return tuple(
        parse_trigger(text, escape="\\", origin=f"ONBUILD of {base.name}") for text in texts
    )


def _origins(instruction: Instruction) -> tuple[str, ...]:
    """The names after --from in an instruction; none for the build context."""
    match instruction:
        case Copy(from_name=name) if name:
            return (name,)
        case Run(mounts=mounts):
            return tuple(mount.from_name for mount in mounts if mount.from_name)
        case _:
            return ()


def _target(found: list[Outline], target: str) -> int:
    if not target:
        return len(found) - 1
    for each in reversed(found):
        if each.name == target.lower():
            return each.number
    if target.isascii() and target.isdigit() and int(target) < len(found):
        return int(target)
    names = [each.name for each in found if each.name]
    raise NotFound(
        f"no stage is called {target}",
        hint=f"the stages are {', '.join(names)}" if names else "no stage has a name",
    )


def _reachable(found: list[Outline], target: int) -> set[int]:
    needed = {target}
    for each in reversed(found[: target + 1]):
        if each.number in needed:
            needed.update(
                int(tree.name) for tree in (each.base, *each.needs) if tree.kind == "stage"
            )
    return needed
