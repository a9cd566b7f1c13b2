"""Every instruction and its errors."""

from __future__ import annotations

import pytest

from rootless.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Device,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    InlineFile,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.parser import parse, parse_trigger
from rootless.errors import InvalidRequest


def one(text: str):
    instruction = parse(f"FROM scratch\n{text}").stages[0].instructions[0]
    return instruction._replace(origin=instruction.__class__._field_defaults["origin"])


def refusal(text: str) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        parse(f"FROM scratch\n{text}")
    return caught.value.message, caught.value.hint


def test_stages_hold_what_follows_their_from():
    dockerfile = parse("ARG V=1\nFROM a:$V AS One\nRUN x\nFROM --platform=$P one\nRUN y\nRUN z")
    assert [arg.pairs for arg in dockerfile.global_args] == [(("V", "1"),)]
    first, second = dockerfile.stages
    assert first.base[:3] == ("a:$V", "one", "")
    assert second.base[:3] == ("one", None, "$P")
    assert [each.command for each in second.instructions] == [("y",), ("z",)]


def test_keywords_are_read_in_any_case():
    assert parse("from a as b\ncmd x").stages[0].instructions[0].command == ("x",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN echo hi", Run(("echo hi",))),
        ('RUN ["a", "b c"]', Run(("a", "b c"), shell=False)),
        ("RUN ['a']", Run(("['a']",))),
        ('RUN ["a",]', Run(('["a",]',))),
        ("RUN []", Run((), shell=False)),
        ("RUN", Run(())),
        ("RUN --network=none x", Run(("x",), network="none")),
        ("RUN --security=insecure x", Run(("x",), security="insecure")),
        (
            "RUN --device=vendor.com/gpu=0,required --device=name=b x",
            Run(("x",), devices=(Device("vendor.com/gpu=0", required=True), Device("b"))),
        ),
        ("RUN -- --mount", Run(("--mount",))),
        ("CMD a b", Cmd(("a b",))),
        ('CMD ["a"]', Cmd(("a",), shell=False)),
        ("CMD", Cmd(())),
        ("ENTRYPOINT []", Entrypoint((), shell=False)),
        ('SHELL ["a", "-c"]', Shell(("a", "-c"))),
        (
            "ENV a=1 b=\"2 3\" c='4 5' d=6\\ 7 e=",
            Env((("a", "1"), ("b", '"2 3"'), ("c", "'4 5'"), ("d", "6\\ 7"), ("e", ""))),
        ),
        ("ENV a  b = c", Env((("a", "b = c"),), legacy=True)),
        ("LABEL a.b=c", Label((("a.b", "c"),))),
        ('LABEL "a b"="c=d"', Label((('"a b"', '"c=d"'),))),
        ("LABEL a b", Label((("a", "b"),), legacy=True)),
        ("ARG a b=c d=", Arg((("a", None), ("b", "c"), ("d", "")))),
        ("WORKDIR /a b", Workdir("/a b")),
        ("USER a:b", User("a:b")),
        ("EXPOSE 80/udp 443 1-2", Expose(("1-2", "443", "80/udp"))),
        ("VOLUME /a /b", Volume(("/a", "/b"))),
        ('VOLUME ["/a b"]', Volume(("/a b",))),
        ("STOPSIGNAL SIGTERM", StopSignal("SIGTERM")),
        ("MAINTAINER A <a@b.c>", Maintainer("A <a@b.c>")),
        ("ONBUILD  RUN  x y", Onbuild("RUN  x y")),
        ("HEALTHCHECK NONE", Healthcheck(("NONE",))),
        ("HEALTHCHECK cmd a b", Healthcheck(("CMD-SHELL", "a b"))),
        ('HEALTHCHECK CMD ["a"]', Healthcheck(("CMD", "a"))),
        (
            "HEALTHCHECK --interval=1m30s --timeout=.5s --start-period=1h --start-interval=2s --retries=3 CMD x",
            Healthcheck(("CMD-SHELL", "x"), 90 * 10**9, 5 * 10**8, 3600 * 10**9, 2 * 10**9, 3),
        ),
    ],
)
def test_an_instruction_reads_as(text, expected):
    instruction = one(text)
    assert type(instruction) is type(expected)
    assert instruction == expected


