#!/usr/bin/env python3
"""Measures `haul count` against its peers, side by side in one run.

    bench/count/run.py [--quick] [--repeat N] [--haul PATH] [--scratch DIR]

Exit status: 0 when every figure that must hold does, 1 otherwise. See README.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sidebyside import binary, commands, environment, run, say, scratch_directory, table, take_turns, verdicts, warm

PEERS = Path(__file__).resolve().parent / "peers"
BEST = 100
SLOW, FAST = 20_000_000, 10**10


def contenders(haul, python, scratch):
    script = lambda name: [python, PEERS / f"{name}.py"]
    return [
        ("haul count", [haul, "count", "-T", scratch, "-n", BEST], [], FAST),
        ("DuckDB, 512 MB", script("duckdb_count"), [BEST, scratch], FAST),
        ("polars", script("polars_count"), [BEST], FAST),
        ("chDB", script("chdb_count"), [BEST], FAST),
        ("sort | uniq | sort", [PEERS / "sort.sh"], [BEST, scratch], SLOW),
        ("Python Counter", script("python_count"), [BEST], SLOW),
    ]


def generate(haul, path, count, *more):
    with open(path, "wb") as out:
        command = [haul, "lab", "gen", "ids", "--plain", "-c", str(count), "-q", *more]
        subprocess.run(command, stdout=out, check=True)
    warm(path)
    return path


def answer(text):
    try:
        found = json.loads(text)
        rows = next(iter(found.values())) if isinstance(found, dict) else found
        return [(r["value"], r["count"]) if isinstance(r, dict) else tuple(r) for r in rows]
    except (ValueError, KeyError, TypeError, StopIteration):
        return None


def compare(title, path, lines, everybody, repeat, scratch):
    taking_part = [c for c in everybody if lines <= c[3]]
    turns = [(name, [*command, path, *more], 1 if limit == SLOW else None) for name, command, more, limit in taking_part]
    results = take_turns(turns, repeat, scratch)
    ours = results["haul count"]
    truth = answer(ours["out"])
    say(f"\n{title}: {lines:,} lines, {path.stat().st_size / 1e6:,.0f} MB; the {BEST} most common")
    rows = []
    for name, _, _, _ in taking_part:
        r = results.get(name)
        if r is None:
            continue
        if r["exit"] != 0:
            last = (r["err"].strip().splitlines() or ["?"])[-1]
            rows.append((name, "failed", "-", "-", f"{r['mb']:.1f}", last[:40]))
            continue
        same = "yes" if answer(r["out"]) == truth and truth else "NO"
        rows.append((name, f"{r['wall']:.2f}", f"{r['wall'] / ours['wall']:.1f}", f"{r['cpu']:.2f}", f"{r['mb']:.1f}", same))
    table(rows, ("", "wall s", "ratio", "CPU s", "MB", "same"))
    return results


class Caged:
    """A control group with 64 MB for everything: program, buffers and the files it reads and writes."""

    def __init__(self, megabytes):
        two = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        root = Path("/sys/fs/cgroup") if two else Path("/sys/fs/cgroup/memory")
        self.path = root / f"haul-bench-{os.getpid()}"
        self.path.mkdir()
        name = "memory.max" if two else "memory.limit_in_bytes"
        (self.path / name).write_text(str(megabytes * 1_000_000))
        self.peak = self.path / ("memory.peak" if two else "memory.max_usage_in_bytes")
        if two and (self.path / "memory.swap.max").exists():
            (self.path / "memory.swap.max").write_text("0")

    def wrap(self, command):
        return ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', self.path, *command]

    def peak_mb(self):
        return int(self.peak.read_text()) / 1e6 if self.peak.exists() else float("nan")

    def open(self):
        self.path.rmdir()


def caged(haul, path, truth, scratch):
    """Whether the count is exact within 64 MB; None where control groups cannot be made."""
    try:
        cage = Caged(64)
    except OSError as reason:
        say(f"\nwithin a control group of 64 MB: left out ({reason})")
        return None
    # What is in memory already would not be counted: read it from the disk.
    subprocess.run(["sync"], check=True)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        pass
    result = run(cage.wrap([haul, "count", "-T", scratch, "-n", BEST, path]), scratch)
    right = result is not None and answer(result["out"]) == truth
    peak = cage.peak_mb()
    cage.open()
    if result:
        say(f"\nwithin a control group of 64 MB: {result['wall']:.1f} s, {result['mb']:.1f} MB resident, "
            f"{peak:.0f} MB with all files, {'exact' if right else 'WRONG ' + result['err'][-200:]}")
    return right


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="small files: shows that everything works, proves nothing")
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--haul", help="the program to measure [default: target/release/haul, built when missing]")
    options.add_argument("--scratch", default="/var/tmp", help="where inputs and spilled values go: 10 GB [default: /var/tmp]")
    args = options.parse_args()
    haul = binary(args.haul)
    commands({"time": "time"})
    python = environment(["duckdb", "chdb", "polars"])
    scale = 100 if args.quick else 1
    with scratch_directory(args.scratch) as name:
        scratch = Path(name)
        everybody = contenders(haul, python, scratch)
        checks = []
        lines = 20_000_000 // scale
        path = generate(haul, scratch / "zipf.txt", lines, "--distinct", str(lines // 20), "--zipf")
        compare("a few frequent, most rare", path, lines, everybody, args.repeat, scratch)
        path.unlink()
        path = generate(haul, scratch / "distinct20.txt", lines)
        compare("all different", path, lines, everybody, args.repeat, scratch)
        path.unlink()
        lines = 150_000_000 // scale
        path = generate(haul, scratch / "distinct.txt", lines)
        results = compare("all different", path, lines, everybody, args.repeat, scratch)
        ours = results["haul count"]
        for peer in ("DuckDB, 512 MB", "polars"):
            theirs = results.get(peer)
            if theirs is None or theirs["exit"] != 0:
                checks.append((f"{peer}: ≥ 2.5 × our time", "it did not finish", True))
            else:
                ratio = theirs["wall"] / ours["wall"]
                checks.append((f"{peer}: ≥ 2.5 × our time", f"{ratio:.1f} ×", ratio >= 2.5))
        checks.append(("peak memory ≤ 32 MB", f"{ours['mb']:.1f} MB", ours["mb"] <= 32))
        exact = caged(haul, path, answer(ours["out"]), scratch)
        if exact is not None:
            checks.append(("exact within a control group of 64 MB", "yes" if exact else "no", exact))
        shutil.rmtree(scratch / "duckdb", ignore_errors=True)
        return verdicts(checks)


if __name__ == "__main__":
    sys.exit(main())
