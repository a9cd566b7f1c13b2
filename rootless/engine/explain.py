"""``--explain``: what a run would do - as lines to read, as commands to try, or as an OCI document."""

from __future__ import annotations

import os

from rootless import events, files
from rootless.engine.create import Draft, resolve_image
from rootless.engine.options import check_supported
from rootless.rootfs import Rootfs
from rootless.runtime.explain import explain as lines_of
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine import Engine
    from rootless.engine.prepared import Prepared
    from rootless.engine.requests import RunRequest
    from rootless.events import Report


def explain_run(
    engine: Engine, request: RunRequest, form: str = "plan", report: Report = events.ignore
) -> list[str]:
    """Lines of ``plan`` (one operation each), ``commands`` (a shell script) or ``json`` (the runtime-spec's).

    Nothing is done but a missing image pulled.
    """
    check_supported(request)
    with engine.use_store():
        image = resolve_image(engine, request, report)
        with files.scratch(engine.paths.scratch, "explain") as directory:
            prepared = Draft(engine, request, image, directory).prepare(report)
            match form:
                case "commands":
                    return _commands(engine, prepared, directory)
                case "json":
                    return [_document(prepared, directory)]
            return lines_of(prepared.plan)


def _rootfs(prepared: Prepared) -> Rootfs:
    rootfs = Rootfs(**prepared.container.record["launch"]["rootfs"])
    return rootfs._replace(lower=tuple(rootfs.lower))  # JSON knows no tuples


def _commands(engine: Engine, prepared: Prepared, directory: str) -> list[str]:
    from rootless.runtime import container as store
    from rootless.runtime.equivalents import commands

    return commands(
        store.read_spec(directory),
        _rootfs(prepared),
        prepared.plan.id_map or engine.id_map,
        exists=os.path.exists,
    )


def _document(prepared: Prepared, directory: str) -> str:
    import json

    from rootless.engine.surroundings import kernel_version, profile_of
    from rootless.runtime import container as store
    from rootless.runtime.oci_document import oci_document
    from rootless.runtime.seccomp_cache import rules_of

    spec = store.read_spec(directory)
    profile = profile_of(prepared.container.record, directory)
    rules = None
    if profile != "unconfined":
        rules = rules_of(
            None if profile == "default" else profile,
            capabilities=spec["process"]["capabilities"]["bounding"],
            architecture=os.uname().machine,
            kernel=kernel_version(),
        )
    document = oci_document(spec, _rootfs(prepared), seccomp=rules, exists=os.path.exists)
    return json.dumps(document, indent=2)
