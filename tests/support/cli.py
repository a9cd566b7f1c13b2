"""The command line as its user meets it: a process with its own store and a clean environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import NamedTuple

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PASSED_ON = ("HOME", "PATH", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "PYTHONPYCACHEPREFIX", "TMPDIR")


class Result(NamedTuple):
    """How a command ended and what it said."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    def __str__(self) -> str:
        said = f"{self.stdout}{self.stderr}".rstrip()
        return (
            f"rootless {' '.join(self.argv)} -> {self.exit_code} after {self.seconds:.2f} s\n{said}"
        )


class Rootless:
    """Runs ``rootless`` against the store at ``home``.

    A call returns a Result and fails the test when the command does, unless ``check=False``.
    ``environment`` holds what every command gets besides PASSED_ON; nothing else leaks in.
    """

    def __init__(self, home: str, environment: dict[str, str] | None = None):
        self.home = home
        self.environment = {
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            "LANG": "C.UTF-8",
            "PYTHONPATH": CHECKOUT,
            "ROOTLESS_HOME": home,
            # Whoever runs the tests may have credentials, and defaults of their own.
            "XDG_CONFIG_HOME": f"{home}/xdg-config",
            **(environment or {}),
        }
        self.command = (sys.executable, "-m", "rootless")

    def __call__(
        self,
        *argv: str,
        check: bool = True,
        stdin: str | bytes | None = None,
        env: dict[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        timeout_s: float = 120,
    ) -> Result:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        begin = time.monotonic()
        done = subprocess.run(
            [*self.command, *argv],
            input=content,
            stdin=subprocess.DEVNULL if content is None else None,
            capture_output=True,
            env={**self.environment, **(env or {})},
            cwd=cwd,
            timeout=timeout_s,
            check=False,
        )
        result = Result(
            argv,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
            time.monotonic() - begin,
        )
        if check:
            assert result.exit_code == 0, str(result)
        return result

    def fails(self, *argv: str, exit_code: int | None = None, **options: object) -> str:
        """Run a command that must fail with ``exit_code``; its standard error.

        Without one it fails as ours do: with 125, or 1 where what is named is not there or in use.
        """
        result = self(*argv, check=False, **options)  # type: ignore[arg-type] # passed through
        expected = (125,) if argv[0] in ("run", "create", "build") else (1, 125)
        assert result.exit_code in ((exit_code,) if exit_code else expected), str(result)
        assert "Traceback" not in result.stderr, str(result)
        return result.stderr

    def start(self, *argv: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a command and do not wait; pipes by default.  The caller ends it."""
        options = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.environment,
            **options,
        }
        return subprocess.Popen([*self.command, *argv], **options)  # type: ignore[call-overload, no-any-return]


def remove_as_owner(path: str) -> None:
    """Remove a tree of which some belongs to our subordinate ids, without the code under test."""
    for mapping in (["--map-root-user", "--map-auto"], ["--map-root-user"]):
        command = ["unshare", "--user", *mapping, "rm", "-rf", "--one-file-system", path]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
    subprocess.run(["chmod", "-R", "u+rwX", path], capture_output=True, check=False)
    subprocess.run(["rm", "-rf", path], check=True)
