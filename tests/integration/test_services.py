"""What outlives a login: restart policies and boots, units, health checks by hand."""

from __future__ import annotations

import json
import os
import shlex
import time
from typing import TYPE_CHECKING

import pytest

from rootless.engine import Engine, boot
from rootless.runtime import container as store
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from rootless.events import Notice

PROGRAM = "trap 'exit 0' TERM; touch /dev/shm/ready; while :; do sleep 0.1; done"
DETACHED = ("run", "-d", "--network", "none")


@pytest.fixture
def service(rootless, busybox):
    """A container that runs unless it is stopped."""
    rootless(
        *(*DETACHED, "-t", "--name", "service", "--restart", "unless-stopped", "-e", "X=$1 %h"),
        *("--health-cmd", "test ! -e /root/bad", busybox, "sh", "-c", PROGRAM),
    )
    yield "service"
    rootless("rm", "-f", "-t", "0", "service")


def _to_start(rootless) -> list[str]:
    options = ("--filter", "should-start-on-boot=true", "--format", "{{.Names}}")
    return rootless("ps", "-a", *options).stdout.split()


def test_who_starts_at_boot(rootless, service, busybox):
    for policy in ("always", "on-failure", "no"):
        rootless("create", "--name", f"boot-{policy}", "--restart", policy, busybox, "true")
    assert sorted(_to_start(rootless)) == ["boot-always", "service"]
    rootless("stop", "-t", "0", service)
    assert _to_start(rootless) == ["boot-always"]
    rootless("start", service)
    assert sorted(_to_start(rootless)) == ["boot-always", "service"]
    # The monitor's end at a shutdown is nobody's wish that the container stays down.
    ready = ("exec", service, "test", "-e", "/dev/shm/ready")
    wait_until(lambda: rootless(*ready, check=False).exit_code == 0, what="the trap")
    monitor = store.find(_engine(rootless).paths, service).state()["monitor"]
    os.kill(monitor, 15)
    rootless("wait", service)
    assert sorted(_to_start(rootless)) == ["boot-always", "service"]
    shown = rootless("ps", "-a", "--filter", "restart-policy=always", "--format", "{{.Names}}")
    assert shown.stdout == "boot-always\n"
    rootless("rm", "boot-always", "boot-on-failure", "boot-no")


def _engine(rootless) -> Engine:
    before = os.environ.get("ROOTLESS_HOME")
    os.environ["ROOTLESS_HOME"] = rootless.home
    try:
        return Engine.open()
    finally:
        os.environ.pop("ROOTLESS_HOME")
        if before is not None:
            os.environ["ROOTLESS_HOME"] = before


def _said(rootless, name: str) -> list[Notice]:
    said: list[Notice] = []
    engine = _engine(rootless)
    boot.arrange(engine, store.find(engine.paths, name), said.append)
    return said


