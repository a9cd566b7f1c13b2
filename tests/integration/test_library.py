"""``import rootless``: the examples of docs/library.md and what it says about them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from tests.support.cli import CHECKOUT
from tests.support.processes import running
from tests.support.waiting import wait_until


@pytest.fixture
def python(rootless, busybox):
    """Run a program that imports rootless, as our user, on the store that has busybox."""

    def run(text, *, check=True, argv=()):
        program = f"import rootless\nBUSYBOX = {busybox!r}\n{text}"
        done = subprocess.run(
            [sys.executable, "-c", program, *argv],
            env=rootless.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


def test_importing_it_imports_nothing_else(python):
    text = "import sys; print([name for name in sys.modules if name.startswith('rootless')])"
    assert python(text).stdout == "['rootless']\n"


def test_a_program_to_its_end(python):
    text = """
print(rootless.run(BUSYBOX, ["echo", "hello"], network="none").text)
counted = rootless.run(BUSYBOX, ["sh", "-c", "wc -c; echo $A $B >&2"], input=b"12345", env={"A": "1", "B": "x y"}, network="none")
print(counted.exit_code, counted.text, counted.stderr)
"""
    assert python(text).stdout == "hello\n0 5 b'1 x y\\n'\n"


def test_failures_are_exceptions_of_their_own(python):
    text = """
for call in (
    lambda: rootless.run(BUSYBOX, ["sh", "-c", "echo no >&2; exit 3"], network="none"),
    lambda: rootless.run(BUSYBOX, ["nothere"], network="none"),
    lambda: rootless.run("nosuch:1", pull="never"),
    lambda: rootless.run(BUSYBOX, memory="much"),
    lambda: rootless.container("nosuch"),
):
    try:
        call()
    except rootless.ProgramFailed as error:
        print("ProgramFailed", error.completed.exit_code, error)
    except rootless.RootlessError as error:
        print(type(error).__name__, error.exit_code)
"""
    assert python(text).stdout.splitlines() == [
        "ProgramFailed 3 sh -c echo no >&2; exit 3 ended with 3: no",
        "LaunchFailed 127",
        "NotFound 125",
        "InvalidRequest 125",
        "NotFound 125",
    ]


def test_what_a_container_cannot_do_is_an_exception(python):
    text = """
web = rootless.running(BUSYBOX, ["sleep", "1000"], network="none", stop_timeout=0)
def attempt(call, *args):
    try:
        print("no failure of", call(*args))
    except rootless.RootlessError as error:
        print(type(error).__name__, error.exit_code, error.message.split(" ")[-1])

attempt(web.unpause)
attempt(web.kill, "NOSUCH")
web.stop()
for call in (web.start, web.stop, web.restart, web.kill, web.pause, web.unpause):
    attempt(call)
web.remove()
"""
    first, second, *others = python(text).stdout.splitlines()
    assert (first, second) == ("Conflict 1 paused", "InvalidRequest 125 'NOSUCH'")
    assert len(others) == 6
    assert all(each.startswith("NotFound 1 ") for each in others), others


def test_a_directory_or_a_file_is_built_first(python, busybox, tmp_path):
    (tmp_path / "Dockerfile").write_text(f'FROM {busybox}\nENV A=b\nCMD ["sleep", "1000"]\n')
    text = """
import sys
place, file = sys.argv[1], f"{sys.argv[1]}/Dockerfile"
options = {"network": "none", "stop_timeout": 0}
for image, args, more in ((place, (), {}), ("", (), {"file": file}), ("sleep", ["9999"], {"file": file})):
    with rootless.running(image, args, **more, **options) as built:
        print(built.exec(["sh", "-c", "echo $A; cat /proc/1/cmdline"]).text.replace("\\0", " "))
print(rootless.run(args=["env"], file=file, network="none").text.count("A=b"))
"""
    found = python(text, argv=[str(tmp_path)]).stdout.split()
    assert found == ["b", "sleep", "1000", "b", "sleep", "1000", "b", "sleep", "9999", "1"]


def test_waiting_bears_the_end_of_the_monitor(python):
    text = """
