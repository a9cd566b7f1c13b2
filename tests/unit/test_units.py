"""Units for systemd."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from rootless.engine.units import UnitRequest, boot_unit, container_unit
from rootless.errors import InvalidRequest

REQUEST = UnitRequest(
    name="web",
    description="Container web\nof %h",
    program=("/opt/a b/rootless",),
    environment={"ROOTLESS_HOME": "/srv/my store"},
    stop_timeout_s=10,
)


def test_a_unit_starts_and_stops_the_container():
    lines = container_unit(REQUEST).splitlines()
    assert 'ExecStart="/opt/a b/rootless" start --attach web' in lines
    assert 'ExecStop="/opt/a b/rootless" stop --ignore --time 10 web' in lines
    assert 'Environment="ROOTLESS_HOME=/srv/my store"' in lines
    assert "Description=Container web of %%h" in lines
    assert "TimeoutStopSec=70" in lines
    assert not any(line.startswith(("ExecStopPost", "WorkingDirectory")) for line in lines)


def test_words_mean_themselves_to_systemd():
    run = ("run", "image", "sh", "-c", 'echo "$HOME" 100% a\\b;\n', "")
    lines = container_unit(REQUEST._replace(run=run, directory="/x y")).splitlines()
    [start] = [line for line in lines if line.startswith("ExecStart=")]
    assert start.endswith(r'run image sh -c "echo \"$$HOME\" 100%% a\\b;\n" ""')
    assert "WorkingDirectory=/x y" in lines
    assert any(line.startswith("ExecStopPost=") for line in lines)


def test_an_unknown_policy_is_refused():
    with pytest.raises(InvalidRequest, match="no restart policy"):
        container_unit(REQUEST._replace(restart="sometimes"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_understands_them(tmp_path):
    request = REQUEST._replace(program=("/bin/true",), run=("run", "image", 'a "$b" %c'))
    (tmp_path / "container-web.service").write_text(container_unit(request))
    (tmp_path / "rootless-start.service").write_text(boot_unit(("/bin/true",)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *map(str, tmp_path.iterdir())],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not [line for line in done.stderr.splitlines() if ".service:" in line], done.stderr
