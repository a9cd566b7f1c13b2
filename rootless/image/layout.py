"""The image store: an OCI image layout that skopeo and umoci can read in place (image-layout.md).

``index.json`` is replaced as one step under ``index.lock``; blobs appear by rename and never change.
``records/`` holds what is derived from a manifest and its config, so that ``resolve`` reads two files and
hashes nothing; it may be deleted at any time.
"""

from __future__ import annotations

import errno
import os

from rootless import files, lean
from rootless.errors import (
    ImageRefused,
    InvalidRequest,
    NotFound,
    RootlessError,
    StoreFailed,
)
from rootless.image.digest import (
    Digest,
    check_bytes,
    digest_of,
    encoded,
    parse_digest,
)
from rootless.image.documents import (
    DOCUMENT_LIMIT,
    INDEXES,
    OCI_INDEX,
    REF_NAME,
    Descriptor,
    Image,
    ImageIndex,
    parse_index,
    parse_manifest,
    to_json,
)
from rootless.image.manifest import read_image
from rootless.image.platforms import choose_manifest, matches, platform_of_machine, platform_text
from rootless.image.reference import Reference, is_qualified, parse_reference
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

    from rootless.image.documents import Platform

SOURCE_DIGEST = (
    "rootless.source.digest"  # what the registry calls the image: often an index of many
)
_HEX_DIGITS = frozenset("0123456789abcdef")
_NESTING_LIMIT = 4


class Entry(NamedTuple):
    """One line of the layout's index; ``reference`` is empty for an untagged image."""

    reference: str
    descriptor: Descriptor
    source_digest: Digest | None = None

    @property
    def digest(self) -> Digest:
        """The digest of the manifest or index that the entry points to."""
        return self.descriptor["digest"]


