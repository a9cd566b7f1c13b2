"""One line of the ladder that ``doctor`` shows, and the commands that would raise it."""

from __future__ import annotations

from rootless.typed import NamedTuple

WORKS = "works"
LESS = "less"  # something else is taken, and something is lost
BROKEN = "broken"  # no container starts


class Finding(NamedTuple):
    """What was tried and what came of it.

    ``using`` is how it is done here, ``why`` the cause of a loss in the words of whoever refused,
    ``lost`` what that means, and ``remedy`` the one command that would change it; ``who`` types it
    (``administrator`` or ``you``).
    """

    name: str
    level: str
    using: str = ""
    why: str = ""
    lost: str = ""
    remedy: str = ""
    who: str = "administrator"


# The package that brings a program, by package manager; the first column is what names the manager.
_MANAGERS = {
    "apt-get install -y": ("debian", "ubuntu"),
    "dnf install -y": ("fedora", "rhel", "centos"),
    "zypper install -y": ("suse", "opensuse"),
    "pacman -S --noconfirm": ("arch",),
    "apk add": ("alpine",),
}
_PACKAGES = {
    "newuidmap": {
        "apt-get install -y": "uidmap",
        "dnf install -y": "shadow-utils-subid",
        "apk add": "shadow-subids",
        "pacman -S --noconfirm": "shadow",
        "zypper install -y": "shadow",
    },
    "pasta": {},
    "fuse-overlayfs": {},
    "slirp4netns": {},
}
_PACKAGES["pasta"] = dict.fromkeys(_MANAGERS, "passt")


def install(program: str) -> str:
    """The command that installs ``program`` on this distribution (os-release(5))."""
    manager = _manager()
    if not manager:
        return f"install the package of {program}"
    return f"{manager} {_PACKAGES.get(program, {}).get(manager, program)}"


def boot_with(argument: str) -> str:
    """The command that gives the kernel an argument from the next boot on."""
    if _manager().startswith("dnf"):
        return f"grubby --update-kernel=ALL --args={argument}"
    edit = f"sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{argument} /' /etc/default/grub"
    return f"{edit} && update-grub && reboot"


def _manager() -> str:
    import platform

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    like = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split()
    for manager, names in _MANAGERS.items():
        if any(each.startswith(names) for each in like):
            return manager
    return ""
