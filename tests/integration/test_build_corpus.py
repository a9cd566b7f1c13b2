"""Every Dockerfile of the corpus builds, says what it must, and gives what buildah makes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import require
from tests.support import capabilities, corpus, newer_buildah, trees
from tests.support.cli import remove_as_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.buildah import Buildah
    from tests.support.cli import Rootless
    from tests.support.corpus import Case
    from tests.support.trees import Built, File

CASES = [case for case in corpus.cases() if "network" not in case.needs]
# What a launch mounts on; buildah leaves some of its own mount points in a layer.
MOUNT_POINTS = ("dev", "proc", "sys", "etc", "etc/hosts", "etc/resolv.conf", "etc/hostname", "run")


@pytest.fixture(scope="module")
def builder(new_store, images) -> Rootless:
    """A store that knows the base images of the corpus."""
    rootless = new_store()
    for name in ("busybox", "debian"):
        if name == "debian":
            require("mmdebstrap")
        rootless("pull", "-q", getattr(images, name), timeout_s=300)
        rootless("tag", getattr(images, name), name)
    return rootless


@pytest.fixture(scope="module")
def buildah(tmp_path_factory, registries_conf, images) -> Iterator[Buildah]:
    require("buildah")
    from tests.support.buildah import Buildah

    directory = str(tmp_path_factory.mktemp("buildah"))
    peer = Buildah(directory, registries_conf, program())
    for name in ("busybox", "debian"):
        reference = getattr(images, name)
        peer("pull", "-q", "--tls-verify=false", reference)
        peer("tag", reference, f"docker.io/library/{name}:latest")
    yield peer
    peer.stop()
    remove_as_owner(directory)


def program() -> str:
    """The newest buildah there is; the host's knows less of the language."""
    if capabilities.is_required("newer_buildah"):
        require("newer_buildah")
    return "buildah" if capabilities.missing("newer_buildah") else newer_buildah.buildah()


def build(rootless: Rootless, case: Case, directory: str, *options: str) -> Built:
    rootless(
        *("build", "-t", f"corpus/{case.name}", "-f", f"{directory}/{case.file}", "--pull=never"),
        *(*options, *case.build_options(directory), directory),
        timeout_s=300,
    )
    with open(f"{rootless.home}/data/images/index.json", encoding="utf-8") as file:
        index = json.load(file)
    blobs = f"{rootless.home}/data/images/blobs/sha256"
    name = f"docker.io/corpus/{case.name}:latest"
    digest = next(
        entry["digest"]
        for entry in index["manifests"]
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == name
    )
    with open(f"{blobs}/{digest.partition(':')[2]}", encoding="utf-8") as file:
        return trees.read(json.load(file), blobs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_image_says_what_it_must(builder, case, tmp_path):
    directory = corpus.lay_out(case, str(tmp_path / "context"))
    built = build(builder, case, directory)
    for name, value in case.config.items():
        assert built.config.get(name) == value, name
    layers = [line for line in built.history if not line.get("empty_layer")]
    assert len(layers) == len(built.document["rootfs"]["diff_ids"]) or built.history == []


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.buildah is not None], ids=lambda case: case.name
)
def test_buildah_makes_the_same(builder, buildah, case, tmp_path):
    if case.buildah and tuple(map(int, case.buildah.split("."))) > buildah.version:
        reason = capabilities.missing("newer_buildah")
        pytest.skip(f"this buildah is older than {case.buildah}; no newer one: {reason}")
    directory = corpus.lay_out(case, str(tmp_path / "context"))
    ours = build(builder, case, directory)
    theirs = buildah.build(directory, f"{directory}/{case.file}", *case.build_options(directory))
    theirs.config.get("Labels", {}).pop("io.buildah.version", None)
    assert not [path for path, file in ours.tree.items() if _overlay(file)]
    skipped = {*MOUNT_POINTS, *case.ignore}
    pairs = [
        {path: _content(file) for path, file in built.tree.items() if path not in skipped}
        for built in (ours, theirs)
    ]
    names = ("rootless", "buildah")
    wrong = trees.differences(*pairs, names)
    configs = [
        {name: value for name, value in each.config.items() if value} for each in (ours, theirs)
    ]
    if not case.differs:
        wrong += trees.differences(*configs, names)
    assert not wrong, "\n".join(wrong)


def _overlay(file: File) -> list[tuple[str, str]]:
    """What an overlay remembers about a file, which buildah lets into its layers."""
    return [each for each in file.attributes if each[0].startswith("user.overlay.")]


def _content(file: File) -> File:
    kept = tuple(each for each in file.attributes if not each[0].startswith("user.overlay."))
    return file._replace(attributes=kept)
