"""Make a virtual environment with our dependencies, also where ensurepip is missing.

Debian splits ensurepip from Python (package python3-venv), and a user without sudo cannot add it.
The environment itself never needs it; only pip comes that way, and there are others: ``find_pip``.
Standard library only, for it runs before anything is installed.

    python3 scripts/parts/environment.py DIRECTORY [--project] [--group NAME ...] [--extra NAME ...]
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import Request, urlopen

CHECKOUT = Path(__file__).parents[2]
STAMP = "rootless-requirements"
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a virtual environment for rootless.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--project", action="store_true", help="install rootless itself, too")
    parser.add_argument("--only-project", action="store_true", help="(re)install rootless, no more")
    parser.add_argument("--group", action="append", default=[], help="a dependency group")
    parser.add_argument("--extra", action="append", default=[], help="optional: if it can be had")
    options = parser.parse_args()
    try:
        if options.only_project:
            install_again(options.directory)
            return
        make(options.directory, options.group, options.extra, project=options.project)
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"cannot install into {options.directory}: exit status {error.returncode}, see above"
        )
    except OSError as error:
        sys.exit(f"cannot make a virtual environment in {options.directory}: {error}")


def make(directory: Path, groups: list[str], extras: list[str], *, project: bool) -> None:
    """Make or refresh the environment; nothing happens when the requirements are the same."""
    wanted, optional = requirements(groups), optional_requirements(extras)
    # The path counts: an environment holds absolute paths, and so does an installed project.
    stamp = "\n".join([sys.version, str(directory), str(CHECKOUT) * project, *wanted, *optional])
    stamp_file = directory / STAMP
    if stamp_file.exists() and stamp_file.read_text(encoding="utf-8") == stamp:
        return
    venv.EnvBuilder(with_pip=False, symlinks=True, clear=True).create(directory)
    with tempfile.TemporaryDirectory(prefix="rootless-pip-") as scratch:
        pip = find_pip(directory, Path(scratch))
        install = [*pip, "install", "-qq", "--disable-pip-version-check"]
        # What is installed must not depend on where somebody's Python puts user packages.
        environment = {**os.environ, "PIP_USER": "0", "PIP_ROOT_USER_ACTION": "ignore"}
        subprocess.run([*install, "pip", *wanted], check=True, env=environment)
        for (
            each
        ) in optional:  # one by one: what is not there for this Python must not stop the others
            if subprocess.run([*install, each], check=False, env=environment).returncode:
                print(f"# going on without {each}", file=sys.stderr)
        if project:
            install_project(install, Path(scratch), environment)
    stamp_file.write_text(stamp, encoding="utf-8")


def install_again(directory: Path) -> None:
    """Install the checkout as it is now into an environment that has everything else."""
    with tempfile.TemporaryDirectory(prefix="rootless-pip-") as scratch:
        pip = find_pip(directory, Path(scratch))
        command = [*pip, "install", "-qq", "--disable-pip-version-check", "--force-reinstall"]
        install_copy(command, Path(scratch), dict(os.environ))


def requirements(groups: list[str]) -> list[str]:
    """The dependencies of the project and of these groups, from pyproject.toml."""
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = list(document["project"]["dependencies"])
    for name in groups:
        wanted += document["dependency-groups"][name]
    return wanted


def optional_requirements(extras: list[str]) -> list[str]:
    """What these extras of the project add, from pyproject.toml."""
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    known = document["project"]["optional-dependencies"]
    return [each for name in extras for each in known[name]]


def install_project(install: list[str], scratch: Path, environment: dict[str, str]) -> None:
    """Install rootless: editable from a checkout of ours, else from a copy (a build writes there)."""
    if os.access(CHECKOUT, os.W_OK):
        command = [*install, "--no-deps", "--config-settings", "editable_mode=compat"]
        subprocess.run([*command, "--editable", str(CHECKOUT)], check=True, env=environment)
    else:
        install_copy(install, scratch, environment)


def install_copy(install: list[str], scratch: Path, environment: dict[str, str]) -> None:
    """Install from a copy of what a release contains."""
    copy = scratch / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, copy / name)
    shutil.copytree(CHECKOUT / "rootless", copy / "rootless")
    subprocess.run([*install, "--no-deps", str(copy)], check=True, env=environment)


def find_pip(directory: Path, scratch: Path) -> list[str]:
    """A command that installs into the environment, by the first way that this host offers.

    The newest pip comes first: what older ones write as a command imports ``re`` before anything
    else, and that is a third of what `rootless run` may take.
    """
    python = str(directory / "bin" / "python")
    try:
        return [python, str(fetch_pip(scratch) / "pip")]  # a wheel is a zip file that can be run
    except (OSError, ValueError) as error:
        print(f"cannot fetch pip ({error}): taking the one of this host", file=sys.stderr)
    if _succeeds(python, "-c", "import ensurepip") and _succeeds(python, "-m", "ensurepip"):
        return [python, "-m", "pip"]
    # A pip of the host can work on another environment since 22.3.
    if _succeeds(sys.executable, "-m", "pip", "--python", python, "--version"):
        return [sys.executable, "-m", "pip", "--python", python]
    wheels = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if wheels:
        return [python, str(wheels[-1] / "pip")]
    raise OSError("there is no pip here, and the package index cannot be reached")


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def fetch_pip(scratch: Path) -> Path:
    """Download the newest release of pip from the package index and verify its digest."""
    index = index_url().rstrip("/") + "/pip/"
    releases = []
    for name, url, digest in _listed_files(index, _get(index, accept=f"{SIMPLE_JSON}, text/html")):
        version = re.fullmatch(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl", name)
        if version and digest:
            numbers = tuple(int(part) for part in version[1].split("."))
            releases.append((numbers, name, url, digest))
    if not releases:
        raise OSError(f"no release of pip at {index}")
    _, name, url, digest = max(releases)
    content = _get(url)
    if hashlib.sha256(content).hexdigest() != digest:
        raise OSError(f"{url} is not what the index says it is")
    wheel = scratch / name
    wheel.write_bytes(content)
    return wheel


def _listed_files(index: str, page: bytes) -> list[tuple[str, str, str]]:
    """(name, URL, sha256) of each file of an index page: JSON (PEP 691) or HTML (PEP 503)."""
    if page.lstrip().startswith(b"{"):
        return [
            (each["filename"], urljoin(index, each["url"]), each["hashes"].get("sha256", ""))
            for each in json.loads(page)["files"]
            if not each.get("yanked")
        ]
    links = re.findall(r'<a[^>]*href="([^"#]+)(?:#sha256=([0-9a-f]{64}))?', page.decode())
    return [(link.rpartition("/")[2], urljoin(index, link), digest) for link, digest in links]


def _get(url: str, accept: str = "*/*") -> bytes:
    certificates = os.environ.get("PIP_CERT") or _pip_setting("cert")
    context = ssl.create_default_context(cafile=certificates or None)
    with urlopen(Request(url, headers={"Accept": accept}), timeout=60, context=context) as answer:
        content: bytes = answer.read()
        return content


def index_url() -> str:
    """The package index that this user's pip would ask."""
    configured = os.environ.get("PIP_INDEX_URL") or _pip_setting("index-url")
    return configured or "https://pypi.org/simple"


def _pip_setting(name: str) -> str | None:
    """A value of pip.conf; a later file wins, as in pip."""
    home = os.path.expanduser("~")
    configuration = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    files = ["/etc/pip.conf", f"{home}/.pip/pip.conf", f"{configuration}/pip/pip.conf"]
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read([*files, os.environ.get("PIP_CONFIG_FILE", "")])
    except configparser.Error:
        return None
    return parser.get("global", name, fallback=None)


if __name__ == "__main__":
    main()
