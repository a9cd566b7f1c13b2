"""What the rows of the benchmark work on: bundles, Dockerfiles, big images, crowds of containers."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench_world import Failed

from tests.support import oci
from tests.support.capabilities import static_busybox
from tests.support.images import SHELL_CONFIG, busybox_layer, busybox_rootfs
from tests.support.registry import Registry
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from bench_world import World

EXAMPLE = Path(__file__).parents[2] / "docs/examples/hello-world"
CROWD = 1000
# Loops of a second or so: arithmetic, small files, and the cheapest system calls there are.
WORK = {
    "cpu": "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done",
    "files": "for d in 1 2 3 4 5 6 7 8; do mkdir d; for i in $(busybox seq 500);"
    " do : > d/$i; done; busybox rm -r d; done",
    "calls": "busybox dd if=/dev/zero of=/dev/null bs=1 count=1500000 2>/dev/null",
}


def host_busybox() -> str:
    return static_busybox() or "busybox"


def crun_bundle(world: World) -> str:
    """A bundle as `crun spec --rootless` makes it, with busybox as its root."""
    bundle = world.folder("crun-bundle")
    if os.path.exists(f"{bundle}/config.json"):
        return bundle
    busybox_rootfs(f"{bundle}/rootfs")
    world.run(["crun", "spec", "--rootless"], cwd=bundle)
    path = Path(bundle, "config.json")
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec["process"].update(args=["true"], terminal=False)
    spec["process"]["env"] = ["PATH=/bin"]
    path.write_text(json.dumps(spec), encoding="utf-8")
    return bundle


def hello_world(world: World) -> str:
    assert world.images.alpine
    folder = world.folder("hello-world")
    shutil.copy(EXAMPLE / "Dockerfile", folder)
    return folder


def twenty_steps(world: World) -> str:
    """5 RUN, 5 COPY, and 9 that change the configuration only, on busybox."""
    world.both_pull(world.images.busybox)
    folder = world.folder("twenty")
    lines = [f"FROM {world.images.busybox}"]
    for number in range(5):
        Path(folder, f"file{number}").write_bytes(os.urandom(65536))
        lines += [
            f"ENV NUMBER{number}={number}",
            f"COPY file{number} /data/",
            f"RUN echo {number} > /data/run{number} && mkdir -p /work/{number}",
        ]
    lines += ["WORKDIR /work", "LABEL a=b", "USER 1000", 'CMD ["true"]']
    Path(folder, "Dockerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def many_files(world: World) -> str:
    """An image of 40,000 files of a few hundred bytes in 400 directories."""
    layout = oci.Layout(world.folder("many-files"))
    entries = []
    for number in range(400):
        entries.append(oci.directory(f"files/{number}"))
        content = f"{number}\n".encode() * 40
        entries += [oci.Entry(f"files/{number}/{each}", content) for each in range(100)]
    descriptor = layout.image(busybox_layer(), oci.tar_of(*entries), config=SHELL_CONFIG)
    return world.images.push(layout, descriptor, "many-files:latest")


def empty_registry(world: World, number: int) -> str:
    """Another registry with nothing in it; its address."""
    registry = Registry(world.folder(f"registry-{number}"))
    world.more[f"registry-{number}"] = registry
    return registry.address


def stop_registry(world: World, number: int) -> None:
    registry = world.more.pop(f"registry-{number}")
    registry.stop()
    shutil.rmtree(registry.directory)


def thousand_containers(world: World) -> None:
    """Created on both sides, once; none of them runs."""
    if "containers" in world.done:
        return
    world.both_pull(world.images.busybox)
    for number in range(CROWD):
        name = f"crowd-{number}"
        world.run(world.ours("create", "--name", name, "--network", "none", world.images.busybox))
        create = ["podman", "create", "--name", name, "--network", "none", world.images.busybox]
        world.run(create)
    world.done.add("containers")


def thousand_images(world: World) -> None:
    """Names on both sides for images that differ in their configuration."""
    if "images" in world.done:
        return
    layout = oci.Layout(world.folder("thousand-layout"))
    layer = busybox_layer()
    for number in range(CROWD):
        config = {**SHELL_CONFIG, "Labels": {"number": str(number)}}
        descriptor = layout.image(layer, config=config)
        reference = world.images.push(layout, descriptor, f"crowd:{number}")
        world.both_pull(reference)
    world.done.add("images")


def pss_kib(pids: list[int]) -> int:
    """Proportional set size: shared pages count once among those who share them.

    A process that cannot be read ends the row: leaving it out would flatter whoever owns it.
    """
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile: it costs nothing any more
        except OSError as error:
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
            raise Failed(f"cannot read the memory of {name} ({pid}): {error.strerror}") from None
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def helpers() -> set[int]:
    """Processes that stand beside containers: of our uid, and in no pid namespace but the host's.

    Told by NSpid and not by the command line, which a forked monitor inherits.
    """
    found = set()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == os.getuid():
                status = Path(f"/proc/{entry}/status").read_text(encoding="utf-8")
                nested = next(line for line in status.splitlines() if line.startswith("NSpid:"))
                if len(nested.split()) == 2:
                    found.add(int(entry))
        except OSError:
            continue
    return found


def detached_memory(world: World) -> tuple[float, float]:
    """MiB that the fifth of five detached containers adds, the program inside not counted."""
    image = world.images.busybox
    world.both_pull(image)
    figures = []
    for tool in (world.ours(), ["podman"]):
        names = [f"memory-{number}" for number in range(5)]
        before: set[int] = set()
        for name in names:
            before = helpers()
            world.run([*tool, "run", "-d", "--name", name, image, "sleep", "1000"])
        time.sleep(1)  # what a start needs for a moment is not what a container costs
        added = sorted(helpers() - before)
        if not added:
            raise Failed(f"{tool[0]}: no process was found beside the container")
        figures.append(pss_kib(added) / 1024)
        for name in names:
            world.run([*tool, "rm", "-f", *(["-t", "0"] if tool == ["podman"] else []), name])
    return figures[0], figures[1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def published_port(world: World) -> tuple[float, float]:
    """Mbit/s from the host into a container, three times each, the better of each."""
    image = world.images.busybox
    world.both_pull(image)
    best = [0.0, 0.0]
    sink = "while :; do nc -l -p 5201 >/dev/null; done"
    for _ in range(3):
        for side, tool in enumerate((world.ours(), ["podman"])):
            port = free_port()
            flags = ["-d", "--name", "port", "-p", f"127.0.0.1:{port}:5201"]
            flags += ["--network", "slirp4netns"]
            world.run([*tool, "run", *flags, image, "sh", "-c", sink])
            try:
                best[side] = max(best[side], send(port))
            finally:
                world.run([*tool, "rm", "-f", *(["-t", "0"] if side else []), "port"])
    return best[0], best[1]


_RECEIVE = """
import socket, sys
with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:
    connection = server.accept()[0]
    block = bytearray(1 << 20)
    while connection.recv_into(block):
        pass
