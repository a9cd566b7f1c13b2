"""The rules of ``build --check``, with BuildKit's names, and which of them a file asks to skip.  Pure."""

from __future__ import annotations

from rootless.dockerfile.instructions import LintWarning
from rootless.dockerfile.problems import did_you_mean
from rootless.dockerfile.quantities import boolean
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# What each rule asks for, in a sentence.
RULES = {
    "ConsistentInstructionCasing": "keywords are all written in the same case",
    "CopyIgnoredFile": "what is copied is not excluded by the ignore file",
    "DuplicateStageName": "every stage has a name of its own",
    "ExposeInvalidFormat": "EXPOSE names ports of the container only, no address or port of the host",
    "ExposeProtoCasing": "the protocol in EXPOSE is written in lower case",
    "FromAsCasing": "AS is written in the case of FROM",
    "FromPlatformFlagConstDisallowed": "FROM --platform takes a variable, so that other platforms build",
    "InvalidDefaultArgInFrom": "FROM names an image even when no build argument is given",
    "InvalidDefinitionDescription": "a comment above ARG or a stage begins with its name",
    "JSONArgsRecommended": "CMD and ENTRYPOINT use the JSON form, so that signals reach the program",
    "LegacyKeyValueFormat": "ENV and LABEL are written with =",
    "MaintainerDeprecated": "a label names the author, not MAINTAINER",
    "MultipleInstructionsDisallowed": "a stage has one CMD, ENTRYPOINT and HEALTHCHECK: the last one counts",
    "NoEmptyContinuation": "no empty line stands inside an instruction",
    "RedundantTargetPlatform": "the target platform, which is the default, is not spelt out",
    "ReservedStageName": "no stage is called scratch or context",
    "SecretsUsedInArgOrEnv": "secrets come as RUN --mount=type=secret, not as ARG or ENV",
    "StageNameCasing": "stage names are written in lower case",
    "UndefinedArgInFrom": "the variables of FROM are declared before the first FROM",
    "UndefinedVar": "variables are set before they are used",
    "WorkdirRelativePath": "a relative WORKDIR has an absolute one before it",
}
EXPERIMENTAL = ("InvalidDefinitionDescription",)


class Check(NamedTuple):
    """Which rules count: ``# check=skip=A,B;experimental=C;error=true``."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def wants(self, rule: str) -> bool:
        """Whether remarks of the rule are shown."""
        if rule in EXPERIMENTAL:
            return rule in self.experimental or "all" in self.experimental
        return rule not in self.skip and "all" not in self.skip

    def merged(self, other: Check) -> Check:
        """With what a comment above an instruction adds; only the file can turn remarks into errors."""
        return self._replace(
            skip=self.skip | other.skip, experimental=self.experimental | other.experimental
        )


def parse_check(text: str) -> Check:
    """The value of a check directive.  Raises InvalidRequest."""
    check = Check()
    for option in text.strip().split(";") if text.strip() else ():
        key, equals, value = option.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or key not in ("skip", "experimental", "error"):
            raise InvalidRequest(
                f'invalid check option "{key}"',
                hint=did_you_mean(key, ("skip", "experimental", "error"))
                or "check=skip=Rule1,Rule2;error=true",
            )
        if key == "error":
            check = check._replace(error=_error(value, option))
        elif key == "skip":
            check = check._replace(skip=_names(value))
        else:
            check = check._replace(experimental=_names(value))
    return check


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(","))


def _error(value: str, option: str) -> bool:
    try:
        return boolean(value)
    except ValueError:
        raise InvalidRequest(f'failed to parse check option "{option}"') from None


def check_of_comments(comments: Iterable[str]) -> Check:
    """What ``# check=...`` right above an instruction says; nonsense there says nothing."""
    for comment in comments:
        key, equals, value = comment.partition("=")
        if equals and key.strip().lower() == "check":
            try:
                return parse_check(value.strip().partition(" ")[0])
            except InvalidRequest:
                return Check()
    return Check()


class Remarks:
    """Collects what is wrong, unless it is skipped."""

    def __init__(self, check: Check):
        self.check = check
        self._found: dict[LintWarning, None] = {}

    def add(self, rule: str, message: str, line: int, *, comments: Iterable[str] = ()) -> None:
        """Note a violation; ``comments`` are those above the instruction."""
        if self.check.merged(check_of_comments(comments)).wants(rule):
            self._found[LintWarning(rule, message, line)] = None

    def sorted(self) -> tuple[LintWarning, ...]:
        """In the order of the file."""
        return tuple(sorted(self._found, key=lambda warning: warning.line))
