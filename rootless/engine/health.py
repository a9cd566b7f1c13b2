"""HEALTHCHECK and ``--health-*`` as the options of a monitor.  Pure."""

from __future__ import annotations

from rootless.errors import InvalidRequest
from rootless.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from rootless.engine.requests import RunRequest
    from rootless.image.documents import ContainerConfig
    from rootless.runtime.health import HealthOptions

_SECOND_NS = 1_000_000_000


def health_options(request: RunRequest, config: ContainerConfig) -> HealthOptions | None:
    """What to check and how often, or None for no check.  What was given wins over the image."""
    of_image = config.get("Healthcheck") or {}
    test = tuple(of_image.get("Test") or ())
    if request.health_cmd is not None:
        test = _given_test(request.health_cmd)
    if request.no_healthcheck or not test or test[0] == "NONE":
        return None
    from rootless.runtime.health import HealthOptions

    action = request.health_on_failure or "none"
    if action not in ("none", "kill", "restart", "stop"):
        raise InvalidRequest(
            f"unknown action {action!r} of --health-on-failure", hint="none, kill, restart or stop"
        )

    def seconds(given: float | None, name: str, usual: float) -> float:
        in_image = of_image.get(name)
        if given is not None:
            return given
        return float(in_image) / _SECOND_NS if isinstance(in_image, int) and in_image else usual

    retries = request.health_retries
    return HealthOptions(
        test=_command(test),
        interval_s=seconds(request.health_interval, "Interval", 30.0),
        timeout_s=seconds(request.health_timeout, "Timeout", 30.0),
        start_period_s=seconds(request.health_start_period, "StartPeriod", 0.0),
        start_interval_s=seconds(request.health_start_interval, "StartInterval", 5.0),
        retries=(of_image.get("Retries") or 3) if retries is None else retries,
        on_failure=action,
    )


def _given_test(text: str) -> tuple[str, ...]:
    if text == "none":
        return ("NONE",)
    if text.startswith("["):
        import json

        try:
            return ("CMD", *json.loads(text))
        except ValueError:
            pass
    return ("CMD-SHELL", text)


def _command(test: tuple[str, ...]) -> tuple[str, ...]:
    if test[0] == "CMD-SHELL":
        return ("/bin/sh", "-c", " ".join(test[1:]))
    return test[1:] if test[0] == "CMD" else test
