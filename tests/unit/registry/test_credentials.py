from __future__ import annotations

import base64
import json
import os
import stat

import pytest

from rootless.errors import HostLacks, InvalidRequest, NotFound, RegistryDenied
from rootless.registry import credentials
from rootless.registry.credentials import Credential, CredentialFiles, find, find_files, store


def auth(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


@pytest.fixture
def written(tmp_path):
    def write(document: object, name: str = "auth.json") -> CredentialFiles:
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return CredentialFiles((str(path),), str(path))

    return write


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A credential helper on PATH: a script with the given body."""

    def make(name: str, body: str) -> None:
        path = tmp_path / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return make


def test_the_longest_matching_name_wins(written):
    paths = written(
        {"auths": {"a.io": auth("host:1"), "a.io/x": auth("x:2"), "a.io/x/y": auth("y:3")}}
    )
    found = [find(paths, name) for name in ("a.io/x/y/z", "a.io/x/yy", "a.io/other", "b.io/x")]
    assert [each and each.username for each in found] == ["y", "x", "host", None]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("https://index.docker.io/v1/", "docker.io/library/alpine"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "registry-1.docker.io/library/alpine"),
        ("https://a.io:5000/v2/", "a.io:5000/x"),
        ("http://a.io", "a.io/x"),
    ],
)
def test_addresses_and_hosts_mean_the_same(written, key, name):
    found = find(written({"auths": {key: auth("me:pa:ss")}}), name)
    assert found is not None
    assert (found.username, found.password) == ("me", "pa:ss")


def test_tokens_are_read(written):
    paths = written(
        {"auths": {"a.io": {"identitytoken": "idt"}, "b.io": {"registrytoken": "rt"}, "c.io": {}}}
    )
    assert find(paths, "a.io").identity_token == "idt"
    assert find(paths, "b.io").registry_token == "rt"
    assert find(paths, "c.io") is None


def test_a_secret_is_never_shown(written):
    found = find(written({"auths": {"a.io": auth("me:hunter2")}}), "a.io")
    assert "hunter2" not in f"{found!r} {found}"


def test_login_writes_a_private_file_and_keeps_the_rest(written, tmp_path):
    paths = written({"auths": {"https://index.docker.io/v1/": auth("old:1")}, "detachKeys": "x"})
    store(paths.write, "docker.io", Credential("new", "2"))
    assert find(paths, "docker.io").username == "new"
    document = json.loads((tmp_path / "auth.json").read_text())
    assert document["detachKeys"] == "x"
    assert list(document["auths"]) == ["docker.io"]
    assert stat.S_IMODE(os.stat(paths.write).st_mode) == 0o600

    fresh = f"{tmp_path}/new/auth.json"
    store(fresh, "a.io", Credential(identity_token="t"))
    assert find(CredentialFiles((fresh,), fresh), "a.io").identity_token == "t"


def test_logout_forgets_the_host_under_every_spelling(written):
    paths = written({"auths": {"https://a.io/v1/": auth("a:1"), "b.io": auth("b:2")}})
    credentials.erase(paths.write, "a.io")
    assert find(paths, "a.io") is None
    assert find(paths, "b.io")
    with pytest.raises(NotFound, match=r"not logged in to a\.io"):
        credentials.erase(paths.write, "a.io")
    assert credentials.erase_all(paths.write) == ("b.io",)
    assert find(paths, "b.io") is None


def test_a_helper_is_asked_for_its_host(written, helper):
    helper("test", 'read host; echo "{\\"Username\\": \\"me\\", \\"Secret\\": \\"for $host\\"}"')
    paths = written({"credHelpers": {"a.io": "test"}})
    assert find(paths, "a.io/x").password == "for a.io"
    assert find(paths, "b.io") is None
    paths = written({"credsStore": "test"})
    assert find(paths, "docker.io/library/x").password == "for https://index.docker.io/v1/"
    assert find(written({}), "c.io", helpers=("containers-auth.json", "test")).username == "me"


def test_a_helper_may_hold_an_identity_token(written, helper):
    helper("test", 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"t\\"}"')
    assert find(written({"credsStore": "test"}), "a.io").identity_token == "t"


def test_login_gives_the_secret_to_the_helper(written, helper, tmp_path):
    helper("test", f'cat > "{tmp_path}/$1"')
    paths = written({"credHelpers": {"a.io": "test"}})
    assert store(paths.write, "a.io", Credential("me", "pw")) == "the credential helper test"
    assert json.loads((tmp_path / "store").read_text()) == {
        "ServerURL": "a.io",
        "Username": "me",
        "Secret": "pw",
    }
    assert "pw" not in (tmp_path / "auth.json").read_text()
    credentials.erase(paths.write, "a.io")
    assert (tmp_path / "erase").read_text() == "a.io"


def test_a_helper_without_the_host_is_no_error_and_a_broken_one_is(written, helper):
    helper("none", "echo credentials not found in native keychain; exit 1")
    assert find(written({"credsStore": "none"}), "a.io") is None
    helper("broken", "echo locked; exit 1")
    with pytest.raises(RegistryDenied, match="broken get failed: locked"):
        find(written({"credsStore": "broken"}), "a.io")
    helper("odd", "echo '[]'")
    with pytest.raises(RegistryDenied, match="no credential"):
        find(written({"credsStore": "odd"}), "a.io")
    with pytest.raises(HostLacks, match="docker-credential-absent is not installed"):
        find(written({"credsStore": "absent"}), "a.io")
    with pytest.raises(InvalidRequest, match="not the name"):
        find(written({"credsStore": "../../bin/sh"}), "a.io")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"auths": []}', '{"auths": {"a.io": {"auth": "%"}}}', '{"auths": {"a.io": 1}}'],
)
def test_a_damaged_file_is_named(written, text):
    with pytest.raises(InvalidRequest, match=r"auth\.json"):
        find(written(text), "a.io")


def test_files_are_searched_in_podmans_order(tmp_path):
    found = find_files(
        {"XDG_RUNTIME_DIR": "/run/u", "XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d"}
    )
    assert found.read == (
        "/run/u/containers/auth.json",
        "/c/containers/auth.json",
        "/d/config.json",
    )
    assert found.write == "/c/containers/auth.json"
    assert find_files({"REGISTRY_AUTH_FILE": "/a"}).read == ("/a",)
    assert find_files({"REGISTRY_AUTH_FILE": "/a"}, "/b").write == "/b"
    assert find(found, "a.io") is None


def test_creds_are_a_pair():
    assert credentials.parse_pair("me:a:b")[:2] == ("me", "a:b")
    for text in ("me", ":x", ""):
        with pytest.raises(InvalidRequest):
            credentials.parse_pair(text)
