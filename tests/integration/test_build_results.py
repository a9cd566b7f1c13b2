"""build: what comes out of it, other than an image in the store; and what a person sees of a failure."""

from __future__ import annotations

import json
import subprocess
import tarfile

import pytest

from tests.support.builds import build, fails, image
from tests.support.terminal import Terminal

HEALTHY = (
    'FROM busybox\nHEALTHCHECK --interval=5s --retries=2 CMD ["true"]\nSHELL ["/bin/sh", "-ec"]\n'
    "ONBUILD RUN touch /tmp/later\nSTOPSIGNAL SIGINT\nMAINTAINER somebody\nRUN echo x > /f\n"
    "EXPOSE 80\nVOLUME /v\nUSER 5\nENTRYPOINT echo hi"
)


def inspect(*argv: str) -> dict:
    shown = subprocess.run(["skopeo", "inspect", *argv], check=True, capture_output=True, text=True)
    return json.loads(shown.stdout)


@pytest.mark.parametrize("format", ["oci", "docker"])
def test_formats_as_others_read_them(builder, images, tmp_path, format):
    build(builder, tmp_path, HEALTHY, "--format", format)
    reference = f"{images.registry.address}/formats:{format}"
    builder("push", "-q", "built", reference)
    source = ("--tls-verify=false", f"docker://{reference}")
    kind = inspect("--raw", *source)["mediaType"]
    assert ("docker" in kind) == (format == "docker")
    config = inspect("--raw", "--config", *source)
    assert config["author"] == "somebody"
    # Even OCI's configuration keeps what only docker defined, as BuildKit's does.
    assert config["config"]["Healthcheck"] == {
        "Test": ["CMD", "true"],
        "Interval": 5_000_000_000,
        "Retries": 2,
    }
    assert config["config"]["Shell"] == ["/bin/sh", "-ec"]
    assert config["config"]["OnBuild"] == ["RUN touch /tmp/later"]
    assert config["config"]["StopSignal"] == "SIGINT"
    builder("build", "-t", "on", "-", stdin="FROM built\nUSER 0\nRUN test -e /tmp/later")


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_archives_that_others_load(builder, tmp_path, kind):
    (tmp_path / "context").mkdir()
    target = tmp_path / "image.tar"
    text = "FROM busybox\nRUN echo in the archive > /f\nCMD cat /f"
    build(builder, tmp_path / "context", text, "-o", f"type={kind},dest={target}")
    transport = "docker-archive" if kind == "docker" else "oci-archive"
    assert inspect("--config", f"{transport}:{target}")["config"]["Cmd"][-1] == "cat /f"
    streamed = subprocess.run(
        [*builder.command, "build", "-q", "-o", f"type={kind}", str(tmp_path / "context")],
        env=builder.environment,
        capture_output=True,
        check=True,
    ).stdout
    (tmp_path / "streamed.tar").write_bytes(streamed)
    assert (
        inspect("--config", f"{transport}:{tmp_path}/streamed.tar")["config"]["Cmd"][-1] == "cat /f"
    )


def test_oci_layouts_are_added_to(builder, tmp_path):
    context, layout = tmp_path / "context", tmp_path / "layout"
    context.mkdir()
    for tag in ("one", "two"):
        options = ("-t", f"laid:{tag}", "-o", f"type=oci,tar=false,dest={layout}")
        builder("build", *options, "-f", "-", str(context), stdin=f"FROM busybox\nLABEL l={tag}")
    index = json.loads((layout / "index.json").read_text())
    assert len(index["manifests"]) == 2


def test_files_for_each_platform(builder, tmp_path):
    context, out = tmp_path / "context", tmp_path / "out"
    context.mkdir()
    (context / "f").write_text("x")
    platforms = ("--platform", "linux/amd64,linux/arm64")
    build(builder, context, "FROM scratch\nCOPY f /d/f", *platforms, "-o", str(out))
    assert (out / "linux_amd64" / "d" / "f").read_text() == "x"
    assert (out / "linux_arm64" / "d" / "f").read_text() == "x"
    target = tmp_path / "all.tar"
    build(
        builder, context, "FROM scratch\nCOPY f /d/f", *platforms, "-o", f"type=tar,dest={target}"
    )
    with tarfile.open(target) as tar:
        assert {"linux_amd64/d/f", "linux_arm64/d/f"} <= set(tar.getnames())


