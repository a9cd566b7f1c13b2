"""``build --check``: BuildKit's 21 rules over a parsed Dockerfile.  Pure."""

from __future__ import annotations

from rootless.dockerfile.arguments import global_scope, platform_arguments
from rootless.dockerfile.expansion import Expander
from rootless.dockerfile.instructions import Arg, Maintainer
from rootless.dockerfile.names import is_image_name, platform_parts
from rootless.dockerfile.problems import nearest
from rootless.dockerfile.rules import Remarks, parse_check
from rootless.dockerfile.stage_lint import Around, BaseImage, StageLint
from rootless.dockerfile.syntax import split_statement
from rootless.dockerfile.variables import Rules, read
from rootless.dockerfile.words import split_plain
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rootless.dockerfile.instructions import (
        Dockerfile,
        From,
        Instruction,
        LintWarning,
        Origin,
    )

_RESERVED = ("context", "scratch")


class Facts(NamedTuple):
    """What the linter may know besides the Dockerfile.

    ``images`` are base images by the name that stands in FROM, expanded.  About a stage on another
    image nobody says that a variable is undefined.  The build argument BUILDKIT_DOCKERFILE_CHECK
    replaces the directive of the file.
    """

    build_args: Mapping[str, str] = {}
    platform: str = "linux/amd64"
    build_platform: str = "linux/amd64"
    target: str = ""
    images: Mapping[str, BaseImage] = {}
    ignore: tuple[str, ...] = ()


NOTHING_KNOWN = Facts()


class Report(NamedTuple):
    """What the rules say; ``failure`` is the error that a build would stop with."""

    warnings: tuple[LintWarning, ...]
    failure: InvalidRequest | None = None


def lint(dockerfile: Dockerfile, facts: Facts = NOTHING_KNOWN) -> Report:
    """Check every stage.  Raises InvalidRequest only for a check directive that makes no sense."""
    given = facts.build_args.get("BUILDKIT_DOCKERFILE_CHECK", dockerfile.directives.check)
    remarks = Remarks(parse_check(given))
    failure = None
    try:
        for remark in dockerfile.warnings:
            remarks.add(*remark)
        _check_texts(dockerfile, remarks)
        _check_casing(dockerfile, remarks)
        _check_stage_names(dockerfile, remarks)
        _check_defaults(dockerfile, facts, remarks)
        _Stages(dockerfile, facts, remarks).check()
    except InvalidRequest as error:
        failure = error
    warnings = remarks.sorted()
    if failure is None and warnings and remarks.check.error:
        rules = ", ".join(sorted({warning.rule for warning in warnings}))
        failure = InvalidRequest(f"lint violation found for rules: {rules}")
    return Report(warnings, failure)


def _keyword(origin: Origin) -> str:
    return split_statement(origin, "\\").keyword


def _instructions(dockerfile: Dockerfile) -> Iterator[Instruction]:
    yield from dockerfile.global_args
    for stage in dockerfile.stages:
        yield from stage.instructions


