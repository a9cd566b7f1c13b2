"""podman's quadlet files as services that call rootless (podman-systemd.unit(5)).  Pure.

What systemd expands in a command line, ``%h`` and ``${HOME}``, it expands in theirs as well: only words that we
add are escaped.
"""

from __future__ import annotations

import os

from rootless.engine.units import line_of, quoted, raw_line, word
from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MARK = "# Made by rootless quadlet from "
_KINDS = {"container": "Container", "volume": "Volume", "network": "Network"}
_PASSED_ON = ("Unit", "Service", "Install")
# One value, the last; quadlet's word: our flag.
ONE = {
    "Entrypoint": "entrypoint", "WorkingDir": "workdir", "HostName": "hostname", "IP": "ip", "IP6": "ip6",
    "StopSignal": "stop-signal", "StopTimeout": "stop-timeout", "Pull": "pull", "Memory": "memory",
    "PidsLimit": "pids-limit", "ShmSize": "shm-size", "Timezone": "tz", "UserNS": "userns",
    "LogDriver": "log-driver", "HealthCmd": "health-cmd", "HealthInterval": "health-interval",
    "HealthOnFailure": "health-on-failure", "HealthRetries": "health-retries",
    "HealthStartPeriod": "health-start-period", "HealthTimeout": "health-timeout", "Retry": "retry",
    "RetryDelay": "retry-delay", "SubUIDMap": "subuidname", "SubGIDMap": "subgidname", "CgroupsMode": "cgroups",
}  # fmt: skip
# As often as it is there, each the whole line.
EACH = {
    "AddHost": "add-host", "DNS": "dns", "DNSOption": "dns-option", "DNSSearch": "dns-search",
    "GroupAdd": "group-add", "LogOpt": "log-opt", "NetworkAlias": "network-alias", "PublishPort": "publish",
    "Tmpfs": "tmpfs", "Ulimit": "ulimit", "UIDMap": "uidmap", "GIDMap": "gidmap", "ExposeHostPort": "expose",
    "Network": "network", "Volume": "volume",
}  # fmt: skip
# Several words in a line.
WORDS = {
    "AddCapability": "cap-add", "DropCapability": "cap-drop", "AddDevice": "device", "Annotation": "annotation",
    "Environment": "env", "EnvironmentFile": "env-file", "Label": "label", "Mount": "mount",
    "Secret": "secret", "Sysctl": "sysctl",
}  # fmt: skip
SWITCHES = {
    "RunInit": "init", "ReadOnly": "read-only", "ReadOnlyTmpfs": "read-only-tmpfs", "EnvironmentHost": "env-host",
}  # fmt: skip
_SECURITY = {"SeccompProfile": "seccomp=", "Mask": "mask=", "Unmask": "unmask="}
# These are seen to where the command is put together.
_OTHERS = frozenset(
    ("Image", "Rootfs", "Exec", "ContainerName", "ServiceName", "User", "Group", "Notify", "AutoUpdate", "PodmanArgs")
)  # fmt: skip
_OF_VOLUMES = {"Label": "label", "Driver": "driver"}
_OPTIONS_OF_VOLUMES = {"Type": "type", "Device": "device", "Options": "o"}
_OF_NETWORKS = {
    "Label": "label", "Driver": "driver", "Subnet": "subnet", "Gateway": "gateway", "Options": "opt",
    "IPRange": "ip-range", "DNS": "dns",
}  # fmt: skip
_SWITCHES_OF_NETWORKS = {"Internal": "internal", "IPv6": "ipv6", "DisableDNS": "disable-dns"}
_OF_UNIT_NAMES = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.@\\")
_TRUE = ("1", "yes", "true", "on")
# What a service sees to itself.
_OURS = frozenset(
    ("detach", "name", "rm", "replace", "cidfile", "pidfile", "quiet", "sdnotify", "restart", "rootfs", "cgroups")
)  # fmt: skip


class Setting(NamedTuple):
    """One line ``key=value`` of a section."""

    section: str
    key: str
    value: str
    line: int


class Call(NamedTuple):
    """What a setting becomes: flags of ``command``.  Whoever knows the flags can say what is wrong with them."""

    command: str
    flags: tuple[str, ...]
    setting: Setting


