"""What starts containers again after a logout or a reboot: systemd's user manager, or cron.

There is no daemon, so ``--restart=always`` needs somebody: a unit is written, or a line of the crontab,
once, and whoever runs the container is told.
"""

from __future__ import annotations

import os
import sys

from rootless.engine.units import START_ALL, boot_unit
from rootless.events import Notice
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report
    from rootless.runtime.container import Container

UNIT = "rootless-start.service"
_ALWAYS = ("always", "unless-stopped")
_LINGER = "/var/lib/systemd/linger"


def arrange(engine: Engine, container: Container, report: Report) -> None:
    """See to it that a container which is to run always is started again; say what was done, or is missing."""
    if policy_of(container) not in _ALWAYS:
        return
    name = container.name
    if os.environ.get("ROOTLESS_HOME"):
        report(
            Notice(
                f"nothing starts container {name} after a reboot: ROOTLESS_HOME is for stores that come and"
                f" go; `rootless generate systemd {name}` makes a unit"
            )
        )
        return
    if has_user_manager():
        _by_systemd(name, report)
    elif crontab := _program("crontab"):
        _by_cron(name, crontab, report)
    else:
        report(
            Notice(
                f"nothing starts container {name} after a reboot: there is neither a user session of systemd"
                " nor crontab",
                "warning",
            )
        )


def policy_of(container: Container) -> str:
    """The name of its restart policy."""
    return str(container.record["settings"].get("restart") or "no").partition(":")[0]


def starts_on_boot(container: Container) -> bool:
    """Whether it is to run after a reboot: always, or unless somebody had stopped it."""
    policy = policy_of(container)
    return policy == "always" or (
        policy == "unless-stopped" and not container.record.get("stopped")
    )


def program() -> tuple[str, ...]:
    """How to call this rootless from elsewhere."""
    called = os.path.abspath(sys.argv[0])
    if os.path.basename(called) == "rootless" and os.access(called, os.X_OK):
        return (called,)
    return (sys.executable, "-m", "rootless")


def has_user_manager() -> bool:
    """Whether systemd manages this user's services (sd_booted(3), and its private socket)."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.path.isdir("/run/systemd/system") and os.path.exists(f"{runtime}/systemd/private")


def units_directory() -> str:
    """Where systemd looks for the units of this user (systemd.unit(5))."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return f"{config}/systemd/user"


def _by_systemd(name: str, report: Report) -> None:
    directory = units_directory()
    path = f"{directory}/{UNIT}"
    if not os.path.exists(path):
        from rootless import files

        try:
            os.makedirs(f"{directory}/default.target.wants", exist_ok=True)
            files.write_atomic(path, boot_unit(program()).encode(), mode=0o644, durable=False)
            os.symlink(f"../{UNIT}", f"{directory}/default.target.wants/{UNIT}")
        except FileExistsError:
            pass
        except OSError as error:
            report(Notice(f"cannot write {path}: {error.strerror}", "warning"))
            return
        run_program(("systemctl", "--user", "daemon-reload"))
        report(Notice(f"wrote {path}: it starts container {name}, and others like it, at boot"))
    elif not os.path.lexists(f"{directory}/default.target.wants/{UNIT}"):
        report(
            Notice(
                f"nothing starts container {name} at boot: `systemctl --user enable {UNIT}` would",
                "warning",
            )
        )
        return
    if not lingers():
        report(
            Notice(
                f"container {name} ends when you log out, and starts when you log in, not at boot:"
                " `loginctl enable-linger` changes that",
                "warning",
            )
        )


def lingers() -> bool:
    """Whether the user's services outlive logins (loginctl(1), enable-linger)."""
    import pwd

    try:
        return os.path.exists(f"{_LINGER}/{pwd.getpwuid(os.getuid()).pw_name}")
    except KeyError:
        return False


def _by_cron(name: str, crontab: str, report: Report) -> None:
    import shlex

    command = shlex.join((*program(), *START_ALL))
    line = "@reboot " + command.replace("%", "\\%")  # which is a line end there (crontab(5))
    before = run_program((crontab, "-l")) or ""
    if any(each.startswith("@reboot") and START_ALL[-1] in each for each in before.splitlines()):
        return
    text = f"{before.rstrip()}\n{line}\n".lstrip("\n")
    if run_program((crontab, "-"), given=text) is None:
        report(
            Notice(
                f"nothing starts container {name} after a reboot: cannot change your crontab",
                "warning",
            )
        )
        return
    report(Notice(f"wrote to your crontab: {line}"))


def _program(name: str) -> str | None:
    places = (f"{each}/{name}" for each in os.environ.get("PATH", os.defpath).split(":"))
    return next((each for each in places if os.access(each, os.X_OK)), None)


def run_program(argv: tuple[str, ...], *, given: str = "") -> str | None:
    """What a program says; None when it fails or is not there."""
    import subprocess

    try:
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
