"""What a container is, said in commands that every host has: mount(8), unshare(1), bwrap(1).  Pure.

They are for reading and trying.  What they cannot say - the system-call filter, masks that race with nobody -
is named in a comment and not left out in silence.
"""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.rootfs import Rootfs
    from rootless.runtime.spec import Mount, Spec
    from rootless.userns.idmap import IdMap

_FLAGS = {"network": "net", "mount": "mount", "pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_PLAIN = ("ro", "nosuid", "nodev", "noexec")


def commands(
    spec: Spec, rootfs: Rootfs, id_map: IdMap, *, exists: Callable[[str], bool]
) -> list[str]:
    """A shell script for unshare(1), and the lines that replace its last ones for bwrap(1)."""
    new = {each["type"] for each in spec["linux"]["namespaces"] if not each.get("path")}
    mounts = [each for each in spec["mounts"] if each["type"] != "bind" or exists(each["source"])]
    return [
        "# The same by hand: save it, and run it with sh.  Not in it:",
        *(f"# - {each}" for each in _left_out(spec, id_map, exists)),
        "dir=$(mktemp -d); mkdir $dir/root $dir/upper $dir/work",
        "cat > $dir/inside <<'END'  # what root of the new user namespace does",
        *_root(rootfs),
        *(line for each in mounts for line in _mount(each, new)),
        *_hiding(spec),
        *_program(spec),
        "END",
        " ".join(_unshare(id_map, new)),
        "# With bubblewrap, instead of the lines after the first mount:",
        f"#   {_bubblewrap(spec, mounts, new)}",
        "rm -rf $dir 2>/dev/null || unshare --user --map-root-user --map-auto rm -rf $dir",
    ]


def _left_out(spec: Spec, id_map: IdMap, exists: Callable[[str], bool]) -> Iterator[str]:
    """What these commands do not do."""
    yield "the seccomp filter (rootless run --explain=json has it)"
    if any(
        each["type"] == "network" and not each.get("path") for each in spec["linux"]["namespaces"]
    ):
        yield "a way out of the new network namespace: that is a helper's work"
    joined = [each["type"] for each in spec["linux"]["namespaces"] if each.get("path")]
    if joined:
        yield f"joining the {' and '.join(joined)} namespace of another container: nsenter(1)"
    if id_map.uids[0].inside != 0 or id_map.uids[0].size != 1:
        yield "the id map: that of --map-auto is another one"
    files = [
        each["destination"]
        for each in spec["mounts"]
        if each["type"] == "bind" and not exists(each["source"])
    ]
    if files:
        yield f"files that are written when a container starts: {' '.join(files)}"


def _unshare(id_map: IdMap, new: set[str]) -> Iterator[str]:
    yield "unshare --user --map-root-user"
    if not id_map.is_single:
        yield "--map-auto"
    for kind, flag in _FLAGS.items():
        if kind in new:
            yield f"--{flag}"
    yield "--fork --kill-child"
    yield 'sh -eu "$dir/inside" "$dir"'


def _root(rootfs: Rootfs) -> Iterator[str]:
    yield "dir=$1; root=$dir/root"
    if len(rootfs.lower) == 1 and not rootfs.upper:
        yield f"mount --bind {_quoted(rootfs.lower[0])} $root"
        return
    lower = ":".join(each.replace("\\", "\\\\").replace(":", "\\:") for each in rootfs.lower)
    words = f"lowerdir={lower},upperdir=$dir/upper,workdir=$dir/work,userxattr"
    yield f'mount -t overlay overlay -o "{words}" $root'


def _mount(mount: Mount, new: set[str]) -> Iterator[str]:
    target, options = mount["destination"], list(mount.get("options", ()))
    place = f"$root{_quoted(target)}"
    access = ",".join(each for each in options if each in _PLAIN)
    if mount["type"] == "cgroup":
        if "cgroup" in new:
            yield f"mount -t cgroup2 -o {access} cgroup2 {place} || mount -t tmpfs -o ro none {place}"
        return
    yield f"mkdir -p {place}" if mount["type"] != "bind" else _place_for(mount["source"], place)
    if mount["type"] == "bind":
        yield f"mount --rbind {_quoted(mount['source'])} {place}"
        if access:
            yield f"mount -o remount,bind,{access} {place}"
        return
    kept = [each for each in options if each not in ("rw", "copy-up", "strictatime")]
    yield f"mount -t {mount['type']} -o {','.join(kept) or 'rw'} {mount['type']} {place}"
    if target == "/dev":
        yield f"for each in {' '.join(_DEVICES)}; do"
        yield "  : > $root/dev/$each; mount --bind /dev/$each $root/dev/$each"
        yield "done"
        yield "ln -s /proc/self/fd $root/dev/fd; ln -s pts/ptmx $root/dev/ptmx"


def _place_for(source: str, place: str) -> str:
    return (
        f"if [ -d {_quoted(source)} ]; then mkdir -p {place};"
        f" else mkdir -p $(dirname {place}); : >> {place}; fi"
    )


def _hiding(spec: Spec) -> Iterator[str]:
    read_only = " ".join(spec["linux"].get("readonlyPaths", ()))
    masked = " ".join(spec["linux"].get("maskedPaths", ()))
    if read_only:
        yield f"for path in {read_only}; do [ ! -e $root$path ] ||"
        yield "  { mount --bind $root$path $root$path; mount -o remount,bind,ro,nosuid,nodev,noexec $root$path; }"
        yield "done"
    if masked:
        yield f"for path in {masked}; do"
        yield "  if [ -d $root$path ]; then mount -t tmpfs -o ro,size=0 none $root$path"
        yield "  elif [ -e $root$path ]; then mount --bind /dev/null $root$path; fi"
        yield "done"


def _program(spec: Spec) -> Iterator[str]:
    process = spec["process"]
    if spec.get("hostname") and any(each["type"] == "uts" for each in spec["linux"]["namespaces"]):
        yield f"hostname {_quoted(spec['hostname'])}"
    if spec["root"].get("readonly"):
        yield "mount -o remount,bind,ro $root"
    user = process["user"]
    kept = ",".join(f"+{each[4:].lower()}" for each in process["capabilities"]["bounding"])
    words = ["exec", "env -i", *(_quoted(each) for each in process["env"]), "setpriv"]
    if process.get("noNewPrivileges", True):
        words.append("--no-new-privs")
    words.append(f"--bounding-set -all{',' + kept if kept else ''}")
    words.append(f"chroot --userspec={user['uid']}:{user['gid']} $root")
    inside = f'cd {_quoted(process["cwd"])} && exec "$@"'
    words += ["sh -c", _quoted(inside), "sh", *(_quoted(each) for each in process["args"])]
    yield " ".join(words)


def _bubblewrap(spec: Spec, mounts: list[Mount], new: set[str]) -> str:
    process, user = spec["process"], spec["process"]["user"]
    words = ["exec bwrap --bind $root / --die-with-parent --new-session --clearenv"]
    words += [f"--unshare-{_FLAGS[kind]}" for kind in _FLAGS if kind in new and kind != "mount"]
    words += ["--proc /proc --dev /dev"]
    for each in mounts:
        target = _quoted(each["destination"])
        if each["destination"].startswith(("/dev", "/proc", "/sys")):
            continue
        if each["type"] == "bind":
            access = "--ro-bind" if "ro" in each.get("options", ()) else "--bind"
            words.append(f"{access} {_quoted(each['source'])} {target}")
        elif each["type"] == "tmpfs":
            words.append(f"--tmpfs {target}")
    for variable in process["env"]:
        name, _, value = variable.partition("=")
        words.append(f"--setenv {_quoted(name)} {_quoted(value)}")
    words.append("--cap-drop ALL")
    words += [f"--cap-add {each}" for each in process["capabilities"]["effective"]]
    if user["uid"] or user["gid"]:
        words.append(f"--unshare-user --uid {user['uid']} --gid {user['gid']}")
    words.append(f"--chdir {_quoted(process['cwd'])}")
    return " ".join((*words, "--", *(_quoted(each) for each in process["args"])))


def _quoted(text: str) -> str:
    """For the shell: as it is where that is plain, else in single quotes."""
    plain = all(each.isalnum() or each in "_@%+=:,./-" for each in text) and text.isascii()
    return text if text and plain else "'" + text.replace("'", "'\"'\"'") + "'"
