"""Named and anonymous volumes, as their users meet them."""

from __future__ import annotations

import json
import os

import pytest

IMAGE = """\
FROM {base}
RUN mkdir -p /srv/data/below && echo seed >/srv/data/seed && echo deep >/srv/data/below/deep \
 && chown -R 7:8 /srv/data && chmod 2750 /srv/data
VOLUME /srv/data
"""
RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def store(fresh_rootless, images):
    """A store of its own with busybox in it: what is counted is what the test made."""
    fresh_rootless("pull", "-q", images.busybox)
    return fresh_rootless


@pytest.fixture(scope="session")
def with_volume(rootless, busybox, tmp_path_factory) -> str:
    """An image that declares a volume with content of a user of its own."""
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(IMAGE.format(base=busybox))
    rootless("build", "-q", "--network", "none", "-t", "with-volume", str(context))
    return "with-volume"


def volumes(rootless, *flags):
    return rootless("volume", "ls", "-q", *flags).stdout.split()


def test_data_outlives_containers(store, images):
    store("volume", "create", "--label", "for=test", "data")
    store(*RUN, "-v", "data:/data", images.busybox, "sh", "-c", "echo kept >/data/file")
    assert store(*RUN, "-v", "data:/d:ro", images.busybox, "cat", "/d/file").stdout == "kept\n"
    refused = store(
        *RUN, "-v", "data:/d:ro", images.busybox, "sh", "-c", "echo x >/d/file", check=False
    )
    assert "Read-only" in refused.stderr
    store(*RUN, "--mount", "source=data,target=/d", images.busybox, "rm", "/d/file")
    [described] = json.loads(store("volume", "inspect", "data").stdout)
    assert described["Labels"] == {"for": "test"}
    assert json.loads(store("inspect", "data").stdout) == [described]
    assert os.listdir(described["Mountpoint"]) == []
    store("volume", "rm", "data")
    assert volumes(store) == []


def test_a_volume_in_use_is_not_removed(store, images):
    store("create", "--name", "first", "-v", "data:/data", images.busybox, "true")
    store("create", "--name", "second", "-v", "data:/data", images.busybox, "true")
    said = store.fails("volume", "rm", "data")
    assert "volume data is used by containers" in said
    assert "first" in said
    assert "second" in said
    assert store("volume", "prune", "-af").stdout == "Total reclaimed space: 0B\n"
    assert volumes(store) == ["data"]
    store("volume", "rm", "-f", "data")
    assert store("ps", "-aq").stdout == ""
    assert volumes(store) == []
    store("volume", "rm", "-f", "data")  # a missing one is no error by force
    assert "no volume data" in store.fails("volume", "rm", "data")


def test_listing_filters_and_formats(store, images):
    store("volume", "create", "-l", "a=b", "one")
    store("volume", "create", "two")
    anonymous = store("volume", "create").stdout.strip()
    store("create", "--name", "user", "-v", "two:/two", images.busybox, "true")
    assert volumes(store, "-f", "name=o") == ["one", "two"]
    assert volumes(store, "-f", "label=a") == ["one"]
    assert volumes(store, "-f", "label=a=c") == []
    assert volumes(store, "-f", "label!=a", "-f", "anonymous=false") == ["two"]
    assert volumes(store, "-f", "dangling=false") == ["two"]
    assert volumes(store, "-f", "anonymous=true") == [anonymous]
    assert store("volume", "ls").stdout.splitlines()[0].split() == ["DRIVER", "VOLUME", "NAME"]
    shown = store("volume", "ls", "--format", "{{.Name}} {{.Links}}").stdout
    assert "two 1\n" in shown
    assert {each["Name"] for each in json.loads(store("volume", "ls", "--format", "json").stdout)} == {
        "one", "two", anonymous
    }  # fmt: skip
    assert "unknown filter" in store.fails("volume", "ls", "-f", "colour=red")
    assert "neither true nor false" in store.fails(
        "volume", "prune", "-f", "--filter", "anonymous=yes"
    )
    assert "neither true nor false" in store.fails("network", "ls", "-f", "internal=yes")
    assert store("ps", "-aq", "-f", "volume=two").stdout != ""
    assert store("volume", "exists", "one").exit_code == 0
    assert store("volume", "exists", "three", check=False).exit_code == 1
    # Only what nobody named goes unless all was said.
    assert store("volume", "prune", "-f").stdout.startswith(anonymous)
    assert volumes(store) == ["one", "two"]
    assert store("volume", "prune", "-af").stdout.startswith("one\n")
    assert "two" in store("__complete", "fish", "volume", "rm", "").stdout


