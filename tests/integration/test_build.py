"""build: what each instruction and flag promises, seen in the image and in what is left behind."""

from __future__ import annotations

import glob
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import require
from tests.support import trees
from tests.support.builds import build, fails, image, ran

if TYPE_CHECKING:
    from tests.support.cli import Rootless


def test_nothing_is_done_twice(builder, tmp_path):
    text = "FROM busybox\nCOPY f /f\nRUN date +%N > /once\nLABEL a=b"
    (tmp_path / "f").write_text("1")
    assert ran(build(builder, tmp_path, text)) == ["COPY f /f", "RUN date +%N > /once"]
    first = builder("images", "-q", "--no-trunc", "built").stdout
    (tmp_path / "f").touch()
    assert ran(build(builder, tmp_path, text)) == []
    assert builder("images", "-q", "--no-trunc", "built").stdout == first
    (tmp_path / "f").write_text("2")
    assert ran(build(builder, tmp_path, text)) == ["COPY f /f", "RUN date +%N > /once"]
    assert ran(build(builder, tmp_path, text, "--no-cache")) == [
        "COPY f /f",
        "RUN date +%N > /once",
    ]


# Each of them costs more than a cached build can afford.
SLOW = ("typer", "rich", "urllib3", "ssl", "asyncio", "hashlib", "ctypes", "tarfile", "subprocess", "urllib.parse",
        "csv", "dataclasses", "rootless.build.perform", "rootless.engine.build_launch", "rootless.registry.client")  # fmt: skip


def test_a_build_that_is_cached_loads_little(builder, tmp_path):
    text = (
        "FROM busybox AS one\nRUN echo 1 > /one\nFROM busybox\nCOPY --from=one /one /\nCMD cat /one"
    )
    build(builder, tmp_path, text)
    (tmp_path / "Dockerfile").write_text(text)
    argv = ("build", "-q", "-t", "built", str(tmp_path))
    loaded = builder(*argv, env={"PYTHONPROFILEIMPORTTIME": "1"}).stderr
    modules = {line.rpartition("|")[2].strip() for line in loaded.splitlines()}
    assert "rootless.engine.build" in modules
    assert not modules & set(SLOW)


def test_stages_without_cache_are_chosen(builder, tmp_path):
    text = "FROM busybox AS one\nRUN date > /one\nFROM busybox AS two\nRUN date > /two\nCOPY --from=one /one /"
    build(builder, tmp_path, text)
    assert "RUN date > /one" not in ran(build(builder, tmp_path, text, "--no-cache-filter", "two"))


def test_a_rebuilt_stage_with_the_same_files_does_not_repeat_what_copies_them(builder, tmp_path):
    text = "FROM busybox AS one\nRUN echo {} > /dev/null; echo same > /f\nFROM busybox\nCOPY --from=one /f /f\nRUN date +%N > /t"
    build(builder, tmp_path, text.format(1))
    assert ran(build(builder, tmp_path, text.format(2))) == [
        "RUN echo 2 > /dev/null; echo same > /f"
    ]


def test_explain_says_why(builder, tmp_path):
    (tmp_path / "f").write_text("why 1")
    text = "FROM busybox\nARG V=1\nCOPY f /why\nRUN echo why $V"
    build(builder, tmp_path, text)
    shown = builder("build", "--explain", "--build-arg", "V=2", str(tmp_path)).stdout
    assert "    hit\n" in shown
    assert "    miss: changed: variable V" in shown
    (tmp_path / "f").write_text("why 2")
    shown = builder("build", "--explain", str(tmp_path)).stdout
    assert "    miss: changed: f\n" in shown
    assert "    follows a miss" in shown


