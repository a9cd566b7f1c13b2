"""``cp``: docker's rules for where things go, in a container that runs, has stopped, or never ran."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest

CREATED, STOPPED, RUNNING = "created", "stopped", "running"
PREPARE = (
    "mkdir -p /in/dir/sub /in/empty; echo one >/in/dir/one; echo two >/in/dir/sub/two; echo f >/in/file;"
    " ln -s dir /in/todir; ln -s /in/file /in/tofile; ln -s nowhere /in/dangling"
)
# Source, target, and what is then found below the target's parent: a file, or a directory by its /one.
RULES = [
    ("file", "new", "new"),
    ("file", "old", "old"),
    ("file", "there", "there/file"),
    ("file", "there/", "there/file"),
    ("dir", "new", "new/one"),
    ("dir", "new/", "new/one"),
    ("dir", "there", "there/dir/one"),
    ("dir/", "there", "there/dir/one"),
    ("dir/.", "there", "there/one"),
    ("dir/.", "new", "new/one"),
    ("dir/sub/..", "there", "there/dir/one"),
    ("todir/", "there", "there/todir/one"),
]
REFUSED = [
    ("file", "missing/", "no directory"),
    ("file", "missing/new", "no directory"),
    ("dir", "old", "cannot copy a directory to the file"),
    ("file/", "there", "Not a directory"),
    ("nothing", "there", "no file or directory"),
    ("file", "old/", "is not a directory"),
]


@pytest.fixture(scope="module", params=[CREATED, STOPPED, RUNNING])
def container(request, rootless, busybox):
    """A container in each state, with files below /in."""
    name = f"copy-{request.param}"
    script = PREPARE if request.param == STOPPED else f"{PREPARE}; exec sleep 1000"
    if request.param == CREATED:
        rootless("create", "--name", name, "--network", "none", busybox, "true")
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            _add_like_script(archive)
        rootless("cp", "-", f"{name}:/", stdin=content.getvalue())
    else:
        verb = ("run", "-d") if request.param == RUNNING else ("run",)
        rootless(*verb, "--name", name, "--network", "none", busybox, "sh", "-c", script)
        if request.param == RUNNING:
            from tests.support.waiting import wait_until

            ready = ("exec", name, "test", "-L", "/in/dangling")
            wait_until(lambda: rootless(*ready, check=False).exit_code == 0, what="the files")
    yield name
    rootless("rm", "-f", "-t", "0", name)


def _add_like_script(archive: tarfile.TarFile) -> None:
    for name, content in (("dir/one", "one\n"), ("dir/sub/two", "two\n"), ("file", "f\n")):
        entry = tarfile.TarInfo(f"in/{name}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content.encode()))
    for name, target in (("todir", "dir"), ("tofile", "/in/file"), ("dangling", "nowhere")):
        entry = tarfile.TarInfo(f"in/{name}")
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        archive.addfile(entry)
    entry = tarfile.TarInfo("in/empty")
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)


@pytest.fixture
def place(tmp_path):
    """A directory with something that a copy may meet, and the same sources as in the container."""
    (tmp_path / "there").mkdir()
    (tmp_path / "old").write_text("old\n")
    source = tmp_path / "in"
    subprocess.run(["sh", "-c", PREPARE.replace("/in/", f"{source}/")], check=True)
    return tmp_path


def _content(path: str) -> str:
    with open(path) as file:
        return file.read()


@pytest.mark.parametrize("container", [RUNNING, STOPPED], indirect=True, scope="module")
@pytest.mark.parametrize("rule", RULES)
def test_what_is_copied_out_lies_where_docker_puts_it(rootless, container, place, rule):
    source, target, found = rule
    rootless("cp", f"{container}:/in/{source}", str(place) + f"/{target}")
    assert _content(f"{place}/{found}") == ("f\n" if source == "file" else "one\n")
    assert os.lstat(f"{place}/{found}").st_uid == os.getuid()


def _prepared(place) -> str:
    """For each rule a directory with something that a copy may meet."""
    for number in range(len(RULES)):
        (place / "rules" / f"{number}" / "there").mkdir(parents=True)
        (place / "rules" / f"{number}" / "old").write_text("old\n")
    return f"{place}/rules"


def _check(archive: bytes, rules: list[tuple[int, tuple[str, str, str]]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for number, (source, target, found) in rules:
            entry = tar.getmember(f"rules/{number}/{found}")
            assert (entry.uid, entry.gid) == (0, 0)
            file = tar.extractfile(entry)
            assert file is not None
            assert file.read() == (b"f\n" if source == "file" else b"one\n"), (source, target)


def test_what_is_copied_in_lies_where_docker_puts_it(rootless, container, place):
    rootless("cp", _prepared(place), f"{container}:/rules")
    for number, (source, target, _) in enumerate(RULES):
        rootless("cp", f"{place}/in/{source}", f"{container}:/rules/{number}/{target}")
    archive = rootless.start("cp", f"{container}:/rules", "-")
    _check(archive.communicate(timeout=60)[0], list(enumerate(RULES)))


@pytest.mark.parametrize("container", [RUNNING], indirect=True, scope="module")
@pytest.mark.parametrize("rule", REFUSED)
def test_what_cannot_be_is_refused_by_name(rootless, container, place, rule):
    source, target, problem = rule
    assert problem in rootless.fails("cp", f"{container}:/in/{source}", f"{place}/{target}")
    there = f"{container}:/refused-{os.urandom(4).hex()}"
    rootless("cp", str(place), there)
    said = rootless.fails("cp", f"{place}/in/{source}", f"{there}/{target}")
    assert problem in said
    assert f"container {container}" in said or "on this host" in said


@pytest.mark.parametrize("container", [RUNNING], indirect=True, scope="module")
def test_links_are_copied_unless_they_are_followed(rootless, container, place):
    rootless("cp", f"{container}:/in/tofile", f"{place}/link")
    assert os.readlink(f"{place}/link") == "/in/file"
    rootless("cp", "-L", f"{container}:/in/tofile", f"{place}/followed")
    assert _content(f"{place}/followed") == "f\n"
    rootless("cp", f"{container}:/in/dangling", f"{place}/dangling")
    assert os.readlink(f"{place}/dangling") == "nowhere"
    assert "no file" in rootless.fails("cp", "-L", f"{container}:/in/dangling", f"{place}/x")


@pytest.mark.parametrize("container", [STOPPED], indirect=True, scope="module")
def test_a_file_does_not_replace_a_directory_unasked(rootless, container, place):
    (place / "there" / "file").mkdir()
    said = rootless.fails("cp", f"{container}:/in/file", f"{place}/there")
    assert "file on this host is a directory" in said
    rootless("cp", "--overwrite", f"{container}:/in/file", f"{place}/there")
    assert _content(f"{place}/there/file") == "f\n"


def test_owners_are_kept_with_archive(rootless, container, tmp_path, needs_subids):
    owned = io.BytesIO()
    with tarfile.open(fileobj=owned, mode="w") as archive:
        entry = tarfile.TarInfo("owned")
        entry.uid, entry.gid, entry.mode = 1000, 10, 0o640
        archive.addfile(entry)
    rootless("cp", "-", f"{container}:/in", stdin=owned.getvalue())
    rootless("cp", "-a", f"{container}:/in/owned", f"{tmp_path}/owned")
    assert os.stat(f"{tmp_path}/owned").st_uid not in (0, 1000, os.getuid())
    rootless("cp", "-a", f"{tmp_path}/owned", f"{container}:/in/back")
    back = subprocess.run(
        [*rootless.command, "cp", f"{container}:/in/back", "-"],
        env=rootless.environment, capture_output=True, check=True,
    ).stdout  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(back)) as tar:
        [entry] = tar.getmembers()
    assert (entry.uid, entry.gid, entry.mode) == (1000, 10, 0o640)
    rootless("unshare", "rm", f"{tmp_path}/owned")


def test_between_containers_and_within_one(rootless, container, busybox, tmp_path):
    other = rootless("create", "--network", "none", busybox, "true").stdout.strip()
    rootless("cp", f"{container}:/in/dir", f"{other}:/moved")
    rootless("cp", f"{other}:/moved", f"{other}:/twice")
    rootless("cp", f"{other}:/twice/sub/two", str(tmp_path))
    assert _content(f"{tmp_path}/two") == "two\n"
    rootless("rm", other)


def test_volumes_are_seen_whether_it_runs_or_not(rootless, busybox, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "seen").write_text("seen\n")
    rootless(
        *("create", "--name", "bound", "--network", "none"),
        *("-v", f"{tmp_path}/data:/data", busybox, "sleep", "1000"),
    )
    rootless("cp", "bound:/data/seen", f"{tmp_path}/out")
    rootless("start", "bound")
    rootless("cp", f"{tmp_path}/out", "bound:/data/new")
    assert _content(f"{tmp_path}/data/new") == "seen\n"
    rootless("rm", "-f", "-t", "0", "bound")


def test_a_copy_leaves_nothing_and_the_container_startable(rootless, busybox, tmp_path):
    rootless("create", "--rm", "--name", "later", "--network", "none", busybox, "cat", "/etc/x")
    (tmp_path / "x").write_text("from outside\n")
    rootless("cp", f"{tmp_path}/x", "later:/etc/x")
    assert rootless("ps", "-a", "--filter", "name=later", "--format", "{{.State}}").stdout == (
        "created\n"
    )
    assert rootless("start", "-a", "later").stdout == "from outside\n"


@pytest.mark.parametrize("container", [STOPPED], indirect=True, scope="module")
def test_what_is_no_copy_is_refused(rootless, container, tmp_path):
    assert "neither the source" in rootless.fails("cp", "/etc/passwd", str(tmp_path))
    assert "no container 'absent'" in rootless.fails("cp", "absent:/x", str(tmp_path))
    assert "CONTAINER:PATH" in rootless.fails("cp", f"{container}:", str(tmp_path))
    damaged = rootless.fails("cp", "-", f"{container}:/", stdin=b"no archive at all" * 100)
    assert "Error: " in damaged
    assert "not a directory" in rootless.fails("cp", "-", f"{container}:/in/file", stdin=b"")


def test_podman_agrees_on_where_things_go(images, place, podman):
    podman("pull", "-q", "--tls-verify=false", images.busybox)
    podman("create", "--name", "copy", images.busybox, "true")
    podman("cp", _prepared(place), "copy:/rules")
    # podman names the copy of a link after its target, and wants "dir" written without a slash.
    alike = [each for each in enumerate(RULES) if each[1][0] != "todir/" and each[1][1] != "new/"]
    for number, (source, target, _) in alike:
        podman("cp", f"{place}/in/{source}", f"copy:/rules/{number}/{target}")
    podman("cp", "copy:/rules", f"{place}/out")
    for number, (source, target, found) in alike:
        expected = "f\n" if source == "file" else "one\n"
        assert _content(f"{place}/out/{number}/{found}") == expected, (source, target)
    podman("rm", "copy")


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "vfs"])
def test_other_drivers_are_mounted_for_the_moment(rootless, busybox, tmp_path, needs_fuse, driver):
    (tmp_path / "x").write_text("from outside\n")
    env = {"ROOTLESS_STORAGE_DRIVER": driver}
    rootless("create", "--name", "driven", "--network", "none", busybox, "cat", "/root/x", env=env)
    rootless("cp", f"{tmp_path}/x", "driven:/root/x", env=env, timeout_s=60)
    assert rootless("start", "-a", "driven", env=env).stdout == "from outside\n"
    rootless("cp", "driven:/root/x", f"{tmp_path}/back", env=env, timeout_s=60)
    assert _content(f"{tmp_path}/back") == "from outside\n"
    rootless("rm", "driven", env=env)
