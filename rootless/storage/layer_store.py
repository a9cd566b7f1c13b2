"""Where unpacked layers lie: names, records, publishing by rename, and what a power cut may have cost.

``layers/<form>/<chain id>/`` holds ``diff/`` and ``layer.json``.  A layer is written without waiting
for the disk; until ``sync`` was called its directory also holds ``unsynced`` with the boot it was made
in.  After another boot such a layer counts as missing, and is made again from its blob.
"""

from __future__ import annotations

import os

from rootless import files, lean
from rootless.errors import NotFound
from rootless.typed import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from rootless.paths import Paths
    from rootless.storage.driver import LayerForm
    from rootless.storage.stack import Stack
    from rootless.userns.idmap import IdMap

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class LayerRecord(TypedDict, total=False):
    """layer.json.  ``kept`` holds true owners of links and FIFOs (storage.attributes) by path."""

    diff_id: str
    parent: str | None
    size: int
    kept: dict[str, str]


class LayerStore(NamedTuple):
    """The layers of one form."""

    paths: Paths
    id_map: IdMap
    form: LayerForm

    def directory(self, chain_id: str) -> str:
        """Where the layer is, or would be."""
        return self.paths.layer(self.form.name, chain_id)

    def has(self, chain_id: str) -> bool:
        """Whether the layer is there and whole."""
        directory = self.directory(chain_id)
        if not os.path.exists(f"{directory}/layer.json"):
            return False
        try:
            return files.read_bytes(f"{directory}/unsynced") == _boot_id()
        except FileNotFoundError:
            return True

    def record(self, chain_id: str) -> LayerRecord:
        """The record of a layer.  Raises NotFound when it is not there."""
        try:
            text = files.read_bytes(f"{self.directory(chain_id)}/layer.json")
        except FileNotFoundError:
            raise NotFound(f"layer {chain_id} is not unpacked") from None
        record: LayerRecord = lean.loads(text)
        return record

    def chain(self, chain_id: str | None) -> tuple[str, ...]:
        """The layer and its parents, base first."""
        chain: list[str] = []
        while chain_id is not None:
            chain.insert(0, chain_id)
            chain_id = self.record(chain_id).get("parent")
        return tuple(chain)

    def stack(self, chain_id: str | None) -> Stack:
        """The layer and its parents to look into."""
        from rootless.storage.stack import Stack

        chain = self.chain(chain_id)
        return Stack(tuple(f"{self.directory(each)}/diff" for each in reversed(chain)))

    def open_scratch(self, purpose: str) -> tuple[str, int]:
        """A locked scratch directory that the caller removes, and the descriptor of the lock."""
        return files.open_scratch(self.paths.scratch, purpose)

    def publish(
        self,
        scratch: str,
        chain_id: str,
        *,
        parent: str | None,
        diff_id: str,
        size_bytes: int,
        kept: dict[str, str] | None = None,
    ) -> bool:
        """Make a scratch directory with ``diff`` the layer; False when somebody else was first."""
        record: LayerRecord = {"diff_id": diff_id, "parent": parent, "size": size_bytes}
        if kept:
            record["kept"] = kept
        text = lean.dumps(record, sort_keys=True)
        files.write_atomic(f"{scratch}/layer.json", text.encode(), durable=False)
        files.write_atomic(f"{scratch}/unsynced", _boot_id(), durable=False)
        target = self.directory(chain_id)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        if os.path.exists(target) and not self.has(chain_id):
            self._discard(target)
        return files.publish(scratch, target)

    def sync(self) -> None:
        """Make everything that was published since the boot survive a power cut."""
        from rootless.kernel.sync import syncfs

        root = f"{self.paths.layers}/{self.form.name}"
        try:
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            boot = _boot_id()
            fresh = [name for name in os.listdir(fd) if _unsynced(f"{root}/{name}") == boot]
            if fresh:
                syncfs(fd)
            for name in fresh:
                files.discard(f"{root}/{name}/unsynced")  # another process was as thorough
        finally:
            os.close(fd)

    def _discard(self, target: str) -> None:
        """Move what a power cut may have damaged out of the way."""
        os.makedirs(self.paths.trash, mode=0o700, exist_ok=True)
        trash = f"{self.paths.trash}/{files.random_name()}"
        try:
            os.rename(target, trash)
        except FileNotFoundError:
            return
        files.remove_tree(trash, missing_ok=True)


def _unsynced(directory: str) -> bytes | None:
    try:
        return files.read_bytes(f"{directory}/unsynced")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _boot_id() -> bytes:
    try:
        return files.read_bytes(_BOOT_ID).strip()
    except OSError:
        return b"unknown"  # without it a crash cannot be told from no crash; trust the disk