class Layout:
    """One image layout; ``others`` are further layouts that are only read.

    ``records`` is where what is derived is kept: for a layout that is only read, in the user's own one.
    """

    def __init__(self, path: str, others: tuple[Layout, ...] = (), *, records: str | None = None):
        self.path = path
        self.others = others
        self._records = records or f"{path}/records"

    # -- finding images ------------------------------------------------------------------------

    def resolve(self, name_or_id: str, platform: Platform | None = None) -> Image:
        """The stored image of that name, digest or id prefix, for ``platform`` or this machine.

        Raises NotFound when there is none, InvalidRequest when an id prefix fits several.
        """
        return self.image(self.entry(name_or_id), platform)

    def entry(self, name_or_id: str) -> Entry:
        """The index entry that a name, a digest or an id prefix means."""
        entries = self.entries()
        found = _by_name(entries, name_or_id) or self._by_id(entries, name_or_id)
        if found is not None:
            return found
        for other in self.others:
            try:
                return other.entry(name_or_id)
            except NotFound:
                pass
        raise NotFound(f"no image {name_or_id}", hint=f"rootless pull {name_or_id}")

    def named(self, name: str) -> Entry | None:
        """The entry with that name, or with that digest in that repository."""
        return _by_name(self.entries(), name)

    def entries(self) -> tuple[Entry, ...]:
        """Every entry of ``index.json`` in its order."""
        return tuple(map(_entry, self._read_index()["manifests"]))

    def all_entries(self) -> tuple[Entry, ...]:
        """The entries of this layout and of those that are only read."""
        return sum((other.entries() for other in self.others), self.entries())

    def is_own(self, entry: Entry) -> bool:
        """Whether the entry's image is in this layout, and not only in one that is only read."""
        return any(each.digest == entry.digest for each in self.entries())

    def images(self) -> list[Image]:
        """Every stored image of this layout, in the order of the index; a broken one is left out."""
        found = []
        for entry in self.entries():
            try:
                found.append(self.image(entry, any_platform=True))
            except (RootlessError, OSError):
                continue  # `system check` names it; a list must not stop at it
        return found

    def image(
        self, entry: Entry, platform: Platform | None = None, *, any_platform: bool = False
    ) -> Image:
        """The image that an entry means on ``platform``.

        Raises NotFound when the entry has nothing for an explicit platform.
        """
        wanted = platform or platform_of_machine(os.uname().machine)
        descriptor = self._manifest_of(entry, wanted, any_platform=any_platform)
        image = self._record(descriptor)._replace(reference=entry.reference)
        if platform is not None and not matches(image.config, platform):
            raise NotFound(
                f"the stored {entry.reference or descriptor['digest']} is for"
                f" {platform_text(image.config)}, not {platform_text(platform)}"
            )
        return image

    def image_of(self, descriptor: Descriptor) -> Image:
        """The image of a stored manifest."""
        return self._record(descriptor)

    def _manifest_of(self, entry: Entry, platform: Platform, *, any_platform: bool) -> Descriptor:
        descriptor = entry.descriptor
        name = entry.reference or entry.digest
        for _ in range(_NESTING_LIMIT):
            if descriptor["mediaType"] not in INDEXES:
                return descriptor
            index = parse_index(self.read_blob(descriptor), name=name)
            try:
                descriptor = choose_manifest(index, platform, name=name)
            except NotFound:
                present = [each for each in index["manifests"] if self.has_blob(each["digest"])]
                if not (any_platform and present):
                    raise
                descriptor = present[0]
        raise ImageRefused(f"{name} nests indexes too deeply")

    def _by_id(self, entries: tuple[Entry, ...], text: str) -> Entry | None:
        prefix = text.removeprefix("sha256:")
        if not prefix or len(prefix) > 64 or not _HEX_DIGITS.issuperset(prefix):
            return None
        found: dict[Digest, Entry] = {}
        for entry in entries:
            if encoded(entry.digest).startswith(prefix):
                found.setdefault(self._id_of(entry) or entry.digest, entry)
            elif encoded(image_id := self._id_of(entry) or "").startswith(prefix):
                found.setdefault(Digest(image_id), entry)
        if len(found) > 1:
            raise InvalidRequest(
                f"{text} is the beginning of {len(found)} image ids",
                hint="write more digits: rootless images --no-trunc",
            )
        return next(iter(found.values()), None)

    def _id_of(self, entry: Entry) -> Digest | None:
        try:
            return self.image(entry, any_platform=True).image_id
        except (RootlessError, OSError):
            return None

    # -- records -------------------------------------------------------------------------------

    def _record(self, descriptor: Descriptor) -> Image:
        path = f"{self._records}/{encoded(descriptor['digest'])}.json"
        try:
            record = lean.loads(files.read_bytes(path))
            return Image(
                reference="",
                manifest_descriptor=record["manifest_descriptor"],
                manifest=record["manifest"],
                config=record["config"],
                config_digest=record["config_digest"],
                chain=tuple(record["chain"]),
                size_bytes=record["size_bytes"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return self._derive(descriptor, path)

    def _derive(self, descriptor: Descriptor, path: str) -> Image:
        name = f"manifest {descriptor['digest']}"
        manifest = parse_manifest(self.read_blob(descriptor), name=name)
        image = read_image(descriptor, manifest, self.read_blob)
        record = image._asdict()
        del record["reference"]
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            files.write_atomic(path, to_json(record), durable=False)
        except OSError:
            pass  # a read-only store works too, only slower
        return image

    # -- blobs ---------------------------------------------------------------------------------

    def blob_path(self, digest: str) -> str:
        """Where a blob is, or would be put."""
        own = self._blob_path(digest)
        if self.others and not os.path.exists(own):
            for other in self.others:
                path = other.blob_path(digest)
                if os.path.exists(path):
                    return path
        return own

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is stored here or in one of the other layouts."""
        return os.path.exists(self.blob_path(digest))

    def open_blob(self, digest: str) -> FileIO:
        """The blob, to read."""
        try:
            return open(self.blob_path(digest), "rb", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"blob {digest} is not stored") from None

    def read_blob(self, descriptor: Descriptor) -> bytes:
        """A document, at most 4 MiB, checked against its size and digest."""
        digest, size = descriptor["digest"], descriptor["size"]
        with self.open_blob(digest) as file:
            content = file.read(DOCUMENT_LIMIT + 1) or b""
        check_bytes(content, digest=digest, size_bytes=size, name=f"stored blob {digest}")
        return content

    def put_blob(self, content: bytes | str, digest: Digest | None = None) -> Digest:
        """Store bytes, or move a finished file of this file system into the store.

        The digest of a file is what the caller has verified while writing it; that of bytes is computed.
        """
        if isinstance(content, str):
            if digest is None:
                raise ValueError("a file needs its digest")
            self._move(content, self._place_for(digest))
            return digest
        actual = digest_of(content, digest.partition(":")[0] if digest else "sha256")
        if digest is not None and actual != digest:
            raise ImageRefused(f"content of digest {actual} claims to be {digest}")
        if not os.path.exists(self._blob_path(actual)):
            files.write_atomic(self._place_for(actual), content)
        return actual

    @staticmethod
    def _move(source: str, target: str) -> None:
        """Move a file to its place; one from another file system (the cache's) is copied first."""
        try:
            os.rename(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            import shutil

            temporary = f"{target}.{files.random_name()}.tmp"
            shutil.copyfile(source, temporary)
            os.rename(temporary, target)
            os.unlink(source)

    def _place_for(self, digest: str) -> str:
        self.create()
        path = self._blob_path(digest)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return path

    def _blob_path(self, digest: str) -> str:
        algorithm, _, hexadecimal = parse_digest(digest).partition(":")
        return f"{self.path}/blobs/{algorithm}/{hexadecimal}"

    # -- changing the index --------------------------------------------------------------------

    def create(self) -> None:
        """Make the empty layout unless it is there."""
        header = f"{self.path}/oci-layout"
        if os.path.exists(header):
            return
        os.makedirs(f"{self.path}/blobs/sha256", mode=0o700, exist_ok=True)
        if not os.path.exists(f"{self.path}/index.json"):
            self._write_index({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
        files.write_atomic(header, b'{"imageLayoutVersion":"1.0.0"}')

    def tag(
        self,
        reference: Reference | str,
        descriptor: Descriptor,
        *,
        source_digest: Digest | None = None,
    ) -> None:
        """Give an image a name; the image that had it before keeps its other names or becomes untagged.

        An empty ``reference`` stores the image without a name.
        """
        name = str(reference)

        def change(entries: list[Entry]) -> list[Entry]:
            same = [each for each in entries if each.digest == descriptor["digest"]]
            if name and not source_digest and any(each.reference == name for each in same):
                return entries  # nothing to write, and so nothing to wait for
            source = source_digest or next((each.source_digest for each in same), None)
            if name or not same:
                entries.append(Entry(name, descriptor, source))
            if name:
                entries = [
                    each._replace(reference="")
                    if each.reference == name and each is not entries[-1]
                    else each
                    for each in entries
                ]
            return _without_needless(entries)

        self._change(change)

    def untag(self, reference: Reference | str) -> bool:
        """Take a name away; the image stays, untagged if it has no other.  Say whether it was there."""
        name = str(reference)
        found = False

        def change(entries: list[Entry]) -> list[Entry]:
            nonlocal found
            found = any(each.reference == name for each in entries)
            return _without_needless(
                [
                    each._replace(reference="") if each.reference == name else each
                    for each in entries
                ]
            )

        self._change(change)
        return found

    def remove(self, digest: Digest) -> tuple[Entry, ...]:
        """Drop every entry of a manifest or index, and return them.  Blobs go with ``gc``."""
        removed: list[Entry] = []

        def change(entries: list[Entry]) -> list[Entry]:
            removed.extend(each for each in entries if each.digest == digest)
            return [each for each in entries if each.digest != digest]

        self._change(change)
        return tuple(removed)

    def _change(self, change: Callable[[list[Entry]], list[Entry]]) -> None:
        self.create()
        with files.lock(f"{self.path}/index.lock"):
            index = self._read_index()
            lines = [_line(entry) for entry in change(list(map(_entry, index["manifests"])))]
            if lines != index["manifests"]:
                index["manifests"] = lines
                self._write_index(index)

    def _read_index(self) -> ImageIndex:
        path = f"{self.path}/index.json"
        try:
            index = lean.loads(files.read_bytes(path))
            if not all(map(is_line, index["manifests"])):
                raise ValueError("it has an entry that is no descriptor")
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        except (ValueError, KeyError, TypeError) as error:
            raise StoreFailed(
                f"{path} is damaged: {error}", hint="rootless system check --repair"
            ) from None
        return index  # type: ignore[no-any-return]  # as much as is needed was checked above

    def _write_index(self, index: ImageIndex) -> None:
        files.write_atomic(f"{self.path}/index.json", to_json(index))


def _by_name(entries: tuple[Entry, ...], text: str) -> Entry | None:
    for meaning in (text, f"localhost/{text}"):
        try:
            reference = parse_reference(meaning)
        except InvalidRequest:
            continue
        if reference.digest:
            found = _by_digest(entries, reference)
        else:
            found = _by_tag(entries, str(reference))
        if found is not None or is_qualified(text):
            return found
    return None


def _by_tag(entries: tuple[Entry, ...], name: str) -> Entry | None:
    return next((entry for entry in entries if entry.reference == name), None)


def _by_digest(entries: tuple[Entry, ...], reference: Reference) -> Entry | None:
    """An entry of that repository whose content, or whose source, has the digest."""
    beginnings = (f"{reference.name}:", f"{reference.name}@")
    for entry in entries:
        if reference.digest in (entry.digest, entry.source_digest) and entry.reference.startswith(
            beginnings
        ):
            return entry
    return None


def _without_needless(entries: list[Entry]) -> list[Entry]:
    """An untagged entry says nothing where a tagged one, or an earlier one, has the same image."""
    named = {entry.digest for entry in entries if entry.reference}
    kept: list[Entry] = []
    for entry in entries:
        if not entry.reference:
            if entry.digest in named:
                continue
            named.add(entry.digest)
        kept.append(entry)
    return kept


def is_line(value: Any) -> bool:
    """Whether a line of the index can be used; what it points to is checked when it is read."""
    try:
        annotations = value.get("annotations") or {}
        texts = (value["digest"], value["mediaType"], *annotations.values())
        parse_digest(value["digest"])
        return type(value["size"]) is int and all(isinstance(each, str) for each in texts)
    except (AttributeError, KeyError, TypeError, ImageRefused):
        return False


def _entry(line: Descriptor) -> Entry:
    annotations: dict[str, Any] = line.get("annotations") or {}
    return Entry(
        reference=annotations.get(REF_NAME, ""),
        descriptor=line,
        source_digest=annotations.get(SOURCE_DIGEST),
    )


def _line(entry: Entry) -> Descriptor:
    old = entry.descriptor
    line: Descriptor = {"mediaType": old["mediaType"], "digest": old["digest"], "size": old["size"]}
    annotations = {}
    if entry.reference:
        annotations[REF_NAME] = entry.reference
    if entry.source_digest:
        annotations[SOURCE_DIGEST] = entry.source_digest
    if annotations:
        line["annotations"] = annotations
    return line
