"""``build --squash`` and ``--squash-all``: what was built, with fewer layers."""

from __future__ import annotations

from rootless.build.squash import one_layer, squashed, without_layers
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.build.workshop import Workshop
    from rootless.engine.build_results import Built


def squash(workshop: Workshop, built: Built, *, base_too: bool) -> Built:
    """The same image with its new layers as one; with ``base_too`` also those of the base image."""
    base = built.base
    merges_base = base_too and base is not None and bool(base.chain)
    if len(built.records) + (len(base.chain) if base and merges_base else 0) < 2:
        return built
    below = None if merges_base or base is None else base.chain[-1:]
    created = built.records[-1].created if built.records else _created(built)
    record = squashed(workshop, built.chain[-1], below[0] if below else None, created=created)
    if base is not None and merges_base:
        config = without_layers(base.config)
        base = base._replace(config=config, manifest={**base.manifest, "layers": []}, chain=())
    return built._replace(
        base=base,
        plan=built.plan._replace(history=one_layer(built.plan.history)),
        records=(record,),
    )


def _created(built: Built) -> str:
    return (built.base.config.get("created") if built.base else None) or "1970-01-01T00:00:00Z"
