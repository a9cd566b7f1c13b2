from typing import Any

from rootless.build.keys import difference, stands_alone, step_key, step_parts
from rootless.build.plan import plan_build
from rootless.build.stages import Choices
from rootless.build.steps import Step, Tree
from rootless.dockerfile.parser import parse

IMAGES: Any = {Tree("image", "a", "linux/amd64"): {"config": {"Env": ["PATH=/bin"]}}}


def step(text: str, *, last: int = -1, **choices: Any) -> Step:
    return plan_build(parse(f"FROM a\n{text}"), Choices(**choices), IMAGES).target.steps[last]


def key(text: str, parent: str = "sha256:p", inputs: tuple[str, ...] = (), **choices: Any) -> str:
    return step_key(step_parts(step(text, **choices), parent, inputs))


def test_the_parent_the_command_and_the_content_count():
    assert key("RUN a") != key("RUN b")
    assert key("RUN a") != key("RUN a", parent="sha256:q")
    assert key("COPY a /", inputs=("1",)) != key("COPY a /", inputs=("2",))
    assert key("COPY --from=x a /", inputs=("1",)) == key("COPY --from=y a /", inputs=("1",))


def test_comments_labels_and_places_do_not_count():
    assert key("RUN a") == key("# comment\nLABEL x=1\nCMD y\n\nrun   a")


def test_build_arguments_count_from_their_first_use():
    one, two = {"V": "1"}, {"V": "2"}
    assert key("ARG V\nRUN a", build_args=one) != key("ARG V\nRUN a", build_args=two)
    assert key("ARG V\nCOPY a /", build_args=one) == key("ARG V\nCOPY a /", build_args=two)
    assert key("ARG V\nCOPY $V /", build_args=one) != key("ARG V\nCOPY $V /", build_args=two)
    assert key("RUN a", build_args={"http_proxy": "1"}) == key("RUN a", build_args={})
    assert key("ARG http_proxy\nRUN a", build_args={"http_proxy": "1"}) != key("RUN a")


def test_secrets_do_not_count_but_their_places_do():
    secret = "RUN --mount=type=secret,id=s,target=/{} a"
    assert key(secret.format("x")) != key(secret.format("y"))


def test_a_linked_copy_stands_alone_unless_it_looks_names_up():
    assert key("COPY --link a /", parent="p") == key("COPY --link a /", parent="q")
    assert not stands_alone(step("COPY --link --chown=app a /"))
    assert stands_alone(step("COPY --link --chown=1:2 a /"))


def test_a_difference_is_named():
    before = step_parts(step("ARG V=1\nRUN make"), "p")
    after = step_parts(step("ARG V=2\nRUN make"), "q")
    assert difference(before, after) == ["variable V", "parent"]


def test_a_timestamp_counts_because_it_is_in_the_layer():
    parts = step_parts(step("RUN a"), "p", timestamp=1)
    assert step_key(parts) != step_key(step_parts(step("RUN a"), "p"))


def test_which_cache_mount_it_is_does_not_count_but_its_place_does():
    mount = "RUN --mount=type=cache,target=/{},id={},sharing={} a"
    assert key(mount.format("c", "x", "shared")) == key(mount.format("c", "y", "locked"))
    assert key(mount.format("c", "x", "shared")) != key(mount.format("d", "x", "shared"))


def test_a_source_may_be_spelled_in_several_ways():
    assert key("COPY ./a//b/ /") == key("COPY a/b /")
    assert key("COPY --parents ./a/./b /") != key("COPY --parents a/b /")


def test_limits_count_where_a_program_runs():
    def limited(text: str) -> str:
        return step_key(step_parts(step(text), "p", limits=("--ulimit=nofile=9",)))

    assert limited("RUN a") != key("RUN a", parent="p")
    assert limited("COPY a /") == key("COPY a /", parent="p")
