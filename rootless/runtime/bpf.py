"""Classic BPF for seccomp(2): decisions about system call numbers, assembled as a binary tree.

Pure.  A tree keeps the longest path at about seven jumps, and one that loads nothing but the number lets
kernels since 5.11 answer "always allowed" from a bitmap without running the filter at all.
"""

from __future__ import annotations

import struct

from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS

# struct seccomp_data
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_JEQ, _JGT, _JGE = 0x15, 0x25, 0x35  # BPF_JMP | BPF_J.. | BPF_K

_FAIL = -1  # a jump out of the rule, resolved when its length is known
_MAX_OFFSET = 255


class Comparison(NamedTuple):
    """One 64-bit argument against a constant; ``mask`` is used by ``MASKED_EQ`` only."""

    argument: int
    operator: str
    value: int
    mask: int = 0xFFFFFFFF_FFFFFFFF


class Rule(NamedTuple):
    """An action for calls whose arguments satisfy every comparison."""

    comparisons: tuple[Comparison, ...]
    action: int


class Decision(NamedTuple):
    """The first rule that matches, otherwise ``action``."""

    rules: tuple[Rule, ...]
    action: int


class Table(NamedTuple):
    """What one AUDIT_ARCH value means: decisions by number, and the action between them.

    ``background`` holds (first number, action) pairs in order, beginning with number 0.
    """

    audit_architecture: int
    decisions: Mapping[int, Decision]
    background: tuple[tuple[int, int], ...]


class Instruction(NamedTuple):
    """struct sock_filter."""

    code: int
    operand: int
    if_true: int = 0
    if_false: int = 0


def assemble(tables: Iterable[Table], otherwise: int, *, big_endian: bool = False) -> bytes:
    """A whole filter; a call through an architecture of no table gets the action ``otherwise``."""
    program = [Instruction(_LOAD, _ARCHITECTURE)]
    for table in tables:
        body = [Instruction(_LOAD, _NUMBER), *_tree(_ranges(table), big_endian=big_endian)]
        program.append(Instruction(_JEQ, table.audit_architecture, 1, 0))
        program.append(Instruction(_JUMP, len(body)))
        program.extend(body)
    program.append(Instruction(_RETURN, otherwise))
    form = struct.Struct(">HBBI" if big_endian else "<HBBI")
    return b"".join(
        form.pack(each.code, each.if_true, each.if_false, each.operand) for each in program
    )


def _ranges(table: Table) -> list[tuple[int, Decision]]:
    """Decisions by the first number they are for, neighbours with the same one joined."""
    starts: dict[int, Decision] = {}
    for number, action in table.background:
        starts[number] = Decision((), action)
    background = sorted(starts.items(), reverse=True)
    for number in table.decisions:
        if number + 1 not in starts:
            starts[number + 1] = next(each for start, each in background if start <= number + 1)
    starts.update(table.decisions)
    joined: list[tuple[int, Decision]] = []
    for number, decision in sorted(starts.items()):
        if not joined or joined[-1][1] != decision:
            joined.append((number, decision))
    return joined


def _tree(ranges: Sequence[tuple[int, Decision]], *, big_endian: bool) -> list[Instruction]:
    """Code that ends in a return on every path, with the number in the accumulator."""
    if len(ranges) == 1:
        return _decide(ranges[0][1], big_endian=big_endian)
    middle = len(ranges) // 2
    below = _tree(ranges[:middle], big_endian=big_endian)
    above = _tree(ranges[middle:], big_endian=big_endian)
    first = ranges[middle][0]
    if len(below) <= _MAX_OFFSET:
        return [Instruction(_JGE, first, len(below), 0), *below, *above]
    return [Instruction(_JGE, first, 0, 1), Instruction(_JUMP, len(below)), *below, *above]


def _decide(decision: Decision, *, big_endian: bool) -> list[Instruction]:
    code: list[Instruction] = []
    for rule in decision.rules:
        body: list[Instruction] = []
        for comparison in rule.comparisons:
            body.extend(_compare(comparison, big_endian=big_endian))
        end = len(body)  # behind it stands this rule's return
        for index, each in enumerate(body):
            code.append(
                each._replace(
                    if_true=end - index if each.if_true == _FAIL else each.if_true,
                    if_false=end - index if each.if_false == _FAIL else each.if_false,
                )
            )
        code.append(Instruction(_RETURN, rule.action))
    code.append(Instruction(_RETURN, decision.action))
    return code


def _compare(comparison: Comparison, *, big_endian: bool) -> list[Instruction]:
    """Fall through when the comparison holds, else jump to ``_FAIL``.  BPF has 32-bit words only."""
    at = _ARGUMENTS + 8 * comparison.argument
    load_high = Instruction(_LOAD, at + (0 if big_endian else 4))
    load_low = Instruction(_LOAD, at + (4 if big_endian else 0))
    high, low = comparison.value >> 32, comparison.value & 0xFFFFFFFF
    match comparison.operator:
        case "MASKED_EQ":
            return _masked(comparison, load_high, load_low)
        case "EQ":
            last = Instruction(_JEQ, low, 0, _FAIL)
            return [load_high, Instruction(_JEQ, high, 0, _FAIL), load_low, last]
        case "NE":
            last = Instruction(_JEQ, low, _FAIL, 0)
            return [load_high, Instruction(_JEQ, high, 0, 2), load_low, last]
        case "GT" | "GE":
            last = Instruction(_JGT if comparison.operator == "GT" else _JGE, low, 0, _FAIL)
            decided = [Instruction(_JGT, high, 3, 0), Instruction(_JEQ, high, 0, _FAIL)]
            return [load_high, *decided, load_low, last]
        case "LT" | "LE":
            last = Instruction(_JGE if comparison.operator == "LT" else _JGT, low, _FAIL, 0)
            decided = [Instruction(_JGT, high, _FAIL, 0), Instruction(_JEQ, high, 0, 2)]
            return [load_high, *decided, load_low, last]
        case operator:
            raise ValueError(operator)


def _masked(
    comparison: Comparison, load_high: Instruction, load_low: Instruction
) -> list[Instruction]:
    code = []
    for load, shift in ((load_high, 32), (load_low, 0)):
        mask = comparison.mask >> shift & 0xFFFFFFFF
        value = comparison.value >> shift & mask
        if mask:
            code += [load, Instruction(_AND, mask), Instruction(_JEQ, value, 0, _FAIL)]
    return code
