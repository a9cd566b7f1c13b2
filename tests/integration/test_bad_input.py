"""Bad input: one line that names the object, the right exit code, nothing left behind."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support import oci
from tests.support.registry import Registry

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def refused(fresh_rootless):
    """Run a command that must fail; its error.  Checks that it is one line and left nothing."""

    def run(*argv, exit_code=125, **options):
        said = fresh_rootless.fails(*argv, exit_code=exit_code, **options)
        lines = said.strip().splitlines()
        errors = [line for line in lines if line.startswith("Error: ")]
        assert len(errors) == 1, said
        assert len(lines) <= 3, said  # a progress line, the error, its hint
        for place in ("data/scratch", "data/containers", "data/names"):
            path = f"{fresh_rootless.home}/{place}"
            assert not os.path.isdir(path) or os.listdir(path) == [], place
        return said

    return run


@pytest.fixture
def own_registry(needs_registry, tmp_path):
    """A registry whose files a test may damage."""
    registry = Registry(str(tmp_path / "registry"))
    yield registry
    registry.stop()


@pytest.fixture
def pushed(own_registry, tmp_path):
    """An image of two layers in it: (reference, registry, manifest)."""
    layout = oci.Layout(str(tmp_path / "layout"))
    first = oci.tar_of(oci.Entry("data", os.urandom(200_000)))
    second = oci.tar_of(oci.Entry("more", os.urandom(200_000)))
    descriptor = layout.image(first, second, config={"Cmd": ["x"]})
    layout.tag("image", descriptor)
    reference = f"{own_registry.address}/damaged:latest"
    command = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false"]
    subprocess.run([*command, f"oci:{layout.path}:image", f"docker://{reference}"], check=True)
    return reference, own_registry, layout.read(descriptor)


def test_an_unknown_image(refused, registry):
    said = refused(*RUN, f"{registry.address}/no/such:image", "true")
    assert f"{registry.address}/no/such:image" in said


def test_a_name_that_is_no_reference(refused):
    assert "UPPER" in refused(*RUN, "UPPER case!", "true")


def test_an_unknown_registry(refused):
    said = refused("pull", "127.0.0.1:1/image")
    assert "127.0.0.1:1" in said


def test_a_host_that_does_not_exist_names_the_ways_out(refused):
    said = refused("pull", "registry.invalid/image:tag")
    assert "registry.invalid" in said
    for way in ("mirror", "load", "bootstrap"):
        assert way in said


def test_a_digest_that_nothing_has(refused, registry, images):
    name = images.busybox.removesuffix(":latest")
    assert "f" * 64 in refused("pull", f"{name}@sha256:{'f' * 64}")


@pytest.mark.parametrize("which", ["config", "layer"])
def test_a_blob_that_is_not_what_its_digest_says(refused, pushed, which):
    reference, registry, manifest = pushed
    descriptor = manifest["config"] if which == "config" else manifest["layers"][1]
    path = registry.blob_file(descriptor["digest"])
    with open(path, "r+b") as file:
        file.seek(descriptor["size"] // 2)
        file.write(b"damage")
    said = refused("pull", reference)
    assert descriptor["digest"][:19] in said
    _nothing_was_kept(refused, reference)


def test_a_blob_that_ends_too_early(refused, pushed):
    reference, registry, manifest = pushed
    layer = manifest["layers"][0]
    os.truncate(registry.blob_file(layer["digest"]), layer["size"] // 2)
    assert layer["digest"][:19] in refused("pull", reference)
    _nothing_was_kept(refused, reference)


def test_a_manifest_that_is_not_what_its_digest_says(refused, pushed):
    reference, registry, _ = pushed
    digest = oci.digest_of(registry.get("damaged/manifests/latest", oci.MANIFEST)[0])
    with open(registry.blob_file(digest), "ab") as file:
        file.write(b" ")
    refused("pull", f"{reference.removesuffix(':latest')}@{digest}")


def _nothing_was_kept(refused, reference):
    refused("run", "--pull", "never", "--rm", reference, "true")


def test_an_index_without_this_architecture(refused, images, tmp_path):
    layout = oci.Layout(str(tmp_path / "layout"))
    index = layout.index(layout.image(oci.tar_of(oci.Entry("x")), architecture="s390x"))
    reference = images.push(layout, index, "foreign-index:latest", "--all")
    said = refused("pull", reference)
    assert "s390x" in said and oci.host_architecture() in said


def test_a_program_for_another_architecture_is_126(fresh_rootless, images, tmp_path):
    """What a single foreign manifest leads to: docker takes it with a warning, and so do we."""
    layout = oci.Layout(str(tmp_path / "layout"))
    header = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16" + bytes(100)  # s390x
    layer = oci.tar_of(oci.Entry("program", header, mode=0o755))
    descriptor = layout.image(layer, config={"Cmd": ["/program"]}, architecture="s390x")
    reference = images.push(layout, descriptor, "foreign-program:latest")
    said = fresh_rootless.fails(*RUN, reference, exit_code=126)
    assert "s390x" in said and "/program" in said


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("FROM busybox\nRUNN echo\n", 2, "RUNN"),
        ("FROM\n", 1, "FROM"),
        ("RUN echo\n", 1, "FROM"),
        ("FROM busybox\n\n\nENV\n", 4, "ENV"),
        ("FROM busybox\nRUN <<EOF\nnever closed\n", 2, "EOF"),
        ("", 1, ""),
    ],
)
def test_a_dockerfile_that_is_wrong(refused, tmp_path, text, line, word):
    (tmp_path / "Dockerfile").write_text(text)
    said = refused("build", str(tmp_path))
    assert word in said
    if text:
        assert f"Dockerfile:{line}" in said


def test_a_dockerfile_that_is_missing(refused, tmp_path):
    assert "Dockerfile" in refused("build", str(tmp_path))
    assert "nowhere" in refused("build", str(tmp_path / "nowhere"))


def test_a_source_to_copy_that_is_missing(refused, images, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {images.busybox}\nCOPY missing.txt /\n")
    said = refused("build", str(tmp_path))
    assert "missing.txt" in said and "Dockerfile:2" in said


def test_a_step_that_fails(fresh_rootless, images, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {images.busybox}\nRUN echo why >&2; exit 3\n")
    said = fresh_rootless.fails("build", "-t", "never", str(tmp_path), exit_code=1)
    assert "why" in said and "Dockerfile:2" in said
    assert "never" not in fresh_rootless("images").stdout


def test_a_store_that_cannot_be_written(fresh_rootless, images):
    os.makedirs(f"{fresh_rootless.home}/data", mode=0o700)
    os.chmod(f"{fresh_rootless.home}/data", 0o500)
    try:
        said = fresh_rootless.fails("pull", images.busybox)
        assert fresh_rootless.home in said and len(said.strip().splitlines()) <= 2
    finally:
        os.chmod(f"{fresh_rootless.home}/data", 0o700)


def test_a_store_of_somebody_else(rootless):
    said = rootless.fails("ps", env={"ROOTLESS_HOME": "/root/store"})
    assert "/root/store" in said


@pytest.mark.parametrize(
    "argv",
    [
        ("run",),
        ("run", "--no-such-flag", "image"),
        ("no-such-verb",),
        ("run", "--memory", "many", "image"),
        ("run", "-v", "relative:also", "--name", "../up", "image"),
    ],
)
def test_a_command_line_that_is_wrong(refused, argv):
    refused(*argv)


@pytest.mark.parametrize(
    ("closed", "targets"),
    [
        (">&-", ["/dev/null", "pipe"]),
        ("2>&-", ["pipe", "/dev/null"]),
        ("<&- >&- 2>&-", ["/dev/null", "/dev/null"]),
    ],
)
def test_closed_streams_lead_to_no_file_of_ours(rootless, busybox, tmp_path, closed, targets):
    """What opens a file gets the lowest number that is free, and a program writes to 1 and 2."""

    def run(*argv):
        words = ["sh", "-c", f'exec "$@" {closed}', "sh", *rootless.command, *argv]
        done = subprocess.run(words, env=rootless.environment, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr
        return done.returncode

    read = "a=$(readlink /proc/$$/fd/1) b=$(readlink /proc/$$/fd/2)"
    shown = f"{read}; echo $a > /seen/fds; echo $b >> /seen/fds; echo x; echo y >&2; exit 4"
    assert run("ps", "-a") == 0
    assert run(*RUN, "-v", f"{tmp_path}:/seen", busybox, "sh", "-c", shown) == 4
    seen = (tmp_path / "fds").read_text(encoding="utf-8").splitlines()
    assert [each.partition(":")[0] for each in seen] == targets
