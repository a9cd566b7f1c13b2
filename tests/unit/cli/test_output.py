"""What people and programs read: tables, JSON, templates, sizes and times."""

from __future__ import annotations

import json

import pytest

from rootless.cli import output, phrases

HEADERS = {"ID": "CONTAINER ID", "Names": "NAMES", "Size": "SIZE"}
ROWS = [
    {"ID": "0123456789ab", "Names": "web", "Size": "1MB"},
    {"ID": "ffff", "Names": "a-rather-long-name", "Size": "20kB"},
]


def listing(**options):
    output.listing(ROWS, HEADERS, shown=("ID", "Names"), documents=[{"Id": 1}], **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "CONTAINER ID   NAMES\n0123456789ab   web\nffff           a-rather-long-name\n"),
        ({"heading": False}, "0123456789ab   web\nffff           a-rather-long-name\n"),
        ({"quiet": "ID"}, "0123456789ab\nffff\n"),
        ({"format": "{{.ID}}/{{.Size}}"}, "0123456789ab/1MB\nffff/20kB\n"),
        ({"format": "{{.ID}}\\t{{.Size}}"}, "0123456789ab\t1MB\nffff\t20kB\n"),
        ({"format": "table {{.Size}}\\t{{.ID}}"}, "SIZE      CONTAINER ID\n1MB       0123456789ab\n20kB      ffff\n"),
        ({"format": "table"}, "CONTAINER ID   NAMES\n0123456789ab   web\nffff           a-rather-long-name\n"),
        ({"format": "table {{upper .Names}}"}, "NAMES\nWEB\nA-RATHER-LONG-NAME\n"),
    ],
)  # fmt: skip
def test_lists_as_docker_shows_them(options, text, capsys):
    listing(**options)
    assert capsys.readouterr().out == text


def test_a_list_as_json(capsys):
    listing(format="json")
    assert json.loads(capsys.readouterr().out) == [{"Id": 1}]


def test_names_from_images_cannot_break_a_table_or_reach_the_terminal(capsys):
    rows = [{"ID": "a\nb\x1b[2J", "Names": "x\ty", "Size": ""}]
    output.listing(rows, HEADERS, shown=("ID", "Names"))
    assert capsys.readouterr().out.splitlines()[1] == "a\\nb\\x1b[2J    x\\ty"


def test_an_error_is_one_line(capsys):
    output.complain("first\nsecond\x1b[0m", "do\nthis")
    assert capsys.readouterr().err == "Error: first; second\\x1b[0m\nHint: do; this\n"


@pytest.mark.parametrize(
    ("bytes", "decimal", "binary"),
    [
        (0, "0B", "0B"), (999, "999B", "999B"), (5613000, "5.613MB", "5.353MiB"),
        (1 << 30, "1.074GB", "1GiB"), (123456789, "123.5MB", "117.7MiB"), (9e18, "9000PB", "7994PiB"),
    ],
)  # fmt: skip
def test_sizes_as_docker_says_them(bytes, decimal, binary):
    assert phrases.human_size(bytes) == decimal
    assert phrases.binary_size(bytes) == binary


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (45, "45 seconds"), (59.9, "59 seconds"), (61, "About a minute"), (600, "10 minutes"),
        (3600, "About an hour"), (7200, "2 hours"), (86400 * 2, "2 days"), (86400 * 13, "13 days"),
        (86400 * 15, "2 weeks"), (86400 * 65, "2 months"), (86400 * 800, "2 years"),
    ],
)  # fmt: skip
def test_durations_as_docker_says_them(seconds, text):
    assert phrases.human_duration(seconds) == text


def test_ids_and_long_texts_are_cut():
    assert phrases.short_id("sha256:" + "ab" * 32) == "abababababab"
    assert phrases.short_id("ab" * 32) == "abababababab"
    assert phrases.ellipsis("abcdef", 4) == "abc…"
    assert phrases.ellipsis("abcd", 4) == "abcd"
    assert phrases.printable("é\x07\x9b") == "é\\x07\\x9b"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0), ("1970-01-02T00:00:01.5Z", 86401.5), ("2024-02-29T12:00:00Z", 1709208000),
        ("2024-03-01T00:00:00Z", 1709251200), ("2026-11-24T16:58:04.123456789Z", 1795539484.123456789),
        ("2000-01-01T02:00:00+02:00", 946684800), ("1999-12-31T18:30:00-05:30", 946684800), ("0001-01-01T00:00:00Z", -62135596800),
        ("", 0), ("yesterday", 0), ("2024-13-99", 0), ("2024-01-01T00:00:00+x", 0),
    ],
)  # fmt: skip
def test_times_of_documents(text, seconds):
    assert phrases.seconds_since_1970(text) == pytest.approx(seconds)
