"""AppArmor's restriction of user namespaces (Ubuntu 23.10 and later), and the two ways around it.

Where the sysctl is 1, a program without a profile gets user namespaces in which it has no rights.  A
profile for our own file lifts that.  Until an administrator has put one in place, a program that has
such a profile can start us: what it executes stays in its profile, as an unconfined one has no transitions.
"""

from __future__ import annotations

import os
import sys

from rootless import files

FILE = "/etc/apparmor.d/rootless"
_SYSCTL = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_PASSED = "ROOTLESS_STARTED_BY"
# Programs that execute another one as it is; Ubuntu 24.04 has a profile for the first.
_STARTERS = ("busybox", "toybox")


def is_restricted() -> bool:
    """Whether programs without a profile are kept from user namespaces."""
    return files.text_or_empty(_SYSCTL).strip() == "1"


def pass_through() -> None:
    """Start this command again through a program that may make user namespaces, if there is one.

    Does nothing where nothing is restricted, where a profile holds for us, and for root.
    """
    if not is_restricted() or os.geteuid() == 0 or os.environ.get(_PASSED):
        return
    if files.text_or_empty("/proc/self/attr/current").strip("\0\n ") != "unconfined":
        return
    starter = find_starter()
    if starter is None or not sys.executable:
        return
    argv = [starter, "env", f"{_PASSED}={starter}", sys.executable, *sys.orig_argv[1:]]
    sys.stdout.flush()
    try:
        os.execv(starter, argv)
    except OSError:
        return


def find_starter() -> str | None:
    """The path of a program that has a profile with user namespaces and can execute us."""
    for name in _STARTERS:
        text = files.text_or_empty(f"/etc/apparmor.d/{name}")
        for line in text.splitlines():
            words = line.split()
            if words[:1] != ["profile"] or "flags=(unconfined)" not in line:
                continue
            path = next((word.strip('"') for word in words[1:] if word.strip('"')[:1] == "/"), "")
            if "userns" in text and os.access(path, os.X_OK):
                return path
    return None


def program() -> str:
    """The file whose execution AppArmor looks at: our script, or else the interpreter."""
    script = os.path.realpath(sys.argv[0])
    if os.path.basename(script) == "rootless" and os.access(script, os.X_OK):
        return script
    return os.path.realpath(sys.executable)


def profile() -> str:
    """The text of a profile that takes nothing away and allows user namespaces (apparmor.d(5))."""
    return (
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n\n"
        f'profile rootless "{program()}" flags=(unconfined) {{\n'
        "  userns,\n\n"
        "  include if exists <local/rootless>\n"
        "}\n"
    )


def install_command() -> str:
    """The one command that puts the profile in place."""
    return f"rootless doctor --apparmor-profile | sudo tee {FILE} && sudo apparmor_parser -r {FILE}"