def test_a_unit_is_written_once_and_lingering_is_checked(rootless, service, tmp_path, monkeypatch):
    monkeypatch.delenv("ROOTLESS_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(boot, "has_user_manager", lambda: True)
    monkeypatch.setattr(boot, "_LINGER", str(tmp_path / "linger"))
    first, second = _said(rootless, service)
    unit = tmp_path / "systemd" / "user" / boot.UNIT
    assert f"wrote {unit}" in first.text
    assert "enable-linger" in second.text
    assert "start --all --filter should-start-on-boot=true" in unit.read_text()
    wanted = unit.parent / "default.target.wants" / boot.UNIT
    assert wanted.resolve() == unit
    (tmp_path / "linger").mkdir()
    import pwd

    (tmp_path / "linger" / pwd.getpwuid(os.getuid()).pw_name).touch()
    assert _said(rootless, service) == []


def test_without_systemd_the_crontab_gets_a_line(rootless, service, tmp_path, monkeypatch):
    table = tmp_path / "table"
    script = tmp_path / "crontab"
    script.write_text(f'#!/bin/sh\n[ "$1" = -l ] && exec cat {table}\nexec cat >{table}\n')
    script.chmod(0o755)
    table.write_text("# mine\n0 5 * * * true\n")
    monkeypatch.delenv("ROOTLESS_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(boot, "has_user_manager", lambda: False)
    [notice] = _said(rootless, service)
    assert notice.text.startswith("wrote to your crontab: @reboot ")
    lines = table.read_text().splitlines()
    assert lines[:2] == ["# mine", "0 5 * * * true"]
    assert lines[2].startswith("@reboot ")
    assert _said(rootless, service) == []
    assert table.read_text().splitlines() == lines


def test_who_runs_it_is_told_when_nothing_will_start_it(rootless, busybox):
    result = rootless(*DETACHED, "--rm", "--restart", "always", busybox, "true", check=False)
    rootless("rm", "-f", "-i", "-t", "0", result.stdout.strip())
    if result.exit_code == 0:
        assert "after a reboot" in result.stderr


def test_a_unit_of_a_container_runs_it(rootless, service, tmp_path):
    text = rootless("generate", "systemd", "--name", service).stdout
    assert f"ExecStop={rootless.command[0]} -m rootless stop --ignore --time 10 service\n" in text
    rootless("generate", "systemd", "--name", "--new", "--files", service, cwd=tmp_path)
    lines = (tmp_path / "container-service.service").read_text().splitlines()
    [start] = [line.partition("=")[2] for line in lines if line.startswith("ExecStart=")]
    words = shlex.split(start.replace("$$", "$").replace("%%", "%"))
    assert tuple(words[:3]) == rootless.command
    assert f"WorkingDirectory={os.getcwd()}" in lines
    running = rootless.start(*words[3:])
    wait_until(
        lambda: (
            rootless("inspect", "-f", "{{.HostConfig.AutoRemove}}", service, check=False).stdout
            == "true\n"
        ),
        what="the container made anew",
    )
    rootless("wait", "--condition", "running", service)
    assert "X=$1 %h" in rootless("exec", service, "env").stdout
    rootless("stop", "-t", "0", service)
    running.communicate(timeout=60)
    assert rootless("container", "exists", service, check=False).exit_code == 1


def test_a_quadlet_of_a_container_runs_it(rootless, service, tmp_path):
    rootless("generate", "quadlet", "--files", service, cwd=tmp_path)
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    file = str(tmp_path / "service.container")
    [path] = rootless("quadlet", "install", file, env=env).stdout.split()
    assert "is there already" in rootless.fails("quadlet", "install", file, env=env)
    rootless("quadlet", "install", "--replace", file, env=env)
    with open(path, encoding="utf-8") as unit:
        [start] = [line for line in unit if line.startswith("ExecStart=")]
    words = shlex.split(start.partition("=")[2].replace("$$", "$").replace("%%", "%"))
    rootless(*words[3:])
    assert "X=$1 %h" in rootless("exec", service, "env").stdout
    rootless("stop", "-t", "0", service)
    assert rootless("quadlet", "list", "-q", env=env).stdout == "service.service\n"
    assert rootless("quadlet", "rm", "service.container", env=env).stdout == "service.container\n"
    assert not os.path.exists(path)
    assert "no service was made" in rootless.fails("quadlet", "rm", "service", env=env)


def test_a_key_that_no_flag_can_be_is_named_with_its_line(rootless, tmp_path):
    (tmp_path / "a.container").write_text("[Container]\nImage=x\nMemory=much\n")
    said = rootless.fails("quadlet", "print", str(tmp_path / "a.container"))
    assert "a.container:3: Memory: --memory: 'much' is not a size" in said


def test_a_health_check_by_hand(rootless, service, busybox):
    assert rootless("healthcheck", "run", service).stdout == ""
    rootless("exec", service, "touch", "/root/bad")
    result = rootless("healthcheck", "run", service, check=False)
    assert (result.exit_code, result.stdout) == (1, "unhealthy\n")
    rootless("create", "--name", "checkless", busybox, "true")
    assert "has no health check" in rootless.fails("healthcheck", "run", "checkless")
    rootless("rm", "checkless")
    rootless("stop", "-t", "0", service)
    assert "is not running" in rootless.fails("healthcheck", "run", service)


def test_a_health_check_is_under_the_limits_of_its_container(
    rootless, busybox, needs_cgroup_delegation
):
    check = "cat /proc/self/cgroup >> /root/where"
    rootless(
        *("run", "-d", "--name", "limited", "--network", "none", "--health-interval", "50ms"),
        *("--health-cmd", check, busybox, "sleep", "1000"),
    )
    try:
        rootless("wait", "--condition", "healthy", "limited")
        rootless("healthcheck", "run", "limited")
        said = rootless("exec", "limited", "cat", "/root/where").stdout.split()
        assert {each for each in said if each.startswith("0::")} == {"0::/"}
    finally:
        rootless("rm", "-f", "limited")


def test_a_paused_container_is_not_checked(rootless, busybox, needs_cgroup_delegation):
    def checks():
        log = rootless("inspect", "-f", "{{json .State.Health.Log}}", "frozen").stdout
        return json.loads(log)

    rootless(
        *("run", "-d", "--name", "frozen", "--network", "none", "--health-interval", "50ms"),
        *("--health-cmd", "true", "--health-timeout", "100ms", busybox, "sleep", "1000"),
    )
    try:
        rootless("wait", "--condition", "healthy", "frozen")
        rootless("pause", "frozen")
        before = checks()
        time.sleep(1)  # many intervals
        assert checks() == before
        rootless("unpause", "frozen")
        wait_until(lambda: checks() != before, "the checks to go on")
        assert {each["ExitCode"] for each in checks()} == {0}
    finally:
        rootless("rm", "-f", "frozen")
