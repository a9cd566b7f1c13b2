"""Rows 11 and 24: Dockerfiles that reach for the host through mounts, and caches that others prepared."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support import oci

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cli import Result, Rootless
    from tests.support.images import Images

SECRET = "only for the host's eyes"


@pytest.fixture(scope="module")
def builder(new_store: Callable[[], Rootless], images: Images) -> Rootless:
    """A store with busybox under that name."""
    rootless = new_store()
    rootless("pull", "-q", images.busybox)
    rootless("tag", images.busybox, "busybox")
    return rootless


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory of the host beside the context: nothing may be read from it, nothing may change."""
    directory = tmp_path / "host"
    (directory / "b" / "c").mkdir(parents=True)
    (directory / "empty").write_text("")
    (directory / "secret").write_text(SECRET)
    return directory


def contents(directory: Path) -> dict[str, str | None]:
    """Every path below, with the text of files."""
    return {
        str(each.relative_to(directory)): each.read_text() if each.is_file() else None
        for each in directory.rglob("*")
    }


def build(rootless: Rootless, context: Path, *lines: str, options: tuple[str, ...] = ()) -> Result:
    """Build; it may fail, but never by a mistake of ours."""
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text("\n".join(lines))
    result = rootless("build", "-t", "built", *options, str(context), check=False)
    assert "Traceback" not in result.stderr, str(result)
    return result


@pytest.mark.parametrize(
    ("mount", "path"),
    [
        ("bind,from=evil", "/link"),
        ("bind,from=evil", "/link/b"),
        ("bind,from=evil", "/link/secret"),
        ("bind,from=evil", "link/../link"),
        ("bind,rw,from=evil", "/up/{host}"),
        ("bind,rw,from=evil", "/proc/1/root"),
        ("cache,from=evil", "/link"),
        ("cache,from=evil", "/up/{host}"),
    ],
)
def test_row_11_a_mounts_source_stays_inside_its_stage(
    builder: Rootless, tmp_path: Path, host: Path, mount: str, path: str
):
    """CVE-2024-1753: the source is a link of the image to a directory of the host."""
    before = contents(host)
    source = path.format(host=str(host))
    result = build(
        builder,
        tmp_path / "context",
        "FROM busybox AS evil",
        f"RUN ln -s {host} /link && ln -s ../../../../../../../../../.. /up",
        "FROM busybox",
        f"RUN --mount=type={mount},source={source},target=/m find /m | head -50; cat /m/secret;"
        " touch /m/owned; rm -rf /m/b; true",
    )
    assert SECRET not in str(result)
    assert contents(host) == before


