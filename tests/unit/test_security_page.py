"""docs/security.md names, for each known hole, tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
ROWS = 30


def named() -> dict[int, set[tuple[str, str]]]:
    """Row to (file, test), as the page has them."""
    found: dict[int, set[tuple[str, str]]] = {}
    for line in (CHECKOUT / "docs/security.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| (\d+) \|", line)
        if not row:
            continue
        file = ""
        for word in re.findall(r"`(test_\w+(?:\.py)?)`", line):
            if word.endswith(".py"):
                file = word
            else:
                found.setdefault(int(row[1]), set()).add((file, word))
    return found


def there() -> set[tuple[str, str]]:
    return {
        (path.name, node.name)
        for path in (CHECKOUT / "tests/security").glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_row_names_tests_that_exist():
    assert sorted(named()) == list(range(1, ROWS + 1))
    for row, tests in named().items():
        assert tests <= there(), (row, tests - there())


def test_every_test_of_a_row_is_named_in_it():
    by_row = named()
    for file, test in there():
        for number in re.findall(
            r"\d+", re.match(r"test(?:_rows?)?((?:_\d+)?(?:_and_\d+)?)", test)[1]
        ):  # type: ignore[index] # all match
            assert (file, test) in by_row[int(number)], test
