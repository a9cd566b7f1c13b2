"""The rows of the benchmark: what is compared with what, and how fast is fast enough."""

from __future__ import annotations

import functools
import os
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import bench_data
from bench_world import Failed

from tests.support.images import busybox_rootfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench_world import Command, World


class Result(NamedTuple):
    """One line of the table; ``note`` says why there is no figure."""

    row: Row
    ours: float = 0
    theirs: float = 0
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else 0

    @property
    def verdict(self) -> str:
        if self.note:
            return self.note
        value = self.ours if self.row.absolute else self.ratio
        met = value >= self.row.target if self.row.at_least else value <= self.row.target
        return "met" if met else "missed"

    def __str__(self) -> str:
        if self.note:
            return f"{self.row.title}: {self.note}"
        ours, theirs = (shown(value, self.row.unit) for value in (self.ours, self.theirs))
        against = f", {self.row.peer} {theirs}, ratio {self.ratio:.2f}" if self.theirs else ""
        return f"{self.row.title}: {ours}{against} ({self.row.limit}): {self.verdict}"

    def markdown(self) -> str:
        values = ["", "", ""]
        if not self.note:
            values = [shown(self.ours, self.row.unit), shown(self.theirs, self.row.unit), ""]
            values[2] = f"{self.ratio:.2f}" if self.theirs else ""
        ours, theirs, ratio = values
        cells = [self.row.number, self.row.title, ours, self.row.peer, theirs, ratio]
        return f"| {' | '.join([*cells, self.row.limit, self.verdict])} |"


class Row(NamedTuple):
    """A comparison.  ``compare`` returns the two figures; with ``absolute`` the target is for ours."""

    number: str
    title: str
    peer: str
    target: float
    compare: Callable[[World], tuple[float, float]]
    unit: str = "ms"
    at_least: bool = False
    absolute: bool = False

    @property
    def limit(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.target:g}{f' {self.unit}' if self.absolute else ''}"

    def measure(self, world: World) -> Result:
        try:
            ours, theirs = self.compare(world)
        except (Failed, AssertionError, OSError, subprocess.TimeoutExpired) as error:
            return Result(self, note=f"not measured: {error!s}")
        return Result(self, ours=ours, theirs=theirs)


def shown(value: float, unit: str) -> str:
    if not value:
        return ""
    if unit == "ms" and value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} {unit}" if value >= 20 else f"{value:.2f} {unit}"


def walls(world: World, ours: Command, theirs: Command, **options: object) -> tuple[float, float]:
    mine, other = world.alternate(ours, theirs, **options)  # type: ignore[arg-type] # passed through
    return mine.wall_s * 1000, other.wall_s * 1000


def run_pair(world: World, *flags: str) -> tuple[Command, Command]:
    image = world.images.busybox
    world.both_pull(image)
    ours = world.ours("run", "--rm", *flags, image, "true")
    return ours, ["podman", "run", "--rm", *flags, image, "true"]


def run_without_network(world: World) -> tuple[float, float]:
    return walls(world, *run_pair(world, "--network", "none"))


def run_with_network(world: World) -> tuple[float, float]:
    return walls(world, *run_pair(world))


def run_processor_time(world: World) -> tuple[float, float]:
    ours, theirs = world.alternate(*run_pair(world, "--network", "none"))
    return ours.cpu_s * 1000, theirs.cpu_s * 1000


def run_against_runtime(world: World) -> tuple[float, float]:
    ours, _ = run_pair(world, "--network", "none")
    bundle = bench_data.crun_bundle(world)
    return walls(world, ours, ["crun", "--cgroup-manager=disabled", "run", "-b", bundle, "bench"])


def run_single_id(world: World) -> tuple[float, float]:
    ours, _ = run_pair(world, "--network", "none", "--userns", "nomap")
    rootfs = busybox_rootfs(world.folder("kern-rootfs"))
    return walls(world, ours, ["kern", "box", "bench", "--rootfs", rootfs, "--", "true"])


def run_against_bubblewrap(world: World) -> tuple[float, float]:
    ours, _ = run_pair(world, "--network", "none")
    rootfs = busybox_rootfs(world.folder("bwrap-rootfs"))
    mounts = ["--bind", rootfs, "/", "--proc", "/proc", "--dev", "/dev"]
    return walls(world, ours, ["bwrap", "--unshare-all", *mounts, "/bin/true"])


def exec_in_running(world: World) -> tuple[float, float]:
    ours, theirs = run_pair(world, "-d", "--name", "bench-exec", "--network", "none")
    ours[-1:] = theirs[-1:] = ["sleep", "1000"]
    ours.remove("--rm")
    theirs.remove("--rm")
    world.run(ours)
    world.run(theirs)
    try:
        command = ["exec", "bench-exec", "true"]
        return walls(world, world.ours(*command), ["podman", *command])
    finally:
        world.run(world.ours("rm", "-f", "bench-exec"))
        world.run(["podman", "rm", "-f", "-t", "0", "bench-exec"])


