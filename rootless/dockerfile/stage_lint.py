"""The rules that depend on what came before in a stage: variables, WORKDIR, CMD.  Pure."""

from __future__ import annotations

import posixpath
import re

from rootless.dockerfile.arguments import NEVER_ENVIRONMENT, resolve_arg
from rootless.dockerfile.expansion import Expander
from rootless.dockerfile.ignore import Ignore
from rootless.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Onbuild,
    Shell,
    Workdir,
)
from rootless.dockerfile.parser import parse_trigger
from rootless.dockerfile.problems import nearest
from rootless.dockerfile.syntax import split_statement
from rootless.dockerfile.variables import Rules, read
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.dockerfile.instructions import Instruction, Origin
    from rootless.dockerfile.rules import Remarks

_SECRET_WORDS = "apikey|auth|credential|credentials|key|password|pword|passwd|secret|token"
_SECRET = re.compile(rf"(?:_|^)(?:{_SECRET_WORDS})(?:_|$)", re.IGNORECASE)
_HARMLESS = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_EVERYTHING = {".": ("*", "**", "**/*"), "/": ("**", "**/*")}
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class BaseImage(NamedTuple):
    """What the linter wants to know about an image that is not a stage."""

    env: Mapping[str, str] = {}
    has_shell: bool = False
    onbuild: tuple[str, ...] = ()


class Around(NamedTuple):
    """What is the same for every stage."""

    remarks: Remarks
    escape: str
    build_args: Mapping[str, str]
    global_variables: Mapping[str, str]
    ignore: tuple[str, ...]


