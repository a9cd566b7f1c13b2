from __future__ import annotations

import tomllib

import pytest

from rootless.errors import InvalidRequest, RegistryDenied
from rootless.image.reference import parse_reference
from rootless.registry.config import Registries, load, merge

DIGEST = "sha256:" + "0" * 64


def registries(*texts: str) -> Registries:
    return merge((f"file {number}", tomllib.loads(text)) for number, text in enumerate(texts))


def names(found: Registries, text: str) -> list[str]:
    return [source.name for source in found.sources(parse_reference(text))]


def test_without_configuration_a_name_means_its_own_registry():
    assert names(registries(), "quay.io/a/b") == ["quay.io/a/b"]
    assert names(registries(), "alpine") == ["registry-1.docker.io/library/alpine"]


def test_the_longest_prefix_decides():
    found = registries(
        '[[registry]]\nprefix = "a.io"\nlocation = "one.io"\n'
        '[[registry]]\nprefix = "a.io/team"\nlocation = "two.io/x"\n'
        '[[registry]]\nprefix = "a.io/team/app:1"\nlocation = "three.io/y"\n'
    )
    assert names(found, "a.io/b/c") == ["one.io/b/c"]
    assert names(found, "a.io/team/c") == ["two.io/x/c"]
    assert names(found, "a.io/teams/c") == ["one.io/teams/c"]
    assert names(found, "a.io/team/app:1") == ["three.io/y"]
    assert names(found, "a.io/team/app:12") == ["two.io/x/app"]


def test_mirrors_come_first_and_the_primary_last():
    found = registries(
        '[[registry]]\nlocation = "docker.io"\n'
        '[[registry.mirror]]\nlocation = "127.0.0.1:5000/hub"\ninsecure = true\n'
        '[[registry.mirror]]\nlocation = "m.io"\npull-from-mirror = "digest-only"\n'
        '[[registry.mirror]]\nlocation = "t.io"\npull-from-mirror = "tag-only"\n'
    )
    first, second, primary = found.sources(parse_reference("alpine"))
    assert (first.name, first.insecure, first.is_mirror) == (
        "127.0.0.1:5000/hub/library/alpine",
        True,
        True,
    )
    assert second.name == "t.io/library/alpine"
    assert (primary.name, primary.is_mirror) == ("registry-1.docker.io/library/alpine", False)
    assert names(found, f"alpine@{DIGEST}")[1] == "m.io/library/alpine"
    assert len(found.sources(parse_reference("alpine"), mirrors=False)) == 1


def test_mirrors_for_digests_only():
    found = registries(
        '[[registry]]\nlocation = "a.io"\nmirror-by-digest-only = true\n'
        '[[registry.mirror]]\nlocation = "m.io"\n'
    )
    assert names(found, "a.io/b") == ["a.io/b"]
    assert names(found, f"a.io/b@{DIGEST}") == ["m.io/b", "a.io/b"]


def test_a_wildcard_fits_every_subdomain_and_needs_no_location():
    found = registries('[[registry]]\nprefix = "*.a.io"\ninsecure = true\n')
    [source] = found.sources(parse_reference("x.y.a.io/b"))
    assert (source.name, source.insecure) == ("x.y.a.io/b", True)
    assert not found.sources(parse_reference("a.io/b"))[0].insecure
    assert not found.sources(parse_reference("bada.io/b"))[0].insecure


def test_a_blocked_registry_is_refused():
    found = registries('[[registry]]\nlocation = "a.io/bad"\nblocked = true\n')
    with pytest.raises(RegistryDenied, match=r"a\.io/bad/x is blocked"):
        found.sources(parse_reference("a.io/bad/x"))
    assert found.sources(parse_reference("a.io/good"))


def test_later_files_replace_rules_and_aliases_of_the_same_name():
    found = registries(
        '[[registry]]\nlocation = "a.io"\ninsecure = true\n[aliases]\nx = "q.io/x"\ny = "q.io/y"\n',
        'unqualified-search-registries = ["s.io"]\n[[registry]]\nlocation = "a.io"\n'
        '[aliases]\nx = "r.io/x"\ny = ""\n',
    )
    assert not found.sources(parse_reference("a.io/b"))[0].insecure
    assert [str(each) for each in found.candidates("x:1")] == ["r.io/x:1"]
    assert [str(each) for each in found.candidates("y")] == ["s.io/y:latest"]


def test_short_names_are_searched_where_the_configuration_says():
    found = registries('unqualified-search-registries = ["q.io", "docker.io"]')
    assert [str(each) for each in found.candidates("a/b:1")] == ["q.io/a/b:1", "docker.io/a/b:1"]
    assert [str(each) for each in found.candidates("b")] == [
        "q.io/b:latest",
        "docker.io/library/b:latest",
    ]
    assert [str(each) for each in found.candidates("x.io/b")] == ["x.io/b:latest"]
    assert [str(each) for each in registries().candidates("b")] == ["docker.io/library/b:latest"]
    assert next(str(each) for each in found.candidates(f"b@{DIGEST}")) == f"q.io/b@{DIGEST}"


def test_login_asks_the_host_that_answers_for_docker_io():
    assert registries().source_of_host("docker.io").host == "registry-1.docker.io"
    found = registries('[[registry]]\nlocation = "a.io:5000"\ninsecure = true\n')
    assert found.source_of_host("a.io:5000").insecure


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[registries.search]\nregistries = []", "old format"),
        ("[[registry]]\ninsecure = true", "neither prefix nor location"),
        ('[[registry]]\nprefix = "a*.io"', "not a prefix"),
        ('[[registry]]\nprefix = "*.a.io/x"', "not a prefix"),
        ('[[registry]]\nlocation = "a.io"\ninsecure = "yes"', "insecure is not a bool"),
        ('[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\ninsecure = true', "no location"),
        (
            '[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nlocation = "b"\n'
            'pull-from-mirror = "x"',
            "pull-from-mirror",
        ),
        ("registry = 1", "registry is not a list"),
        ("registry = [1]", "not a table"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_file(text, problem):
    with pytest.raises(InvalidRequest, match=f"file 0.*{problem}"):
        registries(text)


def test_the_files_are_found_in_their_order(tmp_path):
    containers = tmp_path / "containers"
    (containers / "registries.conf.d").mkdir(parents=True)
    (containers / "registries.conf").write_text('[[registry]]\nlocation = "a.io"\n')
    (containers / "registries.conf.d/one.conf").write_text('[aliases]\nx = "drop.in/x"\n')
    (tmp_path / "config.toml").write_text('[[registry]]\nlocation = "own.io"\ninsecure = true\n')
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    found = load(str(tmp_path), environment)
    assert found.rule("a.io/b")
    assert found.rule("own.io/b")
    assert str(found.candidates("x")[0]) == "drop.in/x:latest"

    only = tmp_path / "only.conf"
    only.write_text('[[registry]]\nlocation = "only.io"\n')
    found = load(str(tmp_path), {**environment, "CONTAINERS_REGISTRIES_CONF": str(only)})
    assert found.rule("only.io/b")
    assert not found.rule("a.io/b")
    with pytest.raises(InvalidRequest, match="no file /nope"):
        load(str(tmp_path), {"CONTAINERS_REGISTRIES_CONF": "/nope"})
    only.write_text("[[")
    with pytest.raises(InvalidRequest, match=r"only.conf is not TOML"):
        load(str(tmp_path), {"CONTAINERS_REGISTRIES_CONF": str(only)})
