"""``doctor``: the ladder as text or JSON, and an exit code for scripts."""

from __future__ import annotations

from rootless.cli import output
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.doctor import Diagnosis
    from rootless.engine.doctor_finding import Finding

_DEFAULT_REGISTRY = "docker.io"


def doctor(
    *,
    format: str | None = None,
    json: bool = False,
    require: tuple[str, ...] = (),
    registry: str | None = None,
    quiet: bool = False,
    apparmor_profile: bool = False,
) -> int:
    """Try what works on this host, and say what would make it better."""
    from rootless.engine import doctor as engine

    if apparmor_profile:
        from rootless.engine.apparmor import profile

        output.write(profile())
        return 0
    host = registry or _DEFAULT_REGISTRY
    diagnosis = engine.diagnose(registry=None if host == "none" else host)
    wanted = tuple(word for text in require for word in text.split(",") if word)
    missing = engine.is_enough(diagnosis, wanted)
    if json or format:
        output.document(engine.document(diagnosis), "json" if json else format)
    else:
        _show(diagnosis, quiet=quiet)
    for each in missing:
        output.complain(f"required, and not here: {each}")
    return 1 if diagnosis.broken or missing else 0


def _show(diagnosis: Diagnosis, *, quiet: bool) -> None:
    shown = [each for each in diagnosis.findings if each.level != "works" or not quiet]
    width = max((len(each.name) for each in shown), default=0)
    for each in shown:
        for line in _lines(each, width):
            output.write(line)
    if not quiet:
        output.write("")
        output.write(_summary(diagnosis))


_SIGNS = {"works": "works ", "less": "less  ", "broken": "BROKEN"}


def _lines(finding: Finding, width: int) -> list[str]:
    first = f"{_SIGNS[finding.level]}  {finding.name.ljust(width)}  {finding.using}".rstrip()
    if finding.level == "works":
        return [first]
    indent = " " * (len(_SIGNS["works"]) + 2)
    who = "you can" if finding.who == "you" else "an administrator can"
    rest = (("why", finding.why), ("lost", finding.lost), (who, finding.remedy))
    return [first, *(f"{indent}  {title}: {text}" for title, text in rest if text)]


def _summary(diagnosis: Diagnosis) -> str:
    if diagnosis.broken:
        return "No container starts here. The first line marked BROKEN says why."
    less = sum(each.level == "less" for each in diagnosis.findings)
    things = "one thing" if less == 1 else f"{less} things"
    lacking = f"; {things} could be better" if less else ", with nothing missing"
    return f"Containers start here. Tier: {diagnosis.tier}{lacking}."
