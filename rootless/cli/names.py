"""The names of what is stored, for completion."""

from __future__ import annotations

from rootless.cli.phrases import familiar
from rootless.engine import Engine
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def names_of(kind: str) -> Iterable[str]:
    """The names of a kind of thing, as users write them."""
    engine = Engine.open()
    match kind:
        case "container":
            from rootless.engine.container_requests import ListRequest
            from rootless.engine.containers import list_containers

            return [each.container.name for each in list_containers(engine, ListRequest(all=True))]
        case "container-path":
            return [f"{name}:" for name in names_of("container")]
        case "image":
            references = {entry.reference for entry in engine.layout.entries()} - {""}
            return sorted(map(familiar, references))
        case "network":
            from rootless.engine.network_requests import NetworkListRequest
            from rootless.engine.networks import list_networks

            found = list_networks(engine, NetworkListRequest())
            return ("none", "host", "private", *(each["name"] for each in found))
        case "volume":
            from rootless.engine.volumes import list_volumes

            return [each.volume.name for each in list_volumes(engine)]
        case "secret":
            from rootless.engine.secrets import list_secrets

            return [each.name for each in list_secrets(engine)]
        case _:
            return ()
