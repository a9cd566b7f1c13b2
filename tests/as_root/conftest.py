"""What only root can try is left out elsewhere, and where the user that tests become is missing."""

from __future__ import annotations

import os
import pwd

import pytest

from tests.support.places import USER


@pytest.fixture(scope="session", autouse=True)
def only_as_root():
    if os.geteuid() != 0:
        pytest.skip("not started as root")
    try:
        pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"no user {USER}: scripts/test makes it")
