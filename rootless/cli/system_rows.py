"""What ``system check`` and ``system df`` show."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.phrases import human_size
from rootless.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.engine.check import Checked

_COUNTED = ("images", "blobs", "layers", "containers", "volumes", "networks")


def show_checked(checked: Checked, *, repair: bool) -> None:
    """Every finding on a line, then a summary."""
    for text in checked.done:
        output.write(f"repaired  {text}")
    for text in checked.remnants:
        output.write(f"left over  {text}")
    for each in checked.findings:
        output.write(f"damaged  {each.kind} {each.name}: {each.problem}")
    counts = checked.counts
    looked = ", ".join(f"{counts[kind]} {kind}" for kind in _COUNTED if counts.get(kind))
    read = f" ({human_size(counts['bytes'])} of blobs)" if counts.get("bytes") else ""
    if not checked.findings:
        output.write(f"Clean: {looked or 'nothing is stored'}{read}")
        return
    output.write(f"Damaged: {len(checked.findings)} of {looked}{read}")
    output.remark(
        "Hint: rootless system check --repair --force also removes what cannot be repaired"
        if repair
        else "Hint: rootless system check --repair"
    )


def checked_document(checked: Checked) -> dict[str, Any]:
    """The same as JSON shows it."""
    return {
        "clean": not checked.findings,
        "checked": checked.counts,
        "findings": [each._asdict() for each in checked.findings],
        "leftOver": list(checked.remnants),
        "repaired": list(checked.done),
    }