import os, signal, threading, time
long = rootless.running(BUSYBOX, ["sleep", "1000"], network="none")
monitor = long.inspect()["State"]["ConmonPid"]
os.kill(monitor, signal.SIGSTOP)  # so what it is asked is not read
codes = []
waiting = threading.Thread(target=lambda: codes.append(long.wait(timeout=60)))
waiting.start()
time.sleep(0.5)
os.kill(monitor, signal.SIGKILL)
waiting.join()
print(codes)
long.remove()
"""
    assert python(text).stdout == "[137]\n"


def test_a_container_beside_the_program(python, rootless):
    text = """
script = "echo one; echo two >&2; sleep 1000"
with rootless.running(BUSYBOX, ["sh", "-c", script], name="beside", publish=["127.0.0.1::80"]) as web:
    print(web.name, web.status, web.port(80)[0])
    print(web.exec(["echo", "inside"]).text)
    web.kill("STOP"); web.kill("CONT")
    print([each.name for each in rootless.containers()].count("beside"))
    print(sorted((line.stream, line.text) for line in web.logs()))
print(web.status)
"""
    assert python(text).stdout.splitlines() == [
        "beside running 127.0.0.1",
        "inside",
        "1",
        "[('stderr', 'two'), ('stdout', 'one')]",
        "removed",
    ]
    assert "beside" not in rootless("ps", "-a").stdout


def test_logs_and_wait_see_the_end(python):
    text = """
script = "sleep 1; for i in 1 2 3; do printf 'part '; echo $i; done; exit 4"
with rootless.running(BUSYBOX, ["sh", "-c", script]) as short:
    print([line.text for line in short.logs(follow=True)])
with rootless.running(BUSYBOX, ["sh", "-c", script]) as short:
    print(short.wait(timeout=30))
with rootless.running(BUSYBOX, ["sleep", "1000"], stop_timeout=0) as long:
    try:
        long.wait(timeout=0.1)
    except TimeoutError as error:
        print(error)
"""
    first, second, third = python(text).stdout.splitlines()
    assert first == "['part 1', 'part 2', 'part 3']"
    assert second == "4"
    assert "did not end within 0.1 s" in third


@pytest.mark.parametrize("ending", ["kill", "leave", "return"])
def test_a_container_goes_with_its_program_however_that_ends(python, rootless, ending):
    marker = f"sleep 77{os.getpid()}{len(ending)}"
    words = {"kill": "os.kill(os.getpid(), 9)", "leave": "os._exit(3)", "return": "pass"}
    text = f"""
import os, sys, time
rootless.running(BUSYBOX, {marker.split()!r}, name="tied")
time.sleep({0.6 if ending == "kill" else 0})  # by then its monitor has become the small one
{words[ending]}
"""
    python(text, check=False)
    wait_until(lambda: not running(marker), "the end of the container")
    wait_until(lambda: "tied" not in rootless("ps", "-a").stdout, "its removal")


def test_threads_run_containers_at_once(python):
    text = """
import threading
found = []
def one(number):
    found.append(rootless.run(BUSYBOX, ["echo", str(number)], network="none").text)
threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
for each in threads: each.start()
for each in threads: each.join()
print(sorted(found))
"""
    assert python(text).stdout == "['0', '1', '2', '3']\n"
    assert threading.active_count() >= 1


def test_build_gives_an_image(python, busybox, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox}\nARG A\nRUN echo $A > /a\n")
    text = """
import sys
image = rootless.build(sys.argv[1], tag="library:test", build_arg={"A": "built"})
print(image.startswith("sha256:"), rootless.run("library:test", ["cat", "/a"], network="none").text)
print(any("library:test" in str(each["Names"]) for each in rootless.images()))
"""
    assert python(text, argv=[str(tmp_path)]).stdout == "True built\nTrue\n"


def test_the_fixtures_remove_what_they_started(rootless, busybox, tmp_path):
    (tmp_path / "test_it.py").write_text(f"""
def test_one(rootless_container):
    web = rootless_container({busybox!r}, ["sleep", "1000"], name="fixture-one", network="none")
    assert web.exec(["echo", "fine"]).text == "fine"

def test_two(rootless_session_container):
    import rootless
    assert "fixture-one" not in [each.name for each in rootless.containers(all=True)]
    rootless_session_container({busybox!r}, ["sleep", "1000"], name="fixture-two", network="none")
""")
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "rootless.library.fixtures", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(tmp_path)],
        env={**rootless.environment, "PYTHONPATH": CHECKOUT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "fixture" not in rootless("ps", "-a").stdout
