"""Where variables are expanded, and where they are left to others."""

from __future__ import annotations

import pytest

from rootless.dockerfile.expansion import expand_base, expand_instruction
from rootless.dockerfile.instructions import InlineFile, Mount
from rootless.dockerfile.parser import parse
from rootless.errors import InvalidRequest

VALUES = {"A": "alpha", "DIR": "/d", "EMPTY": "", "PORTS": "80 81/udp"}


def expanded(text: str, **values: str):
    dockerfile = parse(f"FROM scratch\n{text}")
    instruction = dockerfile.stages[0].instructions[0]
    return expand_instruction(
        instruction, {**VALUES, **values}, escape=dockerfile.directives.escape
    )


def refusal(text: str) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        expanded(text)
    return caught.value.message, caught.value.hint


def test_env_takes_values_from_before_it():
    assert expanded("ENV A=1 B=$A $A=c").pairs == (("A", "1"), ("B", "alpha"), ("alpha", "c"))


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ('LABEL $A="x $A"', "pairs", (("alpha", "x alpha"),)),
        ("WORKDIR $DIR/x", "path", "/d/x"),
        ("USER ${A}:$A", "user", "alpha:alpha"),
        ("VOLUME $DIR '$DIR'", "paths", ("/d", "$DIR")),
        ("EXPOSE $PORTS 9", "ports", ("80", "81/udp", "9")),
        ("STOPSIGNAL SIG${X:-INT}", "signal", "SIGINT"),
        ("COPY $A x $DIR", "sources", ("alpha", "x")),
        ("COPY $A x $DIR", "target", "/d"),
        ("COPY --chown=$A:x a b", "chown", "alpha:x"),
        ("COPY --chmod=${MODE:-644} a b", "chmod", "644"),
        ("COPY --exclude=$A a b", "excludes", ("$A",)),
        ("ADD --checksum=$A a b", "checksum", "alpha"),
    ],
)
def test_variables_are_expanded_in(text, field, expected):
    assert getattr(expanded(text), field) == expected


@pytest.mark.parametrize(
    "text",
    [
        "RUN echo $A",
        'RUN ["$A"]',
        "CMD $A",
        'ENTRYPOINT ["$A"]',
        'SHELL ["$A"]',
        "HEALTHCHECK CMD $A",
        "ONBUILD RUN $A",
        "MAINTAINER $A",
    ],
)
def test_variables_are_left_alone_in(text):
    instruction = parse(f"FROM scratch\n{text}").stages[0].instructions[0]
    assert expand_instruction(instruction, VALUES) == instruction


def test_an_inline_file_is_expanded_unless_its_name_was_quoted():
    plain = expanded("COPY <<a /x\n$A '$A' \\$A\na")
    assert plain.inline == (InlineFile("a", "alpha 'alpha' $A\n"),)
    literal = expanded("COPY <<'a' /x\n$A\na")
    assert literal.inline == (InlineFile("a", "$A\n", expand=False),)


def test_the_heredoc_of_run_belongs_to_the_shell():
    assert expanded("RUN <<a\n$A\na").heredocs[0].content == "$A\n"


