"""Fixtures for pytest: containers that go when the test, or the test run, is over.

pytest finds this module by its entry point; where rootless is not installed, ``-p rootless.library.fixtures``.
"""

from __future__ import annotations

import pytest

from rootless.typed import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.library.containers import Container
    from rootless.library.keywords import RunOptions


class Containers:
    """Starts containers, as ``rootless.running`` does, and removes them all at its end."""

    def __init__(self) -> None:
        self._started: list[Container] = []

    def __call__(
        self, image: str = "", args: Sequence[str] = (), **options: Unpack[RunOptions]
    ) -> Container:
        """Start a container beside the test; it is removed when the test is over."""
        from rootless.library.verbs import running

        self._started.append(running(image, args, **options))
        return self._started[-1]

    def close(self) -> None:
        """Remove them, the last one first."""
        while self._started:
            self._started.pop().remove()


@pytest.fixture
def rootless_container() -> Iterator[Any]:
    """A function that starts containers for one test."""
    containers = Containers()
    yield containers
    containers.close()


@pytest.fixture(scope="session")
def rootless_session_container() -> Iterator[Any]:
    """The same for containers that all tests of a run share."""
    containers = Containers()
    yield containers
    containers.close()
