"""What ARG means, where."""

from __future__ import annotations

import pytest

from rootless.dockerfile.arguments import (
    global_scope,
    platform_arguments,
    proxy_arguments,
    resolve_arg,
    unused_arguments,
)
from rootless.dockerfile.parser import parse
from rootless.errors import InvalidRequest


def scope(text: str, **build_args: str) -> dict[str, str]:
    return global_scope(
        parse(text), build_args, platform="linux/arm64/v8", build_platform="linux/amd64"
    )


def resolved(text: str, *, variables=None, build_args=None, global_variables=None):
    arg = parse(f"FROM scratch\n{text}").stages[0].instructions[0]
    return resolve_arg(
        arg,
        variables or {},
        build_args=build_args or {},
        global_variables=global_variables or {},
    ).pairs


def test_the_platform_arguments_exist_without_being_declared():
    assert platform_arguments("linux/arm/v7", build_platform="windows(10.0)/amd64") == {
        "BUILDPLATFORM": "windows(10.0)/amd64",
        "BUILDOS": "windows",
        "BUILDOSVERSION": "10.0",
        "BUILDARCH": "amd64",
        "BUILDVARIANT": "",
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "linux",
        "TARGETOSVERSION": "",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
        "TARGETSTAGE": "default",
    }


def test_the_target_stage_is_the_last_one_unless_one_is_asked_for():
    assert scope("FROM a AS b")["TARGETSTAGE"] == "b"
    assert scope("FROM a")["TARGETSTAGE"] == "default"


def test_a_build_argument_comes_before_the_default():
    variables = scope("ARG V=1 W=$V\nARG X\nARG Y=$TARGETARCH\nFROM a", V="2")
    assert [variables.get(name) for name in "VWXY"] == ["2", "2", None, "arm64"]


def test_a_build_argument_that_nobody_declares_is_in_no_scope():
    assert "V" not in scope("FROM a", V="2")


def test_a_build_argument_can_replace_a_platform_argument():
    assert scope("FROM a", TARGETARCH="x")["TARGETARCH"] == "x"


def test_an_error_in_a_default_points_at_it():
    with pytest.raises(InvalidRequest, match=r"Dockerfile:1:7: failed to process"):
        scope("ARG V=${\nFROM a")


def test_a_stage_sees_the_global_scope_only_where_it_gives_no_default():
    seen = {"V": "global", "W": "global"}
    assert resolved("ARG V W=own X", global_variables=seen) == (
        ("V", "global"),
        ("W", "own"),
        ("X", None),
    )


def test_later_defaults_see_earlier_arguments():
    assert resolved("ARG A=1 B=$A$C", variables={"C": "3"}) == (("A", "1"), ("B", "13"))


def test_a_default_that_is_replaced_is_not_looked_at():
    assert resolved("ARG A=${B?}", build_args={"A": "1"}) == (("A", "1"),)


def test_proxies_need_no_declaration_and_come_in_both_cases():
    assert proxy_arguments({"http_proxy": "http://p", "NO_PROXY": "", "X": "y"}) == (
        "HTTP_PROXY=http://p",
        "http_proxy=http://p",
    )


def test_arguments_that_nothing_declares_are_named():
    dockerfile = parse("ARG A\nFROM a\nARG B=1")
    given = {
        "A": "",
        "B": "",
        "C": "",
        "TARGETARCH": "",
        "https_proxy": "",
        "SOURCE_DATE_EPOCH": "",
    }
    assert unused_arguments(dockerfile, given) == ("C",)
