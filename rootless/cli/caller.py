"""What a command takes from its caller beside its arguments: variables, and files that it names."""

from __future__ import annotations

import os

from rootless.errors import InvalidRequest

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


def read_text(path: str) -> str:
    """A file that the command line names.  Raises InvalidRequest."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} is not text in UTF-8") from None


def proxies() -> tuple[str, ...]:
    """The caller's proxy variables."""
    names = (*_PROXIES, *map(str.upper, _PROXIES))
    return tuple(f"{name}={os.environ[name]}" for name in names if name in os.environ)


def everything() -> tuple[str, ...]:
    """All of the caller's variables."""
    return tuple(f"{name}={value}" for name, value in os.environ.items())