def test_copy_takes_all_its_flags():
    text = (
        "COPY --from=base --chown=a:b --chmod=u+x --link --parents "
        "--exclude=*.o --exclude=*.a src/*.c /dst/"
    )
    assert one(text) == Copy(
        ("src/*.c",),
        "/dst/",
        from_name="base",
        chown="a:b",
        chmod="u+x",
        link=True,
        parents=True,
        excludes=("*.o", "*.a"),
    )


def test_add_takes_all_its_flags():
    text = (
        "ADD --chown=1 --chmod=644 --link=false --exclude=x --checksum=sha256:0 "
        "--unpack=true --keep-git-dir https://a/b.tar /c"
    )
    assert one(text) == Add(
        ("https://a/b.tar",),
        "/c",
        chown="1",
        chmod="644",
        excludes=("x",),
        checksum="sha256:0",
        unpack=True,
        keep_git_dir=True,
    )


def test_a_switch_that_is_not_given_is_not_the_same_as_off():
    assert one("ADD a b").unpack is None
    assert one("ADD --unpack=false a b").unpack is False


def test_flags_may_be_quoted_and_escaped():
    copy = one("COPY --exclude='a b' --chown=\"c\" --chmod=\\d x y")
    assert (copy.excludes, copy.chown, copy.chmod) == (("a b",), "c", "d")


def test_copy_takes_names_with_spaces_in_json_form():
    assert one('COPY ["a b", "/c d/"]') == Copy(("a b",), "/c d/")


def test_inline_files_stand_beside_paths():
    copy = one("COPY <<x y /z/\ntext\nx\n")
    assert copy == Copy(("y",), "/z/", (InlineFile("x", "text\n"),))


