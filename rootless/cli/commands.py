"""Which commands there are, and which module each is in."""

from __future__ import annotations

from rootless.errors import InvalidRequest, Unsupported
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Title -> command -> its module in ``rootless.cli`` and ``rootless.cli.options``, and what it does:
# ``--help`` shows that without reading the tables.
PANELS: dict[str, dict[str, tuple[str, str]]] = {
    "Containers": {
        "run": ("run", "Make a container and run a program in it"),
        "exec": ("execution", "Run a further program in a running container"),
        "ps": ("containers", "List containers"),
        "logs": ("containers", "Show what containers have written"),
        "inspect": ("inspection", "Describe containers, images, volumes and networks"),
        "top": ("inspection", "Show the processes of a container"),
        "stats": ("inspection", "Show what containers use, again and again"),
        "port": ("inspection", "List the published ports of containers"),
        "attach": ("containers", "Connect to the terminal or streams of a running container"),
        "start": ("execution", "Start containers that were made or have stopped"),
        "init": ("containers", "Set up all of containers but their programs, which start lets run"),
        "stop": ("containers", "Ask containers to end, and end them after a while"),
        "restart": ("containers", "Stop and start containers"),
        "kill": ("containers", "Send a signal to containers"),
        "wait": ("containers", "Wait for containers to end, and print their exit codes"),
        "create": ("run", "Make a container without starting it"),
        "cp": ("transfer", "Copy files between containers and this host, or tar streams"),
        "diff": ("transfer", "Show what a container has changed in its files"),
        "commit": ("transfer", "Make an image of a container's files"),
        "export": ("transfer", "Write all files of a container to a tar archive"),
        "pause": ("containers", "Stop all processes of containers where they are"),
        "unpause": ("containers", "Let the processes of paused containers go on"),
        "update": ("update", "Change limits and the restart policy of containers"),
        "healthcheck run": ("services", "Run a container's health check now"),
        "generate systemd": ("services", "Print a systemd unit that runs a container"),
        "generate quadlet": ("services", "Print a quadlet of podman's that runs a container"),
        "quadlet install": ("services", "Make services of podman's quadlets"),
        "quadlet list": ("services", "List the services that were made of quadlets"),
        "quadlet print": ("services", "Print the service that a quadlet would become"),
        "quadlet rm": ("services", "Stop and remove services that were made of quadlets"),
        "rename": ("containers", "Give a container another name"),
        "rm": ("containers", "Remove containers"),
        "container inspect": ("inspection", "Describe containers"),
        "container prune": ("containers", "Remove all containers that do not run"),
        "container exists": ("containers", "Exit with 0 if the container exists, with 1 if not"),
    },
    "Images": {
        "build": ("build", "Build an image from a Dockerfile"),
        "pull": ("registries", "Download images from a registry"),
        "push": ("registries", "Upload images to a registry"),
        "images": ("images", "List images"),
        "rmi": ("images", "Remove images"),
        "image prune": ("images", "Remove images without a name, or all that no container uses"),
        "tag": ("images", "Give an image further names"),
        "untag": ("images", "Take names away from an image; all of them if none is given"),
        "save": ("images", "Write images to an archive or directory"),
        "load": ("images", "Read images from an archive or directory"),
        "import": ("transfer", "Make an image of an archive of files"),
        "image diff": ("transfer", "Show how the files of two images differ"),
        "history": ("images", "Show how an image was made"),
        "image inspect": ("images", "Describe images"),
        "image tree": ("images", "Show the layers of an image, and which images share them"),
        "image bootstrap": ("images", "Make a base image of this host's own files"),
        "image exists": ("images", "Exit with 0 if the image is stored, with 1 if not"),
    },
    "Images for several platforms": {
        "manifest create": ("manifests", "Make an index, empty or of images"),
        "manifest add": ("manifests", "Put images into an index; what is not stored is pulled"),
        "manifest annotate": (
            "manifests",
            "Change what an index says of an image in it, or of itself",
        ),
        "manifest inspect": ("manifests", "Show an index, stored or of a registry"),
        "manifest push": ("manifests", "Upload an index with its images"),
        "manifest remove": ("manifests", "Take an image out of an index"),
        "manifest rm": ("manifests", "Remove indexes"),
        "manifest exists": (
            "manifests",
            "Exit with 0 if there is an index of that name, with 1 if not",
        ),
    },
    "Registries": {
        "login": ("registries", "Keep credentials for a registry"),
        "logout": ("registries", "Forget credentials for a registry"),
        "search": ("registries", "Search registries for images, or list tags"),
    },
    "Volumes": {
        "volume create": ("volumes", "Make a volume: a directory that outlives containers"),
        "volume ls": ("volumes", "List volumes"),
        "volume inspect": ("volumes", "Describe volumes and which containers mount them"),
        "volume exists": ("volumes", "Exit with 0 if the volume exists, with 1 if not"),
        "volume export": ("volumes", "Write what is in a volume to a tar archive"),
        "volume import": ("volumes", "Add what is in a tar archive to a volume"),
        "volume mount": ("volumes", "Print where the files of a volume are"),
        "volume prune": ("volumes", "Remove volumes that no container mounts"),
        "volume rm": ("volumes", "Remove volumes with all that is in them"),
        "volume unmount": ("volumes", "Do nothing to a volume: no driver has mounted it"),
    },
    "Secrets": {
        "secret create": ("secrets", "Keep a secret for containers"),
        "secret ls": ("secrets", "List secrets"),
        "secret inspect": ("secrets", "Describe secrets, without their values"),
        "secret exists": ("secrets", "Exit with 0 if the secret exists, with 1 if not"),
        "secret rm": ("secrets", "Remove secrets"),
    },
    "Networks": {
        "network create": (
            "networks",
            "Make a network on which containers find each other by name",
        ),
        "network ls": ("networks", "List networks"),
        "network inspect": ("networks", "Describe networks and who is on them"),
        "network connect": ("networks", "Put a container on a network, at once when it runs"),
        "network disconnect": ("networks", "Take a container off a network, at once when it runs"),
        "network exists": ("networks", "Exit with 0 if the network exists, with 1 if not"),
        "network test": (
            "networks",
            "Try names, the host's address, a published port and a transfer",
        ),
        "network prune": ("networks", "Remove all networks that no container uses"),
        "network rm": ("networks", "Remove networks"),
    },
    "Host": {
        "events": ("events", "Show what happens to containers, images, networks and volumes"),
        "info": ("system", "Show what this host can do and what was chosen"),
        "doctor": ("doctor", "Try what works on this host, and say what would make it better"),
        "unshare": (
            "system",
            "Run a program as root of the user namespace, for files of subordinate ids",
        ),
        "system check": ("system", "Verify everything that is stored, and repair it"),
        "system df": ("system", "Show what the store takes on disk"),
        "system prune": ("system", "Remove everything that nothing uses"),
        "system reset": ("system", "Remove everything that was ever stored"),
        "version": ("system", "Show the version of rootless and what it runs on"),
        "completion": (
            "completion",
            "Print a script for bash, zsh or fish that completes our commands",
        ),
        "help": ("system", "Show the commands, or one command's flags"),
    },
}

