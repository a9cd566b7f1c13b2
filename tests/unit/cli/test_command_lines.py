"""A ``run -d`` that was typed, as a service does it in the foreground."""

from __future__ import annotations

import pytest

from rootless.cli.command_lines import without_detach

OURS = ("run", "--rm", "--replace", "--name", "web")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["-d", "image"], ["image"]),
        (["-dit", "image", "sh", "-d"], ["-i", "-t", "image", "sh", "-d"]),
        (["--detach=true", "-e", "-d", "image"], ["-e", "-d", "image"]),
        (["--name=x", "--name", "y", "-p", "80:80", "image"], ["-p", "80:80", "image"]),
        (["-dp80:80", "image"], ["-p80:80", "image"]),
        (["-de", "A=1", "image"], ["-e", "A=1", "image"]),
        (["--restart=always", "--memory=1g", "image"], ["--memory=1g", "image"]),
        (["-i=false", "-dt=false", "image"], ["-i=false", "-t=false", "image"]),
        (["-id=false", "--tty=false", "--rm=false", "image"], ["-i", "--tty=false", "image"]),
        (["-de=A=1", "-it", "image"], ["-e=A=1", "-i", "-t", "image"]),
        (["--restart", "always", "--rm", "--", "image"], ["--", "image"]),
        (["-d", "--cidfile", "x", "--label", "--rm", "image"], ["--label", "--rm", "image"]),
    ],
)
def test_it_keeps_what_is_the_containers(typed, kept):
    assert without_detach(typed, "web") == (*OURS, *kept)
