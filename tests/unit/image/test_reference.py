from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import InvalidRequest
from rootless.image.reference import Reference, is_qualified, parse_reference, registry_name

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3.19", "docker.io/library/alpine:3.19", "alpine:3.19"),
        ("grafana/loki", "docker.io/grafana/loki:latest", "grafana/loki:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("localhost/mine:1", "localhost/mine:1", "localhost/mine:1"),
        ("localhost:5000/mine", "localhost:5000/mine:latest", "localhost:5000/mine:latest"),
        ("quay.io/a/b/c:x", "quay.io/a/b/c:x", "quay.io/a/b/c:x"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        (f"a/b:t@{DIGEST}", f"docker.io/a/b:t@{DIGEST}", f"a/b:t@{DIGEST}"),
        ("a__b/c-d/e.f--g", "docker.io/a__b/c-d/e.f--g:latest", "a__b/c-d/e.f--g:latest"),
    ],
)
def test_a_reference_has_one_canonical_and_one_familiar_form(text, canonical, familiar):
    reference = parse_reference(text)
    assert str(reference) == canonical
    assert reference.familiar == familiar
    assert parse_reference(canonical) == parse_reference(familiar) == reference


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("Alpine", "lower-case"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("/a", "empty"),
        ("a:", "tag is empty"),
        ("a:b c", "is not a tag"),
        ("a:" + "x" * 129, "longer"),
        ("a" * 256, "longer"),
        ("a..b", "component"),
        ("a___b", "component"),
        ("a-", "component"),
        ("a._b", "component"),
        ("../../etc", "not a host name"),
        ("x.y:port/a", "not a port"),
        ("user@host.example/a", "not a sha256"),
        ("host.example?x/a", "not a host name"),
        ("a@sha256:../../etc/passwd", "not a sha256"),
        (f"a@md5:{HEX}", "not a sha256"),
        (HEX, "image id"),
        ("a\n", "component"),
    ],
)
def test_a_bad_reference_is_refused_with_the_reason(text, problem):
    with pytest.raises(InvalidRequest, match=problem):
        parse_reference(text)


def test_the_transport_of_a_registry_is_understood_and_others_are_no_names():
    assert registry_name("docker://alpine:3.19") == "alpine:3.19"
    assert registry_name("oci/runtime:1") == "oci/runtime:1"
    for text in ("dir:out", "oci:out:latest", "docker-archive:a.tar"):
        with pytest.raises(InvalidRequest, match="is not at a registry"):
            registry_name(text)


def test_the_digest_is_what_the_registry_is_asked_for():
    assert parse_reference("a:b").target == "b"
    assert parse_reference(f"a:b@{DIGEST}").target == DIGEST


def test_a_name_is_qualified_when_it_begins_with_a_host():
    assert [
        is_qualified(each) for each in ("a", "a/b", "localhost/a", "a.b/c", "a:5/c", "a:5")
    ] == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]


@given(st.text(max_size=80))
def test_any_text_is_a_reference_that_reads_back_or_an_invalid_request(text):
    try:
        reference = parse_reference(text)
    except InvalidRequest:
        return
    assert isinstance(reference, Reference)
    assert parse_reference(str(reference)) == reference
    assert not set(str(reference)) - set(map(chr, range(33, 127)))
