"""A Spec as any OCI runtime takes it: without our own words, and with what does not exist yet left out.  Pure."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.rootfs import Rootfs
    from rootless.runtime.spec import Mount, Spec

LAYERS = "io.rootless.layers"  # the directories that, stacked, are the root; the top one first
LEFT_OUT = "io.rootless.made-at-start"  # what rootless would write and mount there
SIMPLER = "io.rootless.simplified-system-calls"  # whose exceptions by argument are missing in it
_VERSION = (
    "1.0.0"  # crun refuses what calls itself newer than it is, and needs no more to understand this
)
_OURS = ("optional", "nocreate", "z", "Z", "rrw")
_OF_STACKS = ("fresh=", "subpath=")


def oci_document(
    spec: Spec, rootfs: Rootfs, *, seccomp: dict[str, Any] | None, exists: Callable[[str], bool]
) -> dict[str, Any]:
    """The runtime-spec document of a bundle whose ``rootfs`` holds the container's files.

    A root file system that is one directory already is named as it is.  ``exists`` says whether a source is there.
    """
    one_directory = rootfs.driver == "vfs" and len(rootfs.lower) == 1
    missing = [
        each["destination"]
        for each in spec["mounts"]
        if each["type"] == "bind" and not exists(each["source"])
    ]
    annotations = dict(spec.get("annotations", {}))
    annotations[LAYERS] = ":".join(rootfs.lower)
    if missing:
        annotations[LEFT_OUT] = " ".join(missing)
    linux: dict[str, Any] = dict(spec["linux"])
    if seccomp is not None:
        linux["seccomp"], simplified = _for_libseccomp(seccomp)
        if simplified:
            annotations[SIMPLER] = " ".join(simplified)
    return {
        **spec,
        "ociVersion": _VERSION,
        "root": {**spec["root"], "path": rootfs.lower[0] if one_directory else "rootfs"},
        "mounts": [_mount(each) for each in spec["mounts"] if each["destination"] not in missing],
        "annotations": annotations,
        "linux": linux,
    }


def _for_libseccomp(seccomp: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Without what libseccomp, which other runtimes use, cannot say: a rule for a call and exceptions from it.

    In a filter of ours the strictest rule counts.
    """
    whole = {name for rule in seccomp["syscalls"] if not rule.get("args") for name in rule["names"]}
    rules, simplified = [], set()
    for rule in seccomp["syscalls"]:
        names = [name for name in rule["names"] if not (rule.get("args") and name in whole)]
        simplified |= set(rule["names"]) - set(names)
        if names:
            rules.append({**rule, "names": names})
    return {**seccomp, "syscalls": rules}, sorted(simplified)


def _mount(mount: Mount) -> dict[str, Any]:
    options = list(mount.get("options", ()))
    if mount["type"] == "overlay":
        lower = ":".join(each[9:] for each in options if each.startswith("lowerdir="))
        options = [each for each in options if not each.startswith(("lowerdir=", *_OF_STACKS))]
        options.append(f"lowerdir={lower}")
    options = [each for each in options if not each.startswith("fresh=")]
    options = ["tmpcopyup" if each == "copy-up" else each for each in options]
    return {**mount, "options": [each for each in options if each not in _OURS]}
