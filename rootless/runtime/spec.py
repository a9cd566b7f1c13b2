"""The documents of the OCI runtime-spec 1.2 (config.md, config-linux.md), named as there."""

from __future__ import annotations

from rootless.typed import Any, TypedDict


class User(TypedDict, total=False):
    uid: int
    gid: int
    umask: int
    additionalGids: list[int]


class Capabilities(TypedDict, total=False):
    bounding: list[str]
    effective: list[str]
    permitted: list[str]
    inheritable: list[str]
    ambient: list[str]


class Rlimit(TypedDict):
    type: str
    soft: int
    hard: int


class Process(TypedDict, total=False):
    terminal: bool
    user: User
    args: list[str]
    env: list[str]
    cwd: str
    capabilities: Capabilities
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: int


class Mount(TypedDict, total=False):
    destination: str
    type: str
    source: str
    options: list[str]


class IdMapping(TypedDict):
    containerID: int
    hostID: int
    size: int


class Namespace(TypedDict, total=False):
    type: str
    path: str


class Linux(TypedDict, total=False):
    namespaces: list[Namespace]
    uidMappings: list[IdMapping]
    gidMappings: list[IdMapping]
    cgroupsPath: str
    resources: dict[str, Any]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    sysctl: dict[str, str]
    rootfsPropagation: str


class Root(TypedDict, total=False):
    path: str
    readonly: bool


class Spec(TypedDict, total=False):
    """config.json of a bundle."""

    ociVersion: str
    root: Root
    process: Process
    hostname: str
    domainname: str
    mounts: list[Mount]
    annotations: dict[str, str]
    linux: Linux
