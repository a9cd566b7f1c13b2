"""The example of docs/examples/postgresql, as it stands there."""

from __future__ import annotations

import pytest

from tests.support.examples import show


@pytest.mark.show
@pytest.mark.network
def test_a_database_outlives_its_containers(rootless, debian, needs_tun, tmp_path):
    show("postgresql", debian, rootless, tmp_path)
    for listing in (("ps", "-aq"), ("volume", "ls", "-q"), ("secret", "ls", "-q")):
        assert "show" not in rootless(*listing).stdout
