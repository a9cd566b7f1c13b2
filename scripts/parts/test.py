"""The test command.  As root it prepares the machine and becomes an ordinary user; as an ordinary
user it says what is missing and lets the tests that need it skip.

    scripts/test                    everything
    scripts/test tests/unit -k map  only pytest, with these arguments
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import testbed

# What a test that reaches the package registries needs to know of the machine.
PASSED_ON = (
    *("ROOTLESS_TEST_REQUIRE", "CI", "http_proxy", "https_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
    *("PIP_INDEX_URL", "PIP_CERT", "PIP_FIND_LINKS"),
)


def main() -> None:
    arguments = sys.argv[1:]
    if os.geteuid() != 0:
        sys.exit(as_user(arguments))
    with testbed.alone():
        status = as_root(arguments)
    sys.exit(status)


def as_root(arguments: list[str]) -> int:
    """Prepare everything, run what must be seen as root, then all the rest as the ordinary user."""
    machine = not arguments and wants_machine()
    testbed.install_packages(testbed.PACKAGES + (testbed.MACHINE_PACKAGES if machine else ()))
    user = testbed.ensure_user()
    testbed.fix_devices()
    pythons = testbed.interpreters() if not arguments else [sys.executable]
    environments = [str(testbed.environment(each, testbed.CACHE)) for each in pythons]
    checkout = testbed.readable_checkout(user)
    if machine:
        build_machine(checkout)
    stages = [environments[0], str(checkout / "scripts/parts/stages.py")]
    for other in environments[1:]:
        stages += ["--other", other]
    if machine:
        stages.append("--machine")
    status = 0 if arguments else run_as_root_suite(environments[0], checkout)
    command = [*stages, "--", *arguments]
    return testbed.run_as(user, command, checkout=checkout, passed_on=PASSED_ON) or status


def run_as_root_suite(python: str, checkout: Path) -> int:
    """The few promises about being started as root; the environment belongs to root."""
    if not (checkout / "tests/as_root").is_dir():
        return 0
    print("== tests as root", flush=True)
    command = [python, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-rs", "tests/as_root"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(command, cwd=checkout, env=environment, check=False).returncode


def wants_machine() -> bool:
    """Whether this run includes the throw-away machine: always in CI, else when QEMU is there."""
    wish = os.environ.get("ROOTLESS_TEST_VM", "auto")
    if wish == "auto":
        return bool(os.environ.get("CI") or shutil.which("qemu-system-x86_64"))
    return wish not in ("0", "no", "never")


def build_machine(checkout: Path) -> None:
    """Root builds the image once; booting it needs no root."""
    command = [str(checkout / "scripts/vm"), "build"]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        print("the throw-away machine could not be built; see above", file=sys.stderr)


def as_user(arguments: list[str]) -> int:
    """Run with what there is, and say first what there is not."""
    missing = testbed.missing_packages(testbed.PACKAGES)
    if missing and shutil.which("dpkg-query"):
        print(f"not installed, so some tests skip: {' '.join(missing)}", file=sys.stderr)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rootless-tests"
    cache.mkdir(parents=True, exist_ok=True)
    pythons = testbed.interpreters() if not arguments else [sys.executable]
    environments = [str(testbed.environment(each, cache)) for each in pythons]
    stages = [environments[0], str(testbed.CHECKOUT / "scripts/parts/stages.py")]
    for other in environments[1:]:
        stages += ["--other", other]
    if not arguments and wants_machine():
        stages.append("--machine")
    path = [str(Path(environments[0]).parent), os.environ.get("PATH", "/usr/bin:/bin"), "/usr/sbin"]
    command = [*delegated(), *stages, "--", *arguments]
    with testbed.scratch_directory() as scratch:
        environment = {**os.environ, "PATH": ":".join(path), "TMPDIR": str(scratch)}
        environment.setdefault("XDG_RUNTIME_DIR", str(scratch / "runtime"))
        return subprocess.run(command, env=environment, check=False).returncode


def delegated() -> list[str]:
    """The start of a command line that runs the rest in a delegated cgroup, where systemd gives one."""
    scope = ["systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "--"]
    if not shutil.which("systemd-run"):
        return []
    works = subprocess.run([*scope, "true"], capture_output=True, check=False).returncode == 0
    if not works:
        print("no systemd user session: tests of cgroups skip", file=sys.stderr)
    return scope if works else []


if __name__ == "__main__":
    main()