COMMANDS: dict[str, str] = {
    **{name: family for panel in PANELS.values() for name, (family, _) in panel.items()},
    "__complete": "completion",
}


def summary(name: str) -> str:
    """What a command does, in one line."""
    return next((panel[name][1] for panel in PANELS.values() if name in panel), "")


NOUNS = (
    "container",
    "image",
    "volume",
    "network",
    "secret",
    "manifest",
    "system",
    "healthcheck",
    "generate",
    "quadlet",
)

# Names that others use: docker's and podman's noun groups, and words for the same thing.
ALIASES: dict[str, str] = {
    "list": "ps",
    "container ls": "ps",
    "container list": "ps",
    "container ps": "ps",
    "image ls": "images",
    "image list": "images",
    "image rm": "rmi",
    "image remove": "rmi",
    "volume list": "volume ls",
    "volume remove": "volume rm",
    "volume umount": "volume unmount",
    "network list": "network ls",
    "network remove": "network rm",
    "quadlet ls": "quadlet list",
    "secret list": "secret ls",
    "secret remove": "secret rm",
    "buildx build": "build",
    "builder build": "build",
}
# What others have and we cannot, with the reason.
REFUSED: dict[str, str] = {
    "builder prune": "rootless system prune removes what no build can use, with -a the whole cache",
    "buildx prune": "rootless system prune removes what no build can use, with -a the whole cache",
    "network reload": "no firewall rules are ours to write anew; restart connects a container again",
    "network update": "it sets resolvers of a network; --dns gives them to a container",
    "volume reload": "no plugins keep volumes, so there are none to ask",
    "volume update": "it is for cluster volumes of a swarm; labels are set by volume create",
}
# Commands that docker also knows under a noun.
_SHARED_VERBS = {
    "container": "attach commit cp create diff exec export init kill logs pause port rename restart rm run"
    " start stats stop top unpause update wait",
    "image": "build history import load pull push save search tag untag",
    "system": "events info",
}


