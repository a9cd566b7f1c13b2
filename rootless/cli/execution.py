"""``exec`` and ``start``."""

from __future__ import annotations

from rootless.engine import Engine
from rootless.typed import Any


def exec(
    container: str,
    args: tuple[str, ...] = (),
    *,
    latest: bool = False,
    env: tuple[str, ...] = (),
    env_file: tuple[str, ...] = (),
    cidfile: str | None = None,
    **given: Any,
) -> int:
    """Run a further program in a running container."""
    from rootless.engine.exec import execute
    from rootless.engine.requests import ExecRequest
    from rootless.errors import InvalidRequest

    engine = Engine.open()
    name = container
    if latest or cidfile:  # then the first word is the program
        from rootless.engine.selection import select

        cidfiles = (cidfile,) if cidfile else ()
        args, name = (container, *args), select(engine, (), latest=latest, cidfiles=cidfiles)[0]
    if not args:
        raise InvalidRequest("no program is named", hint="rootless exec CONTAINER PROGRAM")
    variables: tuple[str, ...] = ()
    if env or env_file:
        from rootless.cli.run import environment

        variables = environment(env, env_file)
    return execute(engine, ExecRequest(container=name, args=args, env=variables, **given))


def start(
    containers: tuple[str, ...] = (),
    *,
    attach: bool = False,
    interactive: bool = False,
    all: bool = False,
    latest: bool = False,
    filter: tuple[str, ...] = (),
    sig_proxy: bool = True,
    detach_keys: str | None = None,
) -> int:
    """Start containers that were made or have stopped."""
    from rootless.cli.each import each
    from rootless.engine import lifecycle
    from rootless.engine.requests import StartRequest
    from rootless.engine.selection import select
    from rootless.errors import InvalidRequest

    engine = Engine.open()
    names = select(engine, containers, all=all, latest=latest, filters=filter)
    request = StartRequest(
        attach=attach or interactive,
        interactive=interactive,
        detach_keys=detach_keys,
        sig_proxy=sig_proxy,
    )
    if request.attach:
        if len(names) > 1:
            raise InvalidRequest("only one container can be attached to")
        return lifecycle.start(engine, request._replace(containers=names))[1]
    return each(names, lambda name: lifecycle.start(engine, request._replace(containers=(name,))))
