"""Secrets of containers: shown where they were asked for, and nowhere else."""

from __future__ import annotations

import json
import os
import stat
import subprocess

import pytest

VALUE = "correct-horse-battery-staple"
RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def secret(rootless):
    rootless("secret", "create", "--label", "for=test", "word", "-", stdin=VALUE)
    yield "word"
    rootless("secret", "rm", "-i", "word")


def everything_below(directory):
    """Paths of all files that hold the value."""
    found = subprocess.run(
        ["grep", "-rlaF", VALUE, directory], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def test_a_secret_is_a_file_in_memory(rootless, busybox, secret):
    script = (
        "cat /run/secrets/word; stat -c ' %u:%g %a' /run/secrets/word; stat -f -c %T /run/secrets;"
        " echo x >/run/secrets/word"
    )
    done = rootless(*RUN, "--secret", secret, busybox, "sh", "-c", script, check=False)
    assert done.stdout == f"{VALUE} 0:0 444\ntmpfs\n"
    assert "Read-only" in done.stderr
    options = "word,target=deep/er,uid=7,gid=8,mode=0400"
    seen = rootless(*RUN, "--secret", options, busybox, "stat", "-c", "%u:%g %a", "/run/secrets/deep/er")  # fmt: skip
    assert seen.stdout == "7:8 400\n"
    flags = ("--secret", "word,target=/etc/word,mode=440", "--secret", "word")
    script = "cat /etc/word /run/secrets/word; ls -A /run/secrets; grep -c ' /etc/word ' /proc/self/mountinfo"
    seen = rootless(*RUN, "--read-only", *flags, busybox, "sh", "-c", script)
    assert seen.stdout == f"{VALUE}{VALUE}word\n1\n"


def test_a_secret_is_a_variable(rootless, busybox, secret):
    flags = ("--secret", "word,type=env,target=WORD")
    assert rootless(*RUN, *flags, busybox, "sh", "-c", "echo $WORD").stdout == f"{VALUE}\n"
    rootless("run", "-d", "--name", "vault", "--network", "none", *flags, busybox, "sleep", "1000")
    assert rootless("exec", "vault", "sh", "-c", "echo $WORD").stdout == f"{VALUE}\n"
    rootless("rm", "-f", "vault")


def test_a_secret_is_in_nothing_that_is_kept_or_shown(rootless, busybox, secret):
    flags = ("--secret", "word", "--secret", "word,type=env,target=WORD")
    rootless(
        "run", "--name", "vault", "--network", "none", *flags, busybox, "sh", "-c", "test $WORD"
    )
    shown = rootless("inspect", "vault").stdout
    assert VALUE not in shown
    [document] = json.loads(shown)
    assert [each["Name"] for each in document["Config"]["Secrets"]] == ["word", "word"]
    bundle = os.path.dirname(document["OCIConfigPath"])
    holders = everything_below(rootless.home)
    assert sorted(os.path.dirname(each) for each in holders) == sorted(
        [f"{rootless.home}/data/secrets/word", f"{bundle}/secrets", f"{bundle}/secrets"]
    )
    for path in holders:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    explained = rootless("run", "--explain", "--network", "none", *flags, busybox, "true").stdout
    assert "show secrets in memory on /run/secrets: word" in explained
    assert VALUE not in explained
    # It starts as it was made, whatever became of the secret, and takes its copy along.
    rootless("secret", "rm", "word")
    rootless("start", "-a", "vault")
    rootless("rm", "vault")
    assert everything_below(rootless.home) == []


def test_secrets_are_listed_inspected_and_replaced(rootless, secret):
    assert rootless("secret", "ls").stdout.split()[:3] == ["ID", "NAME", "DRIVER"]
    identifier = rootless("secret", "ls", "-q", "-f", "name=wor").stdout.strip()
    assert len(identifier) == 25
    assert rootless("secret", "ls", "-q", "-f", "label=for=other").stdout == ""
    [document] = json.loads(rootless("secret", "inspect", identifier[:8]).stdout)
    assert document["Spec"] == {
        "Name": "word", "Driver": {"Name": "file", "Options": {}}, "Labels": {"for": "test"}
    }  # fmt: skip
    assert VALUE not in rootless("secret", "inspect", "word").stdout
    shown = rootless("secret", "inspect", "--showsecret", "-f", "{{.SecretData}}", "word").stdout
    assert shown == f"{VALUE}\n"
    assert "exists already" in rootless.fails("secret", "create", "word", "-", stdin="x")
    rootless("secret", "create", "--replace", "--env", "word", "OTHER", env={"OTHER": "new"})
    assert rootless("secret", "inspect", "--showsecret", "-f", "{{.SecretData}}", "word").stdout == "new\n"  # fmt: skip
    assert rootless("secret", "exists", "word").exit_code == 0
    assert rootless("secret", "exists", "none", check=False).exit_code == 1
    assert "word" in rootless("__complete", "fish", "secret", "rm", "").stdout


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("none", "no secret none"),
        ("../word", "does not lie below /run/secrets"),
        ("../word,target=x", "no secret ../word"),
        ("word,type=file", "type is mount or env"),
        ("word,target=../../etc/x", "does not lie below /run/secrets"),
        ("word,target=/proc/word", "would hide what the kernel says"),
        ("word,mode=999", "is no number"),
        ("word,type=env,uid=5", "a variable has no owner"),
        ("word,colour=red", "colour=red"),
    ],
)
def test_what_is_no_secret_is_said(rootless, busybox, secret, flag, words):
    assert words in rootless.fails(*RUN, "--secret", flag, busybox, "true")


def test_values_and_names_are_bounded(rootless):
    assert "1 to 512000 bytes" in rootless.fails(
        "secret", "create", "big", "-", stdin=b"x" * 512_001
    )
    assert "1 to 512000 bytes" in rootless.fails("secret", "create", "none", "-", stdin=b"")
    assert "1 to 512000 bytes" in rootless.fails("secret", "create", "endless", "/dev/zero")
    assert "no name for a secret" in rootless.fails("secret", "create", "a/b", "-", stdin=b"x")
