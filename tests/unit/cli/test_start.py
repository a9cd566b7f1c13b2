"""Modules that are found at once are those that the interpreter would have found."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from importlib.machinery import PathFinder

import pytest

from rootless.cli.start import Finder

SOURCE = "value = 1\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package ``some`` with a module, and a package in it; all compiled, beside their sources."""
    monkeypatch.setattr(sys, "pycache_prefix", None)
    for name in ("__init__", "module", "inner/__init__"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SOURCE)
        py_compile.compile(str(path))
    return tmp_path


def find(package, name):
    return Finder("some.").find_spec(f"some.{name}", [str(package)])


def test_what_is_found_is_what_the_interpreter_finds(package):
    for name in ("module", "inner"):
        found = find(package, name)
        usual = PathFinder.find_spec(f"some.{name}", [str(package)])
        for attribute in ("name", "origin", "cached", "submodule_search_locations", "has_location"):
            assert getattr(found, attribute) == getattr(usual, attribute)
        assert found.loader.get_code(found.name) == usual.loader.get_code(found.name)
        assert found.loader.get_code(found.name) == usual.loader.get_code(found.name), "again"
        assert found.loader.get_source(found.name) == SOURCE


def test_a_source_that_is_newer_or_longer_is_left_to_the_interpreter(package):
    source = package / "module.py"
    status = source.stat()
    source.write_text(SOURCE + "\n")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert find(package, "module") is None
    source.write_text(SOURCE)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert find(package, "module") is None


def test_what_is_compiled_by_another_rule_is_left_to_the_interpreter(package):
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(str(package / "module.py"), invalidation_mode=checked)
    assert find(package, "module") is None
    compiled = next((package / "inner/__pycache__").iterdir())
    compiled.write_bytes(b"\0" * 4 + compiled.read_bytes()[4:])  # as another version of Python
    assert find(package, "inner") is None


def test_what_is_missing_or_of_others_is_left_to_the_interpreter(package):
    assert find(package, "missing") is None
    assert Finder("some.").find_spec("other.module", [str(package)]) is None
    (package / "module.py").unlink()
    assert find(package, "module") is None


def test_only_the_program_changes_how_modules_are_found():
    code = (
        "import sys, atexit, rootless, rootless.cli\n"  # atexit: then main comes back
        "finders = lambda: ['Finder' == type(each).__name__ for each in sys.meta_path]\n"
        "rootless.run; rootless.cli.main(['version']); print(any(finders()))\n"
        "sys.argv[1:] = ['version']; rootless.cli.main(); print(any(finders()))"
    )
    command = [sys.executable, "-c", code]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPYCACHEPREFIX"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert ("False" in lines, lines[-1]) == (True, "True")
