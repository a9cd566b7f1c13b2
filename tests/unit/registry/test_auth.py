from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import RegistryDenied, RegistryFailed
from rootless.events import ignore
from rootless.registry.auth import (
    Authorizer,
    check_realm,
    may_have_credentials,
    parse_challenges,
)
from rootless.registry.config import Source
from rootless.registry.credentials import Credential

SCOPES = frozenset({"repository:a/b:pull"})
BEARER = 'Bearer realm="https://auth.example.com/token",service="reg",scope="repository:a/b:pull"'
STORED = Credential("me", "pw", source="/auth.json")
GIVEN = STORED._replace(source="--creds")


class TokenServer:
    """Answers in turn and remembers what it was asked."""

    def __init__(self, *answers: tuple[int, object]):
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []

    def __call__(self, method, address, headers, body):
        self.asked.append((method, address, dict(headers), body and parse_qs(body.decode())))
        status, document = self.answers.pop(0)
        return status, json.dumps(document).encode()


def authorizer(server, credential=None, host="registry.example.com", report=ignore, **more):
    return Authorizer(Source(host, "a/b", **more), credential, send=server, report=report)


def test_challenges_are_read_as_registries_write_them():
    [bearer] = parse_challenges(BEARER)
    assert bearer.scheme == "bearer"
    assert bearer.parameters == {
        "realm": "https://auth.example.com/token",
        "service": "reg",
        "scope": "repository:a/b:pull",
    }
    first, second = parse_challenges('Basic realm="a, \\"b\\"", BEARER  realm=https://x,error="x"')
    assert (first.scheme, first.parameters["realm"]) == ("basic", 'a, "b"')
    assert (second.scheme, second.parameters["realm"]) == ("bearer", "https://x")
    assert [each.scheme for each in parse_challenges("Negotiate, Basic")] == ["negotiate", "basic"]


@given(st.text(alphabet='aB ,="\\\t\x00é', max_size=30))
def test_any_challenge_is_read_without_an_error(text):
    parse_challenges(text)


def test_an_anonymous_token_is_fetched_once_and_kept():
    server = TokenServer((200, {"token": "t1", "expires_in": 300}))
    found = authorizer(server)
    assert found.header(SCOPES) is None
    found.answer(BEARER, SCOPES, used=None)
    assert found.header(SCOPES) == "Bearer t1"
    assert found.header(frozenset({"repository:a/b:pull,push"})) is None
    [(method, address, headers, _)] = server.asked
    assert method == "GET"
    assert headers == {}
    assert parse_qs(urlsplit(address).query) == {
        "service": ["reg"],
        "scope": ["repository:a/b:pull"],
    }


def test_a_token_is_asked_for_with_the_users_password():
    server = TokenServer((200, {"access_token": "t2"}))
    found = authorizer(server, STORED)
    found.answer(BEARER, SCOPES, used=None)
    assert found.header(SCOPES) == "Bearer t2"
    expected = "Basic " + base64.b64encode(b"me:pw").decode()
    assert server.asked[0][2] == {"Authorization": expected}


def test_an_identity_token_is_traded_in_by_oauth2():
    server = TokenServer((200, {"access_token": "t"}))
    authorizer(server, Credential(identity_token="idt", source="f")).answer(
        BEARER, SCOPES, used=None
    )
    [(method, _, headers, form)] = server.asked
    assert method == "POST"
    assert "Authorization" not in headers
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["idt"]


def test_a_server_without_get_is_asked_by_post():
    server = TokenServer((405, {}), (200, {"access_token": "t"}))
    found = authorizer(server, STORED)
    found.answer(BEARER, SCOPES, used=None)
    assert server.asked[1][3]["grant_type"] == ["password"]
    assert found.header(SCOPES) == "Bearer t"


def test_basic_is_sent_from_then_on():
    found = authorizer(TokenServer(), STORED)
    found.answer('Basic realm="x"', SCOPES, used=None)
    assert found.header(SCOPES) == STORED.basic
    with pytest.raises(RegistryDenied, match="wants credentials"):
        authorizer(TokenServer()).answer('Basic realm="x"', SCOPES, used=None)


