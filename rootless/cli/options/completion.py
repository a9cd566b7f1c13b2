"""``completion``, and what its scripts ask."""

from __future__ import annotations

from rootless.cli.options.table import Argument, Command

COMPLETION = Command(
    "completion",
    arguments=(Argument("shell", "SHELL"),),
    details="bash: source <(rootless completion bash); zsh: source <(rootless completion zsh);"
    " fish: rootless completion fish | source",
)

COMPLETE = Command(
    "__complete",
    arguments=(Argument("shell", "SHELL"), Argument("words", "WORD", required=False, many=True)),
    interspersed=False,
)
