"""The JSON documents of the OCI image-spec (and docker's of the same shape): types, checks, JSON text.

Every ``parse_*`` takes bytes that an attacker may have written and returns a document whose fields have
the types declared here, or raises ImageRefused.  Unknown fields are kept; null means absent.
"""

from __future__ import annotations

from rootless import lean
from rootless.errors import ImageRefused, Unsupported
from rootless.image.digest import ChainID, DiffID, Digest, parse_digest
from rootless.typed import TYPE_CHECKING, Any, NamedTuple, NoReturn, NotRequired, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.typed import TypeGuard

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

INDEXES = (OCI_INDEX, DOCKER_INDEX)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)

DOCUMENT_LIMIT = 4 << 20  # what registries must accept (distribution-spec), and as much as we read
REF_NAME = "org.opencontainers.image.ref.name"
SIZE_LIMIT = (1 << 63) - 1

Platform = TypedDict(
    "Platform",
    {
        "architecture": str,
        "os": str,
        "variant": NotRequired[str],
        "os.version": NotRequired[str],
        "os.features": NotRequired[list[str]],
    },
)


class Descriptor(TypedDict):
    """What content is, how many bytes it has and their digest (descriptor.md)."""

    mediaType: str
    digest: Digest
    size: int
    urls: NotRequired[list[str]]
    annotations: NotRequired[dict[str, str]]
    data: NotRequired[str]
    artifactType: NotRequired[str]
    platform: NotRequired[Platform]


class Manifest(TypedDict):
    """One image for one platform (manifest.md)."""

    schemaVersion: int
    mediaType: NotRequired[str]
    artifactType: NotRequired[str]
    config: Descriptor
    layers: list[Descriptor]
    subject: NotRequired[Descriptor]
    annotations: NotRequired[dict[str, str]]


class ImageIndex(TypedDict):
    """Several manifests under one name (image-index.md)."""

    schemaVersion: int
    mediaType: NotRequired[str]
    artifactType: NotRequired[str]
    manifests: list[Descriptor]
    subject: NotRequired[Descriptor]
    annotations: NotRequired[dict[str, str]]


class Healthcheck(TypedDict, total=False):
    """Docker's extension; the times are nanoseconds."""

    Test: list[str]
    Interval: int
    Timeout: int
    StartPeriod: int
    StartInterval: int
    Retries: int


class ContainerConfig(TypedDict, total=False):
    """How a container of the image runs unless told otherwise (config.md, "config")."""

    User: str
    ExposedPorts: dict[str, Any]
    Env: list[str]
    Entrypoint: list[str]
    Cmd: list[str]
    Volumes: dict[str, Any]
    WorkingDir: str
    Labels: dict[str, str]
    StopSignal: str
    StopTimeout: int
    ArgsEscaped: bool
    Healthcheck: Healthcheck
    OnBuild: list[str]
    Shell: list[str]


class RootfsLayers(TypedDict):
    """The layers by what they hold, base first."""

    type: str
    diff_ids: list[DiffID]


class History(TypedDict, total=False):
    """How a layer, or a change without one, came to be."""

    created: str
    created_by: str
    author: str
    comment: str
    empty_layer: bool


class ImageConfig(TypedDict):
    """The image itself: its platform, its layers and how to run it (config.md)."""

    architecture: str
    os: str
    rootfs: RootfsLayers
    variant: NotRequired[str]
    created: NotRequired[str]
    author: NotRequired[str]
    config: NotRequired[ContainerConfig]
    history: NotRequired[list[History]]


class Image(NamedTuple):
    """A stored image: reference → manifest → config and layers.

    ``reference`` is empty for an untagged image.  ``chain`` names the unpacked layers, base first.
    ``size_bytes`` is what the layers take in the registry.
    """

    reference: str
    manifest_descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    config_digest: Digest
    chain: tuple[ChainID, ...]
    size_bytes: int

    @property
    def image_id(self) -> Digest:
        """What docker calls the image ID: the digest of the config."""
        return self.config_digest

    @property
    def container_config(self) -> ContainerConfig:
        """How a container of the image runs, empty where the image says nothing."""
        return self.config.get("config", {})


def layer_compression(layer: Descriptor, *, name: str) -> str:
    """How a layer is compressed: ``gzip``, ``zstd`` or ``none``.

    Raises Unsupported, by its name, for what is not a layer that we unpack.
    """
    media_type = layer["mediaType"]
    compression = _LAYER_COMPRESSION.get(media_type)
    if compression is None:
        foreign = "foreign" in media_type or "nondistributable" in media_type
        reason = "which its registry does not distribute" if foreign else "which is not known"
        raise Unsupported(f"{name} has a layer of type {media_type!r}, {reason}")
    return compression


def is_index(document: Manifest | ImageIndex) -> TypeGuard[ImageIndex]:
    """Whether a parsed document is an index."""
    return "manifests" in document


