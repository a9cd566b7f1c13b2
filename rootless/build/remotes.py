"""Sources that are not local: web addresses and git repositories, told apart by their text.  Pure."""

from __future__ import annotations

import posixpath
import re

from rootless.build.steps import GitCheckout
from rootless.errors import InvalidRequest

_SCP_FORM = r"[a-zA-Z0-9._-]+@[a-zA-Z0-9.-]+:(?!//)[^ ]+"
_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"
_TRUE = ("", "1", "true")


def is_web_address(text: str) -> bool:
    """Whether ``text`` is to be fetched over HTTP (and is no git repository)."""
    return text.startswith(("http://", "https://")) and git_checkout(text) is None


def git_checkout(text: str) -> GitCheckout | None:
    """What a git address means, or None for other text.

    Git addresses have the scheme ``git``, ``ssh`` or ``git+...``, are ``user@host:path``, or are web
    addresses whose path ends in ``.git``.  ``#REF:DIRECTORY`` or a query (``?ref=v1&subdir=src``) chooses.
    """
    address, _, fragment = text.partition("#")
    address, _, query = address.partition("?")
    if not _is_git_address(address):
        return None
    checkout = GitCheckout(address.removeprefix("git+"))
    if fragment:
        ref, _, directory = fragment.partition(":")
        checkout = checkout._replace(ref=ref, directory=_inside(directory, text))
    return _with_query(checkout, query, text) if query else checkout


def _is_git_address(address: str) -> bool:
    if address.startswith(
        ("git://", "ssh://", "git+https://", "git+http://", "git+ssh://", "git+file://")
    ):
        return True
    if address.startswith(("http://", "https://")):
        return address.partition("://")[2].partition("/")[2].endswith(".git")
    if "@" not in address or "://" in address:
        return False
    return re.fullmatch(_SCP_FORM, address) is not None


def _with_query(checkout: GitCheckout, query: str, text: str) -> GitCheckout:
    from urllib.parse import parse_qsl  # 2 ms, which most builds need not wait for

    for name, value in parse_qsl(query, keep_blank_values=True):
        checkout = _with_option(checkout, name, value, text)
    return checkout


def _with_option(checkout: GitCheckout, name: str, value: str, text: str) -> GitCheckout:
    match name:
        case "ref" | "branch" | "tag" | "commit":
            prefix = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(name, "")
            checkout = checkout._replace(ref=prefix + value)
            return checkout._replace(checksum=value) if name == "commit" else checkout
        case "subdir":
            return checkout._replace(directory=_inside(value, text))
        case "checksum":
            return checkout._replace(checksum=value)
        case "keep-git-dir":
            return checkout._replace(keep_git_dir=value in _TRUE)
        case "submodules":
            return checkout._replace(submodules=value in _TRUE)
        case _:
            raise InvalidRequest(f"{text}: unknown option {name!r} of a git address")


def _inside(directory: str, text: str) -> str:
    cleaned = posixpath.normpath("/" + directory).lstrip("/")
    if ".." in directory.split("/"):
        raise InvalidRequest(f"{text}: {directory!r} leads out of the repository")
    return cleaned


def is_commit(ref: str) -> bool:
    """Whether a ref is the full name of a commit, which can never mean something else tomorrow."""
    return re.fullmatch(_COMMIT, ref) is not None


def file_name(url: str) -> str:
    """The name that a download gets in a directory; empty when its address has none."""
    from urllib.parse import unquote, urlsplit

    return posixpath.basename(unquote(urlsplit(url).path))
