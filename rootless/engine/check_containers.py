"""``system check`` on containers, their names, volumes and networks."""

from __future__ import annotations

import json
import os

from rootless import files
from rootless.errors import RootlessError
from rootless.runtime import container as store
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.engine.check import Checkup
    from rootless.runtime.container import Container


def check(checkup: Checkup) -> None:
    """Look at every record, and at what it says is there."""
    paths = checkup.engine.paths
    for container_id in store.ids_of(paths):
        checkup.count("containers")
        problem = _record_problem(f"{paths.container(container_id)}/container.json", container_id)
        if problem is not None:
            checkup.find("container", container_id, problem, paths.container(container_id))
            continue
        try:
            container = store.load(paths, container_id)
        except RootlessError:
            continue  # removed meanwhile
        _check_container(checkup, container)
    _check_names(checkup)
    _check_volumes(checkup)
    _check_networks(checkup)


def _record_problem(path: str, container_id: str) -> str | None:
    try:
        record = _read_json(path)
    except FileNotFoundError:
        # One that is being removed vanishes as a whole, so this one was damaged.
        return "has no record" if os.path.isdir(os.path.dirname(path)) else None
    except (OSError, ValueError):
        return "has a record that cannot be read"
    if not isinstance(record, dict) or record.get("id") != container_id:
        return "has the record of another container"
    wrong = store.wrong_fields(record, container_id)
    if wrong or not isinstance(record["launch"].get("rootfs"), dict):
        return f"has a record without {', '.join(wrong) or 'its root file system'}"
    return None


def _check_container(checkup: Checkup, container: Container) -> None:
    try:
        container.spec()
    except RootlessError as error:
        checkup.find("container", container.name, error.message, container.bundle)
    rootfs = container.record["launch"]["rootfs"]
    for path in rootfs.get("lower") or ():
        if not os.path.isdir(path):
            chain = f"sha256:{os.path.basename(os.path.dirname(path))}"
            checkup.find("container", container.name, f"lacks the layer {chain}", container.bundle)
    for key in ("upper", "work"):
        path = rootfs.get(key)
        if path and not os.path.isdir(path):
            checkup.find("container", container.name, f"lacks its directory {key}", path)
    place = f"{checkup.engine.paths.names}/{container.name}"
    if not os.path.islink(place):
        checkup.find("name", container.name, "does not lead to its container", place)


def _check_names(checkup: Checkup) -> None:
    paths = checkup.engine.paths
    gone = 0
    for name in files.names_in(paths.names):
        place = f"{paths.names}/{name}"
        try:
            owner = os.path.basename(os.readlink(place))
        except OSError:
            checkup.find("name", name, "is no link to a container", place)
            continue
        if not os.path.isdir(paths.container(owner)):
            gone += 1  # whoever wants the name next takes it
            continue
        try:
            if store.load(paths, owner).name != name:
                checkup.find("name", name, "leads to a container of another name", place)
        except (RootlessError, KeyError, TypeError):
            continue  # the container was told
    if gone:
        checkup.remnants.append(f"{gone} names of containers that are gone, free to be taken")


def _check_volumes(checkup: Checkup) -> None:
    root = checkup.engine.paths.volumes
    for name in files.names_in(root):
        path = f"{root}/{name}"
        if not os.path.isdir(path):
            continue
        checkup.count("volumes")
        try:
            if not isinstance(_read_json(f"{path}/volume.json"), dict):
                raise ValueError("not an object")
        except (OSError, ValueError):
            checkup.find("volume", name, "has no record that can be read", f"{path}/volume.json")
        if not os.path.isdir(f"{path}/_data"):
            checkup.find("volume", name, "has lost its files", f"{path}/_data")


def _check_networks(checkup: Checkup) -> None:
    root = checkup.engine.paths.networks
    for name in files.names_in(root):
        if not name.endswith(".json"):
            continue
        checkup.count("networks")
        path = f"{root}/{name}"
        try:
            record = _read_json(path)
            if f"{record['name']}.json" != name:
                raise ValueError("another name")
        except (OSError, ValueError, KeyError, TypeError):
            checkup.find("network", name.removesuffix(".json"), "has a damaged record", path)


def _read_json(path: str) -> Any:
    return json.loads(files.read_bytes(path))
