"""A few words of the standard library without what they bring along, for the path of every start.

``json`` imports ``re``, ``signal`` imports ``enum``, ``contextlib`` and ``functools`` import ``collections``: together 7 ms of
the 40 that a start takes (ADR 10).  Each word here does what its namesake does, for the uses that we have.  The rest of
the program, where a millisecond is nothing, takes the real ones.
"""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from contextlib import contextmanager
    from functools import cached_property

    __all__ = ("cached_property", "contextmanager", "dumps", "loads", "signal")
else:
    import _signal as signal  # the C module, without the enums on top of it

    class cached_property:
        """A property that is computed once."""

        def __init__(self, function):
            self.function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner, name):
            self.name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self.name] = self.function(instance)
            return value

    class _Block:
        """A generator that yields once, as the block of a ``with`` statement."""

        def __init__(self, generator):
            self.generator = generator

        def __enter__(self):
            return next(self.generator)

        def __exit__(self, kind, error, traceback):
            if error is None:
                if next(self.generator, self) is not self:
                    raise RuntimeError("the generator did not stop")
                return False
            try:
                self.generator.throw(error)
            except StopIteration as stopped:
                return stopped is not error
            except BaseException as raised:
                # PEP 479: a StopIteration that leaves a generator arrives as the cause of another.
                wrapped = isinstance(error, StopIteration) and raised.__cause__ is error
                if raised is not error and not wrapped:
                    raise
                error.__traceback__ = traceback
                return False
            raise RuntimeError("the generator did not stop after an error")

    def contextmanager(function):
        """Make a function whose result goes into a ``with`` statement out of a generator."""

        def enter(*arguments, **keywords):
            return _Block(function(*arguments, **keywords))

        enter.__doc__ = function.__doc__
        return enter


def loads(text: str | bytes) -> Any:
    """Read JSON (RFC 8259); what is not JSON, ``json.loads`` reads or refuses with its ValueError."""
    try:
        content = (text if isinstance(text, str) else text.decode()).strip(" \t\r\n")
        value, end = _scanner()(content, 0)
        if end == len(content):
            return value
    except (ImportError, StopIteration, ValueError, SystemError):
        pass  # SystemError: the scanner has no exception to raise while json.decoder is not imported
    import json

    return json.loads(text, parse_constant=_no_constant)


def dumps(value: object, *, ensure_ascii: bool = True, sort_keys: bool = False) -> str:
    """Write JSON without white space; raises TypeError for what is no JSON value."""
    try:
        import _json
    except ImportError:
        import json

        return json.dumps(
            value, ensure_ascii=ensure_ascii, sort_keys=sort_keys, separators=(",", ":")
        )
    escaped = _json.encode_basestring_ascii if ensure_ascii else _json.encode_basestring
    encode = _json.make_encoder({}, _refuse, escaped, None, ":", ",", sort_keys, False, True)
    return "".join(encode(value, 0))


def _scanner() -> Callable[[str, int], tuple[Any, int]]:
    global _scan
    if _scan is None:
        from _json import make_scanner

        _scan = make_scanner(_Reading)  # type: ignore[arg-type]  # it reads attributes
    return _scan


_scan: Callable[[str, int], tuple[Any, int]] | None = None


def _refuse(value: object) -> None:
    raise TypeError(f"a {type(value).__name__} is not a value of JSON")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a value of JSON")


class _Reading:
    """What the scanner of ``_json`` asks of its caller, as ``json.JSONDecoder`` answers it."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _no_constant
