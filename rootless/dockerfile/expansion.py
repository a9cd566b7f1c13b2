"""Where variables are expanded: one rule per instruction.  Pure.

RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK, ONBUILD and MAINTAINER keep what was written: a shell, or a
later build, expands it.  ARG is `arguments.resolve_arg`, because what it means depends on more.
"""

from __future__ import annotations

from rootless.dockerfile import mounts
from rootless.dockerfile.instructions import (
    Add,
    Copy,
    Env,
    Expose,
    From,
    Label,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.problems import did_you_mean, invalid
from rootless.dockerfile.variables import Rules, read
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.dockerfile.instructions import InlineFile, Instruction, Mount, Origin
    from rootless.dockerfile.variables import Expansion

_SIGNALS = (
    *(
        "ABRT",
        "ALRM",
        "BUS",
        "CHLD",
        "CLD",
        "CONT",
        "FPE",
        "HUP",
        "ILL",
        "INT",
        "IO",
        "IOT",
        "KILL",
    ),
    *(
        "PIPE",
        "POLL",
        "PROF",
        "PWR",
        "QUIT",
        "SEGV",
        "STKFLT",
        "STOP",
        "SYS",
        "TERM",
        "TRAP",
        "TSTP",
    ),
    *("TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"),
    *(
        "RTMIN",
        *(f"RTMIN+{n}" for n in range(1, 16)),
        *(f"RTMAX-{n}" for n in range(1, 15)),
        "RTMAX",
    ),
)


def expand_instruction(
    instruction: Instruction, variables: Mapping[str, str], *, escape: str = "\\"
) -> Instruction:
    """The instruction with the values of ``variables`` in place.

    The variables are those at its start: ``ENV A=1 B=$A`` gives B the A from before.
    Raises InvalidRequest that points at the word.
    """
    return Expander(variables, escape=escape).instruction(instruction)


def expand_base(base: From, variables: Mapping[str, str], *, escape: str = "\\") -> From:
    """FROM with the values of the global scope in place."""
    return Expander(variables, escape=escape).base(base)


class Expander:
    """Expand instructions and remember which names had no value."""

    def __init__(self, variables: Mapping[str, str], *, escape: str = "\\"):
        self._variables = variables
        self._escape = escape
        self.used: dict[str, None] = {}
        self.unset: dict[str, None] = {}

    def base(self, base: From) -> From:
        """A FROM with the variables of its image and platform filled in.  Raises InvalidRequest."""
        image = self.word(base.image, base.origin)
        if not image:
            raise invalid(
                base.origin,
                f"base name ({base.image}) should not be blank",
                word=base.image,
                hint=self._similar(),
            )
        platform = self.word(base.platform, base.origin)
        if base.platform and not platform:
            raise invalid(
                base.origin,
                f"empty platform value from expression {base.platform}",
                word=base.platform,
                hint=self._similar(),
            )
        return base._replace(image=image, platform=platform)

    def instruction(self, instruction: Instruction) -> Instruction:
        origin = instruction.origin
        match instruction:
            case Run():
                return self._run(instruction)
            case Copy() | Add():
                return self._copy(instruction)
            case Env(pairs=pairs):
                return instruction._replace(pairs=self._pairs(pairs, origin))
            case Label(pairs=pairs):
                return instruction._replace(pairs=self._pairs(pairs, origin))
            case Workdir(path=path):
                return instruction._replace(path=self.word(path, origin))
            case User(user=user):
                return instruction._replace(user=self.word(user, origin))
            case Volume(paths=paths):
                return instruction._replace(paths=self._words(paths, origin))
            case StopSignal():
                return self._stop_signal(instruction)
            case Expose(ports=ports):
                split = [self._read(port, origin, Rules(self._escape)).words for port in ports]
                return instruction._replace(ports=tuple(port for words in split for port in words))
            case _:
                return instruction

    def word(self, word: str, origin: Origin) -> str:
        """One word expanded."""
        return self._read(word, origin, Rules(self._escape)).text

    def _read(self, word: str, origin: Origin, rules: Rules) -> Expansion:
        try:
            expansion = read(word, self._variables, rules=rules)
        except InvalidRequest as error:
            raise invalid(origin, error.message, word=word, hint=error.hint) from None
        self.used |= dict.fromkeys(expansion.used)
        self.unset |= dict.fromkeys(expansion.unset)
        return expansion

    def _words(self, words: Iterable[str], origin: Origin) -> tuple[str, ...]:
        return tuple(self.word(word, origin) for word in words)

    def _pairs(
        self, pairs: Iterable[tuple[str, str]], origin: Origin
    ) -> tuple[tuple[str, str], ...]:
        return tuple((self.word(key, origin), self.word(value, origin)) for key, value in pairs)

    def _copy(self, copy: Copy | Add) -> Copy | Add:
        origin = copy.origin
        chown = self.word(copy.chown, origin)
        chmod = self.word(copy.chmod, origin)
        if isinstance(copy, Add):
            copy = copy._replace(checksum=self.word(copy.checksum, origin))
        return copy._replace(
            chown=chown,
            chmod=chmod,
            sources=self._words(copy.sources, origin),
            target=self.word(copy.target, origin),
            inline=tuple(self._document(file, origin) for file in copy.inline),
        )

    def _document(self, file: InlineFile, origin: Origin) -> InlineFile:
        """Quotes mean nothing in a document, and a backslash always escapes."""
        if not file.expand:
            return file
        return file._replace(content=self._read(file.content, origin, Rules(quotes=False)).text)

    def _run(self, run: Run) -> Run:
        return run._replace(mounts=tuple(self._mount(mount, run.origin) for mount in run.mounts))

    def _mount(self, mount: Mount, origin: Origin) -> Mount:
        try:
            return mounts.parse_mount(mount.text, lambda word: self.word(word, origin))
        except ValueError as error:
            raise invalid(
                origin,
                f"--mount: {error}",
                word=mount.text,
                hint=getattr(error, "hint", None),
            ) from None

    def _stop_signal(self, instruction: StopSignal) -> StopSignal:
        signal = self.word(instruction.signal, instruction.origin)
        if not _is_signal(signal):
            raise invalid(
                instruction.origin,
                f"invalid signal: {signal}",
                word=instruction.signal,
                hint=did_you_mean(signal.upper(), (f"SIG{name}" for name in _SIGNALS)),
            )
        return instruction._replace(signal=signal)

    def _similar(self) -> str | None:
        for name in self.unset:
            near = did_you_mean(name, self._variables)
            if near:
                return near
        return None


def _is_signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return text.strip("0") != ""
    return text.upper().removeprefix("SIG") in _SIGNALS
