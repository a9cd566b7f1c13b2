"""``search`` and ``search --list-tags``: what registries have."""

from __future__ import annotations

from rootless.engine import registries
from rootless.engine.registries import Access
from rootless.errors import InvalidRequest, RegistryFailed, Unsupported
from rootless.events import Notice, ignore
from rootless.image.reference import DEFAULT_REGISTRY, parse_reference, split_registry
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.events import Report


class SearchRequest(NamedTuple):
    """A term, perhaps with a registry before it.  ``filters``: ``stars=N``, ``is-official``, ``is-automated``."""

    term: str
    limit: int = 25
    filters: tuple[str, ...] = ()
    access: Access = Access()


class Found(NamedTuple):
    """A repository that fits."""

    registry: str
    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    automated: bool = False


def search(engine: Engine, request: SearchRequest, report: Report = ignore) -> list[Found]:
    """The repositories that fit the term, in every registry that is searched for short names."""
    configured = registries.load(engine)
    registry, term = split_registry(request.term)
    hosts = (registry,) if registry else configured.search or (DEFAULT_REGISTRY,)
    found: list[Found] = []
    failures: list[RegistryFailed] = []
    for host in hosts:
        try:
            found += _search_one(engine, host, term, request=request, report=report)
        except RegistryFailed as error:
            failures.append(error)
    if failures and len(failures) == len(hosts):
        raise failures[0]
    for failure in failures:
        report(Notice(failure.message, "warning"))
    return [each for each in found if _passes(each, request.filters)]


def _search_one(
    engine: Engine, host: str, term: str, *, request: SearchRequest, report: Report
) -> list[Found]:
    configured = registries.load(engine)
    source = configured.source_of_host(host)
    client = registries.client_for(source, request.access, registries=configured, report=report)
    try:
        results = client.search(term, limit=request.limit)
        if results is None:
            names = [name for name in client.catalog() if term in name]
            return [Found(host, f"{host}/{name}") for name in names[: request.limit]]
    finally:
        client.close()
    return [
        Found(
            registry=host,
            name=f"{host}/{_text(each, 'name')}",
            description=_text(each, "description"),
            stars=stars if isinstance(stars := each.get("star_count"), int) else 0,
            official=bool(each.get("is_official")),
            automated=bool(each.get("is_automated")),
        )
        for each in results[: request.limit]
    ]


def list_tags(
    engine: Engine,
    name: str,
    *,
    limit: int = 25,
    access: Access | None = None,
    report: Report = ignore,
) -> list[str]:
    """The tags of a repository, as the registry orders them."""
    if parse_reference(name).digest:
        raise InvalidRequest("tags are listed of a repository: leave the digest out")
    candidates = registries.load(engine).candidates(name)
    places = registries.clients(engine, candidates, access or Access(), report=report)
    return registries.first_answer(
        places, lambda _, client: list(client.tags(limit=limit)), name=name
    )


def _passes(found: Found, filters: tuple[str, ...]) -> bool:
    for text in filters:
        key, _, value = text.partition("=")
        match key:
            case "stars":
                if not value.isdigit():
                    raise InvalidRequest(f"stars wants a number, not {value!r}")
                fits = found.stars >= int(value)
            case "is-official":
                fits = found.official == (value != "false")
            case "is-automated":
                fits = found.automated == (value != "false")
            case _:
                raise Unsupported(
                    f"search cannot filter by {key!r}", hint="by stars, is-official, is-automated"
                )
        if not fits:
            return False
    return True


def _text(document: dict[str, object], key: str) -> str:
    value = document.get(key)
    text = value if isinstance(value, str) else ""
    return "".join(each if each.isprintable() else " " for each in text)