def _check_texts(dockerfile: Dockerfile, remarks: Remarks) -> None:
    """What a single instruction shows."""
    for instruction in _instructions(dockerfile):
        origin = instruction.origin
        if isinstance(instruction, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            remarks.add("MaintainerDeprecated", message, origin.line, comments=origin.comments)
        elif isinstance(instruction, Arg):
            _check_description("ARG", [name for name, _ in instruction.pairs], origin, remarks)
    for stage in dockerfile.stages:
        _check_from_text(stage.base, remarks)


def _check_from_text(base: From, remarks: Remarks) -> None:
    origin = base.origin
    statement = split_statement(origin, "\\")
    words = split_plain(statement.rest)
    if base.name is None or len(words) != 3:
        return
    keyword, alias, name = statement.keyword, words[1], words[2]
    if name != name.lower():
        message = f"Stage name '{name}' should be lowercase"
        remarks.add("StageNameCasing", message, origin.line, comments=origin.comments)
    # A keyword in mixed case is for another rule.
    wanted = {keyword.lower(): alias.lower(), keyword.upper(): alias.upper()}.get(keyword, alias)
    if alias != wanted:
        message = f"'{alias}' and '{keyword}' keywords' casing do not match"
        remarks.add("FromAsCasing", message, origin.line, comments=origin.comments)
    _check_description("FROM", [base.name], origin, remarks)


def _check_description(keyword: str, names: list[str], origin: Origin, remarks: Remarks) -> None:
    if not origin.comments or origin.comments[-1].partition(" ")[0] in names:
        return
    example = names[0] if len(names) == 1 else "<arg_key>"
    message = f"Comment for {keyword} should follow the format: `# {example} <description>`"
    remarks.add("InvalidDefinitionDescription", message, origin.line, comments=origin.comments)


def _check_casing(dockerfile: Dockerfile, remarks: Remarks) -> None:
    """The majority of the keywords decides; in a draw it is upper case."""
    found = [
        (_keyword(each.origin), each.origin.line)
        for stage in dockerfile.stages
        for each in (stage.base, *stage.instructions)
    ]
    lower = sum(keyword == keyword.lower() for keyword, _ in found)
    upper = sum(keyword == keyword.upper() for keyword, _ in found)
    name, change = ("lowercase", str.lower) if lower > upper else ("uppercase", str.upper)
    for keyword, line in found:
        if keyword != change(keyword):
            message = f"Command '{keyword}' should match the case of the command majority ({name})"
            remarks.add("ConsistentInstructionCasing", message, line)


def _check_stage_names(dockerfile: Dockerfile, remarks: Remarks) -> None:
    seen = set()
    for stage in dockerfile.stages:
        name, line = stage.base.name, stage.base.origin.line
        if name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{name}"'
            remarks.add("ReservedStageName", message, line)
        if name in seen:
            message = f'Duplicate stage name "{name}", stage names should be unique'
            remarks.add("DuplicateStageName", message, line)
        if name:
            seen.add(name)


def _scope(dockerfile: Dockerfile, facts: Facts, build_args: Mapping[str, str]) -> dict[str, str]:
    return global_scope(
        dockerfile,
        build_args,
        platform=facts.platform,
        build_platform=facts.build_platform,
        target=facts.target,
    )


def _check_defaults(dockerfile: Dockerfile, facts: Facts, remarks: Remarks) -> None:
    """FROM must make sense for somebody who gives no --build-arg."""
    predefined = platform_arguments(facts.platform, build_platform=facts.build_platform)
    kept = {name: value for name, value in facts.build_args.items() if name in predefined}
    try:
        variables = _scope(dockerfile, facts, kept)
        for stage in dockerfile.stages:
            image = read(
                stage.base.image, variables, rules=Rules(dockerfile.directives.escape)
            ).text
            if not is_image_name(image):
                message = (
                    f"Default value for ARG {stage.base.image} results in "
                    "empty or invalid base image name"
                )
                remarks.add("InvalidDefaultArgInFrom", message, stage.base.origin.line)
    except InvalidRequest:
        # The build will say the same, where --build-arg does not help it.
        return


class _Stages:
    """The rules about FROM, then those about what follows it."""

    def __init__(self, dockerfile: Dockerfile, facts: Facts, remarks: Remarks):
        self._dockerfile = dockerfile
        self._facts = facts
        self._remarks = remarks
        self._escape = dockerfile.directives.escape
        self._variables = _scope(dockerfile, facts, facts.build_args)
        declared = (name for arg in dockerfile.global_args for name, _ in arg.pairs)
        self._names = (*declared, *self._variables)

    def check(self) -> None:
        """Remark on every FROM before anything that follows one, as the builder reads them."""
        images = [self._check_from(stage.base) for stage in self._dockerfile.stages]
        around = Around(
            remarks=self._remarks,
            escape=self._escape,
            build_args=self._facts.build_args,
            global_variables=self._variables,
            ignore=self._facts.ignore,
        )
        known: dict[str, StageLint] = {}
        for stage, image in zip(self._dockerfile.stages, images, strict=True):
            walk = StageLint(around)
            if image in known:
                walk.begin_on_stage(known[image])
            else:
                walk.begin_on_image(self._facts.images.get(image), image)
            walk.walk(stage.instructions)
            if stage.base.name:
                known[stage.base.name] = walk

    def _check_from(self, base: From) -> str:
        """The image that FROM means."""
        expander = Expander(self._variables, escape=self._escape)
        try:
            return expander.base(base).image
        finally:
            self._check_declared(base, expander.unset)
            if base.platform:
                self._check_platform(base)

    def _check_declared(self, base: From, unset: Iterable[str]) -> None:
        for name in unset:
            if name not in self._names:
                near = nearest(name, self._names)
                message = f"FROM argument '{name}' is not declared"
                message += f" (did you mean {near}?)" if near else ""
                self._remark("UndefinedArgInFrom", message, base)

    def _check_platform(self, base: From) -> None:
        try:
            platform = read(base.platform, self._variables, rules=Rules(self._escape))
        except InvalidRequest:
            return
        is_target = platform.text == self._variables["TARGETPLATFORM"]
        if platform.used == ("TARGETPLATFORM",) and not platform.unset and is_target:
            message = (
                f"Setting platform to predefined {base.platform} in FROM is redundant "
                "as this is the default behavior"
            )
            self._remark("RedundantTargetPlatform", message, base)
        if platform.used or platform.unset:
            return
        parts = platform_parts(platform.text, default=self._facts.build_platform)
        # A stage that is called after its platform is meant for it.
        if parts and not any(part in (base.name or "") for part in parts):
            message = f'FROM --platform flag should not use constant value "{platform.text}"'
            self._remark("FromPlatformFlagConstDisallowed", message, base)

    def _remark(self, rule: str, message: str, base: From) -> None:
        self._remarks.add(rule, message, base.origin.line, comments=base.origin.comments)
