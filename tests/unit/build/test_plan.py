from typing import Any

import pytest

from rootless.build.plan import BuildPlan, explain, finish_config, plan_build
from rootless.build.stages import Choices, images_of, outline
from rootless.build.steps import Tree
from rootless.dockerfile.parser import parse
from rootless.errors import InvalidRequest, NotFound


def image(**config: Any) -> Any:
    return {"architecture": "amd64", "os": "linux", "rootfs": {}, "config": config}


def base(name: str = "alpine") -> Tree:
    return Tree("image", name, "linux/amd64")


ALPINE = {base(): image(Env=["PATH=/bin"], Cmd=["/bin/sh"])}


def plan(text: str, images: Any = None, **choices: Any) -> BuildPlan:
    return plan_build(parse(text), Choices(**choices), ALPINE if images is None else images)


def created_by(text: str, **choices: Any) -> list[str]:
    return [line.created_by for line in plan(text, **choices).target.history]


def test_the_first_example_has_no_steps():
    built = plan('FROM alpine\nCMD ["echo", "Hello, World!"]')
    assert explain(built) == ["stage stage-0 on image alpine for linux/amd64"]
    assert built.target.config["Cmd"] == ["echo", "Hello, World!"]
    assert [line.created_by for line in built.target.history] == ['CMD ["echo" "Hello, World!"]']


def test_steps_in_the_order_of_the_file():
    built = plan(
        "FROM alpine AS one\nWORKDIR /src\nCOPY . .\nARG V=1\nENV W=2\nRUN make\nUSER app\nRUN true"
    )
    assert explain(built) == [
        "stage one on image alpine for linux/amd64",
        "  make directory /src",
        "  copy . of context to /src/",
        "  run ['/bin/sh', '-c', 'make'] (in /src, as root)",
        "  run ['/bin/sh', '-c', 'true'] (in /src, as app)",
    ]
    step = built.target.steps[2]
    assert step.env == ("PATH=/bin", "V=1", "W=2")  # type: ignore[union-attr]
    assert built.target.config["Env"] == ["PATH=/bin", "W=2"]


def test_history_reads_as_buildkit_writes_it():
    assert created_by(
        "FROM alpine\nARG V=1 W\nENV A=$V B=2\nLABEL k=v\nRUN --network=none make all\n"
        "COPY --chown=1:2 --chmod=755 a b /x/\nEXPOSE 80 53/UDP\nVOLUME /a /b\n"
        'SHELL ["/bin/ash", "-c"]\nENTRYPOINT echo "hi"\nSTOPSIGNAL SIGINT\nWORKDIR sub\n'
        "HEALTHCHECK --interval=90s --retries=2 CMD true\nUSER 5"
    ) == [
        "ARG V=1 W",
        "ENV A=1 B=2",
        "LABEL k=v",
        "RUN |2 V=1 W= /bin/sh -c make all # buildkit",
        "COPY --chown=1:2 --chmod=755 a b /x/ # buildkit",
        "EXPOSE [53/udp 80/tcp]",
        "VOLUME [/a /b]",
        "SHELL [/bin/ash -c]",
        'ENTRYPOINT ["/bin/ash" "-c" "echo \\"hi\\""]',
        "STOPSIGNAL SIGINT",
        "WORKDIR /sub",
        "HEALTHCHECK {Test:[CMD-SHELL true] Interval:1m30s Timeout:0s StartPeriod:0s"
        " StartInterval:0s Retries:2}",
        "USER 5",
    ]


def test_layers_and_empty_lines_are_told_apart():
    history = plan("FROM alpine\nENV A=1\nRUN x\nWORKDIR /w\nWORKDIR /").target.history
    assert [line.empty for line in history] == [True, False, False, True]


def test_only_what_the_target_needs_is_planned():
    text = "FROM alpine AS a\nRUN 1\nFROM alpine AS b\nRUN 2\nFROM alpine AS c\nCOPY --from=a /x /y"
    assert [stage.name for stage in plan(text).stages] == ["a", "c"]
    assert [stage.name for stage in plan(text, target="B").stages] == ["b"]
    assert [stage.name for stage in plan(text, target="0").stages] == ["a"]
    with pytest.raises(NotFound, match="no stage is called d"):
        plan(text, target="d")


def test_a_stage_on_a_stage_goes_on_where_that_ended():
    built = plan(
        "FROM alpine AS a\nARG X=1\nENV E=1\nWORKDIR /w\nONBUILD RUN onbuild\nFROM a\nRUN echo $X"
    )
    assert explain(built) == [
        "stage a on image alpine for linux/amd64",
        "  make directory /w",
        "stage stage-1 on stage 0 for linux/amd64",
        "  run ['/bin/sh', '-c', 'onbuild'] (in /w, as root)",
        "  run ['/bin/sh', '-c', 'echo $X'] (in /w, as root)",
    ]
    assert "OnBuild" not in built.target.config
    assert built.target.history[-1].created_by == "RUN |1 X=1 /bin/sh -c echo $X # buildkit"


def test_triggers_of_the_base_image_come_first_and_may_need_images():
    dockerfile = parse("FROM alpine\nRUN last")
    images = {base(): image(OnBuild=["COPY --from=busybox /bin /b", "ENV A=1"])}
    outlines = outline(dockerfile, Choices(), images)
    assert images_of(outlines) == (base(), base("busybox"))
    built = plan_build(dockerfile, Choices(), images)
    assert explain(built)[1:] == [
        "  copy /bin of image busybox to /b",
        "  run ['/bin/sh', '-c', 'last'] (in /, as root)",
    ]
    assert "A=1" in built.target.config["Env"]


