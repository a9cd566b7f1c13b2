"""The words of typing at run time."""

from __future__ import annotations

import marshal
import pickle

import pytest

from rootless.typed import NamedTuple, TypedDict


class Point(NamedTuple):
    x: int
    y: int = 2
    label: str = ""

    @property
    def total(self) -> int:
        return self.x + self.y


class Document(TypedDict, total=False):
    key: str


Other = TypedDict("Other", {"a-b": int})


def test_fields_are_read_by_name_and_position():
    point = Point(1, label="p")
    assert (point.x, point.y, point.label, point[1], point.total) == (1, 2, "p", 2, 3)
    assert point == (1, 2, "p")
    assert point._fields == ("x", "y", "label")
    assert point._asdict() == {"x": 1, "y": 2, "label": "p"}
    assert repr(point) == "Point(x=1, y=2, label='p')"


def test_replaced_copied_matched():
    point = Point(1)._replace(y=5)
    assert type(point) is Point
    assert point == Point._make((1, 5, ""))
    assert pickle.loads(pickle.dumps(point)) == point
    assert marshal.loads(marshal.dumps(tuple(point))) == point
    match point:
        case Point(x, y):
            assert (x, y) == (1, 5)


@pytest.mark.parametrize(
    ("positional", "named"),
    [((), {}), ((1, 2, "", 4), {}), ((1,), {"x": 2}), ((1,), {"z": 2}), ((), {"y": 1})],
)
def test_wrong_arguments_are_refused_by_name(positional, named):
    with pytest.raises(TypeError, match=r"Point\(\)"):
        Point(*positional, **named)


def test_fields_cannot_be_set_and_nothing_can_be_added():
    for name in ("x", "extra"):
        with pytest.raises(AttributeError):
            setattr(Point(1), name, 3)
    with pytest.raises(TypeError, match="no fields"):
        Point(1)._replace(z=1)


def test_typed_dictionaries_are_dictionaries():
    assert Document(key="v") == {"key": "v"}
    assert Other({"a-b": 1}) == {"a-b": 1}
    assert type(Other()) is dict