def test_a_mount_tells_where_it_is_from_before_its_variables_have_values():
    run = one("RUN --mount=type=$T,from=base,target=/x --mount=target=/y x")
    assert [mount.from_name for mount in run.mounts] == ["base", ""]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("RUNN x", "2:1: unknown instruction: RUNN", "did you mean RUN?"),
        ("copi a b", "2:1: unknown instruction: copi", "did you mean copy?"),
        ("COPPY a b", "2:1: unknown instruction: COPPY", "did you mean COPY?"),
        ("FROBNICATE", "2:1: unknown instruction: FROBNICATE", None),
        ("RUN --mont=x y", "2:5: unknown flag: --mont", "did you mean --mount?"),
        ("COPY --link --form=a b c", "2:13: unknown flag: --form", "did you mean --from?"),
        ("USER --x y", "2:6: unknown flag: --x", None),
        ("COPY --from a b", "2:6: missing a value on flag: --from", None),
        ("COPY --chown=a --chown=b c d", "2:16: duplicate flag specified: --chown", None),
        ("COPY --link=maybe a b", "2:6: expecting boolean value for flag --link, not: maybe", None),
        ("COPY --link= a b", "2:6: missing a value on flag: --link", None),
        ("RUN --network=hots x", '2:5: invalid network mode "hots"', "did you mean host?"),
        ("RUN --security=none x", '2:5: security is not valid: "none"', "one of sandbox, insecure"),
        (
            "COPY a",
            "2:1: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            None,
        ),
        ("ADD", "2:1: ADD requires at least two arguments", None),
        ("COPY a <<EOF\nEOF", "2:8: COPY cannot accept a heredoc as a destination", None),
        (
            "COPY [1, 2]",
            "2:6: when using JSON array syntax, arrays must be comprised of strings only",
            None,
        ),
        (
            'CMD ["a", ["b"]]',
            "2:5: when using JSON array syntax, arrays must be comprised of strings only",
            None,
        ),
        (
            "SHELL sh -c",
            "2:7: SHELL requires the arguments to be in JSON form",
            'SHELL ["/bin/bash", "-c"]',
        ),
        ("SHELL []", "2:1: SHELL requires at least one argument", None),
        ("ENV", "2:1: ENV requires at least one argument", None),
        ("ENV a", "2:1: ENV must have two arguments", "ENV a=value"),
        ("ENV =a", "2:5: ENV names can not be blank", None),
        (
            "ENV a=b c",
            '2:9: Syntax error - can\'t find = in "c". Must be of the form: name=value',
            "quote the value if it has spaces",
        ),
        ("LABEL", "2:1: LABEL requires at least one argument", None),
        ("ARG", "2:1: ARG requires at least one argument", None),
        ("ARG =x", "2:5: ARG names can not be blank", None),
        ("USER", "2:1: USER requires exactly one argument", None),
        ("WORKDIR", "2:1: WORKDIR requires exactly one argument", None),
        ("EXPOSE", "2:1: EXPOSE requires at least one argument", None),
        ('VOLUME [" "]', "2:1: VOLUME specified can not be an empty string", None),
        ("ONBUILD", "2:1: ONBUILD requires at least one argument", None),
        ("ONBUILD from x", "2:9: FROM isn't allowed as an ONBUILD trigger", None),
        (
            "ONBUILD onbuild RUN x",
            "2:9: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            None,
        ),
        ("HEALTHCHECK", "2:1: HEALTHCHECK requires at least one argument", None),
        ("HEALTHCHECK NONE x", "2:18: HEALTHCHECK NONE takes no arguments", None),
        ("HEALTHCHECK CMD", "2:1: Missing command after HEALTHCHECK CMD", None),
        (
            "HEALTHCHECK CMX x",
            '2:13: Unknown type "CMX" in HEALTHCHECK (try CMD)',
            "did you mean CMD?",
        ),
        (
            "HEALTHCHECK --interval=5 CMD x",
            "2:13: --interval: invalid duration '5'",
            "30s, 1m30s, 500ms",
        ),
        (
            "HEALTHCHECK --timeout=1ns CMD x",
            '2:13: Interval "timeout" cannot be less than 1ms',
            None,
        ),
        ("HEALTHCHECK --retries=-1 CMD x", "2:13: --retries cannot be negative (-1)", None),
        ("HEALTHCHECK --retries=x CMD x", "2:13: --retries: 'x' is not a number", None),
        (
            "FROM a b",
            "2:1: FROM requires either one or three arguments",
            "FROM image, or FROM image AS name",
        ),
        (
            "FROM a AS 1b",
            '2:11: invalid name for build stage: "1b", name can\'t start with a number or contain symbols',
            None,
        ),
        (
            "COPY --from=$A b c",
            "2:6: variable expansion is not supported for --from",
            "name a stage for it: ARG before the first FROM, FROM $ARG AS name",
        ),
        (
            "RUN --mount=from=$A,target=/b c",
            "2:5: --mount: 'from' doesn't support variable expansion, define alias stage instead",
            None,
        ),
        ("RUN --mount='a\"b' c", '2:5: --mount: bare " in non-quoted field', None),
        (
            "RUN --device=a,nmae=b c",
            "2:5: --device: unexpected key 'nmae' in 'nmae=b'",
            "did you mean name?",
        ),
    ],
)
def test_an_error_points_at_the_place_and_knows_the_remedy(text, message, hint):
    assert refusal(text) == (f"Dockerfile:{message}", hint)


def test_only_arg_may_stand_before_the_first_from():
    with pytest.raises(InvalidRequest, match="1:1: no build stage in current context"):
        parse("RUN x\nFROM a", name="x/Dockerfile")


def test_arguments_alone_are_no_dockerfile():
    with pytest.raises(InvalidRequest, match="Other: dockerfile contains no stages to build"):
        parse("ARG a", name="Other")


def test_a_trigger_is_one_instruction():
    assert parse_trigger("COPY a b").sources == ("a",)
    assert parse_trigger("RUN <<EOF\nx\nEOF").heredocs[0].content == "x\n"
    with pytest.raises(InvalidRequest, match="base: onbuild trigger should be a single expression"):
        parse_trigger("RUN a\nRUN b", origin="base")
    with pytest.raises(InvalidRequest, match="base:1:1: FROM isn't allowed as an ONBUILD trigger"):
        parse_trigger("FROM a", origin="base")


def test_json_numbers_of_any_length_and_nesting_of_any_depth_take_no_time():
    assert one(f"CMD [{'[' * 100_000}").shell
    with pytest.raises(InvalidRequest, match="comprised of strings only"):
        one(f"CMD [{'9' * 100_000}]")
