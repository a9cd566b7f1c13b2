"""Credentials and certificates, against a real registry with both."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli import Rootless
    from tests.support.images import Images

# The registry takes bcrypt only: "password", made by htpasswd -B.
HTPASSWD = "me:$2b$05$STi8kveXQWZCX.aHPJfxuuma4IWO4nYuknrPlBtEcGfp/5Q.iXPqm\n"


def openssl(*argv: str, cwd: str) -> None:
    subprocess.run(["openssl", *argv], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with ca.crt and a certificate of 127.0.0.1 that it signed."""
    place = str(tmp_path_factory.mktemp("certificates"))
    new = ("-newkey", "rsa:2048", "-nodes")
    openssl(
        "req", "-x509", *new, "-keyout", "ca.pem", "-out", "ca.crt", "-subj", "/CN=ca", cwd=place
    )
    openssl("req", *new, "-keyout", "server.pem", "-out", "csr", "-subj", "/CN=registry", cwd=place)
    with open(f"{place}/extensions", "w", encoding="ascii") as file:
        file.write("subjectAltName=IP:127.0.0.1\n")
    by_ca = ("-CA", "ca.crt", "-CAkey", "ca.pem", "-CAcreateserial", "-extfile", "extensions")
    openssl("x509", "-req", "-in", "csr", *by_ca, "-out", "server.pub", cwd=place)
    return place


@pytest.fixture(scope="module")
def secure(
    images: Images, certificates: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """The tests' images behind TLS and basic authentication."""
    assert images.busybox
    directory = str(tmp_path_factory.mktemp("secure"))
    with open(f"{directory}/htpasswd", "w", encoding="ascii") as file:
        file.write(HTPASSWD)
    running = Registry(
        directory,
        storage=images.registry.storage,
        extra={
            "auth": {"htpasswd": {"realm": "tests", "path": f"{directory}/htpasswd"}},
            "http": {
                "addr": "127.0.0.1:0",
                "secret": "tests",
                "tls": {
                    "certificate": f"{certificates}/server.pub",
                    "key": f"{certificates}/server.pem",
                },
            },
        },
    )
    yield running
    running.stop()


@pytest.fixture
def trusting(fresh_rootless: Rootless, secure: Registry, certificates: str) -> Rootless:
    """A user who has put the CA where containers tools look for it."""
    place = f"{fresh_rootless.environment['XDG_CONFIG_HOME']}/containers/certs.d/{secure.address}"
    os.makedirs(place)
    shutil.copy(f"{certificates}/ca.crt", place)
    # Credentials of a podman of the user who runs the tests are not for these tests.
    fresh_rootless.environment["XDG_RUNTIME_DIR"] = os.environ.get("XDG_RUNTIME_DIR", "")
    return fresh_rootless


def test_an_unknown_certificate_is_refused_in_words(fresh_rootless: Rootless, secure: Registry):
    result = fresh_rootless("pull", "--tls-verify", f"{secure.address}/busybox", check=False)
    assert result.exit_code == 125
    assert f"the certificate of {secure.address} cannot be verified" in result.stderr
    assert "certs.d" in result.stderr


def test_login_tries_keeps_and_forgets(trusting: Rootless, secure: Registry):
    image = f"{secure.address}/busybox"
    denied = trusting("pull", "-q", image, check=False)
    assert denied.exit_code == 125
    assert f"rootless login {secure.address}" in denied.stderr

    wrong = trusting("login", secure.address, "-u", "me", "-p", "wrong", check=False)
    assert wrong.exit_code == 125

    trusting("login", secure.address, "-u", "me", "--password-stdin", stdin="password\n")
    path = f"{trusting.environment['XDG_CONFIG_HOME']}/containers/auth.json"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="utf-8") as file:
        assert list(json.load(file)["auths"]) == [secure.address]
    assert trusting("login", "--get-login", secure.address).stdout == "me\n"
    trusting("pull", "-q", image)
    trusting("push", "-q", image, f"{secure.address}/from/login:1")

    trusting("logout", secure.address)
    assert trusting("pull", "-q", image, check=False).exit_code == 125
    trusting("pull", "-q", "--creds", "me:password", image)


def test_without_verification_anybody_is_believed(fresh_rootless: Rootless, secure: Registry):
    image = f"{secure.address}/busybox"
    fresh_rootless("pull", "-q", "--tls-verify=false", "--creds", "me:password", image)


def test_a_directory_of_certificates_can_be_named(
    fresh_rootless: Rootless, secure: Registry, certificates: str, tmp_path
):
    shutil.copy(f"{certificates}/ca.crt", tmp_path)
    image = f"{secure.address}/busybox"
    flags = ("--cert-dir", str(tmp_path), "--creds", "me:password")
    fresh_rootless("pull", "-q", *flags, image)