class StageLint:
    """Walk over a stage once, as the builder does."""

    def __init__(self, around: Around):
        self._around = around
        self._ignore = Ignore(around.ignore)
        self._last: dict[str, Origin] = {}
        self.variables: dict[str, str] = {}
        self.declared: set[str] = set()
        self.base_is_known = True
        self.has_shell = False
        self.has_workdir = False
        self.onbuild: list[str] = []

    def begin_on_stage(self, base: StageLint) -> None:
        """Inherit from an earlier stage, whose ONBUILD happens now."""
        self.variables = dict(base.variables)
        self.declared = set(base.declared)
        self.base_is_known = base.base_is_known
        self.has_shell = base.has_shell
        self.has_workdir = base.has_workdir
        self._trigger(base.onbuild)

    def begin_on_image(self, image: BaseImage | None, name: str) -> None:
        """Inherit from an image, if anything is known about it."""
        known = image or BaseImage()
        self.variables = {"PATH": _DEFAULT_PATH, **known.env}
        self.base_is_known = image is not None or name == "scratch"
        self.has_shell = known.has_shell
        self._trigger(known.onbuild)

    def _trigger(self, expressions: Iterable[str]) -> None:
        """Triggers have their effect; what is wrong with them is not this file's fault."""
        for expression in expressions:
            self._follow(parse_trigger(expression, escape=self._around.escape))

    def walk(self, instructions: Iterable[Instruction]) -> None:
        """Check every instruction and follow what it changes."""
        for instruction in instructions:
            self._check(instruction)
            self._follow(instruction)

    def _remark(self, rule: str, message: str, instruction: Instruction, *, line: int = 0) -> None:
        origin = instruction.origin
        self._around.remarks.add(rule, message, line or origin.line, comments=origin.comments)

    def _check(self, instruction: Instruction) -> None:
        self._check_variables(instruction)
        match instruction:
            case Env(pairs=pairs):
                self._check_legacy(instruction)
                self._check_secrets("ENV", [name for name, _ in pairs], instruction)
            case Label():
                self._check_legacy(instruction)
            case Arg(pairs=arguments):
                self._check_secrets("ARG", [name for name, _ in arguments], instruction)
            case Cmd() | Entrypoint():
                self._check_once(instruction)
                self._check_form(instruction)
            case Healthcheck():
                self._check_once(instruction)
            case Workdir():
                self._check_workdir(instruction)
            case Expose():
                self._check_ports(instruction)
            case Copy() | Add():
                self._check_sources(instruction)

    def _check_variables(self, instruction: Instruction) -> None:
        if isinstance(instruction, Arg):
            unset = self._unset_in_defaults(instruction)
        elif isinstance(instruction, Expose):
            return
        else:
            expander = Expander(self.variables, escape=self._around.escape)
            expander.instruction(instruction)
            unset = tuple(expander.unset)
        for name in unset if self.base_is_known else ():
            if name in self.declared or name in NEVER_ENVIRONMENT:
                continue
            near = nearest(name, self.variables)
            message = f"Usage of undefined variable '${name}'"
            message += f" (did you mean ${near}?)" if near else ""
            self._remark("UndefinedVar", message, instruction)

    def _unset_in_defaults(self, arg: Arg) -> tuple[str, ...]:
        """A default that --build-arg replaces is not looked at."""
        known = dict(self.variables)
        declared = set()
        unset: dict[str, None] = {}
        for name, default in arg.pairs:
            if default is not None and name not in self._around.build_args:
                found = read(default, known, rules=Rules(self._around.escape))
                unset |= {each: None for each in found.unset if each not in declared}
            declared.add(name)
            resolved = self._resolved(arg._replace(pairs=((name, default),)), known)
            known |= {each: value for each, value in resolved.pairs if value is not None}
        return tuple(unset)

    def _resolved(self, arg: Arg, variables: Mapping[str, str]) -> Arg:
        return resolve_arg(
            arg,
            variables,
            build_args=self._around.build_args,
            global_variables=self._around.global_variables,
            escape=self._around.escape,
        )

    def _check_legacy(self, instruction: Env | Label) -> None:
        if instruction.legacy:
            keyword = split_statement(instruction.origin, self._around.escape).keyword
            message = f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" format'
            self._remark("LegacyKeyValueFormat", message, instruction)

    def _check_secrets(self, keyword: str, names: list[str], instruction: Instruction) -> None:
        for name in names:
            if _SECRET.search(name) and not _HARMLESS.search(name):
                message = (
                    f'Do not use ARG or ENV instructions for sensitive data ({keyword} "{name}")'
                )
                self._remark("SecretsUsedInArgOrEnv", message, instruction)

    def _check_once(self, instruction: Cmd | Entrypoint | Healthcheck) -> None:
        kind = type(instruction).__name__
        keyword = split_statement(instruction.origin, self._around.escape).keyword
        if kind in self._last:
            message = (
                f"Multiple {keyword} instructions should not be used in the same stage "
                "because only the last one will be used"
            )
            # The line of the one that has no effect.
            line = self._last[kind].line
            self._remark("MultipleInstructionsDisallowed", message, instruction, line=line)
        self._last[kind] = instruction.origin

    def _check_form(self, instruction: Cmd | Entrypoint) -> None:
        if instruction.shell and not self.has_shell:
            keyword = split_statement(instruction.origin, self._around.escape).keyword
            message = (
                f"JSON arguments recommended for {keyword} "
                "to prevent unintended behavior related to OS signals"
            )
            self._remark("JSONArgsRecommended", message, instruction)

    def _check_workdir(self, instruction: Workdir) -> None:
        path = Expander(self.variables, escape=self._around.escape).word(
            instruction.path, instruction.origin
        )
        if not self.has_workdir and not path.startswith("/"):
            message = (
                f'Relative workdir "{path}" can have unexpected results if the base image changes'
            )
            self._remark("WorkdirRelativePath", message, instruction)

    def _check_ports(self, instruction: Expose) -> None:
        expander = Expander(self.variables, escape=self._around.escape)
        expanded = expander.instruction(instruction)
        for port in getattr(expanded, "ports", ()):
            mapping, _, protocol = port.partition("/")
            if protocol != protocol.lower():
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                self._remark("ExposeProtoCasing", message, instruction)
            if mapping.strip(":").count(":"):
                message = (
                    "EXPOSE instruction should not define an IP address or host-port mapping, "
                    f"found '{port}'"
                )
                self._remark("ExposeInvalidFormat", message, instruction)

    def _check_sources(self, instruction: Copy | Add) -> None:
        """With exceptions in the ignore file, only the build can know what is left."""
        if not self._around.ignore or self._ignore.has_exceptions:
            return
        if isinstance(instruction, Copy) and instruction.from_name:
            return
        keyword = type(instruction).__name__
        expander = Expander(self.variables, escape=self._around.escape)
        for word in instruction.sources:
            source = expander.word(word, instruction.origin)
            path = posixpath.normpath(source)
            if _is_remote(source) or not self._is_ignored(path):
                continue
            message = f'Attempting to {keyword} file "{path}" that is excluded by .dockerignore'
            self._remark("CopyIgnoredFile", message, instruction)

    def _is_ignored(self, path: str) -> bool:
        if path in _EVERYTHING:
            return not set(_EVERYTHING[path]).isdisjoint(self._around.ignore)
        return self._ignore.excludes(path)

    def _follow(self, instruction: Instruction) -> None:
        match instruction:
            case Env(pairs=pairs):
                expander = Expander(self.variables, escape=self._around.escape)
                self.variables |= {
                    expander.word(name, instruction.origin): expander.word(
                        value, instruction.origin
                    )
                    for name, value in pairs
                }
            case Arg(pairs=arguments):
                self.declared |= {name for name, _ in arguments}
                for name, value in self._resolved(instruction, self.variables).pairs:
                    if value is not None and name not in NEVER_ENVIRONMENT:
                        self.variables[name] = value
            case Shell():
                self.has_shell = True
            case Workdir():
                self.has_workdir = True
            case Onbuild(expression=expression):
                self.onbuild.append(expression)


def _is_remote(source: str) -> bool:
    return source.startswith(("http://", "https://", "git://", "ssh://", "git@"))
