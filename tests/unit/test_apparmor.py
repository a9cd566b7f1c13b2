"""The profile that allows user namespaces to us, and to nobody else."""

from __future__ import annotations

import sys

from rootless.engine import apparmor


def test_the_profile_is_for_the_script_that_was_started(tmp_path, monkeypatch):
    script = tmp_path / "rootless"
    script.write_text("#!/usr/bin/python3\n")
    script.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(script)
    monkeypatch.setattr(sys, "argv", [str(link)])
    lines = apparmor.profile().splitlines()
    assert f'profile rootless "{script}" flags=(unconfined) {{' in lines
    assert "  userns," in lines


def test_without_a_script_it_is_for_the_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-m"])
    assert f'"{apparmor.program()}"' in apparmor.profile()
    assert "python" in apparmor.program()


def test_nothing_is_restricted_where_there_is_no_such_sysctl():
    assert not apparmor.is_restricted()
    apparmor.pass_through()  # returns