def test_a_failing_run_shows_its_output_line_and_exit_code(builder, tmp_path):
    said = fails(builder, tmp_path, "FROM busybox\n\nRUN echo before; exit 7", "-q", exit_code=1)
    assert "before" in said
    assert "Dockerfile:3: RUN echo before; exit 7: exit code 7" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM busybox\nCOPY nothing /", "Dockerfile:2: nothing is not in the build context"),
        ("FROM busybox\nCOPY --from=nowhere /a /", "nowhere"),
        ("FROM busybox\nRUNN x", "did you mean RUN"),
        ("FROM busybox\nRUN [\"/nothing\"]", "cannot find the program '/nothing'"),
        ("FROM busybox\nCOPY --chown=nobody-here Dockerfile /", "no user 'nobody-here'"),
        ("FROM busybox\nUSER nobody-here\nRUN true", "no user 'nobody-here'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(builder, tmp_path, text, message):
    (tmp_path / "Dockerfile").write_text(text)
    result = builder("build", "--pull=never", str(tmp_path), check=False)
    assert result.exit_code != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_secrets_are_in_no_layer_and_no_history(builder, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=secret,id=one --mount=type=secret,id=two,env=TWO"
        " --mount=type=secret,id=three,uid=7,mode=0440,target=/three"
        ' test "$(wc -c < /run/secrets/one)" = 11 && test ${#TWO} = 6'
        ' && test "$(stat -c %u:%a /three)" = 7:440 && touch /done'
    )
    (tmp_path / "secret").write_text("sekrit text")
    builder(
        *("build", "-t", "built", "--secret", f"id=one,src={tmp_path}/secret"),
        *("--secret", "id=two,env=SECOND", "--secret", f"id=three,src={tmp_path}/secret"),
        str(tmp_path),
        env={"SECOND": "second"},
    )
    built = image(builder)
    assert "done" in built.tree
    assert not {"run", "run/secrets", "three"} & set(built.tree)
    assert "second" not in json.dumps(built.document)
    left = subprocess.run(
        ["grep", "-r", "sekrit text", builder.home], capture_output=True, check=False
    )
    assert left.stdout == b""


def test_a_required_secret_must_be_given(builder, tmp_path):
    text = "FROM busybox\nRUN --mount=type=secret,id=no,required=true true"
    assert "needs the secret no" in fails(builder, tmp_path, text)


def test_cache_mounts_outlive_a_build_and_are_found_by_id(builder, tmp_path):
    text = (
        "FROM busybox\nRUN --mount=type=cache,id=../../x,target=/c,sharing={} echo {} >> /c/f;"
        " wc -l < /c/f > /lines"
    )
    for number, sharing in enumerate(("shared", "locked"), 1):
        build(builder, tmp_path, text.format(sharing, number))
        out = builder("run", "--rm", "--network=none", "built", "cat", "/lines").stdout
        assert int(out) == number
    assert "c" not in image(builder).tree
    assert os.listdir(f"{builder.home}/cache") != []
    assert not os.path.exists(f"{builder.home}/x")


def test_bind_mounts_show_the_context_stages_and_images(builder, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "f").write_text("context")
    (tmp_path / "hidden").write_text("hidden")
    (tmp_path / ".dockerignore").write_text("hidden\n")
    os.symlink("/etc", tmp_path / "outside")
    build(
        builder,
        tmp_path,
        "FROM busybox AS one\nRUN mkdir -p /a/b && echo 1 > /a/b/one && echo old > /a/gone\n"
        "RUN rm /a/gone && echo 2 > /a/b/two\nFROM busybox\n"
        "RUN --mount=target=/ctx test -f /ctx/sub/f && test ! -e /ctx/hidden && ! touch /ctx/x\n"
        "RUN --mount=target=/ctx,source=sub,rw touch /ctx/new && test -f /ctx/f\n"
        "RUN --mount=from=one,source=/a,target=/a test -f /a/b/one -a -f /a/b/two && test ! -e /a/gone\n"
        "RUN --mount=from=one,target=/one,rw rm /one/a/b/one && test -f /one/a/b/two\n"
        "RUN --mount=from=one,source=/a/b/one,target=/f test $(cat /f) = 1\n"
        "RUN --mount=from=one,source=/a/b,target=/b test -f /b/one\n",
    )
    assert not {"ctx", "a", "one", "f", "b"} & set(image(builder).tree)
    assert sorted(os.listdir(tmp_path / "sub")) == ["f"]


def test_no_source_leads_out_of_its_tree(builder, tmp_path):
    os.symlink("/etc/shadow", tmp_path / "shadow")
    os.symlink("../../../../../../etc/passwd", tmp_path / "passwd")
    assert "is not in the build context" in fails(builder, tmp_path, "FROM busybox\nCOPY shadow /s")
    assert "is not in the build context" in fails(builder, tmp_path, "FROM busybox\nCOPY passwd /s")
    text = "FROM busybox AS one\nRUN ln -s /etc/hostname-of-nobody /link\nFROM busybox\nCOPY --from=one /link /x"
    assert "is not in the" in fails(builder, tmp_path, text)
    text = "FROM busybox\nRUN --mount=source=shadow,target=/s cat /s"
    assert "is not in the build context" in fails(builder, tmp_path, text)
    # A link in the image at the target of a copy stays inside the image.
    (tmp_path / "f").write_text("x")
    build(builder, tmp_path, f"FROM busybox\nRUN ln -s {tmp_path} /out\nCOPY f /out/copied")
    assert not (tmp_path / "copied").exists()


def test_two_builds_with_a_timestamp_are_the_same_image(builder, new_store, images, tmp_path):
    (tmp_path / "f").write_text("x")
    text = "FROM busybox\nWORKDIR /w\nCOPY f .\nRUN echo hi > g && mkdir -p d/e && ln g h"
    build(builder, tmp_path, text, "--timestamp", "1000000000")
    first = builder("images", "-q", "--no-trunc", "--digests", "built").stdout
    other = new_store()
    other("pull", "-q", images.busybox)
    other("tag", images.busybox, "busybox")
    os.utime(tmp_path / "f", (5, 5))
    build(other, tmp_path, text, env={"SOURCE_DATE_EPOCH": "1000000000"})
    assert other("images", "-q", "--no-trunc", "--digests", "built").stdout == first
    assert image(other).document["created"] == "2001-09-09T01:46:40Z"


def test_the_results_are_written_where_they_are_asked_for(builder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("x")
    progress = build(
        builder,
        context,
        "FROM scratch\nCOPY --chown=5:6 f /d/f",
        *("--iidfile", str(out / "id"), "--metadata-file", str(out / "meta")),
        *("-o", f"type=local,dest={out}/local", "-o", f"type=tar,dest={out}/tree.tar"),
        *("-o", f"type=oci,dest={out}/oci.tar", "-t", "second:1"),
    )
    assert "second:1" in progress
    image_id = builder("images", "-q", "--no-trunc", "built").stdout.strip()
    assert (out / "id").read_text() == image_id
    assert json.loads((out / "meta").read_text())["containerimage.config.digest"] == image_id
    assert (out / "local" / "d" / "f").read_text() == "x"
    assert os.stat(out / "local" / "d" / "f").st_uid == os.getuid()
    listed = subprocess.run(
        ["tar", "tvf", out / "tree.tar"], capture_output=True, text=True, check=True
    )
    assert "5/6" in listed.stdout
    listed = subprocess.run(
        ["tar", "tf", out / "oci.tar"], capture_output=True, text=True, check=True
    )
    assert "oci-layout" in listed.stdout


def test_the_context_may_come_over_standard_input(builder, tmp_path):
    said = builder("build", "-t", "built", "-", stdin="FROM busybox\nRUN true")
    assert "built" in said.stderr
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Dockerfile").write_text("FROM busybox\nCOPY f /f")
    (tmp_path / "f").write_text("x")
    tar = subprocess.run(["tar", "cz", "-C", tmp_path, "."], capture_output=True, check=True).stdout
    builder("build", "-t", "built", "-f", "sub/Dockerfile", "-", stdin=tar)
    assert image(builder).tree["f"].uid == 0
    builder("build", "-t", "built", "-f", "-", str(tmp_path), stdin="FROM busybox\nCOPY f /g")
    assert "g" in image(builder).tree


def test_git_repositories_are_contexts_and_sources(builder, tmp_path):
    repository = tmp_path / "repository.git"
    repository.mkdir()
    (repository / "Dockerfile").write_text("FROM busybox\nCOPY f /f")
    (repository / "f").write_text("one")
    git = ["git", "-C", str(repository), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    address = f"git+file://{repository}"
    builder("build", "-t", "built", f"{address}#main")
    assert "f" in image(builder).tree
    context = tmp_path / "context"
    context.mkdir()
    # The caller may name a repository of the host, a Dockerfile may not.
    text = "FROM busybox\nCOPY --from=repository / /r"
    build(builder, context, text, "--build-context", f"repository={address}#main")
    assert {"r/f", "r/Dockerfile"} <= set(image(builder).tree)
    assert "r/.git" not in image(builder).tree
    said = fails(builder, context, f"FROM busybox\nADD {address}#main /r")
    assert "cannot name a repository of the host" in said


@pytest.mark.parametrize("kind", ["local", "tar"])
def test_the_cache_moves_to_another_machine(builder, new_store, images, tmp_path, kind):
    text = (
        f"FROM busybox AS one\nRUN --mount=type=cache,target=/c,id={kind} echo x >> /c/f; date +%N > /o\n"
        "FROM busybox\nCOPY --from=one /o /o\nRUN date +%N > /p"
    )
    place = f"{tmp_path}/cache"
    context = tmp_path / "context"
    context.mkdir()
    build(builder, context, text, "--no-cache", "--cache-to", f"type={kind},dest={place}")
    first = builder("images", "-q", "--no-trunc", "built").stdout
    other = new_store()
    other("pull", "-q", images.busybox)
    other("tag", images.busybox, "busybox")
    progress = build(other, context, text, "--cache-from", f"type={kind},src={place}")
    assert ran(progress) == []
    assert other("images", "-q", "--no-trunc", "built").stdout == first
    lines = text.replace("date +%N > /o", "wc -l < /c/f > /o")
    build(other, context, lines, "--cache-from", f"type={kind},src={place}")
    assert other("run", "--rm", "--network=none", "built", "cat", "/o").stdout == "2\n"


def test_the_cache_moves_through_a_registry(builder, new_store, images, tmp_path):
    reference = f"{images.registry.address}/cache:test"
    text = "FROM busybox\nRUN date +%N > /p"
    build(builder, tmp_path, text, "--no-cache", "--cache-to", reference)
    other = new_store()
    other("pull", "-q", images.busybox)
    other("tag", images.busybox, "busybox")
    assert ran(build(other, tmp_path, text, "--cache-from", reference)) == []
    builder("build", "-t", f"{images.registry.address}/pushed:1", "--push", str(tmp_path))
    other("pull", "-q", f"{images.registry.address}/pushed:1")


def test_stages_run_beside_each_other(builder, tmp_path):
    text = (
        "FROM busybox AS a\nRUN --mount=type=cache,id=meet,target=/m touch /m/a; i=0;"
        " while [ ! -e /m/b ]; do sleep 0.1; i=$((i+1)); [ $i -lt 100 ] || exit 1; done\n"
        "FROM busybox AS b\nRUN --mount=type=cache,id=meet,target=/m touch /m/b; i=0;"
        " while [ ! -e /m/a ]; do sleep 0.1; i=$((i+1)); [ $i -lt 100 ] || exit 1; done\n"
        "FROM busybox\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b"
    )
    build(builder, tmp_path, text, "--no-cache", "--jobs", "2")


def leftovers(rootless: Rootless) -> list[str]:
    return [
        f"{parent}/{name}"
        for parent in ("data/scratch", "run/scratch")
        if os.path.isdir(f"{rootless.home}/{parent}")
        for name in os.listdir(f"{rootless.home}/{parent}")
    ]


def wait_for(condition, limit_s: float = 10.0) -> None:
    limit = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_ctrl_c_leaves_nothing(builder, tmp_path):
    marker = f"sleep 3{os.getpid()}"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {marker}")
    process = builder.start("build", str(tmp_path), start_new_session=True)
    wait_for(lambda: _running(marker))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode != 0
    wait_for(lambda: not _running(marker))
    assert leftovers(builder) == []


def test_a_killed_build_leaves_scratch_at_most_and_the_next_one_works(builder, tmp_path):
    marker = f"sleep 4{os.getpid()}"
    text = f"FROM busybox\nRUN date +%N > /kept\nRUN [ ! -e /dev/never ] && {marker}"
    (tmp_path / "Dockerfile").write_text(text)
    process = builder.start("build", str(tmp_path), start_new_session=True)
    wait_for(lambda: _running(marker))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    wait_for(lambda: not _running(marker))
    assert ran(build(builder, tmp_path, "FROM busybox\nRUN date +%N > /kept\nRUN true")) == [
        "RUN true"
    ]


def test_a_prune_takes_nothing_from_a_running_build(new_store, images, tmp_path):
    """Neither its base image nor the layers that it has made by then."""
    rootless = new_store()
    rootless("pull", "-q", images.busybox)
    context, go = tmp_path / "context", tmp_path / "go"
    context.mkdir()
    go.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {images.busybox}\nRUN echo made > /made\n"
        "RUN touch /go/here; while [ ! -e /go/on ]; do sleep 0.05; done; cat /made > /copy"
    )
    argv = ("build", "-t", "built", "--network=none", "-v", f"{go}:/go", str(context))
    process = rootless.start(*argv)
    wait_for((go / "here").exists, 60)
    for prune in (("image", "prune", "-af"), ("system", "prune", "-af")):
        rootless(*prune)
    (go / "on").touch()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    line = ("run", "--rm", "--network=none", "built", "cat", "/copy", "/bin/busybox")
    assert rootless(*line).stdout.startswith("made\n")
    # With nobody in the way all of it goes.
    rootless("system", "prune", "-af")
    assert glob.glob(f"{rootless.home}/data/layers/*/*") == []


def _running(marker: str) -> bool:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if file.read().replace(b"\0", b" ").strip().decode(errors="replace") == marker:
                        return True
            except OSError:
                continue
    return False


def test_a_run_may_use_setuid_files_and_gains_no_further_capability(builder, tmp_path):
    """docs/adr/0012."""
    text = (
        "FROM busybox\nRUN cp /bin/busybox /bin/suid && chmod 4755 /bin/suid\n"
        "USER 1000\nRUN grep -E 'NoNewPrivs|CapBnd' /proc/self/status > /tmp/status"
    )
    inside = "grep -E NoNewPrivs|CapBnd /proc/self/status"
    build(builder, tmp_path, text)
    built = builder("run", "--rm", "--network=none", "built", "cat", "/tmp/status").stdout.split()
    running = builder("run", "--rm", "--network=none", "built", *inside.split()).stdout.split()
    assert built == [*running[:3], "0"]
    assert running[3] == "1"
    build(builder, tmp_path, text, "--no-cache", "--security-opt=no-new-privileges")
    told = builder("run", "--rm", "--network=none", "built", "cat", "/tmp/status").stdout.split()
    assert told == running


def test_a_vanished_layer_or_blob_is_made_again(builder, tmp_path):
    text = "FROM busybox\nRUN date +%N > /again"
    build(builder, tmp_path, text)
    blobs = f"{builder.home}/data/images/blobs/sha256"
    manifest = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{builder.home}/data/images:docker.io/library/built:latest"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    digest = json.loads(manifest.stdout)["layers"][-1]["digest"].partition(":")[2]
    os.unlink(f"{blobs}/{digest}")
    assert ran(build(builder, tmp_path, text)) == ["RUN date +%N > /again"]


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "vfs"])
def test_other_drivers_build_the_same(new_store, builder, images, tmp_path, driver):
    if driver == "fuse-overlayfs":
        require("fuse")
    other = new_store()
    other.environment["ROOTLESS_STORAGE_DRIVER"] = driver
    other("pull", "-q", images.busybox)
    other("tag", images.busybox, "busybox")
    (tmp_path / "f").write_text("x")
    text = (
        "FROM busybox AS one\nWORKDIR /w\nCOPY f .\nRUN rm /etc/group && cp f h && ln h g && mkdir d"
        " && ln /etc/passwd /w/linked\n"
        "FROM busybox\nCOPY --from=one --chown=3:4 /w /w\nCOPY --link f /linked/f\n"
        "RUN --mount=from=one,source=/w,target=/m test -f /m/g && rm -r /home && mkdir /home"
    )
    build(builder, tmp_path, text)
    build(other, tmp_path, text)
    assert trees.differences(image(other).tree, image(builder).tree, (driver, "overlay")) == []
    text = "FROM busybox\nRUN ln /etc/passwd /linked\nRUN touch /later"
    build(builder, tmp_path, text)
    build(other, tmp_path, text)
    assert image(other).tree["linked"].links == ("etc/passwd",)
    assert trees.differences(image(other).tree, image(builder).tree, (driver, "overlay")) == []


def test_run_builds_a_directory_if_anything_changed(builder, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY f /f\nRUN date +%N > /t\nCMD cat /f /t"
    )
    (tmp_path / "f").write_text("1\n")
    first = builder("run", "--rm", "-q", "--network=none", ".", cwd=tmp_path).stdout
    assert first.startswith("1\n")
    assert builder("run", "--rm", "-q", "--network=none", str(tmp_path)).stdout == first
    (tmp_path / "f").write_text("2\n")
    file = str(tmp_path / "Dockerfile")
    assert builder("run", "--rm", "-q", "--network=none", "-f", file).stdout.startswith("2\n")
    assert builder("run", "--rm", "-q", "--network=none", "-f", file, "echo", "x").stdout == "x\n"
    for verb in ("run", "create"):
        assert f"rootless {verb} needs IMAGE" in builder.fails(verb, "--name", "x")
