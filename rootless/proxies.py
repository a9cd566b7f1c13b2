"""Which proxy the caller's environment names: HTTPS_PROXY, NO_PROXY and their like."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK_NAMES = ("localhost", "::1")


def proxy_for(url: str) -> str:
    """The proxy for an address, or nothing; this machine is asked directly."""
    from urllib.request import getproxies_environment, proxy_bypass

    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
        return ""
    proxies = getproxies_environment()
    return proxies.get(parts.scheme) or proxies.get("all") or ""


def is_loopback(host: str) -> bool:
    """Whether a host name or address (without port) means this machine."""
    numbers = host.split(".")
    is_127 = len(numbers) == 4 and numbers[0] == "127" and all(map(str.isdigit, numbers))
    return is_127 or host in _LOOPBACK_NAMES or host.endswith(".localhost")
