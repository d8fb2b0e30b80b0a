#!/usr/bin/env python3
"""Measures `haul top` against its peers, side by side in one run.

    bench/top/run.py [--quick] [--repeat N] [--haul PATH] [--scratch DIR]

Exit status: 0 when every figure that must hold does, 1 otherwise. See README.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sidebyside import binary, commands, environment, run, say, scratch_directory, table, take_turns, verdicts, warm

PEERS = Path(__file__).resolve().parent / "peers"
BEST = 10
# name, command without file and N, arguments behind them, largest number of lines it is asked to read
SLOW, FAST = 1_000_000, 10**9


def contenders(haul, python):
    script = lambda name: [python, PEERS / f"{name}.py"]
    return [
        ("haul top", [haul, "top"], [], FAST),
        ("DuckDB, validating", script("duckdb_top"), ["validate"], FAST),
        ("DuckDB", script("duckdb_top"), ["trust"], FAST),
        ("chDB, validating", script("chdb_top"), ["validate"], FAST),
        ("chDB", script("chdb_top"), ["trust"], FAST),
        ("polars", script("polars_top"), [], FAST),
        ("sort | head", [PEERS / "sort.sh"], [], FAST),
        ("Python orjson", script("python_orjson"), [], FAST),
        ("Python json", script("python_json"), [], SLOW),
        ("jq", [PEERS / "jq.sh"], [], SLOW),
        ("Miller", [PEERS / "miller.sh"], [], SLOW),
    ]


def generate(haul, path, count, size, *more):
    with open(path, "wb") as out:
        command = [haul, "lab", "gen", "scores", "-c", str(count), "--size", str(size), "-q", *more]
        subprocess.run(command, stdout=out, check=True)
    warm(path)
    return path


def answer(text):
    try:
        return [(e["score"], e["id"]) for e in json.loads(text)]
    except (ValueError, KeyError, TypeError):
        return None


def rejects(command, more, bad, scratch):
    """Whether a line that is cut off, and not among the best, is refused."""
    result = run([*command, bad, BEST, *more], scratch, limit=600)
    if result is None:
        return "?"
    return "yes" if result["exit"] != 0 and not answer(result["out"]) else "NO"


def compare(title, path, lines, all_contenders, refused, repeat, scratch):
    taking_part = [c for c in all_contenders if lines <= c[3]]
    turns = [(name, [*command, path, BEST, *more], 1 if limit == SLOW else None) for name, command, more, limit in taking_part]
    results = take_turns(turns, repeat, scratch)
    ours = results["haul top"]
    truth = answer(ours["out"])
    size = path.stat().st_size
    say(f"\n{title}: {lines:,} lines, {size / 1e6:,.0f} MB; the best {BEST}")
    rows = []
    for name, _, _, _ in taking_part:
        r = results.get(name)
        if r is None:
            continue
        same = "yes" if answer(r["out"]) == truth and truth else "NO"
        rows.append((name, f"{r['wall']:.3f}", f"{r['wall'] / ours['wall']:.1f}", f"{r['cpu']:.2f}", f"{r['mb']:.1f}",
                     f"{size / r['wall'] / 1e9:.2f}", same, refused.get(name, "-")))
    table(rows, ("", "wall s", "ratio", "CPU s", "MB", "GB/s", "same", "rejects"))
    return results


def long_line(haul, scratch, megabytes):
    """Peak memory on a line of a gigabyte."""
    path = scratch / "long.txt"
    part = b'{"k":[1,2.5,"some text",null,true]},' * 30_000
    with open(path, "wb") as out:
        out.write(b'7: {"id":"short"}\n9: {"id":"long","a":[')
        written = 0
        while written < megabytes * 1_000_000:
            written += out.write(part)
        out.write(b'0]}\n8: {"id":"last"}\n')
    result = run([haul, "top", path, 3], scratch)
    path.unlink()
    right = answer(result["out"]) == [(9, "long"), (8, "last"), (7, "short")]
    say(f"\na line of {megabytes} MB: {result['wall']:.2f} s, {result['mb']:.1f} MB, {'right' if right else 'WRONG'}")
    return result["mb"] if right else 1e9


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="small files: shows that everything works, proves nothing")
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--haul", help="the program to measure [default: target/release/haul, built when missing]")
    options.add_argument("--scratch", help="where the inputs go: 3 GB [default: the temporary directory]")
    args = options.parse_args()
    haul = binary(args.haul)
    commands({"time": "time", "jq": "jq", "mlr": "miller"})
    python = environment(["duckdb", "chdb", "polars", "orjson"])
    scale = 100 if args.quick else 1
    everybody = contenders(haul, python)
    with scratch_directory(args.scratch) as name:
        scratch = Path(name)
        bad = generate(haul, scratch / "bad.txt", 20_000, 120, "--bad", "17000")
        refused = {name: rejects(command, more, bad, scratch) for name, command, more, _ in everybody}
        checks = []
        lines = 1_000_000 // scale
        small = generate(haul, scratch / "small.txt", lines, 150)
        first = compare("random scores", small, lines, everybody, refused, args.repeat, scratch)
        ascending = generate(haul, scratch / "ascending.txt", lines, 150, "--order", "ascending")
        second = compare("ascending scores", ascending, lines, everybody[:1], refused, args.repeat * 3, scratch)
        again = take_turns([("haul top", [haul, "top", small, BEST], None)], args.repeat * 3, scratch)
        ratio = second["haul top"]["wall"] / again["haul top"]["wall"]
        checks.append(("ascending scores ≤ 1.3 × random", f"{ratio:.2f} ×", ratio <= 1.3))
        small.unlink()
        ascending.unlink()
        wide = generate(haul, scratch / "wide.txt", 200_000 // scale, 4096)
        third = compare("large records", wide, 200_000 // scale, everybody, refused, args.repeat, scratch)
        wide.unlink()
        lines = 10_000_000 // scale
        large = generate(haul, scratch / "large.txt", lines, 150)
        fourth = compare("ten times as many", large, lines, everybody, refused, max(1, args.repeat // 2), scratch)
        large.unlink()
        for peer, must in (("DuckDB, validating", 4), ("chDB, validating", 2.5)):
            ratio = fourth[peer]["wall"] / fourth["haul top"]["wall"]
            checks.append((f"{peer}: ≥ {must} × our time", f"{ratio:.1f} ×", ratio >= must))
        peak = max(r["haul top"]["mb"] for r in (first, second, third, fourth))
        checks.append(("peak memory ≤ 8 MB", f"{peak:.1f} MB", peak <= 8))
        peak = long_line(haul, scratch, 1000 // scale)
        checks.append(("peak memory on a line of a gigabyte ≤ 8 MB", f"{peak:.1f} MB", peak <= 8))
        checks.append(("a bad line is refused", refused["haul top"], refused["haul top"] == "yes"))
        return verdicts(checks)


if __name__ == "__main__":
    sys.exit(main())