"""
_SEND = """
import socket, sys, time
address, port, block = sys.argv[1], int(sys.argv[2]), bytes(1 << 20)
for _ in range(200):
    try:
        connection = socket.create_connection((address, port), timeout=5)
        break
    except OSError:
        time.sleep(0.05)
sent, begin = 0, time.perf_counter()
while time.perf_counter() - begin < 3:
    connection.sendall(block)
    sent += len(block)
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
print(sent * 8 / 1e6 / (time.perf_counter() - begin))
"""
_PYTHON = "/usr/bin/python3"


def between_containers(world: World) -> tuple[float, float]:
    """Mbit/s from one container to another on a user network, and over the host's loopback.

    The host's own Python sends and receives in both cases; three times each, the better of each.
    """
    image = world.images.busybox
    world.run(world.ours("pull", "-q", image))
    world.run(world.ours("network", "create", "bench"))
    places = [each for each in ("/usr", "/lib", "/lib64") if os.path.exists(each)]
    shown = [word for each in places for word in ("-v", f"{each}:{each}:ro")]
    containers = ("bench-server", "bench-client")
    try:
        for name in containers:
            flags = ["-d", "--name", name, "--network", "bench", *shown]
            world.run(world.ours("run", *flags, image, "/bin/sleep", "1000"))
        server, client = (world.ours("exec", name, _PYTHON) for name in containers)
        best = [0.0, 0.0]
        for _ in range(3):
            best[0] = max(best[0], _transfer(world, server, client, "bench-server"))
            best[1] = max(best[1], _transfer(world, [_PYTHON], [_PYTHON], "127.0.0.1"))
    finally:
        world.run(world.ours("rm", "-f", "-i", *containers))
        world.run(world.ours("network", "rm", "-f", "bench"))
    return best[0], best[1]


def _transfer(world: World, server: list[str], client: list[str], address: str) -> float:
    """Mbit/s over three seconds."""
    port = str(free_port())
    receive = [*server, "-c", _RECEIVE, port]
    with subprocess.Popen(receive, env=world.environment, stdin=subprocess.DEVNULL) as receiver:
        try:
            return float(world.run([*client, "-c", _SEND, address, port]))
        finally:
            receiver.kill()


def send(port: int) -> float:
    """Mbit/s over three seconds, after the receiver answered."""
    connection = wait_until(functools.partial(_connected, port), f"port {port}")
    assert isinstance(connection, socket.socket)
    chunk = bytes(1 << 20)
    sent, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < 3:
        connection.sendall(chunk)
        sent += len(chunk)
    connection.close()
    return sent * 8 / 1e6 / (time.perf_counter() - begin)


def _connected(port: int) -> socket.socket | None:
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=2)
        connection.settimeout(10)
        connection.sendall(bytes(1 << 16))
    except OSError:
        return None
    return connection


def pull_memory_mib(world: World) -> float:
    """The largest resident set of any of our processes while a layer of 1 GiB is pulled."""
    layout = oci.Layout(world.folder("big"))
    block = os.urandom(1 << 20)
    parts = tuple(oci.Entry(f"part{number}", block * 128) for number in range(8))
    descriptor = layout.image(oci.tar_of(*parts), config=SHELL_CONFIG, compression="none")
    reference = world.images.push(layout, descriptor, "big:latest")
    command = ["/usr/bin/env", "time", "-f", "%M", *world.ours("pull", "-q", reference)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=world.environment, check=False
    )
    if done.returncode:
        raise Failed(done.stderr)
    return int(done.stderr.split()[-1]) / 1024
