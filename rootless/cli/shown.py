"""Which flags help, completion and the reference show: not those that the engine still refuses."""

from __future__ import annotations

from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.cli.options.table import Command, Group, Option

# Used up by the front end itself; the engine never sees them.
FRONT_END = frozenset(
    ("quiet", "explain", "env_file", "label_file", "file", "os", "arch", "variant")
)


def shown_groups(command: Command) -> tuple[Group, ...]:
    """The flags of a command by group; groups of which nothing is left are left out."""
    if command.name not in ("run", "create"):
        return command.groups
    groups = (
        group._replace(
            options=tuple(filter(_is_shown, group.options)),
            further=tuple(filter(_is_shown, group.further)),
        )
        for group in command.groups
    )
    return tuple(group for group in groups if group.options or group.further)


def _is_shown(option: Option) -> bool:
    from rootless.engine.options import is_supported

    known = option.refused or option.ignored or option.destination in FRONT_END
    return bool(known) or is_supported(option.destination)
