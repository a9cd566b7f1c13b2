"""AppArmor's restriction of user namespaces (Ubuntu 23.10 and later): the profile that lifts it for us."""

from __future__ import annotations

import os
import sys

FILE = "/etc/apparmor.d/rootless"


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
