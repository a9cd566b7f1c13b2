"""``doctor`` on confinement, networks and the login session."""

from __future__ import annotations

import os

from rootless import files, probes
from rootless.engine.doctor_finding import LESS, WORKS, Finding, boot_with, install
from rootless.kernel import landlock
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.host import HostFacts

_NEWER = "boot a newer kernel"
REGISTRY_TIMEOUT_S = 4.0


def confinement(host: HostFacts) -> list[Finding]:
    """What keeps programs of images from the kernel, each loaded once in a child."""
    found = []
    tried = (
        ("seccomp", probes.seccomp_works(), "filtering of system calls"),
        ("seccomp-notification", host.notification_loss, "emulation of other owners"),
    )
    for name, failure, lost in tried:
        found.append(
            Finding(name, LESS, "", failure.lower(), lost, _NEWER)
            if failure
            else Finding(name, WORKS)
        )
    version = landlock.abi()
    if version >= 2:
        found.append(Finding("landlock", WORKS, using=f"version {version}"))
    else:
        why = "this kernel has none, or it is not in the list lsm= of its command line"
        lost = "a second wall around files (--security-opt landlock=)"
        remedy = boot_with("lsm=landlock,lockdown,yama,integrity,apparmor,bpf")
        found.append(Finding("landlock", LESS, "", why, lost, remedy))
    return found


def network(host: HostFacts, tried: dict[str, str]) -> list[Finding]:
    """The TUN device, and the helpers that passed a transfer."""
    found = []
    if not os.path.exists("/dev/net/tun"):
        why, remedy = "/dev/net/tun is missing", "modprobe tun"
    elif not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        why, remedy = "/dev/net/tun may not be opened", "chmod 666 /dev/net/tun"
    else:
        why, remedy = tried.get("tun", "").lower(), "modprobe tun"
    lost = "a network of its own with a way out: only --network none and host"
    if why:
        return [Finding("tun", LESS, "--network none", why, lost, remedy)]
    found.append(Finding("tun", WORKS))
    failures = host.network_helper_losses
    works = [name for name, failure in failures.items() if not failure]
    if works:
        others = [f"{name}: {failure}" for name, failure in failures.items() if failure]
        if host.pasta_slowness is not None:
            works.reverse()
            others.append(f"pasta is slow: {host.pasta_slowness}")
        remark = f" ({'; '.join(others)})" if others else ""
        return [*found, Finding("network", WORKS, using=" or ".join(works) + remark)]
    why = "; ".join(failures.values())
    found.append(Finding("network", LESS, "--network none", why, lost, install("pasta")))
    return found


def session(host: HostFacts) -> list[Finding]:
    """What ends with the login, and what a long life uses up."""
    return [_runtime_directory(host), _linger(host), _keyrings()]


def _runtime_directory(host: HostFacts) -> Finding:
    path = os.environ.get("XDG_RUNTIME_DIR", "")
    if path and os.access(path, os.W_OK):
        return Finding("runtime-directory", WORKS, using=path)
    why = f"XDG_RUNTIME_DIR is {path}, which cannot be written" if path else ""
    return Finding(
        "runtime-directory",
        LESS,
        using=f"/tmp/rootless-{host.uid}",
        why=why or "XDG_RUNTIME_DIR is not set: no login session (su, sudo, cron, ssh without PAM)",
        lost="limits by systemd; a directory that ends with the login",
        remedy=f"loginctl enable-linger {host.user} && export XDG_RUNTIME_DIR=/run/user/{host.uid}",
        who="you",
    )


def _linger(host: HostFacts) -> Finding:
    if not os.path.isdir("/run/systemd/system"):
        return Finding("linger", WORKS, using="no systemd: nothing ends at logout")
    if os.path.exists(f"/var/lib/systemd/linger/{host.user}"):
        return Finding("linger", WORKS, using="containers go on after logout")
    return Finding(
        "linger",
        LESS,
        using="containers live as long as your login",
        why=f"{host.user} does not linger",
        lost="detached containers after the last logout",
        remedy=f"loginctl enable-linger {host.user}",
        who="you",
    )


def _keyrings() -> Finding:
    """Keys of this user against the quota (keyrings(7)); a container of ours needs none of its own."""
    for line in files.text_or_empty("/proc/key-users").splitlines():
        words = line.split()
        if words[0].rstrip(":") == str(os.getuid()) and len(words) >= 5:
            used, _, allowed = words[3].partition("/")
            if int(allowed) and int(used) * 10 >= int(allowed) * 9:
                return Finding(
                    "keyrings",
                    LESS,
                    why=f"{used} of {allowed} keys are in use",
                    lost="nothing here; other container tools fail with: disk quota exceeded",
                    remedy=f"sysctl -w kernel.keys.maxkeys={max(2000, int(allowed) * 4)}",
                )
            return Finding("keyrings", WORKS, using=f"{used} of {allowed} keys")
    return Finding("keyrings", WORKS, using="none in use")


def registry(engine: Engine, host: str) -> Finding:
    """Whether a registry answers soon; proxies, mirrors and certificates as for ``pull``."""
    from threading import Thread

    answers: list[str] = []
    thread = Thread(target=lambda: answers.append(_ping(engine, host)), daemon=True)
    thread.start()
    thread.join(REGISTRY_TIMEOUT_S)
    why = answers[0] if answers else f"no answer within {REGISTRY_TIMEOUT_S:.0f} s"
    if not why:
        return Finding("registry", WORKS, using=host)
    return Finding(
        "registry",
        LESS,
        using="rootless image bootstrap, load",
        why=f"{host}: {why}",
        lost="pull and push",
        remedy=f"curl -v https://{host}/v2/",
        who="you",
    )


def _ping(engine: Engine, host: str) -> str:
    from rootless.engine import registries
    from rootless.errors import RegistryDenied, RootlessError
    from rootless.registry.client import Client
    from rootless.registry.http import Retry

    try:
        source = registries.load(engine).source_of_host(host)
        client = Client(source, retry=Retry()._replace(attempts=1))
        try:
            client.ping()
        finally:
            client.close()
    except RegistryDenied:
        return ""  # it answers
    except (RootlessError, OSError) as error:
        return str(error)
    return ""
