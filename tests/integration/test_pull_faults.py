"""A registry that does everything wrong: what may pass is tried again, what lies is refused."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from rootless.errors import RegistryUnreachable
from rootless.events import ignore
from rootless.registry import connections, crew
from rootless.registry.client import Client
from rootless.registry.config import Source
from rootless.registry.http import Retry
from rootless.registry.transfer import Fetch, Job
from tests.support import oci
from tests.support.faulty_proxy import Fault, FaultyProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cli import Result, Rootless
    from tests.support.images import Images

FAST = ("--retry", "3", "--retry-delay", "10ms")


@pytest.fixture
def proxy(images: Images) -> Iterator[FaultyProxy]:
    assert images.layered
    with FaultyProxy(images.registry.address) as running:
        yield running


@pytest.fixture
def layer(images: Images) -> oci.Document:
    """The descriptor of the largest layer of the image that is pulled."""
    content, _ = images.registry.get("layered/manifests/latest", oci.MANIFEST)
    manifest = json.loads(content)
    found: oci.Document = max(manifest["layers"], key=lambda each: each["size"])
    return found


@pytest.fixture
def pull(fresh_rootless: Rootless, proxy: FaultyProxy) -> Callable[..., Result]:
    def run(*flags: str, check: bool = True) -> Result:
        return fresh_rootless("pull", "-q", *FAST, *flags, f"{proxy.address}/layered", check=check)

    return run


def stored(rootless: Rootless) -> list[str]:
    """Every blob and every unpacked layer in the store, and what is named."""
    found = []
    for place in ("data/images/blobs", "data/layers", "data/scratch"):
        for directory, names, files in os.walk(f"{rootless.home}/{place}"):
            depth = directory.count("/") - rootless.home.count("/")
            found += [f"{directory}/{name}" for name in files if "blobs" in directory]
            if place == "data/layers" and depth == 3:
                found += [f"{directory}/{name}" for name in names]
    return found


def test_an_undisturbed_pull_asks_for_everything_once(pull, proxy):
    pull()
    blobs = [each.path for each in proxy.requests if "/blobs/" in each.path]
    assert len(blobs) == len(set(blobs)) == 4
    before = len(proxy.requests)
    pull()
    assert not [
        each for each in proxy.requests[before:] if "/blobs/" in each.path and each.path != blobs[0]
    ]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/blobs/", status=500, times=2),
        Fault("/blobs/", status=503, times=2),
        Fault("/blobs/", status=429, headers={"Retry-After": "0"}, times=2),
        Fault("/blobs/", reset=True, times=2),
        Fault("/manifests/", status=502, times=2),
        Fault("/manifests/", reset=True, times=2),
        Fault("/v2/", reset=True, times=1),
        Fault("/manifests/", cut_after=20, times=2),
    ],
    ids=lambda fault: f"{fault.path}{fault.status or ('reset' if fault.reset else 'cut')}",
)
def test_what_may_pass_is_tried_again(pull, proxy, fault):
    fault.times = min(fault.times, 2)
    proxy.faults.append(fault)
    pull()
    assert fault.times == 0


def test_a_cut_body_goes_on_where_it_stopped(pull, proxy, layer):
    path = f"/blobs/{layer['digest']}"
    proxy.faults.append(Fault(path, cut_after=100_000, times=3))
    pull()
    asked = [each.headers.get("Range") for each in proxy.asked(path)]
    assert asked == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]


def test_a_later_command_goes_on_too(pull, proxy, layer):
    path = f"/blobs/{layer['digest']}"
    proxy.faults += [Fault(path, cut_after=400_000, times=1), Fault(path, status=500, times=3)]
    failed = pull(check=False)
    assert failed.exit_code == 125
    before = len(proxy.requests)
    pull()
    [again] = [each for each in proxy.requests[before:] if path in each.path]
    assert again.headers["Range"] == "bytes=400000-"


def test_a_server_that_gives_a_few_bytes_each_time_is_given_up(pull, proxy, layer):
    proxy.faults.append(Fault(f"/blobs/{layer['digest']}", cut_after=10))
    result = pull(check=False)
    assert result.exit_code == 125
    assert "bytes, not" in result.stderr or "closed the connection" in result.stderr
    assert len(proxy.asked(f"/blobs/{layer['digest']}")) == 4  # --retry 3


def test_a_server_that_drips_is_given_up(proxy, layer, tmp_path, monkeypatch):
    """A slow loris: each read gets something, so no timeout of a read ends it."""
    monkeypatch.setattr(crew, "_SLOW_WINDOW_S", 0.3)
    proxy.faults.append(Fault(f"/blobs/{layer['digest']}", drip_s=0.05))
    source = Source(proxy.address, "layered", insecure=True)
    client = Client(source, retry=Retry(attempts=6, first_pause_s=0.01))
    fetch = Fetch(client, (Job(layer, is_stored=lambda: False),), str(tmp_path))
    with pytest.raises(RegistryUnreachable, match="sends too slowly"):
        fetch.run(ignore)
    client.close()
    assert len(proxy.asked(f"/blobs/{layer['digest']}")) == 3


def test_a_server_whose_headers_never_end_is_given_up(proxy, layer, tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "_ANSWER_DEADLINE_S", 0.3)
    proxy.faults.append(Fault(f"/blobs/{layer['digest']}", drip_head_s=0.02))
    source = Source(proxy.address, "layered", insecure=True)
    client = Client(source, retry=Retry(attempts=2, first_pause_s=0.01))
    fetch = Fetch(client, (Job(layer, is_stored=lambda: False),), str(tmp_path))
    with pytest.raises(RegistryUnreachable, match="does not answer"):
        fetch.run(ignore)
    client.close()
    assert len(proxy.asked(f"/blobs/{layer['digest']}")) == 2


def test_a_server_without_ranges_is_read_from_the_beginning(pull, proxy, layer):
    path = f"/blobs/{layer['digest']}"
    proxy.faults += [Fault(path, cut_after=50_000, times=1), Fault(path, no_range=True)]
    pull()
    assert proxy.asked(path)[-1].status == 200


def test_what_an_earlier_download_left_damaged_is_fetched_again(pull, proxy, layer, fresh_rootless):
    path = f"/blobs/{layer['digest']}"
    proxy.faults += [Fault(path, cut_after=400_000, times=1), Fault(path, status=500, times=3)]
    assert pull(check=False).exit_code == 125
    encoded = str(layer["digest"]).removeprefix("sha256:")
    with open(f"{fresh_rootless.home}/cache/downloads/sha256/{encoded}.part", "r+b") as part:
        part.write(b"damaged")
    pull()
    assert proxy.asked(path)[-1].headers.get("Range") is None


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("/blobs/", flip=True), "digest"),
        (Fault("/manifests/", flip=True), ""),
        (Fault("/manifests/", body=b"[]", headers={"Docker-Content-Digest": ""}), "JSON object"),
        (Fault("/manifests/", body=b"x" * (5 << 20)), "4096 KiB"),
        (Fault("/manifests/", headers={"Content-Type": oci.INDEX}), "another kind"),
        (
            Fault("/manifests/", headers={"Docker-Content-Digest": "sha256:" + "0" * 64}),
            "as the registry says",
        ),
        (Fault("/manifests/", status=404), "no image"),
        (Fault("/blobs/", status=404), "no blob"),
        (Fault("/manifests/", status=500), "answered 500"),
        (Fault("/manifests/", status=429, headers={"Retry-After": "3600"}), "asks to wait 3600 s"),
        (Fault("/manifests/", status=401), "denied"),
        (Fault("/manifests/", status=403), "denied"),
        (
            Fault("/manifests/", status=302, headers={"Location": "http://a.example/x"}),
            "without TLS",
        ),
        (Fault("/manifests/", status=307, headers={"Location": "/v2/again/manifests/1"}), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_one_error_and_leaves_nothing(pull, proxy, fresh_rootless, fault, words):
    proxy.faults.append(fault)
    result = pull(check=False)
    assert result.exit_code == 125
    assert result.stderr.startswith("Error: ")
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert stored(fresh_rootless) == []
    assert fresh_rootless("images", "-q").stdout == ""


def test_the_good_layers_of_a_bad_image_do_not_stay(pull, proxy, fresh_rootless, images):
    content, _ = images.registry.get("layered/manifests/latest", oci.MANIFEST)
    last = json.loads(content)["layers"][-1]
    proxy.faults.append(Fault(f"/blobs/{last['digest']}", flip=True))
    result = pull(check=False)
    assert f"layer {last['digest']} has the digest" in result.stderr
    assert stored(fresh_rootless) == []


def test_a_blob_of_another_length_is_refused_before_it_is_read(pull, proxy, layer):
    proxy.faults.append(Fault(f"/blobs/{layer['digest']}", extra_length=1 << 30))
    result = pull(check=False)
    assert "bytes, not" in result.stderr


def test_a_registry_that_wants_credentials_forever_is_given_up(pull, proxy):
    realm = f'Bearer realm="http://{proxy.address}/token",service="x"'
    proxy.faults += [
        Fault("/manifests/", status=401, headers={"WWW-Authenticate": realm}),
        Fault("/token", status=200, body=b'{"token": "t"}'),
    ]
    result = pull(check=False)
    assert result.exit_code == 125
    assert "wants credentials" in result.stderr
    assert len(proxy.asked("/manifests/")) < 6


def test_credentials_stay_with_the_registry_they_are_for(pull, proxy):
    """CVE-2020-15157: neither a redirect nor a challenge sends them elsewhere."""
    with FaultyProxy(proxy.upstream) as other:
        realm = f'Bearer realm="http://{other.address}/token",service="x"'
        proxy.faults += [
            Fault(
                "/manifests/", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}, times=1
            ),
            Fault("/blobs/", status=307, headers={"Location": f"http://{other.address}/v2/x"}),
        ]
        other.faults += [
            Fault("/v2/x", status=401, headers={"WWW-Authenticate": realm}),
            Fault("/token", status=200, body=b'{"token": "t"}'),
        ]
        result = pull("--creds", "me:secret", check=False)
        assert result.exit_code == 125
        assert proxy.asked("/blobs/")[0].headers["Authorization"].startswith("Basic ")
        assert other.asked("/v2/x")
        assert not other.asked("/token")
        assert not any("Authorization" in each.headers for each in other.requests)


def test_a_token_server_elsewhere_sees_no_credentials(pull, proxy):
    with FaultyProxy(proxy.upstream) as other:
        realm = f'Bearer realm="http://{other.address}/token",service="x"'
        proxy.faults.append(
            Fault("/manifests/", status=401, headers={"WWW-Authenticate": realm}, times=1)
        )
        other.faults.append(Fault("/token", status=200, body=b'{"token": "t"}'))
        result = pull("--creds", "me:secret", check=False)
        assert "not of its site" in result.stderr
        assert other.asked("/token")
        assert not any("Authorization" in each.headers for each in other.requests)


def test_two_processes_share_the_work(proxy, layer, fresh_rootless):
    import subprocess

    command = [*fresh_rootless.command, "pull", "-q", f"{proxy.address}/layered"]
    running = [
        subprocess.Popen(
            command, env=fresh_rootless.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert len(proxy.asked(f"/blobs/{layer['digest']}")) == 1