def test_row_11_a_mounts_source_stays_inside_the_context(
    builder: Rootless, tmp_path: Path, host: Path
):
    """A repository may hold links of any kind; what is built from it is not the host."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "link").symlink_to(host)
    (context / "up").symlink_to("../host")
    before = contents(host)
    for source in ("link", "up", "up/b", "../host", "/../host", "link/secret"):
        for access in ("", ",rw"):
            result = build(
                builder,
                context,
                "FROM busybox",
                f"RUN --mount=type=bind,source={source},target=/m{access}"
                " find /m; cat /m /m/secret; touch /m/owned; true",
            )
            assert SECRET not in str(result), source
            assert "/m/secret" not in result.stdout, source
    assert contents(host) == before


@pytest.mark.parametrize(
    "cache_id", ["../../../../{host}", "{host}", "..", ".", "a/../../../b", "x" * 300, "\x1b[2J"]
)
def test_row_11_a_cache_id_is_a_name_and_no_path(
    builder: Rootless, tmp_path: Path, host: Path, cache_id: str
):
    """CVE-2024-9675."""
    before = contents(host)
    name = cache_id.format(host=str(host))
    result = build(
        builder,
        tmp_path / "context",
        "FROM busybox",
        f'RUN --mount=type=cache,id="{name}",target=/m ls -a /m; touch /m/owned; rm -rf /m/b',
    )
    assert contents(host) == before
    assert "\x1b" not in str(result)
    found = [path for path, _, names in os.walk(builder.home) if "owned" in names]
    assert all(path.startswith(f"{builder.home}/cache/mounts/") for path in found)
    assert all(
        path.count("/") == f"{builder.home}/cache/mounts/ID/data".count("/") for path in found
    )


@pytest.mark.parametrize("kind", ["tmpfs", "cache", "bind", "secret,id=s", "ssh"])
def test_row_11_a_target_does_not_lead_to_the_host(
    builder: Rootless, tmp_path: Path, host: Path, kind: str
):
    """A link of the image at the mount point: its copy inside the image is meant."""
    before = contents(host)
    (tmp_path / "s").write_text("given")
    result = build(
        builder,
        tmp_path / "context",
        "FROM busybox",
        f"RUN ln -s {host} /t && ln -s {host}/nothing /n",
        f"RUN --mount=type={kind},target=/t/x --mount=type={kind},target=/n"
        f" ls -la {host} /t/ /n; test ! -e {host}/secret",
        options=("--secret", f"id=s,src={tmp_path}/s"),
    )
    assert result.exit_code == 0, str(result)
    assert contents(host) == before


@pytest.mark.parametrize(
    ("leaf", "swap"),
    [
        ("/a/b/c", "mv /a /z && ln -s {host} /a"),
        ("/a/b/c", "mv /a/b /z && ln -s {host}/b /a/b"),
        ("/a/b/c", "ln -s / /a/b/y"),
        ("/a/empty", "mv /a /z && ln -s {host} /a"),
    ],
)
def test_row_11_what_is_cleared_away_is_never_the_hosts(
    builder: Rootless, tmp_path: Path, host: Path, swap: str, leaf: str
):
    """CVE-2024-23652: the program turns the way to a mount point into a link to the host."""
    before = contents(host)
    kind = "tmpfs" if leaf == "/a/b/c" else "bind,source=f"
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("")
    result = build(
        builder,
        context,
        "FROM busybox",
        f"RUN --mount=type={kind},target={leaf} {swap.format(host=host)}",
    )
    assert result.exit_code == 0, str(result)
    assert contents(host) == before


def test_row_11_parallel_stages_cannot_swap_a_path_under_a_mount(
    builder: Rootless, tmp_path: Path, host: Path
):
    """CVE-2024-23651: one stage flips a directory of a shared cache while the other mounts into it."""
    before = contents(host)
    cache = "--mount=type=cache,id=raced,target=/c"
    flip = f"mkdir /c/d /c/l; ln -s {host} /c/l/s; while test ! -e /c/stop; do"
    flip += " mv /c/d /c/e; mv /c/l/s /c/d; mv /c/d /c/l/s; mv /c/e /c/d; done"
    mounts = [
        f"RUN {cache} --mount=type=bind,rw,from=seed,source=/seed,target=/c/d/x"
        f" cat /c/d/secret /c/d/x/secret; touch /c/d/x/owned {host}/owned || echo {turn}"
        for turn in range(8)
    ]
    result = build(
        builder,
        tmp_path / "context",
        "FROM busybox AS seed",
        "RUN mkdir /seed",
        "FROM busybox AS flipper",
        f"RUN {cache} timeout 20 sh -c '{flip}'; true",
        "FROM busybox AS victim",
        *mounts,
        f"RUN {cache} touch /c/stop /done",
        "FROM busybox",
        "COPY --from=flipper /etc/passwd /1",
        "COPY --from=victim /etc/passwd /2",
    )
    # Where a mount met the link, the build may fail; the host's directory is what counts.
    assert SECRET not in str(result)
    assert contents(host) == before


def test_row_11_copies_and_archives_stay_inside(builder: Rootless, tmp_path: Path, host: Path):
    """COPY --from through a link, and ADD of an archive that leads out of its directory."""
    before = contents(host)
    context = tmp_path / "context"
    context.mkdir()
    for name, entries in {
        "through": (oci.symlink("out", str(host)), oci.Entry("out/owned", b"x")),
        "above": (oci.Entry(f"../../../../../../../..{host}/owned", b"x"),),
        "absolute": (oci.Entry(f"{host}/owned", b"x"),),
        "grab": (oci.hardlink("grab", f"{host}/secret"),),
    }.items():
        (context / f"{name}.tar").write_bytes(oci.tar_of(*entries))
    for line in (
        "COPY --from=evil /link/secret /got",
        "COPY --from=evil /link /got",
        "COPY --from=evil /up/proc/self/environ /got",
        "ADD through.tar /link/",
        "ADD above.tar /link/",
        "ADD absolute.tar /link/",
        "ADD grab.tar /",
        "COPY above.tar /link/owned",
        "WORKDIR /link/made",
    ):
        result = build(
            builder,
            context,
            "FROM busybox AS evil",
            f"RUN ln -s {host} /link && ln -s ../../../../../../../../.. /up",
            "FROM evil",
            line,
            "RUN cat /got /got/secret /grab; true",
        )
        assert SECRET not in str(result), line
        assert contents(host) == before, line


def ran(result: Result, marker: str) -> bool:
    """Whether the step that prints ``marker`` was executed, and not found in the cache."""
    return any(
        line.rstrip().endswith(marker) and "RUN" not in line
        for line in (result.stdout + result.stderr).splitlines()
    )


def test_row_24_an_image_made_to_look_like_the_result_is_no_cache(
    builder: Rootless, tmp_path: Path, pulled_by_builder: Callable[..., str], images: Images
):
    """CVE-2024-24557: history and config of an image are claims; no step is taken from them."""
    steps = ("FROM busybox", "RUN echo step-was-run", "HEALTHCHECK NONE", 'CMD ["true"]')
    created = ["/bin/sh -c #(nop) HEALTHCHECK NONE", "RUN /bin/sh -c echo step-was-run # buildkit"]
    forged = pulled_by_builder(
        oci.Entry("evil", b"evil"),
        config={"Cmd": ["true"], "Healthcheck": {"Test": ["NONE"]}},
        changes={"history": [{"created_by": text} for text in ("busybox", *created[::-1])]},
    )
    for options in ((), ("--cache-from", forged)):
        result = build(builder, tmp_path / "context", *steps, options=(*options, "--pull=never"))
        if result.exit_code == 0:
            listed = builder("run", "--rm", "--network=none", "built", "ls", "/").stdout
            assert "evil" not in listed
    assert ran(
        build(builder, tmp_path / "context", *steps, options=("--no-cache",)), "step-was-run"
    )


@pytest.fixture
def pulled_by_builder(builder: Rootless, evil: Callable[..., str]) -> Callable[..., str]:
    def make(*entries: oci.Entry, **fields: object) -> str:
        reference = evil(*entries, **fields)
        builder("pull", "-q", reference)
        return reference

    return make


PARENTS = {
    "another layer": "RUN touch /other",
    "a variable": "ENV LD_PRELOAD=/evil.so",
    "a user": "USER 1000",
    "a directory": "WORKDIR /tmp",
    "a shell": 'SHELL ["/bin/busybox", "sh", "-c"]',
    "an argument": "ARG PATH=/evil:/bin",
}


@pytest.mark.parametrize("change", PARENTS.values(), ids=PARENTS)
def test_row_24_the_key_covers_the_whole_parent(builder: Rootless, tmp_path: Path, change: str):
    """The same words on anything else are another step."""
    context = tmp_path / "context"
    run = f"RUN echo $((1+1)) marker-{len(change)}"
    marker = f"2 marker-{len(change)}"
    assert ran(build(builder, context, "FROM busybox", run), marker)
    assert not ran(build(builder, context, "FROM busybox", run), marker)
    assert ran(build(builder, context, "FROM busybox", change, run), marker)
    assert not ran(build(builder, context, "FROM busybox", run), marker)


def test_row_24_the_key_covers_the_content_of_every_input(builder: Rootless, tmp_path: Path):
    """Names, sizes and times may all be the same: the bytes count."""
    context = tmp_path / "context"
    context.mkdir()
    source = context / "f"
    step = "RUN --mount=source=f,target=/f echo $(cat /f)-was-read"
    for text in ("good", "evil", "good"):
        source.write_text(text)
        os.utime(source, (1, 1))
        result = build(builder, context, "FROM busybox", step, "COPY f /copied")
        assert result.exit_code == 0, str(result)
        copied = builder("run", "--rm", "--network=none", "built", "cat", "/copied").stdout
        assert copied == text
    stage = ("FROM busybox AS one", "ARG WHAT", "RUN echo $WHAT > /made", "FROM busybox")
    for text in ("good", "evil"):
        lines = (*stage, "RUN --mount=from=one,target=/one echo $(cat /one/made)-came-along")
        result = build(builder, context, *lines, options=("--build-arg", f"WHAT={text}"))
        assert ran(result, f"{text}-came-along"), str(result)


def test_row_24_fields_of_a_key_cannot_be_moved_into_each_other(builder: Rootless, tmp_path: Path):
    """What is concatenated without bounds is one key for two steps."""
    context = tmp_path / "context"
    pairs = (
        ('RUN ["echo", "x y"]', 'RUN ["echo", "x", "y"]'),
        ('RUN ["/bin/sh", "-c", "echo x y"]', "RUN echo x y "),
        ("ENV A=1 B=2", 'ENV A="1 B=2"'),
    )
    for first, second in pairs:
        tail = "RUN echo \"<$A>\" > /a; env | sort | grep '^[AB]=' > /b; true"
        built = []
        for line in (first, second):
            assert build(builder, context, "FROM busybox", line, tail).exit_code == 0
            command = ("run", "--rm", "--network=none", "built", "cat", "/a", "/b")
            built.append(builder(*command).stdout)
        if first.startswith("ENV"):
            assert built == ["<1>\nA=1\nB=2\n", "<1 B=2>\nA=1 B=2\n"]


def test_row_24_an_imported_cache_must_have_the_bytes_it_names(
    builder: Rootless, new_store: Callable[[], Rootless], images: Images, tmp_path: Path
):
    """Whoever can change a cache directory must not be able to change a layer without its digest."""
    cache = tmp_path / "cache"
    lines = ("FROM busybox", "RUN echo genuine > /made")
    options = ("--cache-to", f"type=local,dest={cache}")
    assert build(builder, tmp_path / "context", *lines, options=options).exit_code == 0
    evil_layer = oci.tar_of(oci.Entry("made", b"evil\n"))
    swapped = 0
    for directory, _, names in os.walk(cache):
        for name in names:
            path = f"{directory}/{name}"
            with open(path, "rb") as file:
                start = file.read(4)
            if start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
                for kind in ("gzip", "zstd"):
                    if oci.compress(b"", kind)[:2] == start[:2]:
                        with open(path, "wb") as file:
                            file.write(oci.compress(evil_layer, kind))
                        swapped += 1
    assert swapped
    other = new_store()
    other("pull", "-q", images.busybox)
    other("tag", images.busybox, "busybox")
    options = ("--cache-from", f"type=local,src={cache}")
    result = build(other, tmp_path / "context", *lines, options=options)
    if result.exit_code == 0:
        made = other("run", "--rm", "--network=none", "built", "cat", "/made").stdout
        assert made == "genuine\n"


def test_row_24_secrets_are_no_part_of_a_key(builder: Rootless, tmp_path: Path):
    """Promise 7: a key that depends on a secret tells it to whoever guesses."""
    step = "RUN --mount=type=secret,id=s test -s /run/secrets/s && echo had-a-secret"
    for number, text in enumerate((SECRET, "another")):
        (tmp_path / "s").write_text(text)
        options = ("--secret", f"id=s,src={tmp_path}/s")
        result = build(builder, tmp_path / "context", "FROM busybox", step, options=options)
        assert ran(result, "had-a-secret") is (number == 0)
    for directory, _, names in os.walk(f"{builder.home}/cache/steps"):
        for name in names:
            with open(f"{directory}/{name}", encoding="utf-8") as file:
                assert SECRET not in json.dumps(json.load(file))
