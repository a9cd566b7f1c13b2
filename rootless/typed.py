"""The words of ``typing``, without the 10 ms that they cost a start.

For a type checker these are the real ones.  At run time an annotation is only text, so most words
need no meaning, and a named tuple needs no more than its fields (ADR 10).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        BinaryIO,
        Generic,
        Literal,
        NamedTuple,
        NewType,
        NoReturn,
        NotRequired,
        Protocol,
        Self,
        TextIO,
        TypeAlias,
        TypedDict,
        TypeGuard,
        TypeVar,
        Unpack,
        cast,
    )

    __all__ = (
        "TYPE_CHECKING",
        "Any",
        "BinaryIO",
        "Generic",
        "Literal",
        "NamedTuple",
        "NewType",
        "NoReturn",
        "NotRequired",
        "Protocol",
        "Self",
        "TextIO",
        "TypeAlias",
        "TypeGuard",
        "TypeVar",
        "TypedDict",
        "Unpack",
        "cast",
    )
else:
    try:
        from _collections import _tuplegetter
    except ImportError:  # no promise of the language
        from operator import itemgetter

        def _tuplegetter(index, documentation):
            return property(itemgetter(index), doc=documentation)

    Any = BinaryIO = NoReturn = Self = TextIO = TypeAlias = object

    class _Word:
        """Something that may be subscripted, inherited from and called, and does nothing."""

        def __init__(self, *arguments, **keywords):
            pass

        def __class_getitem__(cls, item):
            return cls

    Literal = NotRequired = TypeGuard = TypeVar = Unpack = _Word

    class Generic:
        """A base class that takes parameters."""

        def __class_getitem__(cls, item):
            return cls

    class Protocol(Generic):
        """A base class that says what others look like."""

    class TypedDict(dict):
        """A dictionary; its keys are the type checker's business."""

        def __init_subclass__(cls, total=True):
            super().__init_subclass__()

        def __new__(cls, *arguments, **keywords):
            if cls is TypedDict and len(arguments) > 1:  # TypedDict("Name", {"key": type})
                return dict
            return dict.__new__(cls)

    def NewType(name, base):
        """A function that returns its argument."""
        return lambda value: value

    def cast(kind, value):
        """The value."""
        return value

    class _NamedTupleType(type):
        """Makes the fields of a class body readable by name."""

        def __new__(mcs, name, bases, body):
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            for index, field in enumerate(fields):
                body[field] = _tuplegetter(index, "")
            body["__slots__"] = ()
            body["_fields"] = body["__match_args__"] = fields
            body["_field_defaults"] = defaults
            return type.__new__(mcs, name, bases or (tuple,), body)

    class NamedTuple(tuple, metaclass=_NamedTupleType):
        """A tuple whose fields have names; as typing's, but for who may inherit from it."""

        def __new__(cls, *values, **given):
            fields = cls._fields
            if given or len(values) != len(fields):
                values = values + tuple(_take(cls, field, given) for field in fields[len(values) :])
                if given or len(values) != len(fields):
                    raise TypeError(f"{cls.__name__}() got unexpected arguments {list(given)}")
            return tuple.__new__(cls, values)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changes):
            values = [changes.pop(*pair) for pair in zip(self._fields, self, strict=True)]
            if changes:
                raise TypeError(f"{type(self).__name__} has no fields {list(changes)}")
            return tuple.__new__(type(self), values)

        def __repr__(self):
            pairs = zip(self._fields, self, strict=True)
            return (
                f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"
            )

        def __getnewargs__(self):
            return tuple(self)

    def _take(cls, field, given):
        if field in given:
            return given.pop(field)
        try:
            return cls._field_defaults[field]
        except KeyError:
            raise TypeError(f"{cls.__name__}() is missing the argument {field!r}") from None