def fifty_runs(world: World) -> tuple[float, float]:
    def batch(command: Command) -> float:
        begin = time.perf_counter()
        parallel = ["xargs", "-P", "4", "-I", "{}", *command]
        done = subprocess.run(
            parallel,
            input="\n".join(map(str, range(50))),
            text=True,
            capture_output=True,
            env=world.environment,
            check=False,
        )
        if done.returncode:
            raise Failed(f"one of 50 runs failed: {done.stderr[-200:]}")
        return (time.perf_counter() - begin) * 1000

    ours, theirs = run_pair(world, "--network", "none")
    results = [(batch(ours), batch(theirs)) for _ in range(3)]
    return sorted(each[0] for each in results)[1], sorted(each[1] for each in results)[1]


def build_cached(world: World) -> tuple[float, float]:
    folder = bench_data.hello_world(world)
    return walls(world, world.ours("build", "-q", folder), ["podman", "build", "-q", folder])


def build_steps(world: World) -> tuple[float, float]:
    folder = bench_data.twenty_steps(world)
    ours = world.ours("build", "-q", "--no-cache", folder)
    return walls(world, ours, ["podman", "build", "-q", "--no-cache", folder], pairs=3)


def build_steps_buildah(world: World) -> tuple[float, float]:
    folder = bench_data.twenty_steps(world)
    ours = world.ours("build", "-q", "--no-cache", folder)
    theirs = ["buildah", "build", "-q", "--layers", "--no-cache", folder]
    return walls(world, ours, theirs, pairs=3)


def pull(reference: Callable[[World], str]) -> Callable[[World], tuple[float, float]]:
    """Pull an image that neither side has."""

    def compare(world: World) -> tuple[float, float]:
        image = reference(world)

        theirs = ["podman", "pull", "-q", "--tls-verify=false", image]
        world.both_pull(image)
        forget = functools.partial(world.both_forget, image)
        try:
            return walls(world, world.ours("pull", "-q", image), theirs, pairs=5, before=forget)
        finally:
            forget()  # the next row's image may have the same layers

    return compare


def push_debian(world: World) -> tuple[float, float]:
    image = world.images.debian
    world.both_pull(image)
    samples: tuple[list[float], list[float]] = ([], [])
    for number in range(5):  # a new name each time: a registry that has the blobs takes none
        # Repositories of their own: the second would find what the first has uploaded.
        target = f"{bench_data.empty_registry(world, number)}/pushed"
        for side, tool in enumerate((world.ours(), ["podman"])):
            flags = ["--tls-verify=false"] if side else []
            world.run([*tool, "tag", image, f"{target}-{side}:latest"])
            command = [*tool, "push", "-q", *flags, f"{target}-{side}:latest"]
            samples[side].append(world.timed(command).wall_s * 1000)
            # By this name the image would stay when a later row removes it.
            world.run([*tool, "rmi", f"{target}-{side}:latest"])
        bench_data.stop_registry(world, number)
    return sorted(samples[0])[2], sorted(samples[1])[2]


def save_image(world: World) -> tuple[float, float]:
    image = world.images.debian
    world.both_pull(image)
    files = [f"{world.directory}/{side}.tar" for side in ("ours", "theirs")]

    def forget() -> None:
        for file in files:
            if os.path.exists(file):
                os.unlink(file)

    ours = world.ours("save", "-o", files[0], image)
    return walls(world, ours, ["podman", "save", "-o", files[1], image], pairs=5, before=forget)


def load_image(world: World) -> tuple[float, float]:
    image = world.images.debian
    world.both_pull(image)
    file = f"{world.directory}/load.tar"
    world.run(["podman", "save", "-q", "-o", file, image])

    forget = functools.partial(world.both_forget, image)
    ours = world.ours("load", "-q", "-i", file)
    return walls(world, ours, ["podman", "load", "-q", "-i", file], pairs=5, before=forget)


def list_containers(world: World) -> tuple[float, float]:
    bench_data.thousand_containers(world)
    return walls(world, world.ours("ps", "-a"), ["podman", "ps", "-a"], pairs=5)


def list_images(world: World) -> tuple[float, float]:
    bench_data.thousand_images(world)
    return walls(world, world.ours("images"), ["podman", "images"], pairs=5)


def run_among_thousand(world: World) -> tuple[float, float]:
    ours, _ = run_pair(world, "--network", "none")
    bench_data.thousand_containers(world)
    alone = dict(world.environment)
    world.environment["ROOTLESS_HOME"] = world.folder("empty-store")
    world.run(world.ours("pull", "-q", world.images.busybox))
    without = [*("env", f"ROOTLESS_HOME={world.environment['ROOTLESS_HOME']}"), *ours]
    world.environment = alone
    return walls(world, ours, without)


