"""The shape of the code: who imports whom, how large a file may grow, what a start may cost.

``docs/architecture.md`` explains the table.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rootless"
FOUNDATION = {
    "probes",
    "remembered",
    "proxies",
    "kernel",
    "owners",
    "files",
    "paths",
    "host",
    "rootfs",
    "events",
    "errors",
}
VOCABULARY = {"dockerfile", "image", "userns"}
MECHANISMS = {"storage", "network", "runtime", "registry", "build"}

# What each top-level module or package may import besides itself.
MAY_IMPORT = {
    "__init__": {"library", "errors"},  # by name, when they are first used
    "__main__": {"cli"},
    "typed": set(),
    "lean": set(),
    "errors": set(),
    "events": set(),
    "rootfs": set(),
    "owners": set(),
    "kernel": set(),
    "files": {"errors", "kernel"},
    "paths": {"errors"},
    "probes": {"errors", "files", "kernel", "userns"},
    "remembered": {"files"},
    "proxies": set(),
    "host": {"errors", "files", "kernel", "paths", "probes", "remembered", "userns", "network"},
    "dockerfile": FOUNDATION,
    "image": FOUNDATION,
    "userns": FOUNDATION,
    "storage": FOUNDATION | {"image", "userns"},
    "network": FOUNDATION,
    "runtime": FOUNDATION | {"userns", "network"},
    "registry": FOUNDATION | {"image"},
    "build": FOUNDATION | VOCABULARY | {"storage", "runtime"},
    "engine": FOUNDATION | VOCABULARY | MECHANISMS,
    "cli": {"engine", "errors", "events"},
    "library": {"cli", "engine", "runtime", "kernel", "errors"},
}
# Words and values without behaviour, which even the foundation speaks in.
VALUES = {"rootless.typed", "rootless.lean", "rootless.image.digest", "rootless.userns.idmap"}

# Text and values in, values out: no file, no clock, no environment.
PURE = (
    *("dockerfile/*.py", "build/plan.py", "build/steps.py", "build/keys.py"),
    *("image/reference.py", "image/documents.py", "image/assemble.py", "image/digest.py"),
    *("runtime/users.py", "runtime/generate.py", "runtime/plan.py", "runtime/plan_mounts.py"),
    "runtime/seccomp.py",
    "runtime/abis.py",
    *("engine/options.py", "network/ports.py", "network/names.py"),
    *("userns/idmap.py", "cli/values.py"),
)
IMPURE_MODULES = {
    *("os", "io", "time", "random", "secrets", "socket", "subprocess", "pathlib", "shutil"),
    *("tempfile", "glob", "fcntl", "ctypes", "pwd", "grp", "locale"),
}

# Runs in the child, where after pivot_root there is no standard library to import from.
STAGE = "runtime/stage.py"
STAGE_MAY_IMPORT = {
    *(
        "__future__",
        "os",
        "struct",
        "rootless.typed",
        "errno",
        "gc",
        "_signal",
        "resource",
        "_socket",
    ),
    *("rootless.runtime.handshake", "rootless.runtime.init", "rootless.runtime.operations"),
}

# Each costs a start 2 to 120 ms; functions that need one import it (docs/architecture.md).
SLOW = {
    *("rich", "typer", "pyroute2", "asyncio", "http", "ssl", "urllib3", "logging", "dataclasses"),
    *("concurrent", "multiprocessing", "importlib.metadata", "tomllib"),
}
# Only imported lazily themselves, by the one verb that needs what they are made of.
SLOW_EXCEPTIONS = {
    "cli/typer_reader.py": {"typer"},
    "network/bridge.py": {"pyroute2"},
    "network/traffic.py": {"pyroute2"},
    "registry/client.py": {"http", "ssl", "urllib3"},
    "registry/connections.py": {"urllib3"},
}

LONGEST_FILE = 500
LONGEST_FUNCTION = 60


class Import(NamedTuple):
    """One imported module and where: at module level, in a function, or for type checkers only."""

    module: str
    line: int
    place: str


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> list[Import]:
    found: list[Import] = []
    _visit(ast.parse(path.read_text(encoding="utf-8")), "module", path, found)
    return found


def _visit(node: ast.AST, place: str, path: Path, found: list[Import]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = "function"
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = "types"
        elif isinstance(child, ast.Import):
            found += [Import(each.name, child.lineno, place) for each in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"{path}:{child.lineno}: relative import"
            found += _imported_from(child, place)
        _visit(child, inner, path, found)


def _imported_from(node: ast.ImportFrom, place: str) -> list[Import]:
    """``from rootless.kernel import mount`` imports a module, ``from rootless import X`` may too."""
    module = str(node.module)
    if not module.startswith("rootless"):
        return [Import(module, node.lineno, place)]
    names = [f"{module}.{each.name}" for each in node.names]
    return [
        Import(each if _is_module(each) else module, node.lineno, place)
        for each in dict.fromkeys(names)
    ]


def _is_module(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def is_below(module: str, names: set[str]) -> bool:
    """Whether the module is one of ``names`` or inside one of them."""
    return any(module == each or module.startswith(f"{each}.") for each in names)


@pytest.mark.parametrize("path", sources(), ids=name)
def test_imports_point_down(path):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = MAY_IMPORT[layer] | {layer}
    wrong = []
    for each in imports(path):
        package, _, rest = each.module.partition(".")
        if package != "rootless" or each.module in VALUES or not rest:
            continue
        # A front end may name the types of what it shows, and import nothing for it.
        if layer == "cli" and each.place == "types":
            continue
        if rest.split(".")[0] not in allowed:
            wrong.append(f"line {each.line}: {layer} may not import {each.module}")
    assert not wrong


def test_no_module_leads_back_to_itself():
    """Neither at once nor by others, nor by an import that waits in a function; types may."""
    paths = {_dotted(path): path for path in sources()}
    graph = {
        module: {each.module for each in imports(path) if each.place != "types"}
        & (paths.keys() - {module})
        for module, path in paths.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the modules


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", sources(), ids=name)
def test_nothing_slow_is_imported_at_module_level(path):
    allowed = SLOW_EXCEPTIONS.get(name(path), set())
    wrong = [
        f"line {each.line}: {each.module}"
        for each in imports(path)
        if each.place == "module" and is_below(each.module, SLOW - allowed)
    ]
    assert not wrong


@pytest.mark.parametrize(
    "path", [path for pattern in PURE for path in sorted(PACKAGE.glob(pattern))], ids=name
)
def test_a_pure_module_has_no_way_to_look_at_the_world(path):
    wrong = [
        f"line {each.line}: {each.module}"
        for each in imports(path)
        if each.module in IMPURE_MODULES and each.place != "types"
    ]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "print", "input"):
            wrong.append(f"line {node.lineno}: {ast.unparse(node.func)}()")
    assert not wrong


def test_the_stage_imports_little_and_nothing_later():
    for each in imports(PACKAGE / STAGE):
        if each.place == "types":
            continue
        assert each.place == "module", f"line {each.line}: {each.module} inside a function"
        ours = is_below(each.module, {"rootless.kernel"})
        assert ours or each.module in STAGE_MAY_IMPORT, f"line {each.line}: {each.module}"


@pytest.mark.parametrize("path", sources(), ids=name)
def test_files_and_functions_stay_readable(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = int(node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", sources(), ids=name)
def test_every_module_says_what_it_is_for(path):
    module = ast.parse(path.read_text(encoding="utf-8"))
    assert not module.body or ast.get_docstring(module)


def test_packages_import_nothing_when_they_are_imported():
    """``cli`` and ``engine`` define their one object; all others are empty but for a sentence."""
    for path in PACKAGE.rglob("__init__.py"):
        if name(path) in ("__init__.py", "cli/__init__.py", "engine/__init__.py"):
            continue
        found = [each for each in imports(path) if each.place == "module"]
        assert [each.module for each in found if each.module != "__future__"] == [], name(path)
