"""Named volumes: ``volumes/<name>/{volume.json,_data/}``.

HOST SIDE; what is in ``_data`` may belong to subordinate ids and is touched inside the user namespace.
Whether a volume is in use is the engine's business, which knows the containers.
"""

from __future__ import annotations

import json
import os
import time
from stat import S_IMODE, S_ISDIR, S_ISLNK

from rootless import files
from rootless.errors import (
    Conflict,
    ImageRefused,
    InvalidRequest,
    NotFound,
    StoreFailed,
    Unsupported,
)
from rootless.typed import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar
from rootless.userns.idmap import to_inside, to_outside

if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.paths import Paths
    from rootless.rootfs import Rootfs
    from rootless.userns.idmap import IdMap, IdRange

T = TypeVar("T")
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME = _FIRST | frozenset("_.-")
_TMPFS = frozenset(
    ("size", "nr_inodes", "nr_blocks", "mode", "uid", "gid", "ro", "rw", "noatime", "relatime")
    + ("exec", "noexec", "suid", "nosuid", "dev", "nodev")
)


class VolumeRecord(TypedDict, total=False):
    """volume.json; ``filled`` says that content of an image was copied up, or never will be."""

    created: str
    labels: dict[str, str]
    options: dict[str, str]
    anonymous: bool
    filled: bool


class Volume(NamedTuple):
    """A volume; ``path`` is the directory that containers mount."""

    name: str
    path: str
    created: str
    labels: dict[str, str]
    options: dict[str, str]
    anonymous: bool


