#!/usr/bin/env python3
"""Measures the concurrency that `haul` finds by itself against fixed settings, side by side in one run.

    bench/adaptive/run.py [--quick] [--repeat N] [--knee K] [--latency MS] [--json FILE]

The lab plays one service with a knee: up to K requests in flight take the latency each, more of them take
longer in proportion, and beyond 4K they are shed. The figures come from the run's own ledger, a row a second.
Exit status: 0 when every figure that must hold does, 1 otherwise.
"""

import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from sidebyside import Lab, Verdicts, say  # noqa: E402
ROOT = HERE.parent.parent


def measure(args, lab, flags, script, change=None):
    """One run of `args.seconds`, stopped then: what happened in each second, and the record of the lab.

    `change` is (second, script): the service is another from then on."""
    lab.ask("/_set", {"capacity": args.knee, "error_rate": 0.0, "error_status": 500, **script})
    lab.ask("/_reset", {})
    with tempfile.TemporaryDirectory(prefix="bench-adaptive-") as directory:
        command = [args.haul, "enrich", str(args.input), "--columns", "user_id:int,video_id:int", "-q"]
        command += ["--lookup", f"user={lab.url}/users/{{user_id}}", "--to", "out.jsonl", "--run", "bench", *flags]
        child = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        start = time.monotonic()
        if change:
            time.sleep(change[0])
            lab.ask("/_set", change[1])
        time.sleep(max(0.0, start + args.seconds - time.monotonic()))
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
        if child.returncode != 4:
            sys.exit(f"{' '.join(command)}: exit status {child.returncode}\n{errors.decode(errors='replace')}")
        with sqlite3.connect(Path(directory) / ".haul" / "bench" / "ledger.db") as ledger:
            rows = ledger.execute("SELECT at, span_ms, requests, concurrency, p50_us FROM tick ORDER BY at").fetchall()
            lanes = ledger.execute("SELECT count(*) FROM lane WHERE what = 'concurrency'").fetchone()[0]
    begin = rows[0][0] - rows[0][1]
    seconds = [{"at": (r[0] - begin) / 1000, "rate": r[2] * 1000 / r[1], "limit": r[3], "ms": r[4] / 1000} for r in rows]
    return {"seconds": seconds, "truth": lab.ask("/_truth"), "changes": lanes}


def over(run, key, since, until=None):
    """Mean of a figure from a second on; the last row may be cut short."""
    rows = [s for s in run["seconds"][:-1] if s["at"] > since and (until is None or s["at"] <= until)]
    return statistics.fmean(r[key] for r in rows)


def row(name, rate, limit, ms, changes=""):
    say(f"{name:<34}{rate:>12,.0f}{limit:>9.1f}{ms:>9.1f}{changes:>10}")


