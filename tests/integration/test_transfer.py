"""``diff``, ``export``, ``import`` and ``commit``: files from containers to images and archives and back."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import json
import subprocess
import tarfile
import threading

import pytest

CHANGE = (
    "rm -rf /home; mkdir /home /home/new; echo x >>/etc/passwd; rm /etc/group; echo n >/var/tmp/n;"
    " ln -s n /var/tmp/l; chmod 700 /root; mkfifo /var/tmp/p"
)
EXPECTED = [
    "C /etc", "D /etc/group", "C /etc/passwd", "C /home", "A /home/new", "D /home/user", "C /root",
    "C /var", "C /var/tmp", "A /var/tmp/l", "A /var/tmp/n", "A /var/tmp/p",
]  # fmt: skip


@pytest.fixture(scope="module")
def changed(rootless, busybox):
    """A container that has changed files, and has stopped."""
    rootless(
        *("run", "--name", "changed", "--network", "none", "-e", "A=1", "--label", "k=v"),
        *("-v", "/usr:/mounted:ro", busybox, "sh", "-c", CHANGE),
    )
    yield "changed"
    rootless("rm", "-f", "changed")


def test_diff_says_what_was_added_changed_and_deleted(rootless, changed):
    assert rootless("diff", changed).stdout.splitlines() == EXPECTED
    assert rootless("diff", "-l").stdout.splitlines() == EXPECTED
    document = json.loads(rootless("container", "diff", "--format", "json", changed).stdout)
    assert document["deleted"] == ["/etc/group", "/home/user"]
    assert "/etc/passwd" in document["changed"]
    assert "no container or image 'absent'" in rootless.fails("diff", "absent")


def test_diff_of_a_container_that_has_done_nothing_is_empty(rootless, busybox):
    rootless("run", "-d", "--name", "idle", "--network", "none", busybox, "sleep", "1000")
    assert rootless("diff", "idle").stdout == ""
    rootless("exec", "idle", "touch", "/root/x")
    assert rootless("diff", "idle").stdout.splitlines() == ["C /root", "A /root/x"]
    rootless("rm", "-f", "-t", "0", "idle")


def test_a_copied_container_is_compared_with_its_layers(new_store, images):
    """The driver vfs has no upper directory: trees are compared."""
    rootless = new_store()
    rootless.environment["ROOTLESS_STORAGE_DRIVER"] = "vfs"
    rootless("run", "--name", "copied", "--network", "none", images.busybox, "sh", "-c", CHANGE)
    assert rootless("inspect", "-f", "{{.Driver}}", "copied").stdout == "vfs\n"
    assert rootless("diff", "copied").stdout.splitlines() == EXPECTED
    assert b"n\n" in _export(rootless, "copied")
    rootless("commit", "copied", "made")
    assert rootless("image", "diff", "made").stdout.splitlines() == EXPECTED


def _export(rootless, name: str) -> bytes:
    command = [*rootless.command, "export", name]
    return subprocess.run(command, env=rootless.environment, capture_output=True, check=True).stdout


def test_export_holds_what_the_container_sees_without_its_mounts(rootless, changed):
    with tarfile.open(fileobj=io.BytesIO(_export(rootless, changed))) as tar:
        members = {each.name.removeprefix("./"): each for each in tar.getmembers()}
    assert members["var/tmp/n"].isfile()
    assert members["var/tmp/p"].isfifo()
    assert members["root"].mode == 0o700
    assert {"etc/group", "home/user", "mounted/bin"}.isdisjoint(members)
    assert "mounted" in members


def test_export_to_a_file_appears_when_it_is_whole(rootless, changed, tmp_path):
    rootless("export", "-o", f"{tmp_path}/out.tar", changed)
    assert [each.name for each in tmp_path.iterdir()] == ["out.tar"]
    with tarfile.open(f"{tmp_path}/out.tar") as tar:
        assert "var/tmp/n" in tar.getnames()
    assert "is a directory" in rootless.fails("export", "-o", str(tmp_path), changed)
    assert "cannot write" in rootless.fails("export", "-o", "/proc/nowhere/x", changed)


def test_export_and_import_bring_the_files_back(rootless, changed, tmp_path):
    archive = _export(rootless, changed)
    made = rootless(
        *("import", "-c", 'CMD ["cat","/var/tmp/n"]', "-m", "why", "-", "imported:1"),
        stdin=gzip.compress(archive, 1),
    ).stdout.strip()
    assert rootless("run", "--rm", "--network", "none", "imported:1").stdout == "n\n"
    [document] = json.loads(rootless("image", "inspect", "imported:1").stdout)
    assert (document["Id"], len(document["RootFS"]["Layers"])) == (made, 1)
    assert document["Comment"] == "why"
    assert rootless("image", "diff", "imported:1").exit_code == 0
    (tmp_path / "plain.tar").write_bytes(archive)
    plain = rootless("import", "-q", f"{tmp_path}/plain.tar").stdout.strip()
    assert rootless("run", "--rm", "--network", "none", plain, "cat", "/var/tmp/n").stdout == "n\n"
    rootless("rmi", "imported:1", plain)


def test_import_from_the_web(rootless, changed, tmp_path):
    (tmp_path / "files.tar").write_bytes(_export(rootless, changed))
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        rootless("import", f"{address}/files.tar", "webbed")
        assert "404" in rootless.fails("import", f"{address}/absent.tar")
        server.shutdown()
    assert (
        rootless("run", "--rm", "--network", "none", "webbed", "cat", "/var/tmp/n").stdout == "n\n"
    )
    rootless("rmi", "webbed")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_import_refuses_what_is_no_archive_and_stores_nothing(rootless, tmp_path):
    before = rootless("images", "-q").stdout
    (tmp_path / "text").write_text("no archive\n" * 1000)
    assert "Error" in rootless.fails("import", f"{tmp_path}/text", "nothing")
    assert "no file" in rootless.fails("import", f"{tmp_path}/absent")
    assert "--change 'RUN x' is not possible" in rootless.fails(
        "import", "-c", "RUN x", "-", stdin=b""
    )
    assert rootless("images", "-q").stdout == before


def test_commit_makes_an_image_that_runs_as_the_container_did(rootless, changed, tmp_path):
    made = rootless(
        *("commit", "-a", "me", "-m", "why", "-c", "CMD cat /var/tmp/n", "-c", "ENV=B=2"),
        *("--iidfile", f"{tmp_path}/id", changed, "committed:1"),
    ).stdout.strip()
    assert (tmp_path / "id").read_text() == made
    assert rootless("run", "--rm", "--network", "none", "committed:1").stdout == "n\n"
    [document] = json.loads(rootless("image", "inspect", "committed:1").stdout)
    assert {"A=1", "B=2"} < set(document["Config"]["Env"])
    assert document["Config"]["Labels"] == {"k": "v"}
    assert (document["Author"], document["Comment"]) == ("me", "why")
    assert rootless("image", "diff", "committed:1").stdout.splitlines() == EXPECTED
    rootless("rmi", "committed:1")


def test_commit_of_a_running_container_and_of_nothing_new(rootless, busybox):
    rootless("run", "-d", "--name", "live", "--network", "none", busybox, "sleep", "1000")
    rootless("commit", "live", "same")
    layers = "{{len .RootFS.Layers}}"
    assert rootless("image", "inspect", "-f", layers, "same").stdout == "1\n"
    rootless("exec", "live", "touch", "/root/x")
    rootless("commit", "-f", "docker", "live", "more")
    assert rootless("image", "inspect", "-f", layers, "more").stdout == "2\n"
    assert rootless("image", "diff", "more", "same").stdout.splitlines() == ["C /root", "A /root/x"]
    assert rootless("exec", "live", "ls", "/root").stdout == "x\n"
    rootless("rm", "-f", "-t", "0", "live")
    rootless("rmi", "same", "more")


def test_podman_reads_them_and_sees_the_same(rootless, busybox, images, podman, tmp_path):
    podman("pull", "-q", "--tls-verify=false", images.busybox)
    podman("create", "--name", "alike", images.busybox, "true")
    rootless("create", "--name", "alike", "--network", "none", busybox, "true")
    (tmp_path / "new").write_text("new\n")
    for run in (podman, rootless):
        run("cp", f"{tmp_path}/new", "alike:/var/tmp/new")
        run("cp", f"{tmp_path}/new", "alike:/etc/passwd")
    ours, theirs = (run("diff", "alike") for run in (rootless, podman))
    assert ours.stdout.splitlines() == sorted(theirs.splitlines(), key=lambda line: line[2:])
    podman("export", "-o", f"{tmp_path}/theirs.tar", "alike")
    rootless("export", "-o", f"{tmp_path}/ours.tar", "alike")
    rootless("import", f"{tmp_path}/theirs.tar", "from-podman")
    podman("import", f"{tmp_path}/ours.tar", "from-us")
    rootless("commit", "-f", "docker", "alike", "committed")
    rootless("save", "-o", f"{tmp_path}/saved.tar", "committed")
    podman("load", "-i", f"{tmp_path}/saved.tar")
    podman("rm", "alike")
    rootless("rm", "alike")
    rootless("rmi", "from-podman", "committed")