class Volumes:
    """The volumes of one user."""

    def __init__(self, paths: Paths, id_map: IdMap):
        self._paths = paths
        self._id_map = id_map

    def create(
        self,
        name: str | None = None,
        *,
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
        anonymous: bool = False,
    ) -> Volume:
        """Make an empty volume; without a name it is anonymous and gets 64 hex digits.

        ``options`` may only say that it is a directory of the host, which ``device`` names, or in memory.
        Raises Conflict when the name is taken, InvalidRequest when it cannot be one.
        """
        options = check_options(options or {})
        record: VolumeRecord = {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "labels": labels or {},
            "options": options,
            "anonymous": anonymous or name is None,
            # A directory of the host is its owner's business, and what is in memory begins anew.
            "filled": "device" in options,
        }
        name = files.random_name(32) if name is None else check_name(name)
        os.makedirs(self._paths.volumes, mode=0o700, exist_ok=True)
        with files.scratch(self._paths.scratch, "volume") as directory:
            data = f"{directory}/_data"
            os.mkdir(data)
            os.chmod(data, 0o755)  # it is seen inside; the directories above are private
            _write(directory, record)
            if not files.publish(directory, self._directory(name)):
                raise Conflict(
                    f"the volume {name} exists already", hint=f"rootless volume inspect {name}"
                )
        return self.get(name)

    def get(self, name: str) -> Volume:
        """The volume of that name, or of that unambiguous beginning of an anonymous one.

        Raises NotFound, or InvalidRequest when several anonymous ones begin so.
        """
        full = self.full_name(name)
        record = self._read(full)
        options = record.get("options", {})
        return Volume(
            name=full,
            path=self.path(full)
            if is_in_memory(options)
            else options.get("device", self.path(full)),
            created=record.get("created", ""),
            labels=record.get("labels", {}),
            options=options,
            anonymous=record.get("anonymous", False),
        )

    def stored(self, name: str) -> Volume:
        """The same, of a volume whose content is on disk.  Raises Unsupported."""
        volume = self.get(name)
        if is_in_memory(volume.options):
            raise Unsupported(
                f"volume {volume.name} is in the memory of each container that mounts it, and nowhere else",
                hint=f"rootless ps --filter volume={volume.name} names them; rootless cp CONTAINER:DIR -",
            )
        return volume

    def path(self, name: str) -> str:
        """Where the content of the volume with that full name is, or will be."""
        return f"{self._directory(name)}/_data"

    def exists(self, name: str) -> bool:
        """Whether there is a volume with that full name."""
        return os.path.isdir(self._directory(check_name(name)))

    def ensure(
        self,
        name: str,
        *,
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
        anonymous: bool = False,
    ) -> Volume:
        """The volume of that name, made when there is none (``run -v name:/path``)."""
        while True:
            if self.exists(name):
                return self.get(name)
            try:
                return self.create(name, labels=labels, options=options, anonymous=anonymous)
            except Conflict:
                continue  # another process was first

    def all(self, damaged: list[StoreFailed] | None = None) -> list[Volume]:
        """Every volume, by name; those with a damaged record are added to ``damaged``."""
        volumes = []
        for name in files.names_in(self._paths.volumes):
            try:
                volumes.append(self.get(name))
            except (NotFound, InvalidRequest):
                continue  # removed meanwhile, or somebody else's file
            except StoreFailed as error:
                if damaged is not None:
                    damaged.append(error)
        return volumes

    def remove(self, name: str) -> None:
        """Remove a volume with its content.  Raises NotFound."""
        from rootless.storage.removal import remove

        remove(self._paths, self._id_map, self._directory(self.full_name(name)))

    def size_bytes(self, name: str) -> int:
        """What the volume takes on disk."""
        from rootless.userns import enter

        path = self.get(name).path
        return enter.call(lambda: usage(path), self._id_map)

    def copy_up(
        self,
        name: str,
        rootfs: Rootfs,
        target: str,
        *,
        owner: tuple[int, int] = (0, 0),
        content: bool = True,
        id_map: IdMap | None = None,
    ) -> None:
        """Fill a new, empty volume with what the image has at ``target``, owners and all.

        Where the image has nothing there, the volume belongs to ``owner``, ids of the container.
        Without ``content`` only owner and mode are taken.  ``id_map`` is the container's, where that is
        not the store's: the files then belong to those whom it means by the image's numbers.
        Only the first container that mounts a volume does, and only while nobody wrote to it.
        """
        volume = self.get(name)
        with files.lock(f"{self._directory(volume.name)}/volume.lock"):
            record = self._read(volume.name)
            if record.get("filled"):
                return
            directories = (rootfs.upper, *rootfs.lower) if rootfs.upper else rootfs.lower
            self._inside(
                lambda: _fill(
                    volume.path,
                    directories,
                    os.fsencode(target),
                    owner=owner,
                    content=content,
                    maps=(id_map, self._id_map) if id_map is not None else None,
                ),
                f"copy {target} of the image into the volume {volume.name}",
            )
            record["filled"] = True
            _write(self._directory(volume.name), record)

    def export(self, name: str, fd: int) -> None:
        """Write the content as an uncompressed tar archive to a descriptor, which may be a pipe."""
        volume = self.stored(name)
        self._inside(lambda: _export(volume.path, fd), f"export the volume {volume.name}")

    def import_archive(self, name: str, fd: int) -> tuple[str, ...]:
        """Add what an archive holds, compressed or not, to a volume; what it names is replaced.

        Returns notices.  Raises ImageRefused for an archive that would leave the volume.
        """
        volume = self.stored(name)
        with files.lock(f"{self._directory(volume.name)}/volume.lock"):
            try:
                notices = self._inside(
                    lambda: _import(volume.path, fd, self._id_map),
                    f"import into the volume {volume.name}",
                )
            except ImageRefused as error:
                raise ImageRefused(
                    f"the archive for volume {volume.name} is refused: {error.message}",
                    hint="tar -tvf shows what is in it",
                ) from None
            record = self._read(volume.name)
            record["filled"] = True
            _write(self._directory(volume.name), record)
        return notices

    def _inside(self, function: Callable[[], T], action: str) -> T:
        from rootless.userns import enter

        try:
            return enter.call(function, self._id_map)
        except OSError as error:
            raise StoreFailed(f"cannot {action}: {error.strerror or error}") from None

    def _directory(self, name: str) -> str:
        return f"{self._paths.volumes}/{name}"

    def full_name(self, name: str) -> str:
        """The name of a volume, whose record may be damaged (``get``).  Raises NotFound, InvalidRequest."""
        check_name(name)
        if os.path.isdir(self._directory(name)):
            return name
        matches = []
        if len(name) >= 4 and os.path.isdir(self._paths.volumes):
            matches = [
                each
                for each in os.listdir(self._paths.volumes)
                if each.startswith(name) and self._read(each).get("anonymous")
            ]
        if not matches:
            raise NotFound(f"no volume {name}", hint="rootless volume ls")
        if len(matches) > 1:
            raise InvalidRequest(f"{name} is the beginning of {len(matches)} volumes")
        return matches[0]

    def _read(self, name: str) -> VolumeRecord:
        try:
            text = files.read_bytes(f"{self._directory(name)}/volume.json")
            record: VolumeRecord = json.loads(text)
            if not isinstance(record, dict):
                raise ValueError("it is no record")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no volume {name}", hint="rootless volume ls") from None
        except (OSError, ValueError, RecursionError) as error:
            raise StoreFailed(
                f"the record of volume {name} is damaged: {error}",
                hint=f"its files are in {self.path(name)}; rootless volume rm {name}",
            ) from None
        return record


def check_name(name: str) -> str:
    """A volume's name, which is safe as a path.  Raises InvalidRequest."""
    if not name or len(name) > 255 or name[0] not in _FIRST or not _NAME.issuperset(name):
        raise InvalidRequest(
            f"{name!r} is no name for a volume",
            hint="letters, digits, '_', '.' and '-', beginning with a letter or digit",
        )
    return name


def _write(directory: str, record: VolumeRecord) -> None:
    files.write_atomic(f"{directory}/volume.json", json.dumps(record, sort_keys=True).encode())