def test_names_that_are_no_names(store):
    for name in ("../x", "a/b", ".hidden", "a b", "\x1b[31m"):
        assert "no name for a volume" in store.fails("volume", "create", name)
    store("volume", "create", "a")
    assert "exists already" in store.fails("volume", "create", "a")
    store("volume", "create", "--ignore", "a")


def test_the_volume_of_an_image_is_filled_and_goes_with_its_container(rootless, with_volume):
    before = volumes(rootless)
    listed = rootless(*RUN, with_volume, "stat", "-c", "%u:%g %a %n", "/srv/data", "/srv/data/seed")
    assert listed.stdout == "7:8 2750 /srv/data\n7:8 644 /srv/data/seed\n"
    assert volumes(rootless) == before
    rootless("run", "--name", "keeper", "--network", "none", with_volume, "touch", "/srv/data/new")
    [mount] = json.loads(rootless("inspect", "keeper").stdout)[0]["Mounts"]
    assert (mount["Type"], mount["Destination"], mount["RW"]) == ("volume", "/srv/data", True)
    assert len(mount["Name"]) == 64
    rootless("rm", "keeper")
    assert mount["Name"] in volumes(rootless)
    # Files of a subordinate id are no obstacle.
    rootless("volume", "rm", mount["Name"][:12])
    assert volumes(rootless) == before
    rootless("create", "--name", "keeper", with_volume, "true")
    assert len(volumes(rootless)) == len(before) + 1
    rootless("rm", "-v", "keeper")
    assert volumes(rootless) == before


@pytest.mark.parametrize(("mode", "content"), [("tmpfs", "below\nseed\n"), ("ignore", "below\nseed\n")])  # fmt: skip
def test_image_volumes_may_be_had_otherwise(rootless, with_volume, mode, content):
    before = volumes(rootless)
    script = "ls /srv/data; grep -c ' /srv/data ' /proc/self/mountinfo; stat -f -c %T /srv/data"
    done = rootless(*RUN, "--image-volume", mode, with_volume, "sh", "-c", script, check=False)
    assert done.stdout.startswith(content + ("1\n" if mode == "tmpfs" else "0\n"))
    assert ("tmpfs" in done.stdout) == (mode == "tmpfs")
    assert volumes(rootless) == before


def test_a_new_volume_takes_what_the_image_has_there(rootless, with_volume, busybox):
    listed = rootless(*RUN, "-v", "filled:/srv/data", with_volume, "ls", "/srv/data").stdout
    assert listed == "below\nseed\n"
    rootless(*RUN, "-v", "filled:/srv/data", with_volume, "rm", "/srv/data/seed")
    assert rootless(*RUN, "-v", "filled:/srv/data", with_volume, "ls", "/srv/data").stdout == "below\n"  # fmt: skip
    owner = ("stat", "-c", "%u:%g", "/srv/data")
    done = rootless(*RUN, "-v", "bare:/srv/data:nocopy", with_volume, "sh", "-c", f"ls /srv/data; {' '.join(owner)}")  # fmt: skip
    assert done.stdout == "7:8\n"
    # Where the image has nothing, the volume belongs to whoever runs.
    mine = rootless(*RUN, "-u", "1000:10", "-v", "mine:/mine", busybox, "sh", "-c", "touch /mine/x; stat -c %u:%g /mine")  # fmt: skip
    assert mine.stdout == "1000:10\n"
    rootless("volume", "rm", "filled", "bare", "mine")


def test_volumes_from_shares_what_another_mounts(store, images, tmp_path):
    (tmp_path / "file").write_text("host")
    store(
        *("create", "--name", "holder", "-v", "data:/data", "-v", "/anonymous"),
        *("-v", f"{tmp_path}:/host:ro", images.busybox, "true"),
    )
    store(*RUN, "--volumes-from", "holder", images.busybox, "sh", "-c", "echo x >/anonymous/x; echo y >/data/y")  # fmt: skip
    seen = store(
        *RUN, "--volumes-from", "holder:ro", "-v", "/anonymous", images.busybox,
        "sh", "-c", "cat /data/y /host/file; ls /anonymous; echo z >/data/z", check=False,
    )  # fmt: skip
    assert seen.stdout == "y\nhost"
    assert "Read-only" in seen.stderr
    assert len(volumes(store)) == 2
    store("create", "--name", "heir", "--volumes-from", "holder", images.busybox, "true")
    store("rm", "-v", "holder")
    assert len(volumes(store)) == 2  # the heir has it still
    assert "two mounts on /a" in store.fails(
        *RUN, "-v", "data:/a", "--tmpfs", "/a/", images.busybox
    )
    assert "no container" in store.fails(*RUN, "--volumes-from", "nobody", images.busybox)


