"""Shell completion: what may follow, from the option table and the names in the store."""

from __future__ import annotations

from rootless.cli import load, output
from rootless.cli.commands import NOUNS, PANELS, resolve, summary, verbs
from rootless.cli.shown import shown_groups
from rootless.errors import RootlessError
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rootless.cli.options.table import Command, Option

    Lookup = Callable[[str], Iterable[str]]

SHELLS = ("bash", "zsh", "fish")


class Proposals(NamedTuple):
    """Words with descriptions; with ``kind`` ``file`` or ``directory`` the shell adds those."""

    words: tuple[tuple[str, str], ...] = ()
    kind: str = ""


def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from rootless.cli.completion_scripts import SCRIPTS
    from rootless.errors import InvalidRequest

    if shell not in SCRIPTS:
        raise InvalidRequest(f"no completion for {shell!r}", hint="one of " + ", ".join(SHELLS))
    output.write(SCRIPTS[shell])


def complete(shell: str, words: tuple[str, ...] = ()) -> None:
    """Print what may stand where the last of ``words`` is being typed; asked by the scripts."""
    if shell == "bash":  # gives the whole line: its own words are cut at every colon
        words = _words_of(words[0] if words else "")
    current = words[-1] if words else ""
    found = propose(words, _names)
    matching = [(word, text) for word, text in found.words if word.startswith(current)]
    for word, text in matching:
        output.write(_in_words_of(shell, word, text, current))
    output.write(f":{found.kind}")


def _words_of(line: str) -> tuple[str, ...]:
    """A line after its first word; the last word is empty behind a blank."""
    import shlex

    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words += lexer
    except ValueError:  # a quote is still open
        words.append(lexer.token)
    if line[-1:].isspace():
        words.append("")
    return tuple(words[1:])


def _in_words_of(shell: str, word: str, text: str, current: str) -> str:
    if shell == "bash":
        # readline replaces only what follows the last of these.
        cut = max(current.rfind(":"), current.rfind("=")) + 1
        return word[cut:]
    if shell == "zsh":
        return word.replace(":", "\\:") + (f":{text}" if text else "")
    return f"{word}\t{text}" if text else word


def propose(words: Sequence[str], lookup: Lookup) -> Proposals:
    """What may stand where the last word is; ``lookup`` knows the names of a kind."""
    if len(words) < 2:
        return _commands()
    if words[0] in NOUNS and len(words) == 2:
        return _verbs(words[0])
    try:
        name, rest = resolve(words[:-1])
    except RootlessError:
        return Proposals()
    return _arguments(load(name)[0], rest, words[-1], lookup)


def _commands() -> Proposals:
    words = [(name, summary(name)) for panel in PANELS.values() for name in panel]
    plain = [(name, text) for name, text in words if " " not in name]
    nouns = [(noun, f"Commands on a {noun}") for noun in NOUNS if verbs(noun)]
    return Proposals((*plain, *nouns))


def _verbs(noun: str) -> Proposals:
    return Proposals(tuple((verb, summary(name)) for verb, name in verbs(noun).items()))


def _arguments(command: Command, before: Sequence[str], current: str, lookup: Lookup) -> Proposals:
    """Within one command: the value of a flag, a flag, or a word."""
    spellings = command.spellings()
    taken, waiting, only_words = _walk(command, before)
    if waiting is not None:
        return _values(waiting, "", lookup)
    if current.startswith("-") and not only_words:
        name, equals, _ = current.partition("=")
        if equals and name in spellings:
            return _values(spellings[name], f"{name}=", lookup)
        shown = command._replace(groups=shown_groups(command)).options()
        flags = [(f"--{option.name}", option.help) for option in shown if option.help]
        return Proposals((*flags, ("--help", "Show the flags")))
    for position, argument in enumerate(command.arguments):
        if position == taken or argument.many:
            return _named(argument.complete, "", lookup)
    return Proposals()


def _walk(command: Command, before: Sequence[str]) -> tuple[int, Option | None, bool]:
    """How many words are given, which flag waits for its value, and whether flags are over."""
    spellings = command.spellings()
    taken, waiting, only_words = 0, None, False
    for word in before:
        if waiting is not None:
            waiting = None
        elif only_words or word[:1] != "-" or word == "-":
            taken += 1
            only_words = only_words or not command.interspersed
        elif word == "--":
            only_words = True
        elif "=" not in word:
            # Of -itv only the last letter can wait.
            option = spellings.get(word if word.startswith("--") else f"-{word[-1]}")
            if option is not None and option.metavar and not option.bare:
                waiting = option
    return taken, waiting, only_words


def _values(option: Option, prefix: str, lookup: Lookup) -> Proposals:
    if option.choices:
        return Proposals(tuple((prefix + choice, "") for choice in option.choices))
    found = _named(option.complete, prefix, lookup)
    # -v takes a volume or a path.
    return found._replace(kind="file") if option.complete == "volume" else found


def _named(kind: str, prefix: str, lookup: Lookup) -> Proposals:
    """Names of that kind, and files where the kind says ``-or-file``."""
    kind, _, also = kind.partition("-or-")
    if kind in ("", "file", "directory"):
        return Proposals(kind=kind)
    return Proposals(tuple((prefix + name, "") for name in lookup(kind)), also)


def _names(kind: str) -> Iterable[str]:
    """Names in the store.  A shell wants no errors: then there are none."""
    from rootless.cli.names import names_of

    try:
        return names_of(kind)
    except (RootlessError, OSError):
        return ()
