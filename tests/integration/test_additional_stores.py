"""Image stores that are only read: images are found and run from them, and nothing is written there."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def shared(rootless, busybox, images, tmp_path):
    """A folder with two images, as an administrator would leave it."""
    folder = str(tmp_path / "shared")
    rootless("pull", "-q", images.layered)
    rootless("save", "--format", "oci-dir", "-o", folder, busybox, images.layered)
    for directory, _, names in os.walk(folder, topdown=False):
        for name in names:
            os.chmod(f"{directory}/{name}", 0o444)
        os.chmod(directory, 0o555)
    yield folder
    for directory, *_ in os.walk(folder):
        os.chmod(directory, 0o755)


@pytest.fixture
def user(fresh_rootless, shared):
    """Somebody who is told of the folder."""
    os.makedirs(f"{fresh_rootless.home}/config")
    with open(f"{fresh_rootless.home}/config/config.toml", "w", encoding="utf-8") as file:
        file.write(f'[storage]\nadditional-image-stores = ["{shared}"]\n')
    return fresh_rootless


def state(folder):
    return [
        (directory, sorted(names), os.stat(directory).st_mtime_ns)
        for directory, _, names in os.walk(folder)
    ]


def test_images_are_listed_and_run_from_there_and_nothing_is_copied(user, shared, busybox, images):
    before = state(shared)
    lines = user("images").stdout.splitlines()
    assert lines[0].split()[-1] == "R/O"
    assert [line.split()[-1] for line in lines[1:]] == ["true", "true"]
    line = ("run", "--rm", "--network", "none", "--pull", "never")
    assert user(*line, busybox, "echo", "hello").stdout == "hello\n"
    assert user(*line, images.layered, "cat", "/data/kept").stdout == "kept\n"
    assert not os.path.exists(f"{user.home}/data/images/blobs")
    user("pull", "-q", images.layered)  # its layers are there
    own = os.listdir(f"{user.home}/data/images/blobs/sha256")
    assert len(own) == 2  # config and manifest
    assert user("image", "inspect", busybox, "--format", "{{.RepoTags}}").stdout == f"[{busybox}]\n"
    assert user("system", "check").exit_code == 0
    user("image", "prune", "-a", "-f")
    assert len(user("images", "-q").stdout.split()) == 2
    assert state(shared) == before


def test_what_is_only_read_cannot_be_removed(user, shared, busybox):
    said = user.fails("rmi", busybox)
    assert f"is in {shared}, which is only read" in said
    assert "which is only read" in user.fails("rmi", "-f", busybox)
    assert "which is only read" in user.fails("untag", busybox)
    user("rmi", "-a", "-f")
    user("tag", busybox, "mine")
    assert user("run", "--rm", "--network", "none", "mine", "echo", "1").stdout == "1\n"
    user("rmi", "mine")
    assert len(user("images", "-q").stdout.split()) == 2


def test_a_build_can_begin_with_a_shared_image(user, busybox, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox}\nRUN echo built >/x\n")
    user("build", "-q", "-t", "built", str(tmp_path))
    assert user("run", "--rm", "--network", "none", "built", "cat", "/x").stdout == "built\n"
    assert user("system", "check").exit_code == 0


def test_a_folder_without_images_is_an_error_that_says_how_to_fill_it(fresh_rootless, tmp_path):
    os.makedirs(f"{fresh_rootless.home}/config")
    config = f"{fresh_rootless.home}/config/config.toml"
    for text, words in (
        (f'additional-image-stores = ["{tmp_path}"]', "save --format oci-dir"),
        ("additional-image-stores = 1", "no list of paths"),
        ("additional-image-stores = [", "is not TOML"),
    ):
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"[storage]\n{text}\n")
        assert words in fresh_rootless.fails("images")