def test_a_container_that_does_not_come_into_being_leaves_no_volume(store, images):
    store("create", "--name", "taken", images.busybox, "true")
    store.fails("create", "--name", "taken", "-v", "/anonymous", images.busybox, "true")
    store.fails("run", "--network", "none", "--rm", "-v", "/anonymous", images.busybox, "/no/program", exit_code=127)  # fmt: skip
    assert volumes(store) == []
    assert "mount" in store("run", "--explain", "-v", "named:/x", images.busybox, "true").stdout
    assert volumes(store) == []
    assert "replaced" in store(
        *RUN, "--name", "taken", "--replace", "-v", "/a", images.busybox, "echo", "replaced"
    ).stdout  # fmt: skip
    assert volumes(store) == []


def test_export_and_import_bring_owners_and_all(store, images, tmp_path, new_store):
    script = "mkdir -m 700 /d/sub; echo secret >/d/sub/file; chown -R 33:44 /d; chmod 710 /d; ln -s sub /d/l"
    store(*RUN, "-v", "from:/d", images.busybox, "sh", "-c", script)
    archive = tmp_path / "volume.tar"
    store("volume", "export", "-o", str(archive), "from")
    other = new_store()
    other("pull", "-q", images.busybox)
    other("volume", "import", "to", str(archive))
    script = "stat -c '%u:%g %a %n' /d /d/sub /d/sub/file; cat /d/l/file"
    seen = other(*RUN, "-v", "to:/d", images.busybox, "sh", "-c", script).stdout
    assert seen == "33:44 710 /d\n33:44 700 /d/sub\n33:44 644 /d/sub/file\nsecret\n"
    assert "no volume none" in store.fails("volume", "export", "none")
    said = store.fails("volume", "import", "from", "-", stdin=b"no archive" * 200)
    assert "the archive for volume from is refused" in said
    assert "cannot read" in store.fails("volume", "import", "from", str(tmp_path / "none"))


def test_a_volume_may_be_a_directory_of_the_host(store, images, tmp_path):
    (tmp_path / "file").write_text("host")
    options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}")
    store("volume", "create", *options, "host")
    assert store(*RUN, "-v", "host:/h", images.busybox, "cat", "/h/file").stdout == "host"
    store("volume", "rm", "host")
    assert (tmp_path / "file").read_text() == "host"
    assert "not supported" in store.fails("volume", "create", "-o", "type=nfs", "other")
    assert "driver" in store.fails("volume", "create", "-d", "nfs", "other")


def test_a_volume_in_memory_begins_anew_in_each_container(rootless, busybox):
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=2m,uid=5,mode=700")
    rootless("volume", "create", *options, "memory")
    seen = rootless(*RUN, "-v", "memory:/v", busybox, "sh", "-c", "stat -c %u:%a /v; df -k /v | tail -n 1; touch /v/a").stdout  # fmt: skip
    assert seen.split()[:3] == ["5:700", "tmpfs", "2048"]
    assert rootless(*RUN, "-v", "memory:/v", busybox, "ls", "/v").stdout == ""
    assert "passwd" in rootless(*RUN, "-v", "memory:/etc", busybox, "ls", "/etc").stdout
    nothing = rootless(*RUN, "-v", "memory:/etc:nocopy", busybox, "ls", "/etc/passwd", check=False)
    assert nothing.exit_code == 1
    for command in ("export", "mount"):
        assert "in the memory of each container" in rootless.fails("volume", command, "memory")
    assert "cannot have O" in rootless.fails(*RUN, "-v", "memory:/v:O", busybox, "true")
    rootless("volume", "rm", "memory")
    refused = rootless.fails("volume", "create", "-o", "type=tmpfs", "-o", "o=foo=3", "x")
    assert "cannot have o=foo=3" in refused


def test_a_mounted_volume_is_where_it_always_is(rootless, busybox):
    rootless(
        "run", "--rm", "--network", "none", "-u", "7", "-v", "placed:/v", busybox, "touch", "/v/a"
    )
    place = rootless("volume", "mount", "placed").stdout.rstrip()
    assert place == rootless("volume", "inspect", "-f", "{{.Mountpoint}}", "placed").stdout.rstrip()
    assert rootless("unshare", "stat", "-c", "%u", f"{place}/a").stdout == "7\n"
    assert rootless("volume", "unmount", "placed").stdout == "placed\n"
    rootless("volume", "rm", "placed")
    assert "no volume placed" in rootless.fails("volume", "mount", "placed")
    assert "swarm" in rootless.fails("volume", "update", "placed")
    assert "plugins" in rootless.fails("volume", "reload")
