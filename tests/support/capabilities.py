"""What this machine can do, each with the reason why it cannot.

A test asks by fixture (``needs_fuse``).  What ``ROOTLESS_TEST_REQUIRE`` names ("all" or a list with
commas) must be there: then a missing capability is a failure and not a skip.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
import tempfile

CGROUPS = "/sys/fs/cgroup"


def _succeeds(*argv: str) -> str | None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        return None
    return f"{' '.join(argv[:4])} ... failed: {done.stderr.strip() or done.returncode}"


def _program(name: str) -> str | None:
    return None if shutil.which(name) else f"no program {name}"


def user_namespace() -> str | None:
    return _succeeds("unshare", "--user", "--map-root-user", "true")


def subordinate_ids() -> str | None:
    return _succeeds("unshare", "--user", "--map-root-user", "--map-auto", "true")


def single_id() -> str | None:
    """A plain user, so that the single-id map is the one that is left without helpers."""
    return "started as root" if os.geteuid() == 0 else user_namespace()


def overlay() -> str | None:
    with tempfile.TemporaryDirectory() as directory:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{directory}/{name}")
        options = "lowerdir=lower,upperdir=upper,workdir=work,userxattr"
        script = f"cd {directory} && mount -t overlay -o {options} overlay merged; s=$?; "
        # The kernel leaves work/work with mode 0 behind, which only root inside may remove.
        return _succeeds(
            *("unshare", "--user", "--mount", "--map-root-user", "sh", "-c"),
            f"{script} umount merged; rm -rf work/work; exit $s",
        )


def _opens(device: str) -> str | None:
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        return f"{device}: {error.strerror}"
    return None


def fuse() -> str | None:
    return _program("fuse-overlayfs") or _opens("/dev/fuse")


def tun() -> str | None:
    return _opens("/dev/net/tun")


def own_cgroup() -> str | None:
    """The directory of the cgroup v2 that this process is in; None on cgroup v1 or a hybrid."""
    if not os.path.exists(f"{CGROUPS}/cgroup.controllers"):
        return None
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            if line.startswith("0::"):
                return CGROUPS + line.strip().removeprefix("0::").rstrip("/")
    return None


def cgroup_delegation() -> str | None:
    directory = own_cgroup()
    if directory is None:
        return "no unified cgroup v2"
    return (
        None if os.access(directory, os.W_OK) else f"the cgroup {directory} is not delegated to us"
    )


def cgroup_controllers() -> str | None:
    """Memory, cpu and pids: the limits of which the effect can be seen."""
    reason = cgroup_delegation()
    if reason:
        return reason
    with open(f"{own_cgroup()}/cgroup.controllers", encoding="ascii") as file:
        missing = {"memory", "cpu", "pids"}.difference(file.read().split())
    return f"no controllers {' '.join(sorted(missing))}" if missing else None


def user_manager() -> str | None:
    path = f"{os.environ.get('XDG_RUNTIME_DIR', '/run/user/none')}/systemd/private"
    return None if os.path.exists(path) else "no systemd user manager"


def registry() -> str | None:
    return _program("docker-registry") or _program("skopeo") or busybox()


def busybox() -> str | None:
    return None if static_busybox() else "no static busybox (Debian: busybox-static)"


@functools.cache
def static_busybox() -> str | None:
    """The path of a busybox that needs no libraries."""
    for path in ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static"):
        if os.path.exists(path):
            # A dynamic program names its loader in an INTERP segment: readelf is not everywhere.
            with open(path, "rb") as file:
                if b"/ld-linux" not in file.read(4096) and b"/ld-musl" not in file.read(4096):
                    return path
    return None


def mmdebstrap() -> str | None:
    return _program("mmdebstrap") or subordinate_ids()


def newer_buildah() -> str | None:
    """A newer one than the host's, made when it is asked for the first time."""
    from tests.support import newer_buildah

    try:
        newer_buildah.buildah()
    except RuntimeError as error:
        return str(error)
    return None


def other_user() -> str | None:
    """Another ordinary user whom the tests may look at (never become)."""
    others = [u for u in pwd.getpwall() if 1000 <= u.pw_uid < 60000 and u.pw_uid != os.getuid()]
    return None if others else "there is no other ordinary user"


CAPABILITIES = {
    "user_namespace": user_namespace,
    "subids": subordinate_ids,
    "single_id": single_id,
    "overlay": overlay,
    "fuse": fuse,
    "tun": tun,
    "cgroup_delegation": cgroup_delegation,
    "cgroup_controllers": cgroup_controllers,
    "user_manager": user_manager,
    "busybox": busybox,
    "registry": registry,
    "mmdebstrap": mmdebstrap,
    "newer_buildah": newer_buildah,
    **{
        name.replace("-", "_"): functools.partial(_program, name)
        for name in (
            "podman",
            "buildah",
            "skopeo",
            "umoci",
            "crun",
            "pasta",
            "slirp4netns",
            "bwrap",
            "bindfs",
        )
    },
}
# What only the throw-away machine has (scripts/vm): "all" does not mean these elsewhere.
MACHINE_ONLY = frozenset({"cgroup_controllers", "user_manager"})


@functools.cache
def missing(name: str) -> str | None:
    """Why this machine lacks the capability; None when it has it.  Probed once."""
    try:
        return CAPABILITIES[name]()
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def is_required(name: str) -> bool:
    """Whether a missing capability is a failure here."""
    required = os.environ.get("ROOTLESS_TEST_REQUIRE", "").replace(" ", "").split(",")
    if os.environ.get("ROOTLESS_TEST_MACHINE"):
        return name in required or "all" in required
    return name in required or ("all" in required and name not in MACHINE_ONLY)
