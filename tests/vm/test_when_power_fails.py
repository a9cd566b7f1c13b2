"""What a power failure leaves: the machine is cut off after one test, and boots again for the next.

The last file by name, because the tests before it have no machine any more then.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import CHECKOUT, Rootless
from tests.support.waiting import wait_until
from tests.vm.conftest import IMAGE, LAST_STEPS

pytestmark = [pytest.mark.kvm, pytest.mark.usefixtures("needs_user_manager")]
BOOTED_AGAIN = "ROOTLESS_TEST_BOOTED_AGAIN"
KEPT = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "ROOTLESS_TEST_MACHINE", "ROOTLESS_TEST_REQUIRE")
SCOPE = ("systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "--")
HOME = Path(os.path.expanduser("~"))
PROGRAM = HOME / "app" / "bin" / "rootless"


def installed():
    """rootless as a person has it, at a place and with a store that are there at the next boot."""
    own = Rootless(str(HOME / ".local/share/rootless"))
    for name in ("ROOTLESS_HOME", "PYTHONPATH", "XDG_CONFIG_HOME"):
        del own.environment[name]
    own.command = (str(PROGRAM),)
    return own


def install():
    shutil.copytree(f"{CHECKOUT}/rootless", HOME / "app/rootless")
    PROGRAM.parent.mkdir()
    PROGRAM.write_text(
        f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, {str(HOME / 'app')!r})\n"
        "from rootless.cli import main\nsys.exit(main())\n"
    )
    PROGRAM.chmod(0o755)


@pytest.mark.skipif(BOOTED_AGAIN in os.environ, reason="for the boot before")
def test_containers_will_run_when_the_power_fails(machine, tmp_path, request):
    archive = str(tmp_path / "busybox.tar")
    machine("save", "-q", "-o", archive, IMAGE)
    steps = request.config.stash.setdefault(LAST_STEPS, [])
    steps.append(lambda: leave_containers(archive))


def leave_containers(archive):
    """They run when the machine is cut off, which happens as soon as there is a command for the next boot."""
    install()
    own = installed()
    own("load", "-q", "-i", archive)
    # In scopes, as logins are: systemd ends what is left in the job's own cgroup, and waits for that.
    own.command = (*SCOPE, str(PROGRAM))
    program = ("--network", "none", IMAGE, "sh", "-c", "date >> /life; exec sleep 10000")
    said = own("run", "-d", "--name", "kept", "--restart", "always", *program).stderr
    assert "it starts container kept" in said
    assert "enable-linger" not in said  # this user lingers
    own("run", "-d", "--name", "passing", "--rm", *program)
    own("run", "-d", "--name", "plain", *program)
    assert len(own("ps", "-q").stdout.split()) == 3
    kept = [f"{each}={os.environ[each]}" for each in KEPT if each in os.environ]
    words = ["env", f"{BOOTED_AGAIN}=1", *kept]
    words += ["python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rsf", __file__]
    Path(os.environ["VM_OUT"], "again").write_text(shlex.join(words) + "\n", encoding="utf-8")


@pytest.mark.skipif(BOOTED_AGAIN not in os.environ, reason="for the boot after")
def test_after_the_boot_containers_are_as_their_policies_say():
    own = installed()

    def running():
        return sorted(own("ps", "--format", "{{.Names}}").stdout.split())

    try:
        wait_until(lambda: running() == ["kept"], "the containers", timeout_s=90)
    except AssertionError:
        unit = ("systemctl", "--user", "status", "rootless-start.service")
        said = subprocess.run(unit, capture_output=True, text=True, check=False).stdout
        pytest.fail(f"{running()} run\n{own('ps', '-a').stdout}\n{said}")
    assert own("exec", "kept", "wc", "-l", "/life").stdout.split()[0] == "2"
    states = own("ps", "-a", "--format", "{{.Names}} {{.Status}}").stdout.splitlines()
    ended = {each.partition(" ")[0]: each.partition(" ")[2] for each in states}
    assert ended["plain"].startswith("Exited (137)")  # and --rm took the passing one with it
    assert sorted(ended) == ["kept", "plain"]
    assert own("start", "plain").stdout == "plain\n"
    own("rm", "-f", "-t", "0", "--all")
    assert own("ps", "-aq").stdout == ""