def side_by_side(args, lab, verdicts):
    """Fixed settings against the one that is found."""
    k = args.knee
    say(f"\nknee {k} at {args.latency} ms, time-weighted from second {args.settle} to {args.seconds}")
    say(f"{'':34}{'requests/s':>12}{'limit':>9}{'p50 ms':>9}{'changes':>10}")
    best = 0.0
    for n in sorted({k // 2, k * 3 // 4, k, k * 5 // 4, k * 3 // 2, 2 * k, 4 * k}):
        run = measure(args, lab, ["-j", str(n)], {})
        rate = over(run, "rate", args.settle)
        row(f"-j {n}", rate, over(run, "limit", args.settle), over(run, "ms", args.settle))
        best = max(best, rate)
    rates, limits = [], []
    for _ in range(args.repeat):
        run = measure(args, lab, [], {})
        rates.append(over(run, "rate", args.settle))
        limits.append(over(run, "limit", args.settle))
        row("-j auto", rates[-1], limits[-1], over(run, "ms", args.settle), str(run["changes"]))
    rate = statistics.median(rates)
    verdicts.add("share of the best fixed setting", rate / best, 0.95, 0.98, False)
    verdicts.add("limit, as a multiple of the knee", statistics.median(limits) / k, 2.0, 1.4)
    return rate, best


def errors(args, lab, clean, verdicts):
    """Five per cent of the requests fail for no reason."""
    kept = []
    for _ in range(args.repeat):
        run = measure(args, lab, [], {"error_rate": 0.05})
        kept.append(over(run, "rate", args.settle))
        row("-j auto, 5 % random 500s", kept[-1], over(run, "limit", args.settle), over(run, "ms", args.settle))
    verdicts.add("throughput that 5 % random 500s cost", 1 - statistics.median(kept) / clean, 0.03)


def recovery(args, lab, best, verdicts):
    """The knee doubles while the run works."""
    worst = 0.0
    for _ in range(args.repeat):
        at = args.seconds / 2
        run = measure(args, lab, [], {}, (at, {"capacity": 2 * args.knee}))
        there = [s["at"] - at for s in run["seconds"] if s["at"] > at and s["rate"] >= 0.95 * 2 * best]
        after = there[0] if there else float("inf")
        row(f"-j auto, knee {2 * args.knee} after {at:.0f} s", over(run, "rate", at + 10), over(run, "limit", at + 10), over(run, "ms", at + 10))
        worst = max(worst, after)
    verdicts.add("seconds until a doubled knee is used to 95 %", worst, 10, 5, True, " s")


def paced(args, lab, best, verdicts):
    """A rate below what the service carries is the bound, and the limit does not grow beyond it."""
    rate = int(best / 4)
    run = measure(args, lab, ["--rate", f"{rate}/s"], {})
    row(f"-j auto --rate {rate}/s", over(run, "rate", args.settle), over(run, "limit", args.settle), over(run, "ms", args.settle))
    verdicts.add("share of the allowed rate that is used", over(run, "rate", args.settle) / rate, 0.99, 0.999, False)
    verdicts.add("sends in the busiest second", run["truth"]["busiest_second"], 1.01 * rate + 1, rate + 1)
    verdicts.add("limit of the paced lane, as a multiple of the knee", over(run, "limit", args.settle) / args.knee, 1.0, 0.6)


def options():
    parser = argparse.ArgumentParser(description="Measures the concurrency that haul finds by itself.")
    parser.add_argument("--haul", default=str(ROOT / "target" / "release" / "haul"), help="the binary to measure")
    parser.add_argument("--lab", help="the binary whose lab to use (default: the same)")
    parser.add_argument("--knee", type=int, default=16)
    parser.add_argument("--latency", type=int, default=20, metavar="MS")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=70, help="length of a run")
    parser.add_argument("--settle", type=int, default=10, help="seconds at the start that do not count")
    parser.add_argument("--quick", action="store_true", help="one repetition of 30 seconds")
    parser.add_argument("--parts", default="fixed,errors,recovery,paced", metavar="LIST", help="only these of the four")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    args = parser.parse_args()
    if args.quick:
        args.repeat, args.seconds = 1, 30
    if not Path(args.haul).exists():
        sys.exit(f"{args.haul} is not there: cargo build --release -p haul")
    args.lab = args.lab or args.haul
    args.parts = args.parts.split(",")
    return args


def main():
    args = options()
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory(prefix="bench-adaptive-") as directory:
        args.input = Path(directory) / "pairs.csv"
        # Twice what the service can carry with a doubled knee: no run comes to its end.
        items = int(4 * args.knee * 1000 / args.latency * args.seconds)
        with open(args.input, "wb") as file:
            subprocess.run([args.lab, "lab", "gen", "pairs", "-q", "-c", str(items)], stdout=file, check=True)
        lab = Lab(args.lab, "users", "--capacity", str(args.knee), "--latency", f"{args.latency}ms")
        # What follows without the comparison is held against what the knee allows.
        rate = best = args.knee * 1000 / args.latency
        if "fixed" in args.parts:
            rate, best = side_by_side(args, lab, verdicts)
        if "errors" in args.parts:
            errors(args, lab, rate, verdicts)
        if "recovery" in args.parts:
            recovery(args, lab, best, verdicts)
        if "paced" in args.parts:
            paced(args, lab, best, verdicts)
        lab.end()
    if args.json:
        args.json.write_text(json.dumps(verdicts.rows, indent=1))
    sys.exit(verdicts.status())


if __name__ == "__main__":
    main()