def test_a_stale_stored_credential_is_named_and_then_left_out():
    notices: list[Any] = []
    server = TokenServer((401, {}), (200, {"token": "anonymous"}))
    found = authorizer(server, STORED, report=notices.append)
    found.answer(BEARER, SCOPES, used=None)
    assert found.header(SCOPES) == "Bearer anonymous"
    assert "Authorization" not in server.asked[1][2]
    assert "/auth.json" in notices[0].text


def test_a_credential_given_for_this_command_is_not_left_out():
    with pytest.raises(RegistryDenied, match="refuses the credentials of --creds"):
        authorizer(TokenServer((401, {})), GIVEN).answer(BEARER, SCOPES, used=None)


def test_a_registry_that_refuses_every_token_is_not_asked_forever():
    server = TokenServer((200, {"token": "1"}), (200, {"token": "2"}))
    found = authorizer(server, STORED)
    found.answer(BEARER, SCOPES, used=None)
    found.answer(BEARER, SCOPES, used="Bearer 1")
    with pytest.raises(RegistryDenied):
        found.answer(BEARER, SCOPES, used="Bearer 2")
    assert len(server.asked) == 2


def test_a_registry_token_is_used_as_it_is():
    found = authorizer(TokenServer(), Credential(registry_token="rt", source="f"))
    assert found.header(SCOPES) == "Bearer rt"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, {}), "without a token"),
        ((200, []), "without a token"),
        ((200, {"token": 5}), "without a token"),
        ((200, {"token": "a\r\nX-Evil: 1"}), "without a token"),
        ((200, {"token": "a", "expires_in": [1]}), "without a token"),
        ((500, {"token": "a"}), "answered 500"),
    ],
)
def test_an_answer_that_is_no_token_is_an_error(answer, error):
    with pytest.raises(RegistryFailed, match=error):
        authorizer(TokenServer(answer)).answer(BEARER, SCOPES, used=None)


def test_credentials_are_not_sent_to_a_token_server_of_another_site():
    notices: list[Any] = []
    server = TokenServer((200, {"token": "anonymous"}))
    found = authorizer(server, STORED, host="registry.other.org", report=notices.append)
    found.answer(BEARER, SCOPES, used=None)
    assert "Authorization" not in server.asked[0][2]
    assert "me" not in server.asked[0][1]
    assert "not of its site" in notices[0].text


@pytest.mark.parametrize(
    ("realm", "host", "allowed"),
    [
        ("https://auth.docker.io/token", "registry-1.docker.io", True),
        ("https://gitlab.com/jwt/auth", "registry.gitlab.com", True),
        ("https://ghcr.io/token", "ghcr.io", True),
        ("https://auth.ghcr.io/token", "ghcr.io", True),
        ("https://evil.io/token", "ghcr.io", False),
        ("https://notghcr.io/token", "ghcr.io", False),
        ("https://ghcr.io:8443/token", "ghcr.io", True),
        ("http://auth.docker.io/token", "registry-1.docker.io", False),
        ("https://evil.co.uk/token", "registry.co.uk", False),
        ("https://auth.example.co.uk/t", "registry.example.co.uk", True),
        ("http://127.0.0.1:5000/token", "127.0.0.1:5000", True),
        ("http://127.0.0.1:6000/token", "127.0.0.1:5000", False),
        ("http://localhost:5000/token", "127.0.0.1:5000", False),
        ("https://10.0.0.2/token", "10.0.0.1", False),
        ("https://a.internal/token", "internal", False),
        ("https://allowed.example/token", "other.org", True),
    ],
)
def test_who_may_see_credentials(realm, host, allowed):
    source = Source(host, "x", token_hosts=("allowed.example",))
    assert may_have_credentials(realm, source) is allowed


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "ftp://a/b",
        "https://",
        "https://user@a.io/",
        "https://a.io:x/",
        "https://a.io/\n",
        "http://a.io/",
    ],
)
def test_a_token_server_must_be_an_address_with_tls(realm):
    with pytest.raises(RegistryFailed):
        check_realm(realm, Source("a.io", "x"))


def test_plain_http_is_for_loopback_and_insecure_registries():
    check_realm("http://127.0.0.1:1/t", Source("127.0.0.1:1", "x"))
    check_realm("http://a.io/t", Source("a.io", "x", insecure=True))