def verbs(noun: str) -> dict[str, str]:
    """What may follow a noun, and the command that each is."""
    found = {verb: verb for verb in _SHARED_VERBS.get(noun, "").split() if verb in COMMANDS}
    for name in COMMANDS:
        if name.startswith(f"{noun} "):
            found[name.partition(" ")[2]] = name
    for alias, name in ALIASES.items():
        if alias.startswith(f"{noun} ") and name in COMMANDS:
            found[alias.partition(" ")[2]] = name
    return dict(sorted(found.items()))


# Commands of docker and podman that have no counterpart, and what does their work.
_ELSEWHERE = {
    "pod": "there are no pods: --network container:NAME shares a network",
    "compose": "containers on a network of yours find each other by name: rootless network create",
    "kube": "rootless generate systemd and rootless generate quadlet keep containers as services",
    **dict.fromkeys(
        ("swarm", "service", "stack", "node", "context", "machine"), "there is no daemon"
    ),
}
# What docker and podman take before the command.
_GLOBAL_FLAGS = {
    "--root": "set ROOTLESS_HOME to a directory",
    "--runroot": "set ROOTLESS_HOME to a directory",
    "--storage-driver": "set ROOTLESS_STORAGE_DRIVER to overlay, fuse-overlayfs or vfs",
    **dict.fromkeys(("-D", "--debug", "--log-level"), "set ROOTLESS_DEBUG=1"),
    **dict.fromkeys(
        ("-H", "--host", "-c", "--context", "-r", "--remote", "--url", "--connection"),
        "there is no daemon to choose: everything happens on this host",
    ),
}


def resolve(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command that a line names, and the words after it.

    Raises InvalidRequest with the nearest name where there is no such command, Unsupported.
    """
    first = argv[0] if argv else "help"
    if first in COMMANDS and first not in NOUNS:
        return first, argv[1:]
    if first in ("-h", "--help"):
        return "help", argv[1:]
    if first in ("-v", "--version"):
        return "version", ["--format", "rootless version {{.Version}}"]
    if first in NOUNS or first in ("buildx", "builder"):
        return _resolve_noun(first, argv)
    if ALIASES.get(first) in COMMANDS:
        return ALIASES[first], argv[1:]
    raise unknown_command(first)


def _resolve_noun(noun: str, argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    if len(argv) < 2 or argv[1] in ("-h", "--help"):
        return "help", [noun]
    known = verbs(noun)
    if reason := REFUSED.get(f"{noun} {argv[1]}"):
        raise Unsupported(f"rootless {noun} {argv[1]} is not possible: {reason}")
    if argv[1] not in known:
        near = _nearest(argv[1], known)
        remedy = f"did you mean rootless {noun} {near}?" if near else f"rootless {noun} lists them"
        raise InvalidRequest(f"rootless {noun} has no command {argv[1]}", hint=remedy)
    return known[argv[1]], argv[2:]


def unknown_command(name: str) -> InvalidRequest:
    """The error that suggests the nearest command."""
    if name.startswith("-"):
        flag = name.partition("=")[0]
        remedy = _GLOBAL_FLAGS.get(flag, "flags follow the command")
        return InvalidRequest(f"rootless has no flag {flag}", hint=remedy)
    if reason := _ELSEWHERE.get(name):
        return InvalidRequest(f"rootless has no command {name}", hint=reason)
    near = _nearest(name, [*COMMANDS, *NOUNS])
    hint = f"did you mean rootless {near}?" if near else "rootless --help lists the commands"
    return InvalidRequest(f"rootless has no command {name}", hint=hint)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, [*known], 1, 0.6)), None)