def memory_detached(world: World) -> tuple[float, float]:
    return bench_data.detached_memory(world)


def memory_absolute(world: World) -> tuple[float, float]:
    return bench_data.detached_memory(world)[0], 0


def work_inside(kind: str) -> Callable[[World], tuple[float, float]]:
    """Throughput inside divided by outside: outside takes the place of the peer."""

    def compare(world: World) -> tuple[float, float]:
        ours, _ = run_pair(world, "--network", "none")
        script = bench_data.WORK[kind]
        inside = [*ours[:-1], "sh", "-c", f"cd /tmp; {script}"]
        binary = bench_data.host_busybox()
        folder = world.folder("outside")
        outside = [binary, "sh", "-c", f"cd {folder}; {script.replace('busybox', binary)}"]
        empty = world.alternate([*ours[:-1], "true"], [binary, "true"])
        both = world.alternate(inside, outside, pairs=7)
        mine, other = (both[side].wall_s - empty[side].wall_s for side in (0, 1))
        return 1 / mine, 1 / other

    return compare


def throughput(world: World) -> tuple[float, float]:
    return bench_data.published_port(world)


def bridge(world: World) -> tuple[float, float]:
    return bench_data.between_containers(world)


def layer_memory(world: World) -> tuple[float, float]:
    return bench_data.pull_memory_mib(world), 0


def show_help(world: World) -> tuple[float, float]:
    return walls(world, world.ours("--help"), ["podman", "--help"])


def list_nothing(world: World) -> tuple[float, float]:
    empty = world.folder("nothing")
    ours = ["env", f"ROOTLESS_HOME={empty}", *world.ours("ps")]
    return walls(world, ours, ["podman", "ps"])


ROWS = (
    Row("1", "`run --rm --network none`", "podman", 0.30, run_without_network),
    Row("2", "`run --rm`, default network", "podman", 0.35, run_with_network),
    Row("3", "processor time of row 1", "podman", 0.50, run_processor_time),
    Row("4", "`run` against the bare runtime", "crun", 2.5, run_against_runtime),
    Row("4a", "`run`, single-id map", "kern", 2.0, run_single_id),
    Row("4b", "`run` against a bare sandbox", "bwrap", 10, run_against_bubblewrap),
    Row("5", "`exec true`", "podman", 0.35, exec_in_running),
    Row("6", "50 runs, 4 at a time", "podman", 0.35, fifty_runs),
    Row("7", "`build`, everything cached", "podman", 1.0, build_cached),
    Row("8", "`build` of 20 steps, no cache", "podman", 0.6, build_steps),
    Row("8a", "the same", "buildah", 0.6, build_steps_buildah),
    Row("9", "`pull` of Debian, gzip", "podman", 0.8, pull(lambda world: world.images.debian)),
    Row("11", "`pull` of 40,000 small files", "podman", 1.0, pull(bench_data.many_files)),
    Row("12", "`push` of Debian", "podman", 0.7, push_debian),
    Row("13", "`save` of Debian", "podman", 0.8, save_image),
    Row("13a", "`load` of Debian", "podman", 0.8, load_image),
    # After row 13: podman remembers the layer as zstd, and cannot save that as docker's archive.
    Row("10", "`pull` of Debian, zstd", "podman", 0.8, pull(lambda w: w.images.debian_zstd)),
    Row("14", "`ps -a`, 1,000 containers", "podman", 0.5, list_containers),
    Row("14a", "`images`, 1,000 images", "podman", 0.5, list_images),
    Row("15", "`run` among 1,000 containers", "none stored", 1.2, run_among_thousand),
    Row("16", "memory a detached container", "conmon, helper", 4, memory_detached, unit="MiB"),
    Row("16a", "the same, absolute", "", 9, memory_absolute, unit="MiB", absolute=True),
    Row("17", "work inside: processor", "outside", 0.97, work_inside("cpu"), "/s", at_least=True),
    Row("17a", "work inside: files", "outside", 0.95, work_inside("files"), "/s", at_least=True),
    Row(
        "17b",
        "work inside: system calls",
        "outside",
        0.95,
        work_inside("calls"),
        "/s",
        at_least=True,
    ),
    Row("18", "TCP to a published port", "podman", 0.95, throughput, "Mbit/s", at_least=True),
    Row("18a", "TCP between containers", "loopback", 0.8, bridge, "Mbit/s", at_least=True),
    Row("19", "peak memory, `pull` of 1 GiB", "", 120, layer_memory, "MiB", absolute=True),
    Row("20", "`--help`", "podman", 1.0, show_help),
    Row("20a", "`ps`, empty store", "podman", 1.0, list_nothing),
)