class Surroundings(NamedTuple):
    """``program`` is how rootless is called, ``directory`` where the file is, ``escaped``.

    ``neighbour`` finds what ``web.volume`` or ``web.network`` calls its object and its service; None where there is none.
    """

    program: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    neighbour: Callable[[str], tuple[str, str] | None]


class Quadlet:
    """A file, by its name and text.  Raises InvalidRequest naming file and line for what it cannot be."""

    def __init__(self, name: str, text: str):
        self.name = name
        self.stem, _, kind = name.rpartition(".")
        if kind not in _KINDS or not self.stem:
            raise InvalidRequest(
                f"{name} is not a quadlet that rootless knows",
                hint="NAME.container, .volume or .network",
            )
        self.command = "run" if kind == "container" else f"{kind} create"
        self.section = _KINDS[kind]
        self.settings = tuple(self._parse(text))
        suffix = "" if kind == "container" else f"-{kind}"
        self.unit = (self.last("ServiceName") or f"{self.stem}{suffix}") + ".service"
        called = {"container": "ContainerName", "volume": "VolumeName", "network": "NetworkName"}[
            kind
        ]
        self.called = self.last(called) or f"systemd-{self.stem}"
        if self.unit[0] == "-" or not set(self.unit) <= _OF_UNIT_NAMES:
            raise InvalidRequest(
                f"{name}: {self.unit!r} cannot be the name of a service",
                hint="letters, digits and :-_.@ (systemd.unit(5))",
            )

    def fail(self, setting: Setting, reason: str) -> InvalidRequest:
        return InvalidRequest(f"{self.name}:{setting.line}: {setting.key}: {reason}")

    def _parse(self, text: str) -> Iterable[Setting]:
        section, pending, start = "", "", 0
        number = 0
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            if not line.replace("\t", " ").isprintable():
                raise InvalidRequest(
                    f"{self.name}:{number}: a character that cannot be printed: {line!r}"
                )
            stripped = line.strip()
            if stripped[:1] in ("#", ";") or not (stripped or pending):
                continue
            start = start if pending else number
            pending += stripped
            if pending.endswith("\\"):
                pending = pending[:-1] + " "
                continue
            whole, pending = pending, ""
            key, equals, value = whole.partition("=")
            if whole[0] == "[" and whole[-1] == "]":
                section = whole[1:-1]
                if section not in (*_PASSED_ON, self.section) and not section.startswith("X-"):
                    raise InvalidRequest(f"{self.name}:{number}: unknown section {whole}")
            elif not equals or not section:
                raise InvalidRequest(
                    f"{self.name}:{start}: neither a section nor KEY=VALUE: {whole}"
                )
            elif not section.startswith("X-"):
                yield Setting(section, key.strip(), value.strip(), start)
        if pending:
            raise InvalidRequest(
                f"{self.name}:{start}: the file ends where this line goes on: {pending}"
            )

    def all(self, key: str, section: str = "") -> list[Setting]:
        """The settings of a key; an empty one forgets those before it."""
        found: list[Setting] = []
        for each in self.settings:
            if (each.section, each.key) == (section or self.section, key):
                found = [*found, each] if each.value else []
        return found

    def last(self, key: str, section: str = "") -> str:
        found = self.all(key, section)
        return found[-1].value if found else ""

    def calls(self, surroundings: Surroundings) -> list[Call]:
        """What each setting becomes, in the order of the file."""
        known = {each.key for each in self.settings if each.section == self.section}
        kept = {id(each) for key in known for each in self.all(key)}
        return [
            Call(self.command, self._flags(each, surroundings), each)
            for each in self.settings
            if each.section == self.section and id(each) in kept
        ]

    def _flags(self, setting: Setting, surroundings: Surroundings) -> tuple[str, ...]:
        key, value = setting.key, setting.value
        one, several, switches = ONE, WORDS, SWITCHES
        if self.section != "Container":
            one, several, switches = {}, _OF_VOLUMES, {}
        if self.section == "Network":
            several, switches = _OF_NETWORKS, _SWITCHES_OF_NETWORKS
        if key in one:
            return (f"--{one[key]}={value}",) if setting == self.all(key)[-1] else ()
        if key in several:
            words = split(value) if key not in ("Subnet", "Gateway") else [value]
            return tuple(
                f"--{several[key]}={self._place(key, each, surroundings)}" for each in words
            )
        if key in switches:
            return (f"--{switches[key]}={str(value.lower() in _TRUE).lower()}",)
        if self.section == "Container":
            return self._flags_of_container(setting, surroundings)
        if key in ("VolumeName", "NetworkName", "ServiceName"):
            return ()
        if self.section == "Volume" and key in _OPTIONS_OF_VOLUMES:
            if self.last("Type") not in ("tmpfs", "bind", "none"):
                raise self.fail(setting, "goes with Type=tmpfs and Type=bind only")
            return (f"--opt={_OPTIONS_OF_VOLUMES[key]}={value}",)
        raise self.fail(setting, "rootless has nothing that does this")

    def _flags_of_container(self, setting: Setting, surroundings: Surroundings) -> tuple[str, ...]:
        key, value = setting.key, setting.value
        if key in EACH:
            return (f"--{EACH[key]}={self._resolved(setting, surroundings)}",)
        if key in _SECURITY:
            return tuple(f"--security-opt={_SECURITY[key]}{each}" for each in split(value))
        if key == "NoNewPrivileges":
            return ("--security-opt=no-new-privileges",) if value.lower() in _TRUE else ()
        if key == "Image" and value.endswith((".image", ".build")):
            raise self.fail(setting, "name an image; rootless build and pull make one beforehand")
        if key == "PodmanArgs":
            return tuple(split(value))
        if key == "AutoUpdate":
            return (f"--label=io.containers.autoupdate={value}",)
        if key == "User":
            group = self.last("Group")
            return (f"--user={value}:{group}" if group else f"--user={value}",)
        if key == "Group" and not self.last("User"):
            raise self.fail(setting, "needs User=")
        if key in _OTHERS:
            return ()
        raise self.fail(setting, "rootless has nothing that does this")

    def _place(self, key: str, value: str, surroundings: Surroundings) -> str:
        if key == "EnvironmentFile" and value[:1] not in ("/", "%"):
            return f"{surroundings.directory}/{value}"
        return value

    def _resolved(self, setting: Setting, surroundings: Surroundings) -> str:
        """A volume or network by the name that its own file gives it; a path from where the file is."""
        source, colon, rest = setting.value.partition(":")
        if source.endswith((".volume", ".network")):
            found = surroundings.neighbour(source)
            if found is None:
                raise self.fail(setting, f"there is no {source} beside it")
            source = found[0]
        elif setting.key == "Volume" and source.startswith("."):
            source = f"{surroundings.directory}/{source}"
        return source + colon + rest

    def needs(self, surroundings: Surroundings) -> list[str]:
        """The services of the volumes and networks that it names."""
        if self.section != "Container":
            return []
        sources = [
            each.value.partition(":")[0] for each in (*self.all("Volume"), *self.all("Network"))
        ]
        found = (
            surroundings.neighbour(each)
            for each in sources
            if each.endswith((".volume", ".network"))
        )
        return [each[1] for each in found if each is not None]

    def service(self, surroundings: Surroundings) -> str:
        """The text of the unit.  Raises InvalidRequest."""
        flags = [flag for call in self.calls(surroundings) for flag in call.flags]
        made = self._container if self.section == "Container" else self._object
        lines: list[str] = []
        for section in _PASSED_ON:
            own = [
                f"{key}={unit}"
                for unit in self.needs(surroundings)
                for key in ("Requires", "After")
            ]
            of_ours = {"Unit": own, "Service": made(flags, surroundings)}.get(section, [])
            given = [
                f"{each.key}={each.value}" for each in self.settings if each.section == section
            ]
            if given or of_ours:
                lines += [f"[{section}]", *given, *of_ours, ""]
        return "\n".join(lines)

    def _container(self, flags: list[str], surroundings: Surroundings) -> list[str]:
        kind = self.last("Type", "Service") or "notify"
        images = [*self.all("Image"), *self.all("Rootfs")]
        if len(images) != 1 or kind not in ("notify", "oneshot"):
            raise InvalidRequest(
                f"{self.name} needs one Image= or Rootfs=, and Type=notify or oneshot"
            )
        notify = self.last("Notify").lower()
        said = "healthy" if notify == "healthy" else "container" if notify in _TRUE else "conmon"
        ways = ["-d", f"--sdnotify={said}"] if kind == "notify" else []
        if not self.all("CgroupsMode"):
            ways.append("--cgroups=split")
        if images[0].key == "Rootfs":
            ways.append("--rootfs")
        command = [*ways, *flags, images[0].value, *split(self.last("Exec"))]
        call = line_of(surroundings.program)
        name = quoted(self.called)
        lines = [] if self.all("KillMode", "Service") else ["KillMode=mixed"]
        lines += ["Type=notify", "NotifyAccess=all"] if kind == "notify" else []
        return [
            *lines, "Delegate=yes", *_environment(surroundings),
            f"ExecStart={call} run --replace --rm --name {name} {raw_line(command)}",
            f"ExecStop={call} stop --ignore {name}",
            f"ExecStopPost=-{call} rm --force --volumes --ignore {name}",
        ]  # fmt: skip

    def _object(self, flags: list[str], surroundings: Surroundings) -> list[str]:
        words = raw_line([*self.command.split(), "--ignore", *flags, self.called])
        start = f"ExecStart={line_of(surroundings.program)} {words}"
        return ["Type=oneshot", "RemainAfterExit=yes", *_environment(surroundings), start]


