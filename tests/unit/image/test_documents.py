from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import ImageRefused, InvalidRequest, NotFound
from rootless.image import documents
from rootless.image.documents import parse_config, parse_document, parse_index, parse_manifest
from rootless.image.platforms import (
    choose_manifest,
    parse_platform,
    platform_of_machine,
    platform_text,
)

DIGEST = "sha256:" + "ab" * 32
DESCRIPTOR = {"mediaType": documents.OCI_CONFIG, "digest": DIGEST, "size": 7}
MANIFEST = {"schemaVersion": 2, "config": DESCRIPTOR, "layers": [DESCRIPTOR]}
INDEX = {"schemaVersion": 2, "manifests": [DESCRIPTOR]}


def text(document: object, **changes: object) -> bytes:
    return json.dumps({**document, **changes} if changes else document).encode()  # type: ignore[dict-item]


def test_a_manifest_keeps_fields_that_nobody_knows():
    assert parse_manifest(text(MANIFEST, later=[1]))["later"] == [1]


def test_null_means_absent():
    assert "annotations" not in parse_manifest(text(MANIFEST, annotations=None))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (text({**MANIFEST, **INDEX}), "both"),
        (text(INDEX, config=DESCRIPTOR), "both"),
        (text({"schemaVersion": 2}), "neither"),
        (text(MANIFEST, mediaType=documents.OCI_INDEX), "another kind"),
        (text(INDEX, mediaType=documents.DOCKER_MANIFEST), "another kind"),
        (text(MANIFEST, mediaType=5), "another kind"),
        (text(MANIFEST, schemaVersion=1), "version 2"),
        (text(MANIFEST, layers={}), "lacks"),
        (text({"schemaVersion": 2, "layers": []}), "lacks"),
        (text(MANIFEST, config={**DESCRIPTOR, "digest": "sha256:../../x"}), "not a sha256"),
        (text(MANIFEST, config={**DESCRIPTOR, "digest": "sha256:AB" + "ab" * 31}), "not a sha256"),
        (text(MANIFEST, config={**DESCRIPTOR, "size": -1}), "-1 bytes"),
        (text(MANIFEST, config={**DESCRIPTOR, "size": 1 << 63}), "bytes"),
        (text(MANIFEST, config={**DESCRIPTOR, "size": True}), "whole number"),
        (text(MANIFEST, config={**DESCRIPTOR, "size": 7.0}), "whole number"),
        (text(MANIFEST, config={"mediaType": "x"}), "without"),
        (text(MANIFEST, config=[]), "not an object"),
        (text(MANIFEST, annotations={"a": 1}), "not text"),
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"schemaVersion": 2, "manifests": [], "annotations": {"a": "\\ud800"}}', "not JSON"),
        (b" " * (documents.DOCUMENT_LIMIT + 1), "larger than 4 MiB"),
    ],
)
def test_a_document_that_lies_is_refused(content, problem):
    with pytest.raises(ImageRefused, match=problem):
        parse_document(content, media_type="", name="the document")


def test_the_announced_media_type_must_be_the_documents_own():
    content = text(MANIFEST, mediaType=documents.OCI_MANIFEST)
    with pytest.raises(ImageRefused, match="came as"):
        parse_document(content, media_type=documents.DOCKER_MANIFEST, name="it")
    with pytest.raises(ImageRefused, match="an index where"):
        parse_manifest(text(INDEX))
    with pytest.raises(ImageRefused, match="a manifest where"):
        parse_index(text(MANIFEST))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"rootfs": {"diff_ids": ["sha256:../x"]}}, "not a sha256"),
        ({"rootfs": {"diff_ids": [1]}}, "not digests"),
        ({"rootfs": []}, "rootfs that is not an object"),
        ({"config": {"Env": ["A=1", 2]}}, "Env"),
        ({"config": {"Env": "A=1"}}, "Env"),
        ({"config": {"Labels": {"a": 1}}}, "labels"),
        ({"config": {"Healthcheck": {"Test": "x"}}}, "Test"),
        ({"history": [1]}, "history"),
        ({"history": [{"empty_layer": 1}]}, "empty_layer"),
        ({"architecture": 1}, "architecture"),
    ],
)
def test_a_config_of_wrong_types_is_refused(config, problem):
    with pytest.raises(ImageRefused, match=problem):
        parse_config(text(config))


def test_a_config_of_docker_with_nulls_is_read():
    config = parse_config(
        text(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": None, "Entrypoint": ["/x"], "Volumes": None},
                "rootfs": {"type": "layers", "diff_ids": None} | {"diff_ids": [DIGEST]},
                "history": None,
            }
        )
    )
    assert config["config"] == {"Entrypoint": ["/x"]}
    assert config["rootfs"]["diff_ids"] == [DIGEST]


def test_layers_and_diff_ids_are_counted():
    config = parse_config(text({"rootfs": {"diff_ids": []}}))
    with pytest.raises(ImageRefused, match="has 1 layers and describes 0"):
        documents.check_layers(parse_manifest(text(MANIFEST)), config, name="it")


def index(*platforms: str | None):
    entries = []
    for number, each in enumerate(platforms):
        entry = {"mediaType": documents.OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 1}
        if each is not None:
            entry["platform"] = parse_platform(each)
        entries.append(entry)
    return parse_index(text({"schemaVersion": 2, "manifests": entries}))


def chosen(platform: str, *platforms: str | None) -> int:
    return int(
        choose_manifest(index(*platforms), parse_platform(platform), name="it")["digest"][7:]
    )


def test_the_first_entry_that_fits_is_chosen():
    assert chosen("linux/amd64", "linux/arm64", "linux/amd64", "linux/amd64") == 1
    assert chosen("linux/arm64/v8", "linux/amd64", "linux/arm64") == 1
    assert chosen("linux/amd64", "windows/amd64", "linux/amd64/v1") == 1


def test_an_older_variant_is_better_than_none():
    assert chosen("linux/arm/v7", "linux/arm/v6", "linux/arm/v5") == 0
    assert chosen("linux/arm/v7", "linux/arm/v8", "linux/arm/v6", "linux/arm/v7") == 2
    assert chosen("linux/amd64", "linux/amd64/v2", None) == 1


def test_without_a_fitting_entry_the_error_lists_what_there_is():
    with pytest.raises(NotFound, match="no image for linux/s390x") as caught:
        chosen("s390x", "linux/amd64", "unknown/unknown")
    assert "it has linux/amd64;" in str(caught.value.hint)


def test_platforms_are_read_as_users_write_them():
    assert platform_text(parse_platform("aarch64")) == "linux/arm64"
    assert platform_text(parse_platform("linux/arm/v7")) == "linux/arm/v7"
    assert platform_text(platform_of_machine("armv7l")) == "linux/arm/v7"
    assert platform_text(platform_of_machine("x86_64")) == "linux/amd64"
    with pytest.raises(InvalidRequest):
        parse_platform("a/b/c/d")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*documents._DESCRIPTOR_TYPES, *documents._CONFIG_TYPES, "layers", "manifests"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_parsed_or_refused(value):
    content = json.dumps(value).encode()
    for parse in (parse_manifest, parse_index, parse_config):
        try:
            parse(content)
        except ImageRefused:
            pass