def mount(options: str) -> Mount:
    return expanded(f"RUN --mount={options} x").mounts[0]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("target=/x", {"type": "bind", "target": "/x", "read_only": True}),
        ("type=bind,src=a,dst=/x,rw", {"source": "a", "target": "/x", "read_only": False}),
        ("from=b,destination=$DIR,readwrite=false", {"from_name": "b", "target": "/d"}),
        (
            "type=cache,target=/c,id=$A,sharing=Locked,mode=0700,uid=1,gid=2",
            {
                "id": "alpha",
                "sharing": "locked",
                "mode": 0o700,
                "uid": 1,
                "gid": 2,
                "read_only": False,
            },
        ),
        ("type=cache,target=/c,ro", {"read_only": True}),
        ("type=tmpfs,target=/t,size=64m", {"size_bytes": 64 << 20, "read_only": False}),
        ("type=secret,id=s,required", {"id": "s", "required": True, "env": None}),
        ("type=secret,id=s,env=TOKEN,required=false", {"env": "TOKEN", "required": False}),
        ("type=ssh,id=default,mode=0600", {"type": "ssh", "mode": 0o600}),
        ('type=bind,"target=/a,b"', {"target": "/a,b"}),
        ("type=${NONE:-cache},target=/c", {"type": "cache"}),
    ],
)
def test_a_mount_reads_as(options, fields):
    quoted = f"'{options}'" if '"' in options else options
    read = mount(quoted)
    assert {name: getattr(read, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ("type=cahce,target=/c", 'unsupported mount type "cahce"', "did you mean cache?"),
        (
            "type=cache,sharing=lock,target=/c",
            'unsupported sharing value "lock"',
            "did you mean locked?",
        ),
        ("tagret=/x", "unexpected key 'tagret' in 'tagret=/x'", "did you mean target?"),
        ("target", "invalid field 'target' must be a key=value pair", None),
        (
            "target=/x,z",
            "invalid field 'z' must be a key=value pair",
            "leave it out: nothing is relabelled for SELinux",
        ),
        (
            "target=/x,reqired",
            "invalid field 'reqired' must be a key=value pair",
            "did you mean required?",
        ),
        ("type=tmpfs,size=big", "invalid value for size: big", None),
        ("type=cache,size=1m", "unexpected key 'size' for mount type 'cache'", None),
        ("required,type=secret", "unexpected key 'required' for mount type 'bind'", None),
        ("target=/x,ro=maybe", "invalid value for readonly: maybe", None),
        ("target=/x,uid=0", 'uid not allowed for "bind" type mounts', None),
        ("type=cache,mode=rwx", "invalid value for mode: rwx", None),
        ("type=secret", "invalid secret mount. one of source, target required", None),
        ("type=secret,id=a,source=b", "both source and id can't be set", None),
        ("type=secret,id=a,from=b", "secret mount should not have a from", None),
        ("type=bind,target=/x,sharing=shared", "invalid cache sharing set for bind mount", None),
        ("type=ssh,source=x", "ssh mount does not support source", None),
    ],
)
def test_a_mount_that_makes_no_sense_is_refused(options, message, hint):
    assert refusal(f"RUN --mount={options} x") == (f"Dockerfile:2:13: --mount: {message}", hint)


def test_an_error_points_at_its_word():
    text = "COPY a \\\n   ${A /x"
    assert refusal(text)[0].startswith('Dockerfile:3:4: failed to process "${A": syntax error')


@pytest.mark.parametrize("signal", ["15", "TERM", "sigterm", "SIGRTMIN+3", "RTMAX-1"])
def test_a_signal_is_a_number_or_a_name(signal):
    assert expanded(f"STOPSIGNAL {signal}").signal == signal


def test_an_unknown_signal_is_refused_with_the_nearest_one():
    assert refusal("STOPSIGNAL SIGTREM") == (
        "Dockerfile:2:12: invalid signal: SIGTREM",
        "did you mean SIGTERM?",
    )
    assert refusal("STOPSIGNAL 0")[0] == "Dockerfile:2:12: invalid signal: 0"


def test_from_takes_its_variables_from_the_global_scope():
    base = parse("FROM --platform=$P a:${V:-1} AS x").stages[0].base
    assert expand_base(base, {"P": "linux/arm64"})[:3] == ("a:1", "x", "linux/arm64")


def test_from_needs_an_image():
    base = parse("FROM $IMAG").stages[0].base
    with pytest.raises(InvalidRequest) as caught:
        expand_base(base, {"IMAGE": "a"})
    assert caught.value.message == "Dockerfile:1:6: base name ($IMAG) should not be blank"
    assert caught.value.hint == "did you mean IMAGE?"


def test_an_empty_platform_is_refused():
    base = parse("FROM --platform=$P a").stages[0].base
    with pytest.raises(InvalidRequest, match=r"1:17: empty platform value from expression \$P"):
        expand_base(base, {})
