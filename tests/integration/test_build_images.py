"""build: the image as a whole - squashed, in an index, on a directory, in other formats."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import trees
from tests.support.builds import build, fails, image, member, ran

if TYPE_CHECKING:
    from tests.support.cli import Rootless

LAYERED = (
    "FROM busybox AS one\nRUN mkdir -p /a/b /gone /turned && echo 1 > /a/b/one && echo x > /gone/x"
    " && touch /turned/old && ln /a/b/one /a/hard && ln -s one /a/b/soft\n"
    "RUN rm -r /gone /turned && echo file > /turned && rm /etc/group && echo 2 > /a/b/two"
    " && chmod 700 /a && rm -r /home && mkdir /home && echo new > /home/new\n"
    "USER 7:8\nWORKDIR /work/dir\nRUN echo mine > mine\nENV A=b\n"
)


def layer_count(built: trees.Built) -> int:
    return len(built.document["rootfs"]["diff_ids"])


@pytest.mark.parametrize("flag", ["--squash", "--squash-all"])
def test_squashed_images_show_the_same_files(builder, tmp_path, flag):
    build(builder, tmp_path, LAYERED)
    plain = image(builder)
    assert layer_count(plain) == 5
    build(builder, tmp_path, LAYERED, flag)
    first = image(builder)
    assert layer_count(first) == (2 if flag == "--squash" else 1)
    assert trees.differences(first.tree, plain.tree, (flag, "plain")) == []
    assert first.config == plain.config
    filled = [line for line in first.history if not line.get("empty_layer")]
    assert len(first.history) == len(plain.history)
    assert len(filled) == layer_count(first)
    # From the cache it is the same image again.
    assert ran(build(builder, tmp_path, LAYERED, flag)) == []
    assert image(builder).document == first.document
    shown = builder(
        "run", "--rm", "-u0", "--network=none", "built", "cat", "/a/hard", "/turned"
    ).stdout
    assert shown == "1\nfile\n"


def test_an_image_without_new_layers_can_be_squashed(builder, tmp_path):
    build(builder, tmp_path, "FROM busybox\nLABEL a=b", "--squash")
    assert layer_count(image(builder)) == 1
    build(builder, tmp_path, LAYERED, "-t", "deep")
    build(builder, tmp_path, "FROM deep\nLABEL a=b", "--squash-all")
    squashed = image(builder)
    assert layer_count(squashed) == 1
    assert squashed.config["Labels"] == {"a": "b"}
    assert (
        trees.differences(
            squashed.tree, image(builder, "docker.io/library/deep:latest").tree, ("", "")
        )
        == []
    )
    build(builder, tmp_path, "FROM scratch\nLABEL a=b", "--squash-all")
    assert layer_count(image(builder)) == 0


def index(rootless: Rootless, name: str) -> list[dict]:
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{rootless.home}/data/images:docker.io/library/{name}:latest"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(raw.stdout)["manifests"]


def test_several_platforms_make_an_index(builder, tmp_path):
    (tmp_path / "f").write_text("x")
    text = (
        "FROM --platform=$BUILDPLATFORM busybox AS tools\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\n"
        "FROM scratch\nCOPY f /\nCOPY --from=tools /arch /"
    )
    build(
        builder, tmp_path, text, "--platform", "linux/amd64,linux/arm64", "--platform=linux/arm/v7"
    )
    members = index(builder, "built")
    assert [each["platform"] for each in members] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    found = [member(builder, each) for each in members]
    assert [each.document["architecture"] for each in found] == ["amd64", "arm64", "arm"]
    assert len({each.tree["arch"].content for each in found}) == 3


def test_builds_are_added_to_an_index(builder, tmp_path):
    (tmp_path / "f").write_text("x")
    text = "FROM scratch\nCOPY f /\nLABEL n="
    for number, platform in enumerate(("linux/amd64", "linux/arm64", "linux/arm64")):
        options = ("--manifest", "listed", "--platform", platform)
        builder("build", *options, "-f", "-", str(tmp_path), stdin=f"{text}{number}")
    members = index(builder, "listed")
    assert [each["platform"]["architecture"] for each in members] == ["amd64", "arm64"]
    labels = [member(builder, each).config["Labels"] for each in members]
    assert labels == [{"n": "0"}, {"n": "2"}]
    assert "is an image" in fails(builder, tmp_path, "FROM busybox", "--manifest", "busybox")


def test_a_directory_can_stand_for_an_image(builder, images, tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "f").write_text("from a directory")
    (root / "ignored").write_text("x")
    (root / ".dockerignore").write_text("ignored\n")
    context = tmp_path / "context"
    context.mkdir()
    text = 'FROM base\nCOPY --from=busybox /bin/busybox /busybox\nCMD ["/busybox", "cat", "/sub/f"]'
    build(builder, context, text, "--build-context", f"base={root}")
    built = image(builder)
    assert set(built.tree) >= {"sub", "sub/f", "busybox"}
    assert "ignored" not in built.tree
    assert built.tree["sub/f"].uid == 0
    assert builder("run", "--rm", "--network=none", "built").stdout == "from a directory"
    assert ran(build(builder, context, text, "--build-context", f"base={root}")) == []
    (root / "sub" / "f").write_text("changed")
    again = build(builder, context, text, "--build-context", f"base={root}")
    assert "FROM base" in ran(again)
    # A stage of that name is replaced as a whole.
    staged = "FROM busybox AS stage\nRUN touch /never\nFROM stage\nLABEL a=b"
    build(builder, context, staged, "--build-context", f"stage={root}")
    assert set(image(builder).tree) >= {"sub/f"}
    assert "never" not in image(builder).tree


def test_user_namespaces_that_a_build_has(builder, tmp_path):
    build(builder, tmp_path, "FROM busybox\nRUN true", "--userns=host")
    assert "--userns=keep-id" in fails(builder, tmp_path, "FROM busybox", "--userns=keep-id")
