"""Files from the web for ADD, and for contexts that are addresses.

A download is kept below ``cache/web`` with the validators that its server gave, so that asking again
costs one request, and none when a checksum names it.
"""

from __future__ import annotations

import hashlib
import json
import os

from rootless import files
from rootless.errors import BuildFailed, InvalidRequest, RegistryUnreachable
from rootless.image.digest import digest_of, encoded, parse_digest
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rootless.build.steps import Download
    from rootless.paths import Paths

_CHUNK = 1 << 20
_TIMEOUT_S = 30
_LIMIT_BYTES = 1 << 40


class Fetched(NamedTuple):
    """A download: where it lies, its digest, and its Last-Modified as seconds since the epoch."""

    path: str
    digest: str
    mtime: int | None


def fetch(download: Download, paths: Paths, place: str) -> Fetched:
    """Bring a file to ``place``, or find it kept.  Raises BuildFailed for a wrong checksum."""
    wanted = parse_digest(download.checksum) if download.checksum else ""
    kept = f"{paths.cache}/web/{encoded(digest_of(download.url.encode()))}"
    known = _read(f"{kept}.json")
    if wanted and known.get("digest") == wanted and os.path.exists(f"{kept}.data"):
        return Fetched(f"{kept}.data", wanted, known.get("mtime"))
    headers = _validators(known) if os.path.exists(f"{kept}.data") else {}
    answer = _get(download.url, place, headers, wanted.partition(":")[0] or "sha256")
    if answer is None:
        fetched = Fetched(f"{kept}.data", known["digest"], known.get("mtime"))
    else:
        fetched = answer[0]
    if wanted and fetched.digest != wanted:
        raise BuildFailed(f"{download.url} has the digest {fetched.digest}, not {wanted}")
    if answer is not None:
        _keep(kept, *answer)
    return fetched


def _get(
    url: str, place: str, headers: dict[str, str], algorithm: str
) -> tuple[Fetched, dict[str, str]] | None:
    """None when the server says that nothing has changed."""
    import urllib3

    agent = {"User-Agent": "rootless", "Accept-Encoding": "identity"}
    try:
        with (
            urllib3.PoolManager(
                retries=urllib3.Retry(3, backoff_factor=0.5), timeout=_TIMEOUT_S
            ) as pool,
            pool.request(
                "GET", url, headers={**agent, **headers}, preload_content=False
            ) as response,
        ):
            if response.status == 304:
                return None
            if response.status != 200:
                raise BuildFailed(f"{url}: the server answered {response.status} {response.reason}")
            digest = hashlib.new(algorithm)
            with open(place, "wb") as file:
                for chunk in response.stream(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
            mtime = _time(response.headers.get("Last-Modified"))
            kept = {
                name: response.headers[name]
                for name in ("ETag", "Last-Modified")
                if name in response.headers
            }
            return Fetched(place, f"{algorithm}:{digest.hexdigest()}", mtime), kept
    except urllib3.exceptions.LocationValueError as error:
        raise InvalidRequest(f"{url}: {error}") from None
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise RegistryUnreachable(f"cannot fetch {url}: {reason}") from None


def _time(text: str | None) -> int | None:
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(text).timestamp()) if text else None
    except ValueError:
        return None


def _validators(known: dict[str, Any]) -> dict[str, str]:
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return {header: known[name] for header, name in pairs if isinstance(known.get(name), str)}


def _read(path: str) -> dict[str, Any]:
    try:
        known = json.loads(files.read_bytes(path))
        parse_digest(known["digest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return dict(known)


def _keep(kept: str, fetched: Fetched, response: dict[str, Any]) -> None:
    """Keep a copy for the next build; failing to is no failure."""
    try:
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        temporary = f"{kept}.{files.random_name()}.tmp"
        with open(fetched.path, "rb") as source, open(temporary, "wb") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
        os.rename(temporary, f"{kept}.data")
        record = {**response, "digest": fetched.digest, "mtime": fetched.mtime}
        files.write_atomic(f"{kept}.json", json.dumps(record).encode(), durable=False)
    except OSError:
        return
