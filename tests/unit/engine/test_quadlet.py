"""podman's quadlet files as services, and containers as quadlets."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from rootless.engine.quadlet import Quadlet, Surroundings, quadlet_of, split
from rootless.engine.quadlets import translate
from rootless.engine.units import quoted
from rootless.errors import InvalidRequest

NEIGHBOURS = {
    "data.volume": ("data", "data-volume.service"),
    "net.network": ("systemd-net", "net-network.service"),
}
HERE = Surroundings(("/bin/true",), {"ROOTLESS_HOME": "/s"}, "/etc/q", NEIGHBOURS.get)
WEB = """\
[Unit]
Description=A page
[Container]
Image=web
# several words, over two lines
Environment=A=1 "B=two words" \\
  C=%h
Environment=
Environment=D=4 'E=$x'
PublishPort=8080:80
PublishPort=8443:443
Volume=data.volume:/data:ro
Volume=./here:/here
Network=net.network:ip=10.1.1.1
User=7
Group=8
ReadOnly=yes
Exec=sh -c "echo \\"$$HOME\\"; a\\nb"
Notify=healthy
[Service]
Restart=always
[Install]
WantedBy=default.target
"""


def service(name, text):
    return Quadlet(name, text).service(HERE)


def test_a_container_is_a_service_that_runs_it():
    text = service("web.container", WEB)
    lines = text.splitlines()
    assert lines[:6] == [
        "[Unit]", "Description=A page", "Requires=data-volume.service", "After=data-volume.service",
        "Requires=net-network.service", "After=net-network.service",
    ]  # fmt: skip
    [start] = [line for line in lines if line.startswith("ExecStart=")]
    assert start == (
        "ExecStart=/bin/true run --replace --rm --name systemd-web -d --sdnotify=healthy --cgroups=split"
        " --env=D=4 --env=E=$x --publish=8080:80 --publish=8443:443 --volume=data:/data:ro"
        " --volume=/etc/q/./here:/here --network=systemd-net:ip=10.1.1.1 --user=7:8 --read-only=true web"
        r' sh -c "echo \"$$HOME\"; a\nb"'
    )
    assert {"Restart=always", "Type=notify", "KillMode=mixed", "Environment=ROOTLESS_HOME=/s"} <= {
        *lines
    }
    assert text.endswith("[Install]\nWantedBy=default.target\n")


def test_volumes_and_networks_are_made_once():
    volume = service("data.volume", "[Volume]\nVolumeName=data\nLabel=a=b c=d\n")
    assert "ExecStart=/bin/true volume create --ignore --label=a=b --label=c=d data\n" in volume
    memory = service("m.volume", "[Volume]\nType=tmpfs\nDevice=tmpfs\nOptions=size=1m\n")
    assert " --opt=type=tmpfs --opt=device=tmpfs --opt=o=size=1m " in memory
    network = service("net.network", "[Network]\nSubnet=10.1.0.0/16\nInternal=true\n")
    assert "create --ignore --subnet=10.1.0.0/16 --internal=true systemd-net\n" in network
    assert "RemainAfterExit=yes" in network


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.kube", "", "a.kube is not a quadlet that rootless knows"),
        ("a.container", "[Container]\nImage=x\n\nPod=p.pod\n", "a.container:4: Pod: rootless has nothing"),
        ("a.container", "[Container]\nImage=x.build\n", "a.container:2: Image: name an image"),
        ("a.container", "[Container]\nImage=x\nVolume=no.volume:/x", "a.container:3: Volume: there is no no.volume"),
        ("a.container", "[Container]\nExec=x\n", "needs one Image= or Rootfs="),
        ("a.container", "[Container]\nImage=x\n[Service]\nType=forking\n", "Type=notify or oneshot"),
        ("a.container", "[Containers]\n", r"a.container:1: unknown section \[Containers\]"),
        ("a.container", "Image=x\n", "a.container:1: neither a section nor KEY=VALUE"),
        ("a.volume", "[Volume]\nDevice=/dev/sda\n", "a.volume:2: Device: goes with Type=tmpfs and"),
        ("a.volume", "[Volume]\nCopy=true\n", "a.volume:2: Copy: rootless has nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_named_with_its_line(name, text, said):
    with pytest.raises(InvalidRequest, match=said):
        service(name, text)


def test_words_are_read_as_systemd_reads_them():
    assert split(r"""a "b c" d'e f' g\sh "" '"' x\ty""") == [
        "a", "b c", "de f", "g h", "", '"', "x\ty",
    ]  # fmt: skip


def test_a_container_as_a_quadlet_comes_back_the_same():
    flags = [
        ("detach", "true"), ("env", 'A=x y "$z" 100%'), ("publish", "8080:80"), ("volume", "./d:/d"),
        ("restart", "unless-stopped"), ("umask", "077"), ("health-cmd", "test -e /x"), ("label", "a=b"),
    ]  # fmt: skip
    text = quadlet_of("web", flags, ("image", "sh", "-c", 'echo "$HOME"\n'), "/srv")
    assert "[Container]\nContainerName=web\nImage=image\n" in text
    assert "PodmanArgs=--umask=077\n" in text
    assert "Restart=always" in text
    quadlet = Quadlet("web.container", text)
    words = [flag for call in quadlet.calls(HERE) for flag in call.flags]
    assert words == [
        '--env=A=x y "$$z" 100%%', "--publish=8080:80", "--volume=/srv/d:/d", "--umask=077",
        "--health-cmd=test -e /x", "--label=a=b",
    ]  # fmt: skip
    assert r'image sh -c "echo \"$$HOME\"\n"' in quadlet.service(HERE)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_understands_the_services(tmp_path):
    texts = {
        "web.service": service("web.container", WEB),
        "data-volume.service": service("data.volume", "[Volume]\n"),
        "net-network.service": service("net.network", "[Network]\n"),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *(str(tmp_path / name) for name in texts)],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not [line for line in done.stderr.splitlines() if ".service:" in line], done.stderr


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ReadOnly=true\\", "web.container:3: the file ends where this line goes on"),
        ("Group=8", "web.container:3: Group: needs User="),
        ("Exec=a\x0bb", "web.container:3: a character that cannot be printed"),
        ("Exec=a\rExecStartPre=/bin/evil", "web.container:3: a character that cannot be printed"),
        ("ServiceName=../../evil", "cannot be the name of a service"),
        ("ServiceName=-x", "cannot be the name of a service"),
    ],
)
def test_what_would_be_lost_or_read_otherwise_is_refused(line, reason):
    with pytest.raises(InvalidRequest, match=re.escape(reason)):
        service("web.container", f"[Container]\nImage=x\n{line}")


def test_nothing_is_written_for_a_folder_that_would_be_lines_of_the_unit(tmp_path):
    folder = tmp_path / "x\n[Service]\nExecStartPre=touch pwned\n#"
    folder.mkdir()
    (folder / "a.container").write_text("[Container]\nImage=x\n")
    with pytest.raises(InvalidRequest, match="control characters"):
        translate(str(folder / "a.container"), lambda command, words: None)


def test_a_carriage_return_is_no_line_end_in_a_word():
    assert quoted("a\rb") == '"a\\rb"'