def test_a_tar_on_standard_output_is_nothing_else(builder, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN mkdir /e && echo x > /e/f")
    out = subprocess.run(
        [*builder.command, "build", "-o", "-", str(tmp_path)],
        env=builder.environment, capture_output=True, check=True,
    ).stdout  # fmt: skip
    (tmp_path / "x.tar").write_bytes(out)
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert {"e/f", "bin/busybox"} <= set(tar.getnames())


def test_a_shell_opens_where_a_run_failed(builder, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nENV SEEN=yes\nWORKDIR /w\nRUN echo made > here; exit 3"
    )
    argv = [*builder.command, "build", "--on-error=shell", "-t", "never", str(tmp_path)]
    shell = Terminal(argv, builder.environment)
    shell.expect("this shell is where it ran")
    shell.type("echo $SEEN $(cat here) $(pwd) $(id -u); tty\n")
    shell.expect("yes made /w 0")
    shell.type("exit\n")
    shell.expect("exit code 3")
    assert shell.end() == 1
    assert "never" not in builder("images").stdout


def test_the_linter_knows_the_variables_of_stored_images(builder, tmp_path):
    text = "FROM busybox\nENV KNOWN=1\n"
    build(builder, tmp_path, text, "-t", "envied")
    (tmp_path / "Dockerfile").write_text("FROM envied\nENV A=$KNOWN B=$UNKNWON C=$PATH")
    checked = builder("build", "--check", str(tmp_path), check=False)
    said = checked.stdout
    assert "UNKNWON" in said and checked.exit_code == 1
    clean = tmp_path / "clean"
    clean.write_text("FROM envied\n")
    builder("build", "--check", "-f", str(clean), str(tmp_path))
    assert "'$KNOWN" not in said and "$PATH" not in said
    strict = "# check=error=true\nFROM envied\nMAINTAINER x"
    assert "MaintainerDeprecated" in fails(builder, tmp_path, strict)


def test_a_build_ends_with_the_linters_remarks_unless_quiet_or_all_cached(builder, tmp_path):
    text = "FROM busybox\nLABEL remarked on\nCOPY Dockerfile /\n"
    said = build(builder, tmp_path, text)
    assert "1 warning found:\n - Dockerfile:2: LegacyKeyValueFormat: " in said
    assert "LegacyKeyValueFormat" not in build(builder, tmp_path, text)
    assert build(builder, tmp_path, text, "--no-cache", "-q") == ""
    assert "found" not in build(builder, tmp_path, f"# check=skip=all\n{text}", "--no-cache")


def test_several_sources_go_into_a_directory_that_is_there(builder, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    build(builder, tmp_path, "FROM busybox\nRUN mkdir /d\nCOPY a b /d")
    assert {"d/a", "d/b"} <= set(image(builder).tree)
    said = fails(builder, tmp_path, "FROM busybox\nCOPY a b /none")
    assert "Dockerfile:2: several sources need a directory, and /none is none" in said


def test_hard_links_among_files_that_replace_one_another(builder, tmp_path):
    text = (
        "FROM busybox AS s\nRUN mkdir -p /s/a /s/b /s/c"
        " && echo 1 > /s/a/f && ln /s/a/f /s/z && ln /s/a/f /s/c/f && echo 2 > /s/b/f\n"
        "FROM busybox\nCOPY --from=s /s/a /s/b /s/z /t/\nCOPY --from=s /s/a /s/c /s/z /u/\n"
        'RUN test "$(cat /t/f /t/z)" = "$(printf "2\\n1")" && test "$(cat /u/f /u/z)" = "$(printf "1\\n1")"'
    )
    build(builder, tmp_path, text)
