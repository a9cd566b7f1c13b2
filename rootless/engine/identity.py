"""Who the program runs as, and in which user namespace."""

from __future__ import annotations

from rootless import files
from rootless.engine.image_users import group_ids, user_of
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rootless.engine import Engine
    from rootless.engine.requests import RunRequest
    from rootless.engine.user_namespaces import Chosen
    from rootless.image.documents import ContainerConfig
    from rootless.rootfs import Rootfs
    from rootless.runtime.users import User


def who_runs(
    engine: Engine, request: RunRequest, config: ContainerConfig, rootfs: Rootfs
) -> tuple[User, Chosen | None]:
    """Who runs the program, and in which user namespace; None is a new one with the usual map."""
    spec = request.user or config.get("User") or ""
    chosen = None
    if request.userns or request.uidmap or request.gidmap or request.subuidname:
        from rootless.engine import user_namespaces

        chosen = user_namespaces.choose(engine, request, rootfs)
        if chosen is not None:
            spec = request.user or chosen.user or spec
    user = user_of(spec, rootfs, engine.id_map)
    if request.group_add:
        groups = group_ids(request.group_add, rootfs, engine.id_map)
        user = user._replace(groups=user.groups + groups)
    if chosen is None and user.uid and (request.volume or request.mount):
        from rootless.engine import user_namespaces

        chosen = user_namespaces.for_image_user(engine, request, user)
    return user, chosen


def ids_reserved(engine: Engine, request: RunRequest) -> AbstractContextManager[object]:
    """No two containers choose ids of their own at the same time."""
    if (request.userns or "").startswith("auto"):
        return files.lock(f"{engine.paths.data}/ids.lock")
    return _Nothing()


class _Nothing:
    """contextlib.nullcontext, which costs an import on the way of every run."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