def parse_document(content: bytes, *, media_type: str, name: str) -> Manifest | ImageIndex:
    """Read a manifest or an index; ``media_type`` is what the sender claimed, "" if nothing.

    Raises ImageRefused when the document is both (CVE-2021-41190), neither, or not what was claimed.
    """
    document = _parse_object(content, name)
    is_list = "manifests" in document
    if is_list == ("layers" in document or "config" in document):
        _refuse(name, "is neither a manifest nor an index, or claims to be both")
    allowed = INDEXES if is_list else MANIFESTS
    inner = document.get("mediaType", "")
    for claim in (media_type, inner):
        if claim not in ("", *allowed):
            _refuse(name, f"says it is {claim!r}, and its content is of another kind")
    if media_type and inner and media_type != inner:
        _refuse(name, f"came as {media_type!r} and says it is {inner!r}")
    if document.get("schemaVersion") != 2:
        _refuse(name, "is of a schema that is not version 2")
    return _check_index(document, name) if is_list else _check_manifest(document, name)


def parse_manifest(content: bytes, *, media_type: str = "", name: str = "manifest") -> Manifest:
    """Read a manifest; anything else is refused."""
    document = parse_document(content, media_type=media_type, name=name)
    if "manifests" in document:
        _refuse(name, "is an index where a manifest is expected")
    return document


def parse_index(content: bytes, *, media_type: str = "", name: str = "index") -> ImageIndex:
    """Read an index; anything else is refused."""
    document = parse_document(content, media_type=media_type, name=name)
    if "manifests" not in document:
        _refuse(name, "is a manifest where an index is expected")
    return cast("ImageIndex", document)


def media_type_of(document: Manifest | ImageIndex) -> str:
    """What the document is; it need not say so itself."""
    return document.get("mediaType") or (OCI_INDEX if is_index(document) else OCI_MANIFEST)


def references_of(document: Manifest | ImageIndex) -> tuple[Descriptor, ...]:
    """The blobs that a manifest or index needs, in the order in which they are uploaded."""
    if is_index(document):
        return tuple(document["manifests"])
    manifest = cast("Manifest", document)
    return (*manifest["layers"], manifest["config"])


def parse_config(content: bytes, *, name: str = "config") -> ImageConfig:
    """Read an image config."""
    config: Any = _parse_object(content, name)
    for key in ("architecture", "os"):
        config.setdefault(key, "")
    _check_types(config, _CONFIG_TYPES, name)
    rootfs = config.setdefault("rootfs", {"type": "layers", "diff_ids": []})
    diff_ids = rootfs.setdefault("diff_ids", [])
    if not _is_strings(diff_ids):
        _refuse(name, "has diff IDs that are not digests")
    rootfs["diff_ids"] = [DiffID(parse_digest(each)) for each in diff_ids]
    container = config.get("config")
    if container is not None:
        _drop_nulls(container)
        _check_types(container, _CONTAINER_TYPES, name)
        _check_container(container, name)
    for entry in config.get("history", []):
        if not isinstance(entry, dict):
            _refuse(name, "has a history entry that is not an object")
        _drop_nulls(entry)
        _check_types(entry, _HISTORY_TYPES, name)
    return config  # type: ignore[no-any-return]  # its shape was checked above


def check_layers(manifest: Manifest, config: ImageConfig, *, name: str) -> None:
    """Raise ImageRefused unless the config describes as many layers as the manifest has."""
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(manifest["layers"]):
        _refuse(name, f"has {len(manifest['layers'])} layers and describes {len(diff_ids)}")


def parse_descriptor(value: object, *, name: str) -> Descriptor:
    """Check one descriptor."""
    if not isinstance(value, dict):
        _refuse(name, "has a descriptor that is not an object")
    _drop_nulls(value)
    _check_types(value, _DESCRIPTOR_TYPES, name)
    if not all(key in value for key in ("mediaType", "digest", "size")):
        _refuse(name, "has a descriptor without media type, digest or size")
    parse_digest(value["digest"])
    if not 0 <= value["size"] <= SIZE_LIMIT:
        _refuse(name, f"has a descriptor of {value['size']} bytes")
    if "urls" in value and not _is_strings(value["urls"]):
        _refuse(name, "has a descriptor whose urls are not text")
    _check_annotations(value, name)
    if "platform" in value:
        platform = value["platform"]
        _drop_nulls(platform)
        _check_types(platform, _PLATFORM_TYPES, name)
        platform.setdefault("architecture", "")
        platform.setdefault("os", "")
    return value  # type: ignore[return-value]  # its shape was checked above


def to_json(document: object) -> bytes:
    """The JSON text of a document, the same for the same document."""
    return lean.dumps(document, ensure_ascii=False).encode()


