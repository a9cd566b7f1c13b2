"""``completion``, and what its scripts ask."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command

COMPLETION = Command(
    "completion",
    "Print a script for bash, zsh or fish that completes our commands",
    arguments=(Argument("shell", "SHELL"),),
    details="bash: source <(rootless completion bash); zsh: source <(rootless completion zsh);"
    " fish: rootless completion fish | source",
)

COMPLETE = Command(
    "__complete",
    "Say what may follow",
    arguments=(Argument("shell", "SHELL"), Argument("words", "WORD", required=False, many=True)),
    interspersed=False,
)