def check_options(options: dict[str, str]) -> dict[str, str]:
    """docker's options of a local volume: a directory of the host, or files in memory.

    Raises Unsupported for what would have to be mounted outside of containers, InvalidRequest.
    """
    if not options:
        return {}
    kind, device, words = (options.get(key, "") for key in ("type", "device", "o"))
    if set(options) - {"type", "device", "o"} or kind not in ("", "none", "bind", "tmpfs"):
        raise Unsupported(
            "volume options other than type=none, o=bind and device=DIRECTORY, or type=tmpfs, are not supported",
            hint="any other file system must be mounted by an administrator",
        )
    if kind == "tmpfs":
        return _in_memory(device, words)
    if not {"bind", "rbind"}.intersection(words.split(",")):
        raise InvalidRequest("a volume with device= needs o=bind")
    if not device.startswith("/") or not os.path.isdir(device):
        raise InvalidRequest(f"{device!r} is not the absolute path of a directory")
    return {"type": "none", "o": words, "device": os.path.realpath(device)}


def is_in_memory(options: dict[str, str]) -> bool:
    """Whether a volume with these options is a tmpfs of its own in each container."""
    return options.get("type") == "tmpfs"


def _in_memory(device: str, words: str) -> dict[str, str]:
    if device not in ("", "tmpfs"):
        raise InvalidRequest(f"a volume with type=tmpfs has device=tmpfs, not {device}")
    for word in filter(None, words.split(",")):
        if word.partition("=")[0] not in _TMPFS:
            raise Unsupported(f"a volume with type=tmpfs cannot have o={word}")
    return {"type": "tmpfs", "device": "tmpfs", "o": words}


def _fill(
    path: str,
    directories: tuple[str, ...],
    target: bytes,
    *,
    owner: tuple[int, int],
    content: bool,
    maps: tuple[IdMap, IdMap] | None,
) -> None:
    """CHILD SIDE.  Copy a directory of the stacked layers into the volume, if that is empty."""
    from rootless.storage.flatten import Flattener
    from rootless.storage.stack import Stack

    if os.listdir(path):
        return
    os.umask(0)
    stack = Stack(directories)
    resolved = stack.resolve(target)
    source = None if resolved is None else stack.open(resolved)
    if source is None:
        os.chown(path, *owner)
    elif content:
        Flattener().copy(source, path)
    else:
        status = os.fstat(source.fds[0])
        source.close()
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, status.st_mode & 0o7777)
    if maps is not None:
        _translate(path, *maps)


def _translate(path: str, container: IdMap, store: IdMap) -> None:
    """CHILD SIDE.  Give each file to whom the container, not the store, means by the numbers of its owner."""
    done: set[tuple[int, int]] = set()  # of files with several names

    def give(name: str, directory: int | None) -> None:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        uid = _translated(status.st_uid, container.uids, store.uids)
        gid = _translated(status.st_gid, container.gids, store.gids)
        if (status.st_dev, status.st_ino) in done or (uid, gid) == (status.st_uid, status.st_gid):
            return
        if status.st_nlink > 1 and not S_ISDIR(status.st_mode):
            done.add((status.st_dev, status.st_ino))
        os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
        if not S_ISLNK(status.st_mode):  # chown(2) drops setuid
            os.chmod(name, S_IMODE(status.st_mode), dir_fd=directory)

    give(path, None)
    for _, directories, names, fd in os.fwalk(path):
        for name in (*directories, *names):
            give(name, fd)


def _translated(number: int, inside: tuple[IdRange, ...], store: tuple[IdRange, ...]) -> int:
    """An id of the container as one of the store's; itself where either does not have it."""
    outside = to_outside(inside, number)
    found = None if outside is None else to_inside(store, outside)
    return number if found is None else found


def _export(path: str, fd: int) -> None:
    """CHILD SIDE.  The directory itself comes first: a database looks at its owner and mode."""
    from rootless.storage.compression import compressor
    from rootless.storage.pack import Packer
    from rootless.storage.trees import Located, allow_depth, walk

    allow_depth()
    top = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    Packer(fd, compressor("none")).pack(walk(Located(top, b".", os.fstat(top)), b""))


def _import(path: str, fd: int, id_map: IdMap) -> tuple[str, ...]:
    """CHILD SIDE."""
    from rootless.storage.layer_tar import unpack_archive

    return unpack_archive(fd, path, id_map)


def usage(path: str) -> int:
    """CHILD SIDE.  Bytes of all blocks below, files with several names once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for directory, _, names, fd in os.fwalk(path):
        del directory
        for name in (".", *names):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if status.st_nlink > 1 and name != ".":
                key = (status.st_dev, status.st_ino)
                if key in seen:
                    continue
                seen.add(key)
            total += status.st_blocks * 512
    return total
