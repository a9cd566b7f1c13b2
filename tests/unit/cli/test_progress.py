"""Progress: plain lines in a log, a live block on a terminal, and the output of what failed."""

from __future__ import annotations

import io
import json

from rootless.cli.live import LiveProgress
from rootless.cli.progress import JsonProgress, PlainProgress, Progress
from rootless.cli.reporting import progress
from rootless.errors import BuildFailed
from rootless.events import Notice, StepDone, StepOutput, StepStarted, Transfer

DIGEST = "sha256:" + "ab" * 32
BUILD = (
    StepStarted(step=2, name="[2/2] RUN make"),
    StepOutput(step=2, stream=1, data=b"cc a.c\ncc "),
    StepOutput(step=2, stream=2, data=b"b.c"),
    StepDone(step=2, cached=False, seconds=1.25),
    StepStarted(step=1, name="[1/2] FROM alpine"),
    StepDone(step=1, cached=True, seconds=0),
)


def test_a_log_gets_whole_lines():
    stream = io.StringIO()
    with PlainProgress(stream) as report:
        for event in BUILD:
            report(event)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "#1 [2/2] RUN make"
    assert [line.split(maxsplit=2)[2] for line in lines[1:3]] == ["cc a.c", "cc b.c"]
    assert lines[3:] == ["#1 DONE 1.2s", "#2 [1/2] FROM alpine", "#2 CACHED"]


def test_a_log_says_once_what_is_transferred():
    stream = io.StringIO()
    with PlainProgress(stream) as report:
        for done in (0, 10, 20):
            report(Transfer(DIGEST, "downloading", done, 2_000_000))
        report(Transfer(DIGEST, "done"))
        report(Notice("mirror is slow", "warning"))
    assert stream.getvalue().splitlines() == [
        "abababababab: downloading 2MB",
        "abababababab: done",
        "Warning: mirror is slow",
    ]


def test_a_terminal_ends_with_what_was_done():
    stream = io.StringIO()
    with LiveProgress(stream) as report:
        for event in BUILD:
            report(event)
        report(Transfer(DIGEST, "downloading", 500_000, 1_000_000))
        report.draw()
        report(Transfer(DIGEST, "done", 1_000_000, 1_000_000))
    text = stream.getvalue()
    assert "[2/2] RUN make  1.2s\n" in text
    assert "[1/2] FROM alpine  CACHED\n" in text
    assert "[===============>" in text
    assert text.endswith("abababababab  done\n")


def test_a_terminal_is_never_written_beyond_its_width_or_spoken_to():
    stream = io.StringIO()
    with LiveProgress(stream) as report:
        report(StepStarted(1, "RUN " + "x" * 200 + "\x1b[2J"))
        report(StepOutput(1, 1, b"\x1b[31mred\r\nprogress 1%\rprogress 2%"))
        report.draw()
    drawn = stream.getvalue()
    assert "\x1b[2J" not in drawn
    assert "progress 2%" in drawn
    assert "progress 1%" not in drawn
    assert all(len(line) < 90 for line in drawn.splitlines())


def test_quiet_shows_warnings_and_the_output_of_what_failed():
    stream = io.StringIO()
    try:
        with Progress(stream) as report:
            for event in BUILD[:3]:
                report(event)
            report(Notice("hm", "warning"))
            report(Notice("nothing"))
            raise BuildFailed("line 3: make failed")
    except BuildFailed:
        pass
    assert stream.getvalue() == "Warning: hm\ncc a.c\ncc b.c\n"


def test_json_is_one_document_a_line():
    stream = io.StringIO()
    with JsonProgress(stream) as report:
        for event in BUILD:
            report(event)
    documents = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert documents[0] == {"event": "StepStarted", "step": 2, "name": "[2/2] RUN make"}
    assert documents[1]["data"] == "cc a.c\ncc "


def test_the_style_follows_the_stream(capsys):
    assert type(progress(quiet=True)) is Progress
    assert type(progress()) is PlainProgress
    assert type(progress(style="tty")) is LiveProgress
    assert type(progress(style="rawjson")) is JsonProgress


def test_a_reader_who_leaves_does_not_stop_the_work():
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with PlainProgress(Gone()) as report:
        report(Notice("hello"))
