"""``doctor``: what works on this host, what was taken instead of the rest, and who could change that.

Nothing is looked up in a table of versions: every line was tried, in a child that is thrown away.  The
probes are those by which ``run`` chooses (``host.HostFacts``), made anew; their answers are kept for it.
"""

from __future__ import annotations

from rootless.engine import (
    Engine,
    doctor_ids,
    doctor_limits,
    doctor_session,
    doctor_store,
    tiers,
)
from rootless.engine.doctor_finding import BROKEN, LESS, Finding
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rootless.engine.tiers import Loss
    from rootless.host import HostFacts
    from rootless.paths import Paths


class Diagnosis(NamedTuple):
    """The ladder, and the tier that is left; ``tier`` is empty where no container starts."""

    tier: str
    findings: tuple[Finding, ...]
    losses: tuple[Loss, ...]

    @property
    def broken(self) -> bool:
        """Whether no container starts here."""
        return any(each.level == BROKEN for each in self.findings)


def diagnose(*, registry: str | None = None) -> Diagnosis:
    """Try everything; ``registry`` is a host that should answer, None to leave that out."""
    from rootless.host import HostFacts
    from rootless.paths import discover

    paths = discover()
    host = HostFacts(paths, fresh=True)
    findings = [doctor_ids.user_namespace(host), *doctor_store.directories(paths)]
    if any(each.level == BROKEN for each in findings):
        findings += _without_namespaces(host)
        return Diagnosis("", tuple(findings), ())
    findings += _with_namespaces(host, paths)
    if registry:
        findings.append(doctor_session.registry(Engine(paths, host), registry))
    lost = tiers.losses(host)
    broken = any(each.level == BROKEN for each in findings)
    return Diagnosis("" if broken else tiers.tier_of(lost), tuple(findings), lost)


def _without_namespaces(host: HostFacts) -> list[Finding]:
    """What can be said although no container starts."""
    return [*doctor_limits.limits(host), *doctor_session.confinement(host)]


def _with_namespaces(host: HostFacts, paths: Paths) -> list[Finding]:
    """In the order in which a container needs them."""
    tried = doctor_store.try_mounts(host, paths)
    return [
        doctor_ids.ids(host),
        *doctor_ids.namespaces(host),
        doctor_store.procfs(host),
        *doctor_store.mounts(tried),
        *doctor_store.file_system(paths),
        *doctor_store.stacking(host, paths, tried),
        doctor_store.fuse(host, tried),
        *(doctor_store.noexec(paths) if host.native_overlay else ()),
        *doctor_session.network(host, tried),
        *doctor_limits.limits(host),
        *doctor_session.confinement(host),
        *doctor_session.session(host),
    ]


def document(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON; a promise to scripts (docs/doctor.md)."""
    return {
        "tier": diagnosis.tier or None,
        "works": not diagnosis.broken,
        "losses": [each._asdict() for each in diagnosis.losses],
        "checks": [each._asdict() for each in diagnosis.findings],
    }


def is_enough(diagnosis: Diagnosis, required: tuple[str, ...]) -> list[str]:
    """Why the host does not give what ``required`` names - tiers and checks; empty where it does.

    Raises InvalidRequest for a word that is neither.
    """
    from rootless.errors import InvalidRequest

    failures = []
    by_name = {each.name: each for each in diagnosis.findings}
    for word in required:
        if word in tiers.TIERS:
            if not diagnosis.tier or tiers.TIERS.index(diagnosis.tier) > tiers.TIERS.index(word):
                failures.append(f"the tier is {diagnosis.tier or 'none'}, not {word}")
        elif word in by_name:
            if by_name[word].level != "works":
                failures.append(f"{word}: {by_name[word].why}")
        elif any(
            each.level == LESS and each.name.endswith(f"-{word}") for each in diagnosis.findings
        ):
            failures.append(f"{word} is missing")
        elif word in doctor_limits.CONTROLLERS:
            if not _has_controller(diagnosis, word):
                failures.append(f"the controller {word} is not delegated")
        else:
            raise InvalidRequest(
                f"nothing here is called {word!r}",
                hint=f"a tier ({' '.join(tiers.TIERS)}), a controller or a check of rootless doctor",
            )
    return failures


def _has_controller(diagnosis: Diagnosis, name: str) -> bool:
    return any(
        each.name == "controllers" and name in each.using.split() for each in diagnosis.findings
    )
