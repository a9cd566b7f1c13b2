"""Files from the web for ADD, and for contexts that are addresses.

A download is kept below ``cache/web`` with the validators that its server gave, so that asking again
costs one request, and none when a checksum names it.
"""

from __future__ import annotations

import hashlib
import json
import os

from rootless import files
from rootless.errors import BuildFailed, InvalidRequest, RegistryUnreachable, RootlessError
from rootless.image.digest import digest_of, encoded, parse_digest
from rootless.proxies import proxy_for
from rootless.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rootless.build.steps import Download
    from rootless.paths import Paths

_CHUNK = 1 << 20
_TIMEOUT_S = 30


class Fetched(NamedTuple):
    """A download: where it lies, its digest, and its Last-Modified as seconds since the epoch."""

    path: str
    digest: str
    mtime: int | None


def fetch(download: Download, paths: Paths, place: str) -> Fetched:
    """Bring a file to ``place``, from the web or from where it is kept.

    Raises BuildFailed for a wrong checksum.
    """
    wanted = parse_digest(download.checksum) if download.checksum else ""
    algorithm = wanted.partition(":")[0] or "sha256"
    record = f"{paths.cache}/web/{encoded(digest_of(download.url.encode()))}.json"
    known = _known(record, paths, place)
    if known is not None and known.digest.partition(":")[0] != algorithm:
        known = None
    if known is not None and wanted == known.digest:
        return known
    answer = _get(download.url, place, _validators(record) if known else {}, algorithm)
    fetched = answer[0] if answer is not None else known
    if fetched is None:
        raise BuildFailed(f"{download.url}: the server answered 304 to an unconditional request")
    if wanted and fetched.digest != wanted:
        raise BuildFailed(f"{download.url} has the digest {fetched.digest}, not {wanted}")
    if answer is not None:
        _keep(record, paths, *answer)
    return fetched


def _known(record: str, paths: Paths, place: str) -> Fetched | None:
    """What was fetched before, brought to ``place``; None when it is not there, or not whole."""
    known = _read(record)
    try:
        kept = _kept(paths, known["digest"])
        if os.stat(kept).st_size != known["size"]:
            return None
        link_or_copy(kept, place)
    except (OSError, KeyError):
        return None
    return Fetched(place, known["digest"], known.get("mtime"))


def _kept(paths: Paths, digest: str) -> str:
    """Where a content is kept: by its digest, so that no record can ever mean another."""
    return f"{paths.cache}/web/{digest.replace(':', '-')}"


def _get(
    url: str, place: str, headers: dict[str, str], algorithm: str
) -> tuple[Fetched, dict[str, str]] | None:
    """None when the server says that nothing has changed."""
    import urllib3

    proxy = proxy_for(url)
    options: dict[str, Any] = {
        "retries": urllib3.Retry(3, backoff_factor=0.5),
        "timeout": _TIMEOUT_S,
    }
    agent = {"User-Agent": "rootless", "Accept-Encoding": "identity"}
    try:
        with (
            (
                urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
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
            # What lies at the place may be the kept file of before.
            with open(f"{place}.new", "xb") as file:
                for chunk in response.stream(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
            os.replace(f"{place}.new", place)
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


def _validators(record: str) -> dict[str, str]:
    known = _read(record)
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    return {header: known[name] for header, name in pairs if isinstance(known.get(name), str)}


def _read(path: str) -> dict[str, Any]:
    try:
        known = json.loads(files.read_bytes(path))
        parse_digest(known["digest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RootlessError):
        return {}
    return dict(known)


def _keep(record: str, paths: Paths, fetched: Fetched, response: dict[str, Any]) -> None:
    """Keep a copy for the next build; failing to is no failure."""
    try:
        os.makedirs(os.path.dirname(record), mode=0o700, exist_ok=True)
        kept = _kept(paths, fetched.digest)
        before = _read(record).get("digest")
        temporary = f"{kept}.{files.random_name()}.tmp"
        link_or_copy(fetched.path, temporary)
        os.replace(temporary, kept)
        size = os.stat(kept).st_size
        document = {**response, "digest": fetched.digest, "size": size, "mtime": fetched.mtime}
        files.write_atomic(record, json.dumps(document).encode(), durable=False)
        if before and before != fetched.digest:
            os.unlink(_kept(paths, before))
    except OSError:
        return


def link_or_copy(source: str, target: str) -> None:
    """Make a file also ``target``; a copy where the two are on different file systems.

    Nobody writes into either: whoever has something newer replaces the name.
    """
    try:
        os.link(source, target)
    except OSError:
        with open(source, "rb") as before, open(target, "xb") as after:
            while chunk := before.read(_CHUNK):
                after.write(chunk)
