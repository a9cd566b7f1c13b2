"""Which proxy is asked, and for whom none is."""

from __future__ import annotations

import pytest

from rootless.proxies import is_loopback, proxy_for


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example.org")
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("all_proxy", raising=False)
    monkeypatch.delenv("ALL_PROXY", raising=False)


def test_the_environment_names_the_proxy_of_a_scheme():
    assert proxy_for("https://registry.example.org/v2/") == "http://proxy.example.org:3128"
    assert proxy_for("http://registry.example.org/v2/") == ""


@pytest.mark.parametrize(
    "host", ["inside.example.org", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "a.localhost"]
)
def test_this_machine_and_what_is_excepted_are_asked_directly(host):
    assert proxy_for(f"https://{host}/v2/") == ""


def test_a_name_that_begins_like_loopback_is_not_this_machine():
    assert proxy_for("https://127.evil.com/") == "http://proxy.example.org:3128"


def test_loopback_is_known_by_address_and_name():
    assert all(map(is_loopback, ("localhost", "127.9.9.9", "::1", "a.localhost")))
    assert not any(map(is_loopback, ("127.evil.com", "localhost.evil.com", "128.0.0.1", "")))