_DESCRIPTOR_TYPES = {
    "mediaType": str,
    "digest": str,
    "size": int,
    "urls": list,
    "annotations": dict,
    "data": str,
    "artifactType": str,
    "platform": dict,
}
_PLATFORM_TYPES = {"architecture": str, "os": str, "variant": str, "os.version": str}
_CONFIG_TYPES = {
    "architecture": str,
    "os": str,
    "variant": str,
    "created": str,
    "author": str,
    "config": dict,
    "rootfs": dict,
    "history": list,
}
_CONTAINER_TYPES = {
    "User": str,
    "ExposedPorts": dict,
    "Env": list,
    "Entrypoint": list,
    "Cmd": list,
    "Volumes": dict,
    "WorkingDir": str,
    "Labels": dict,
    "StopSignal": str,
    "StopTimeout": int,
    "ArgsEscaped": bool,
    "Healthcheck": dict,
    "OnBuild": list,
    "Shell": list,
}
_HISTORY_TYPES = {
    "created": str,
    "created_by": str,
    "author": str,
    "comment": str,
    "empty_layer": bool,
}
_HEALTH_TYPES = {
    "Test": list,
    "Interval": int,
    "Timeout": int,
    "StartPeriod": int,
    "StartInterval": int,
    "Retries": int,
}


_LAYER_COMPRESSION = {
    OCI_LAYER: "none",
    f"{OCI_LAYER}+gzip": "gzip",
    f"{OCI_LAYER}+zstd": "zstd",
    DOCKER_LAYER: "none",
    f"{DOCKER_LAYER}.gzip": "gzip",
    f"{DOCKER_LAYER}.zstd": "zstd",
}


def _parse_object(content: bytes, name: str) -> dict[str, Any]:
    if len(content) > DOCUMENT_LIMIT:
        _refuse(name, f"is larger than {DOCUMENT_LIMIT >> 20} MiB")
    try:
        text = content.decode()
        document = lean.loads(text)
        if "\\u" in text:
            # Half of a surrogate pair is text that can be neither printed nor written again.
            lean.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        _refuse(name, f"is not JSON: {error}")
    if not isinstance(document, dict):
        _refuse(name, "is not a JSON object")
    _drop_nulls(document)
    return document


def _check_manifest(document: Any, name: str) -> Manifest:
    if "config" not in document or not isinstance(document.get("layers"), list):
        _refuse(name, "lacks its config or its layers")
    document["config"] = parse_descriptor(document["config"], name=name)
    document["layers"] = [parse_descriptor(each, name=name) for each in document["layers"]]
    _check_rest(document, name)
    return document  # type: ignore[no-any-return]  # its shape was checked above


def _check_index(document: Any, name: str) -> ImageIndex:
    if not isinstance(document["manifests"], list):
        _refuse(name, "has manifests that are not a list")
    document["manifests"] = [parse_descriptor(each, name=name) for each in document["manifests"]]
    _check_rest(document, name)
    return document  # type: ignore[no-any-return]  # its shape was checked above


def _check_rest(document: Any, name: str) -> None:
    _check_types(document, {"annotations": dict, "artifactType": str, "mediaType": str}, name)
    _check_annotations(document, name)
    if "subject" in document:
        document["subject"] = parse_descriptor(document["subject"], name=name)


def _check_annotations(document: Any, name: str) -> None:
    if not _is_strings(document.get("annotations", {}).values()):
        _refuse(name, "has annotations that are not text")


def _check_container(container: Any, name: str) -> None:
    for key in ("Env", "Entrypoint", "Cmd", "OnBuild", "Shell"):
        if not _is_strings(container.get(key, [])):
            _refuse(name, f"has a {key} that is not a list of text")
    if not _is_strings(container.get("Labels", {}).values()):
        _refuse(name, "has labels that are not text")
    if "Healthcheck" in container:
        health = container["Healthcheck"]
        _drop_nulls(health)
        _check_types(health, _HEALTH_TYPES, name)
        if not _is_strings(health.get("Test", [])):
            _refuse(name, "has a health check that is not a list of text")


def _check_types(document: Any, types: Mapping[str, type], name: str) -> None:
    for key, value in document.items():
        expected = types.get(key)
        if expected is None or type(value) is expected:
            continue
        _refuse(name, f"has a {key} that is not {_KINDS[expected]}")


_KINDS = {str: "text", int: "a whole number", dict: "an object", list: "a list", bool: "a boolean"}


def _is_strings(values: Any) -> bool:
    """Whether it is a list, or the values of an object, and all of it text."""
    return isinstance(values, (list, type({}.values()))) and all(
        type(each) is str for each in values
    )


def _drop_nulls(document: dict[str, Any]) -> None:
    for key in [key for key, value in document.items() if value is None]:
        del document[key]


def _refuse(name: str, problem: str) -> NoReturn:
    raise ImageRefused(f"{name} {problem}")
