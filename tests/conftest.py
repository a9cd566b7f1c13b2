"""Fixtures for every kind of test.  ``docs/hacking.md`` says which test belongs where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import capabilities, leaks
from tests.support.cli import Rootless, remove_as_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.images import Images
    from tests.support.podman import Podman
    from tests.support.registry import Registry

PURE = ("tests/unit/", "tests/startup/")
BEFORE = pytest.StashKey[leaks.Snapshot]()
LEFT = pytest.StashKey[list[str]]()


def capability(name: str) -> Callable[[], None]:
    """A fixture that skips with the reason, or fails where ROOTLESS_TEST_REQUIRE names it."""

    @pytest.fixture(scope="session", name=f"needs_{name}")
    def needs() -> None:
        require(name)

    return needs


def require(name: str) -> None:
    """Skip or fail the running test unless the machine has the capability."""
    reason = capabilities.missing(name)
    if reason and capabilities.is_required(name):
        pytest.fail(f"needs {name}: {reason}", pytrace=False)
    elif reason:
        pytest.skip(f"needs {name}: {reason}")


# needs_user_namespace, needs_subids, needs_overlay, needs_fuse, needs_podman ...: see CAPABILITIES.
globals().update({f"needs_{name}": capability(name) for name in capabilities.CAPABILITIES})


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on loopback.  Each worker has its own: tests of two may push the same name."""
    require("registry")
    from tests.support.registry import Registry

    process = Registry(str(tmp_path_factory.mktemp("registry")))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def images(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """References to real images, made when first asked for."""
    from tests.support.images import Images

    return Images(registry, str(tmp_path_factory.mktemp("images")))


@pytest.fixture(scope="session")
def registries_conf(images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registries.conf under which ``alpine`` comes from the registry on loopback."""
    assert images.alpine
    return images.registries_conf(str(tmp_path_factory.mktemp("conf") / "registries.conf"))


@pytest.fixture(scope="session")
def new_store(
    tmp_path_factory: pytest.TempPathFactory, registries_conf: str
) -> Iterator[Callable[[], Rootless]]:
    """Make a ``rootless`` with an empty store of its own; all are removed at the end."""
    require("user_namespace")
    made: list[str] = []

    def make() -> Rootless:
        home = str(tmp_path_factory.mktemp("home"))
        made.append(home)
        return Rootless(home, {"CONTAINERS_REGISTRIES_CONF": registries_conf})

    yield make
    for home in made:
        remove_as_owner(home)


@pytest.fixture(scope="session")
def rootless(new_store: Callable[[], Rootless]) -> Rootless:
    """The command line with a store that the tests of a worker share."""
    return new_store()


@pytest.fixture
def fresh_rootless(new_store: Callable[[], Rootless]) -> Iterator[Rootless]:
    """The command line with an empty store, for one test."""
    runner = new_store()
    yield runner
    remove_as_owner(runner.home)


@pytest.fixture(scope="session")
def busybox(rootless: Rootless, images: Images) -> str:
    """The busybox image, already in the shared store."""
    rootless("run", "--rm", "--network", "none", images.busybox, "true")
    return images.busybox


@pytest.fixture(scope="session")
def debian(rootless: Rootless, images: Images) -> str:
    """Debian, already in the shared store."""
    require("mmdebstrap")
    rootless("pull", "-q", images.debian, timeout_s=300)
    return images.debian


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """podman with a store of its own, to read what we made."""
    require("podman")
    from tests.support.podman import Podman

    directory = str(tmp_path_factory.mktemp("podman"))
    peer = Podman(directory)
    yield peer
    peer.stop()
    remove_as_owner(directory)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unprivileged behaviour can only be tested unprivileged."""
    if os.geteuid() != 0:
        return
    skip = pytest.mark.skip(reason="started as root: scripts/test runs this as an ordinary user")
    for item in items:
        if not item.nodeid.startswith((*PURE, "tests/as_root/")):
            item.add_marker(skip)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_sessionstart(session: pytest.Session) -> None:
    if not _is_worker(session.config) and os.geteuid() != 0:
        session.config.stash[BEFORE] = leaks.take()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """All workers have ended: whatever is left now was left by a test."""
    before = session.config.stash.get(BEFORE, None)
    if before is None:
        return
    factory = getattr(session.config, "_tmp_path_factory", None)
    ours = (str(factory.getbasetemp().parent),) if factory else ()
    left = leaks.take(ignore=ours).added_since(before)
    session.config.stash[LEFT] = left
    if left and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left = config.stash.get(LEFT, [])
    if left:
        terminalreporter.section("left behind by the tests: this fails the run")
        for line in left:
            terminalreporter.write_line(line)
