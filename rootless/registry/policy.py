"""policy.json: which images may be stored at all (containers-policy.json(5)).

What a policy asks for and cannot be checked here refuses the image; it is never passed over.
"""

from __future__ import annotations

import json

from rootless import files
from rootless.errors import ImageRefused, InvalidRequest, NotFound, Unsupported
from rootless.registry.config import user_config
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.image.digest import Digest
    from rootless.image.reference import Reference
    from rootless.registry.client import Client

Requirement = dict[str, Any]


class Policy(NamedTuple):
    """A policy and the file that it is from."""

    path: str
    document: dict[str, Any]

    def requirements(self, reference: Reference) -> list[Requirement]:
        """What an image of a registry must satisfy, all of it: the most exact scope decides."""
        scopes = self.document.get("transports", {}).get("docker", {})
        for scope in _scopes(reference):
            if scope in scopes:
                return _checked(scopes[scope], self.path)
        return _checked(self.document.get("default"), self.path)


def load(environment: Mapping[str, str], chosen: str | None = None) -> Policy | None:
    """The policy of the user, or of the system; None where neither has one."""
    places = (
        (chosen,)
        if chosen
        else (f"{user_config(environment)}/policy.json", "/etc/containers/policy.json")
    )
    for path in places:
        try:
            document = json.loads(files.read_bytes(path))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"{path} is not a policy: {error}") from None
        if not isinstance(document, dict) or "default" not in document:
            raise InvalidRequest(f"{path} is not a policy: it has no default")
        return Policy(path, document)
    if chosen:
        raise NotFound(f"no file {chosen}", hint="--signature-policy names it")
    return None


def check(
    policy: Policy, reference: Reference, digests: tuple[Digest, ...], client: Client
) -> None:
    """Raise ImageRefused unless the policy accepts the image, of which any of ``digests`` is signed."""
    for requirement in policy.requirements(reference):
        match requirement.get("type"):
            case "insecureAcceptAnything":
                continue
            case "reject":
                raise ImageRefused(
                    f"{reference.familiar} is rejected by policy", hint=f"{policy.path} says so"
                )
            case "sigstoreSigned":
                from rootless.registry import sigstore

                sigstore.check(requirement, reference, digests, client=client, path=policy.path)
            case kind:
                raise Unsupported(
                    f"{policy.path} asks for {kind!r} of {reference.familiar},"
                    " which is not supported",
                    hint="insecureAcceptAnything, reject and sigstoreSigned are",
                )


def _scopes(reference: Reference) -> list[str]:
    """What may name the image in a policy, the most exact first."""
    found = [f"{reference.name}@{reference.digest}"] if reference.digest else []
    if reference.tag:
        found.append(f"{reference.name}:{reference.tag}")
    name = reference.name
    while name:
        found.append(name)
        name = name.rpartition("/")[0]
    host = reference.registry.partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        found.append(f"*.{host}")
    return [*found, ""]


def _checked(requirements: object, path: str) -> list[Requirement]:
    if not isinstance(requirements, list) or not requirements:
        raise InvalidRequest(f"{path}: a list of requirements is empty or missing")
    if not all(isinstance(each, dict) for each in requirements):
        raise InvalidRequest(f"{path}: a requirement is not an object")
    return requirements
