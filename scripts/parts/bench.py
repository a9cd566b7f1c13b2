"""Measure rootless against its peers and print one table.

Every figure is a ratio: the two commands alternate on the same machine as the same ordinary user, after
a warm-up, and medians are compared.  A missed target is reported, never an error: machines are noisy.

    scripts/bench                    every row
    scripts/bench --row 1 --row 3    some rows
    scripts/bench --output docs/performance.md
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import testbed

CHECKOUT = Path(__file__).parents[2]
PACKAGES = (*testbed.PACKAGES, "time")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure rootless against its peers.")
    parser.add_argument("--row", action="append", default=[], help="a number of the table")
    parser.add_argument("--pairs", type=int, default=15, help="how often the two are run")
    parser.add_argument("--output", type=Path, help="also write the table as Markdown")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measure(options.row, options.pairs, options.output)
    else:
        with testbed.alone() if os.geteuid() == 0 else nullcontext():
            status = prepare(options)
        sys.exit(status)


def prepare(options: argparse.Namespace) -> int:
    """Install rootless as a user would, and run ourselves again as an ordinary user."""
    inside = ["--inside", "--pairs", str(options.pairs)]
    for row in options.row:
        inside += ["--row", row]
    if os.geteuid() != 0:
        cache = Path.home() / ".cache/rootless-tests"
        command = [install(cache), str(Path(__file__)), *inside]
        if options.output:
            command += ["--output", str(options.output.resolve())]
        return subprocess.run(command, check=False).returncode
    testbed.install_packages(PACKAGES)
    user = testbed.ensure_user()
    testbed.fix_devices()
    python = install(testbed.CACHE)
    checkout = testbed.readable_checkout(user)
    with tempfile.TemporaryDirectory(prefix="rootless-bench-", dir="/var/tmp") as directory:
        os.chown(directory, user.pw_uid, user.pw_gid)
        written = Path(directory, "table.md")
        command = [python, str(checkout / "scripts/parts/bench.py"), *inside]
        status = testbed.run_as(user, [*command, "--output", str(written)], checkout=checkout)
        if options.output and written.exists():
            shutil.copy(written, options.output)
    return status


def install(directory: Path) -> str:
    """The interpreter of an environment with rootless in it, not editable: compiled, as users have it."""
    directory.mkdir(parents=True, exist_ok=True)
    python = testbed.environment(sys.executable, directory, ("test", "bench"), name="bench")
    maker = CHECKOUT / "scripts/parts/environment.py"
    command = [sys.executable, str(maker), str(python.parents[1]), "--only-project"]
    subprocess.run(command, check=True)
    return str(python)


def measure(wanted: list[str], pairs: int, output: Path | None) -> None:
    """The rows, one after the other; the table at the end."""
    sys.path.insert(0, str(CHECKOUT))
    import bench_rows
    import bench_world

    results = []
    with bench_world.World(pairs) as world:
        for row in bench_rows.ROWS:
            if wanted and row.number not in wanted:
                continue
            result = row.measure(world)
            results.append(result)
            print(f"{row.number:>3} {result}", flush=True)
    text = page([result.markdown() for result in results])
    print(f"\n{text}")
    if output:
        output.write_text(text, encoding="utf-8")


def page(rows: list[str]) -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    machine = f"{os.cpu_count()} cores ({models[0] if models else platform.machine()})"
    return "\n".join(
        [
            "# Performance",
            "",
            "Made by `scripts/bench --output docs/performance.md`. Each row is a ratio: the two commands",
            "alternate on the same machine as the same ordinary user, and medians are compared. `podman`",
            "runs with crun and native overlay. A target is ours divided by theirs.",
            "",
            f"Linux {platform.release()}, {machine}, Python {platform.python_version()}.",
            "",
            "| # | operation | ours | peer | theirs | ratio | target | |",
            "| ---: | --- | ---: | --- | ---: | ---: | ---: | --- |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
