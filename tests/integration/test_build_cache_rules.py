"""Which steps of a second build come from the cache, step by step, and what BuildKit 28.5 said of the same.

``h`` is a hit, ``m`` a miss.  Every case but that of --parents was built by docker, too; ``buildkit`` is its answer
where that differs:

- ours goes on with a hit where a step that missed made the same layer again; there every step of docker's misses
- the mode of a folder whose content is copied does not count there
- times in layers are part of ours, so SOURCE_DATE_EPOCH counts; BuildKit sets them when it exports
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

TIME, LATER = 1_700_000_000, 1_800_000_000
Change = Callable[[Path], object]


class Case(NamedTuple):
    name: str
    verdicts: str
    before: str
    after: str = ""  # as before
    files: dict[str, str] = {"f": "one", "g": "one"}  # noqa: RUF012  # never changed
    prepare: Change | None = None
    change: Change | None = None
    flags: tuple[str, ...] = ()
    later_flags: tuple[str, ...] | None = None
    buildkit: str = ""


def put(path: str, text: str, mode: int = 0o644, time: int = LATER) -> Change:
    def change(directory: Path) -> None:
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        os.utime(file, (time, time))

    return change


def link(path: str, target: str) -> Change:
    def change(directory: Path) -> None:
        (directory / path).unlink(missing_ok=True)
        (directory / path).symlink_to(target)

    return change


def archive(time: int, content: bytes = b"one") -> Change:
    def change(directory: Path) -> None:
        with tarfile.open(directory / "a.tar", "w") as file:
            member = tarfile.TarInfo("in")
            member.size, member.mtime = len(content), time
            file.addfile(member, io.BytesIO(content))

    return change


COPY = "COPY f /f\nRUN cat /f >> /r"
FOLDER = "COPY d /d\nRUN ls /d >> /r"
TREE = {"d/a": "a", "d/b": "b"}
IGNORING = {**TREE, ".dockerignore": "d/*.log\n"}
Z = "\nRUN echo z >> /r"
MOUNT = "RUN --mount=type=cache,id={},target=/c{} echo c >> /r"
SECRET = "RUN --mount=type=secret,id=s cat /run/secrets/s >> /r"

FILES = (
    Case("nothing", "hhh", COPY),
    Case("content", "hmm", COPY, change=put("f", "two")),
    Case("time", "hhh", COPY, change=put("f", "one")),
    Case("mode", "hmm", COPY, change=put("f", "one", 0o755)),
    Case("another file", "hhh", COPY, change=put("h", "h")),
    Case("a file more", "hmm", FOLDER, files=TREE, change=put("d/c", "c")),
    Case("a file less", "hmm", FOLDER, files=TREE, change=lambda at: (at / "d/b").unlink()),
    Case("a folder more", "hmm", FOLDER, files=TREE, change=lambda at: (at / "d/e").mkdir()),
    Case("mode of the folder", "hmm", FOLDER, files=TREE, change=lambda at: (at / "d").chmod(0o775),
         buildkit="hhh"),
    Case("ignored", "hhh", FOLDER, files=IGNORING, change=put("d/x.log", "x")),
    Case("ignoring the same", "hhh", FOLDER, files=IGNORING,
         change=put(".dockerignore", "d/*.log\nzzz\n")),
    Case("ignoring more", "hmm", FOLDER, files=IGNORING, change=put(".dockerignore", "d/b\n")),
    Case("a file becomes a folder", "hmm", "COPY x /x\nRUN ls /x >> /r", files={"x": "x"},
         change=lambda at: ((at / "x").unlink(), (at / "x").mkdir())),
    Case("extended attribute", "hmm", COPY,
         change=lambda at: (os.setxattr(at / "f", "user.k", b"v"), os.utime(at / "f", (1, 1)))),
    Case("what a link leads to", "hmm", "COPY l /l\nRUN cat /l >> /r", prepare=link("l", "f"),
         change=put("f", "two")),
    Case("where a link in a folder leads", "hmm", FOLDER, files=TREE, prepare=link("d/l", "a"),
         change=link("d/l", "b")),
    Case("a match more", "hmm", "COPY *.t /d/\nRUN ls /d >> /r", files={"a.t": "a"},
         change=put("b.t", "b")),
    Case("no match more", "hhh", "COPY *.t /d/\nRUN ls /d >> /r", files={"a.t": "a"},
         change=put("b.u", "b")),
    Case("a match renamed", "hmm", "COPY *.t /d/\nRUN ls /d >> /r", files={"a.t": "a"},
         change=lambda at: (at / "a.t").rename(at / "b.t")),
    Case("an excluded file", "hhh", "COPY --exclude=b d /d\nRUN ls /d >> /r", files=TREE,
         change=put("d/b", "other")),
    Case("beside what --parents takes", "hhh", "COPY --parents d/a /p/\nRUN ls /p >> /r", files=TREE,
         change=put("d/b", "other")),
    Case("the second copy", "hhmm", "COPY f /f\nCOPY g /g" + Z, change=put("g", "new")),
    Case("the first copy", "hmmm", "COPY f /f\nCOPY g /g" + Z, change=put("f", "new")),
    Case("one of two sources", "hmm", "COPY f g /d/" + Z, change=put("g", "new")),
    Case("the same archive", "hhh", "ADD a.tar /x/" + Z, prepare=archive(1), change=archive(1)),
    Case("times in an archive", "hmm", "ADD a.tar /x/" + Z, prepare=archive(1), change=archive(100)),
    Case("content of an archive", "hmm", "ADD a.tar /x/" + Z, prepare=archive(1),
         change=archive(1, b"two")),
    Case("source of a bind mount", "hmm", "RUN --mount=type=bind,source=f,target=/m cat /m >> /r" + Z,
         change=put("f", "two")),
    Case("beside a bind mount", "hhh", "RUN --mount=type=bind,source=f,target=/m cat /m >> /r" + Z,
         change=put("g", "two")),
    Case("in a bind mount", "hmm", "RUN --mount=type=bind,target=/m cat /m/f >> /r" + Z,
         change=put("g", "two")),
    Case("content of a secret", "hhh", SECRET + Z, files={"secret": "1"}, change=put("secret", "2"),
         flags=("--secret=id=s,src={}/secret",)),
)  # fmt: skip

TEXTS = (
    Case("another source, the same content", "hmh", "COPY f /x\nRUN cat /x >> /r",
         "COPY g /x\nRUN cat /x >> /r", buildkit="hmm"),
    Case("place", "hmm", COPY, "COPY f /f2\nRUN cat /f* >> /r"),
    Case("owner", "hmm", COPY, "COPY --chown=5:6 f /f\nRUN cat /f >> /r"),
    Case("mode of a copy", "hmm", "COPY --chmod=600 f /f" + Z, "COPY --chmod=640 f /f" + Z),
    Case("ADD becomes COPY", "hmh", "ADD f /f" + Z, "COPY f /f" + Z, buildkit="hmm"),
    Case("an exclusion of nothing", "hmh", "COPY --exclude=*.z d /d" + Z, "COPY --exclude=*.y d /d" + Z,
         files=TREE, buildkit="hmm"),
    Case("below a linked copy", "hmhm", "RUN echo a >> /r\nCOPY --link f /f" + Z,
         "RUN echo b >> /r\nCOPY --link f /f" + Z, buildkit="hmmm"),
    Case("below a copy", "hmmm", "RUN echo a >> /r\nCOPY f /f" + Z, "RUN echo b >> /r\nCOPY f /f" + Z),
    Case("command", "hmm", "RUN echo a >> /r" + Z, "RUN echo b >> /r" + Z),
    Case("spaces in a command", "hmm", "RUN echo a >> /r" + Z, "RUN echo  a >> /r" + Z),
    Case("spaces around a command", "hhh", "RUN echo a >> /r" + Z, "RUN   echo a >> /r  " + Z),
    Case("comment", "hhh", "RUN echo a >> /r" + Z, "# one\nRUN echo a >> /r\n# two" + Z),
    Case("continued line", "hmm", "RUN echo a && echo b >> /r" + Z, "RUN echo a && \\\n echo b >> /r" + Z),
    Case("comment in a continued line", "hhh", "RUN echo a && \\\n echo b >> /r" + Z,
         "RUN echo a && \\\n# one\n echo b >> /r" + Z),
    Case("heredoc", "hmm", "RUN <<E\necho a >> /r\nE" + Z, "RUN <<E\necho b >> /r\nE" + Z),
    Case("copied heredoc", "hmm", "COPY <<E /h\na\nE" + Z, "COPY <<E /h\nb\nE" + Z),
    Case("form of a command", "hmm", 'RUN ["sh", "-c", "echo a >> /r"]' + Z, "RUN sh -c 'echo a >> /r'" + Z),
    Case("variable before RUN", "hm", "ENV A=1" + Z, "ENV A=2" + Z),
    Case("variable before COPY", "hh", "ENV A=1\nCOPY f /f", "ENV A=2\nCOPY f /f"),
    Case("variable after RUN", "hhh", f"ENV B=0{Z}\nENV A=1\nCOPY f /f", f"ENV B=0{Z}\nENV A=2\nCOPY f /f"),
    *(
        Case(f"{name} before RUN", "hhh", f"{name} {one}{Z}\nCOPY f /f", f"{name} {two}{Z}\nCOPY f /f")
        for name, one, two in (
            ("LABEL", "a=1", "a=2"), ("EXPOSE", "80", "81"), ("CMD", "a", "b"), ("VOLUME", "/a1", "/a2"),
            ("ENTRYPOINT", "a", "b"), ("STOPSIGNAL", "INT", "TERM"), ("MAINTAINER", "a", "b"),
            ("HEALTHCHECK", "CMD a", "CMD b"), ("ONBUILD", "RUN a", "RUN b"),
        )
    ),
    Case("working directory", "hmmm", f"WORKDIR /a{Z}\nCOPY f /f", f"WORKDIR /b{Z}\nCOPY f /f"),
    Case("user", "hhmm", f"RUN chmod 666 /r\nUSER 1{Z}\nCOPY f /f", f"RUN chmod 666 /r\nUSER 2{Z}\nCOPY f /f"),
    Case("shell", "hmm", f'SHELL ["sh", "-c"]{Z}\nCOPY f /f', f'SHELL ["sh", "-ec"]{Z}\nCOPY f /f'),
    Case("default of an argument", "hm", "ARG V=1" + Z, "ARG V=2" + Z),
    Case("the same variable twice", "hh", "ENV A=1\nENV A=1" + Z, "ENV A=1" + Z),
    Case("cache mount", "hhh", MOUNT.format("a", "") + Z, MOUNT.format("b", "") + Z),
    Case("sharing of a cache mount", "hhh", MOUNT.format("a", "") + Z,
         MOUNT.format("a", ",sharing=locked") + Z),
    Case("size in memory", "hmm", "RUN --mount=type=tmpfs,target=/t,size=1m echo c >> /r" + Z,
         "RUN --mount=type=tmpfs,target=/t,size=2m echo c >> /r" + Z),
    Case("network", "hmm", "RUN echo c >> /r" + Z, "RUN --network=none echo c >> /r" + Z),
    Case("end", "hhm", "RUN echo a >> /r\nRUN echo b >> /r", "RUN echo a >> /r\nRUN echo c >> /r"),
)  # fmt: skip

FLAGS = (
    Case("unused argument", "hmm", f"ARG V{Z}\nCOPY f /f", flags=("--build-arg=V=1",),
         later_flags=("--build-arg=V=2",)),
    Case("argument after RUN", "hhh", f"ENV B=0{Z}\nARG V\nCOPY f /f", flags=("--build-arg=V=1",),
         later_flags=("--build-arg=V=2",)),
    Case("its default given", "hh", "ARG V=1" + Z, later_flags=("--build-arg=V=1",)),
    Case("undeclared argument", "hh", "ENV B=0" + Z, flags=("--build-arg=V=1",),
         later_flags=("--build-arg=V=2",)),
    Case("proxy", "hh", "ENV B=0" + Z, flags=("--build-arg=HTTP_PROXY=http://a:1",),
         later_flags=("--build-arg=HTTP_PROXY=http://b:1",)),
    Case("declared proxy", "hm", "ARG HTTP_PROXY" + Z, flags=("--build-arg=HTTP_PROXY=http://a:1",),
         later_flags=("--build-arg=HTTP_PROXY=http://b:1",)),
    Case("the same file by another name", "hhm", "ARG V\nCOPY $V /f" + Z, flags=("--build-arg=V=f",),
         later_flags=("--build-arg=V=./f",)),
    Case("a secret that is given later", "hhh", SECRET.replace("cat", "test -e") .replace(" >> /r", " || :") + Z,
         files={"secret": "1"}, later_flags=("--secret=id=s,src={}/secret",)),
    Case("--no-cache", "mmm", COPY, later_flags=("--no-cache",)),
    Case("--label", "hh", "ENV B=0" + Z, flags=("--label=a=1",), later_flags=("--label=a=2",)),
    Case("--shm-size", "mm", "ENV B=0" + Z, flags=("--shm-size=1m",), later_flags=("--shm-size=2m",)),
    Case("--ulimit", "mm", "ENV B=0" + Z, flags=("--ulimit=nofile=100:100",),
         later_flags=("--ulimit=nofile=200:200",)),
    Case("SOURCE_DATE_EPOCH", "mmm", COPY, flags=("--build-arg=SOURCE_DATE_EPOCH=1",),
         later_flags=("--build-arg=SOURCE_DATE_EPOCH=2",), buildkit="hhh"),
)  # fmt: skip


@pytest.mark.parametrize("case", (*FILES, *TEXTS, *FLAGS), ids=lambda case: case.name)
def test_a_second_build_takes_from_the_cache_what_did_not_change(case, cache, tmp_path):
    head = f"FROM {{image}}\nRUN echo '{case.name}' >> /r\n"
    for path, text in case.files.items():
        put(path, text, time=TIME)(tmp_path)
    if case.prepare is not None:
        case.prepare(tmp_path)
    cache(head + case.before, case.flags)
    if case.change is not None:
        case.change(tmp_path)
    flags = case.flags if case.later_flags is None else case.later_flags
    assert cache(head + (case.after or case.before), flags) == case.verdicts


COPIED = "COPY --from=s /o /o\nRUN cat /o >> /r"


@pytest.mark.parametrize(
    ("first", "later", "verdicts"),
    [  # the steps of the first stage come first
        ("echo a && echo o > /o", "echo b && echo o > /o", "hmhhh"),
        ("echo a > /o", "echo b > /o", "hmhmm"),
        ("echo a > /n && echo o > /o", "echo b > /n && echo o > /o", "hmhhh"),
    ],
    ids=["equal result", "other result", "other file"],
)
def test_a_copy_from_a_stage_goes_by_what_it_copies(first, later, verdicts, cache):
    text = "FROM {image} AS s\nRUN echo S >> /r\nRUN %s\nFROM {image}\nRUN echo T >> /r\n" + COPIED
    cache(text % first)
    assert cache(text % later) == verdicts


def test_only_the_stages_that_are_named_are_built_anew(cache):
    text = f"FROM {{image}} AS s\nRUN echo filtered >> /r\nFROM s AS t{Z}\nFROM t\nRUN echo y >> /r"
    cache(text)
    assert cache(text, ("--no-cache-filter=t",)) == "hmm"


@pytest.fixture
def cache(rootless, busybox, tmp_path):
    """Build a Dockerfile; the verdicts of its steps in their order."""

    def verdicts(text, flags=()):
        return build(rootless, tmp_path, text.replace("{image}", busybox), flags)

    return verdicts


def build(rootless, directory, text, flags=()):
    """The verdicts of the steps in their order."""
    text = text.replace(
        ">> /r", ">> /r && cat /proc/sys/kernel/random/uuid >> /r"
    )  # no two runs are alike
    (directory / "Dockerfile").write_text(text)
    given = [each.format(directory) for each in flags]
    said = rootless("build", "--network=none", "--progress=rawjson", *given, str(directory)).stderr
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    cached = {each["step"]: each["cached"] for each in events if each["event"] == "StepDone"}
    return "".join("h" if cached[step] else "m" for step in sorted(cached))