def _environment(surroundings: Surroundings) -> list[str]:
    pairs = surroundings.environment.items()
    return [f"Environment={word(f'{key}={value}')}" for key, value in pairs]


def split(text: str) -> list[str]:
    """The words of a value, as systemd reads quotes and backslashes (systemd.syntax(7))."""
    words: list[str] = []
    word, quote, escaped, begun = "", "", False, False
    for char in text:
        if escaped:
            word += {"n": "\n", "t": "\t", "s": " ", "r": "\r"}.get(char, char)
            escaped = False
        elif char == "\\":
            escaped = begun = True
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, begun = char, True
        elif not quote and char.isspace():
            words += [word] if begun else []
            word, begun = "", False
        else:
            word += char
            begun = True
    return [*words, word] if begun else words


def quadlet_of(
    name: str, flags: Iterable[tuple[str, str]], words: Sequence[str], directory: str
) -> str:
    """A ``.container`` file for a ``run`` with these flags and words, typed in that directory."""
    keys = {flag: key for table in (ONE, EACH, WORDS, SWITCHES) for key, flag in table.items()}
    keys["user"] = "User"
    given = dict(flags)
    lines = [f"Description=Container {name}", "", "[Container]", f"ContainerName={name}"]
    lines.append(f"{'Rootfs' if given.get('rootfs') == 'true' else 'Image'}={escaped(words[0])}")
    lines += [_line(flag, value, directory, keys) for flag, value in flags if flag not in _OURS]
    if words[1:]:
        lines.append(f"Exec={raw_line(map(escaped, words[1:]))}")
    if given.get("sdnotify") in ("container", "healthy"):
        lines.append(f"Notify={'healthy' if given['sdnotify'] == 'healthy' else 'true'}")
    policy = given.get("restart", "on-failure").partition(":")[0]
    policy = {"unless-stopped": "always", "never": "no"}.get(policy, policy)
    lines += ["", "[Service]", f"Restart={policy}", "", "[Install]", "WantedBy=default.target", ""]
    return "\n".join(("[Unit]", *lines))


def _line(flag: str, value: str, directory: str, keys: Mapping[str, str]) -> str:
    """The line for a flag; paths are from where it was typed, and what no key can hold is podman's own flag."""
    if flag == "env-file" or (flag == "volume" and value[:1] == "."):
        value = os.path.normpath(os.path.join(directory, value))
    if flag not in keys or not value or value != " ".join(value.split()):
        return f"PodmanArgs={quoted(escaped(f'--{flag}={value}'))}"
    text = escaped(value)
    return f"{keys[flag]}={quoted(text) if flag in WORDS.values() else text}"


def escaped(text: str) -> str:
    """What stands for ``text`` where systemd expands dollars and percents."""
    return text.replace("%", "%%").replace("$", "$$")
