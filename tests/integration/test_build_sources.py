"""build: what comes from elsewhere - web, git, ssh agents - by real servers on loopback."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.builds import build, fails, image, ran
from tests.support.processes import named, running, using
from tests.support.waiting import wait_until
from tests.support.web import Page, Web

if TYPE_CHECKING:
    from collections.abc import Iterator

MODIFIED = 1_234_567_890


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.stop()


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def member_of(rootless, path: str) -> tarfile.TarInfo:
    """The tar entry of a file in the layers of what was built."""
    digests = image(rootless).document["rootfs"]["diff_ids"]
    assert digests
    shown = rootless("run", "--rm", "--network=none", "built", "stat", "-c", "%Y %a %u", path)
    entry = tarfile.TarInfo(path)
    mtime, mode, uid = shown.stdout.split()
    entry.mtime, entry.mode, entry.uid = int(mtime), int(mode, 8), int(uid)
    return entry


def test_files_of_the_web_are_fetched_once(builder, web, tmp_path):
    web.pages["/dir/file.txt"] = Page(b"one", MODIFIED, '"v1"')
    text = f"FROM busybox\nADD {web.address}/dir/file.txt /to/\nADD {web.address}/dir/file.txt /as"
    build(builder, tmp_path, text)
    for path in ("/to/file.txt", "/as"):
        found = member_of(builder, path)
        assert (found.mtime, found.mode, found.uid) == (MODIFIED, 0o600, 0)
    assert web.log.count("/dir/file.txt 200") == 1
    web.log.clear()
    assert ran(build(builder, tmp_path, text)) == []
    assert set(web.log) == {"/dir/file.txt 304"}
    # Another date of the same content changes nothing, another content does.
    web.pages["/dir/file.txt"] = Page(b"one", MODIFIED + 1, '"v2"')
    assert ran(build(builder, tmp_path, text)) == []
    web.pages["/dir/file.txt"] = Page(b"two", MODIFIED + 2, '"v3"')
    assert len(ran(build(builder, tmp_path, text))) == 2
    assert builder("run", "--rm", "--network=none", "built", "cat", "/as").stdout == "two"
    # What is kept is shared with builds, and never written into.
    kept = [path for path in Path(builder.home).rglob("web/sha256-*") if len(path.name) == 71]
    assert hashlib.sha256(b"two").hexdigest() in {path.name[7:] for path in kept}
    for path in kept:
        assert path.name == f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_checksum_is_checked_and_saves_the_request(builder, web, tmp_path):
    content = b"to be checked"
    web.pages["/checked"] = Page(content, etag='"c"')
    right = hashlib.sha256(content).hexdigest()
    text = (
        "FROM busybox\nADD --checksum=sha256:{} --chmod=755 --chown=3:4 "
        + f"{web.address}/checked /c"
    )
    assert "has the digest" in fails(builder, tmp_path, text.format("0" * 64), exit_code=125)
    build(builder, tmp_path, text.format(right))
    assert image(builder).tree["c"][1:4] == ("0o755", 3, 4)
    web.log.clear()
    assert ran(build(builder, tmp_path, text.format(right))) == []
    build(builder, tmp_path, text.format(right), "--no-cache")
    assert web.log == []
    sha512 = hashlib.sha512(content).hexdigest()
    build(builder, tmp_path, text.format(right).replace(f"sha256:{right}", f"sha512:{sha512}"))
    assert web.log == ["/checked 200"]


def test_archives_of_the_web_are_unpacked_when_asked(builder, web, tmp_path):
    web.pages["/a.tar.gz"] = Page(archive(**{"d/f": "inside"}))
    text = (
        f"FROM busybox\nADD {web.address}/a.tar.gz /kept\nADD --unpack {web.address}/a.tar.gz /un"
    )
    build(builder, tmp_path, text)
    assert {"kept", "un/d/f"} <= set(image(builder).tree)
    assert "404" in fails(builder, tmp_path, f"FROM busybox\nADD {web.address}/none /")


def test_contexts_of_the_web(builder, web):
    web.pages["/context.tar.gz"] = Page(
        archive(**{"sub/Dockerfile": "FROM busybox\nCOPY f /f", "f": "in the context"})
    )
    builder("build", "-t", "built", "-f", "sub/Dockerfile", f"{web.address}/context.tar.gz")
    assert builder("run", "--rm", "--network=none", "built", "cat", "/f").stdout == "in the context"
    web.pages["/Other"] = Page(b"FROM busybox\nRUN echo alone > /f")
    builder("build", "-t", "built", f"{web.address}/Other")
    assert builder("run", "--rm", "--network=none", "built", "cat", "/f").stdout == "alone\n"
    named = f"named={web.address}/context.tar.gz"
    text = "FROM busybox\nCOPY --from=named /f /g"
    builder("build", "-t", "built", "--build-context", named, "-", stdin=text)
    assert "g" in image(builder).tree
    assert "404" in builder.fails("build", f"{web.address}/nothing")


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Iterator[str]:
    """The git:// address of a repository with a tag, a branch and a directory, by git's own server."""
    top = tmp_path_factory.mktemp("git")
    place = top / "project"
    (place / "sub").mkdir(parents=True)
    (place / "Dockerfile").write_text("FROM busybox\nCOPY f /f")
    (place / "f").write_text("old")
    (place / "sub" / "Dockerfile").write_text("FROM busybox\nCOPY g /g")
    (place / "sub" / "g").write_text("below")
    git(place, "init", "-q", "-b", "main")
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", "one")
    git(place, "tag", "v1")
    (place / "f").write_text("new")
    git(place, "commit", "-q", "-a", "-m", "two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={top}", "--listen=127.0.0.1", f"--port={port}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: _answers(port), "git's server")
    yield f"git://127.0.0.1:{port}/project"
    server.terminate()
    server.wait()


def git(place: Path, *argv: str) -> str:
    command = ["git", "-C", str(place), "-c", "user.name=n", "-c", "user.email=e", *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("fragment", "path", "content"),
    [("", "/f", "new"), ("#v1", "/f", "old"), ("#main:sub", "/g", "below"), ("?tag=v1", "/f", "old")],
)  # fmt: skip
def test_contexts_of_a_git_server(builder, repository, fragment, path, content):
    builder("build", "-t", "built", f"{repository}{fragment}")
    assert builder("run", "--rm", "--network=none", "built", "cat", path).stdout == content


def test_files_of_a_git_server(builder, repository, tmp_path):
    text = (
        f"FROM busybox\nADD {repository}#v1:sub /one\nADD --keep-git-dir=true {repository} /two\n"
        f"ADD --checksum=0000000 {repository} /three"
    )
    said = fails(builder, tmp_path, text)
    assert "not 0000000" in said
    build(builder, tmp_path, text.rpartition("\n")[0])
    tree = image(builder).tree
    assert {"one/g", "two/f", "two/.git", "two/sub/g"} <= set(tree)
    assert "one/.git" not in tree
    missing = fails(builder, tmp_path, f"FROM busybox\nADD {repository}#no-such-branch /x")
    assert "no-such-branch" in missing
    # Neither programs nor keys of the host can be had by a clever address.
    trap = f"{repository}#--upload-pack=touch {tmp_path}/trapped;false"
    assert "is no branch" in fails(builder, tmp_path, f'FROM busybox\nADD ["{trap}", "/x"]')
    assert "is no branch" in builder.fails("build", trap)
    assert not (tmp_path / "trapped").exists()
    said = fails(builder, tmp_path, "FROM busybox\nADD git@host.example:me/private.git /x")
    assert "--ssh default" in said
    said = builder.fails("build", f"{repository}#main:../..")
    assert "leads out" in said


# The host's own ssh-add, seen through volumes, is what talks to the agent.
HOST_PROGRAMS = tuple(
    option
    for path in ("/usr", "/lib", "/lib64")
    if os.path.isdir(path)
    for option in ("-v", f"{path}:{path}:ro")
)


OWN_AGENT = "ssh-agent -D -a 1.sock.agent"


@pytest.fixture
def agent(tmp_path) -> Iterator[tuple[str, Path]]:
    """The socket of a real agent with one key, and that key's file."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    path = str(tmp_path / "agent.sock")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(path), "the agent")
    subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": path}, check=True)
    yield path, key
    process.terminate()
    process.wait()


def test_the_callers_agent_signs_for_a_build(builder, agent, tmp_path):
    path, key = agent
    public = (tmp_path / "key.pub").read_text().split()[1]
    context = tmp_path / "context"
    context.mkdir()
    text = (
        "FROM busybox\n"
        "RUN --mount=type=ssh --network=none ssh-add -L > /keys && ssh-add -T /dev/stdin < /keys"
        " && echo $SSH_AUTH_SOCK >> /keys && stat -c %a $SSH_AUTH_SOCK >> /keys"
        # It can be used, not changed.
        " && ! ssh-add -D && ! ssh-add -d /dev/stdin < /keys && ssh-add -l\n"
        "RUN --mount=type=ssh,uid=5,mode=0666,target=/s,id=default test $(stat -c %u:%a /s) = 5:666\n"
        'RUN test -z "$SSH_AUTH_SOCK"'
    )
    build(builder, context, text, *HOST_PROGRAMS, "--ssh=default", env={"SSH_AUTH_SOCK": path})
    shown = builder("run", "--rm", "--network=none", "built", "cat", "/keys").stdout
    assert public in shown
    assert shown.endswith("/run/buildkit/ssh_agent.0\n600\n")
    assert not {"s", "run/buildkit"} & set(image(builder).tree)
    listed = subprocess.run(
        ["ssh-add", "-L"],
        env={**os.environ, "SSH_AUTH_SOCK": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert public in listed.stdout
    # A key instead of an agent, and an agent by its socket.
    for source in (str(key), path):
        build(
            builder,
            context,
            text + f"\nENV s={source}",
            *HOST_PROGRAMS,
            "--ssh",
            f"default={source}",
            "--no-cache",
        )
    assert not named(OWN_AGENT)


def test_ssh_access_that_is_not_given(builder, tmp_path):
    text = 'FROM busybox\nRUN --mount=type=ssh{} test -z "$SSH_AUTH_SOCK"'
    said = fails(builder, tmp_path, text.format(",required=true"))
    assert "--ssh default" in said
    builder.environment.pop("SSH_AUTH_SOCK", None)
    said = fails(builder, tmp_path, text.format(""), "--ssh=default")
    assert "there is no ssh agent" in said


def test_an_agent_of_its_own_dies_with_a_killed_build(builder, agent, tmp_path):
    marker = f"sleep 5{os.getpid()}"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN --mount=type=ssh {marker}")
    process = builder.start("build", "--ssh", f"default={agent[1]}", str(tmp_path))
    wait_until(lambda: running(marker), "the RUN")
    assert named(OWN_AGENT)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not using(builder.home), "the end of all")
    assert not named(OWN_AGENT)