def test_an_entrypoint_drops_an_inherited_cmd_but_not_the_file_s_own():
    assert "Cmd" not in plan('FROM alpine\nENTRYPOINT ["e"]').target.config
    config = plan('FROM alpine\nCMD ["c"]\nENTRYPOINT ["e"]').target.config
    assert (config["Cmd"], config["Entrypoint"]) == (["c"], ["e"])


def test_scratch_has_a_path_and_a_root_directory():
    built = plan("FROM scratch\nCOPY a /")
    assert built.target.config["WorkingDir"] == "/"
    assert built.target.config["Env"][0].startswith("PATH=/usr/local/sbin:")


def test_named_contexts_replace_images_and_stages():
    contexts = {
        "alpine": Tree("image", "localhost/host-base"),
        "two": Tree("named", "two"),
    }
    images = {Tree("image", "localhost/host-base", "linux/amd64"): image()}
    built = plan(
        "FROM docker.io/library/alpine:latest AS one\nFROM one AS two\nFROM one\n"
        "COPY --from=two /x /\nRUN --mount=from=alpine,target=/a true",
        images,
        contexts=contexts,
    )
    assert explain(built)[0] == "stage one on image localhost/host-base for linux/amd64"
    assert "stage two on named two for linux/amd64" in explain(built)
    assert built.target.steps[1].mounts[0].tree.name == "localhost/host-base"  # type: ignore[union-attr]


def test_mounts_get_their_defaults():
    built = plan(
        "FROM alpine\nWORKDIR /w\n"
        "RUN --mount=type=cache,target=c --mount=type=secret,id=a/b --mount=type=ssh"
        " --mount=type=tmpfs,target=/t,size=1m --mount=target=/ctx,rw"
        " --mount=type=secret,id=tok,env=TOKEN true"
    )
    step = built.target.steps[1]
    assert [str(mount) for mount in step.mounts] == [  # type: ignore[union-attr]
        "cache on /w/c id c shared rw",
        "secret on /run/secrets/b id a/b",
        "ssh on /run/buildkit/ssh_agent.0 id default",
        "tmpfs on /t",
        "bind on /ctx from context / rw",
        "secret id tok as $TOKEN",
    ]
    assert step.env[-1] == "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"  # type: ignore[union-attr]


def test_heredocs_become_arguments():
    built = plan(
        "FROM alpine\nRUN <<EOF\necho 1\nEOF\nRUN <<EOF\n#!/bin/awk\n{}\nEOF\n"
        "RUN cat <<A - <<B\n1\nA\n2\nB\nCOPY <<f /etc/f\nhi\nf"
    )
    runs = built.target.steps
    assert runs[0].args == ("/bin/sh", "-c", "echo 1\n")  # type: ignore[union-attr]
    assert runs[1].args[2] == "/dev/pipes/EOF"  # type: ignore[union-attr]
    assert runs[1].script == ("EOF", "#!/bin/awk\n{}\n")  # type: ignore[union-attr]
    assert runs[2].args[2] == "cat <<A - <<B\n1\nA\n2\nB"  # type: ignore[union-attr]
    assert str(runs[3]) == "copy <<f to /etc/f"


def test_add_tells_its_sources_apart():
    built = plan(
        "FROM alpine\nADD a.tar https://example.com/b.tgz https://example.com/r.git#v1:sub /x/\n"
        "ADD --unpack=false a.tar /y"
    )
    assert explain(built)[1:] == [
        "  copy a.tar of context unpacked, https://example.com/b.tgz,"
        " git https://example.com/r.git#v1 to /x/",
        "  copy a.tar of context to /y",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COPY https://example.com/a /", "COPY takes local files"),
        ("ADD --checksum=sha256:00 a /", "checksum"),
        ("EXPOSE 99999", "not a range of ports"),
        ("RUN --mount=type=cache,target=/ x", "whole root"),
        ("COPY --from=7 a b", "no such stage"),
    ],
)
def test_what_makes_no_sense_is_refused(text, message):
    with pytest.raises(InvalidRequest, match=message):
        plan(f"FROM alpine\n{text}")


def test_errors_name_the_line():
    with pytest.raises(InvalidRequest, match=r"^Dockerfile:3: COPY takes local files"):
        plan("FROM alpine\n\nCOPY https://example.com/a /")


def test_proxies_reach_run_but_not_history():
    built = plan("FROM alpine\nRUN x", build_args={"http_proxy": "http://p"})
    step = built.target.steps[0]
    assert step.hidden_env == ("HTTP_PROXY=http://p", "http_proxy=http://p")  # type: ignore[union-attr]
    assert built.target.history[0].created_by == "RUN /bin/sh -c x # buildkit"


def test_labels_and_variables_of_the_command_line_come_last():
    config = finish_config(
        {"Env": ["A=1", "B=2"], "Labels": {"x": "1", "y": "2"}},
        labels=(("x", "3"),),
        env=(("A", "9"), ("C", "1")),
        unset_env=("B",),
        unset_labels=("y",),
    )
    assert config == {"Env": ["A=9", "C=1"], "Labels": {"x": "3"}}
