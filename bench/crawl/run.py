#!/usr/bin/env python3
"""Measures how much of an allowed rate `haul crawl` uses, what it asks for beyond the least, and what it counts.

    bench/crawl/run.py [--quick] [--only NAME]… [--repeat N] [--haul PATH] [--json FILE]

The lab plays an API with the ids, the latency and the errors given, and keeps a record of what it was asked for and
when. NAME: errors, clean, skew, killed, records. Exit status: 0 when every figure that must hold does, 1 otherwise.
See README.md.
"""

import argparse
import json
import os
import random
import shutil
import signal
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
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
PAGE, DENSITY = 100, 0.93


def command(args, lab, ids, flags):
    base = [args.haul, "crawl", f"{lab.url}/foodstats", "--items", ".response", "--offset", "offset"]
    base += ["--next", ".meta.next_offset", "--page-size", f"limit={PAGE}", "--range", f"0..{ids}", "--id", ".id"]
    base += ["--count", ".food_id:100", "--count", ".food__category_id:10", "--rate", f"{args.rate}/s"]
    return base + ["--run", "bench", "-q", *flags]


def check(out, truth):
    """Fails unless the counts are those of the whole population."""
    found, pages = json.loads(out), truth["pages"]
    return (
        "partial" not in found
        and found[".food_id"] == pages["food_id"]
        and found[".food__category_id"] == pages["food__category_id"][:10]
    )


def measure(args, pages, script, flags=(), lab_flags=()):
    """One crawl of about so many pages, and what the lab saw of it."""
    ids = int(pages * PAGE / DENSITY)
    lab = Lab(args.lab, "pages", "--ids", f"0..{ids}", *lab_flags)
    lab.ask("/_set", {"latency_ms": 100.0, "jitter_ms": 200.0, **script})
    # Counted before the crawl: that takes the lab some time.
    lab.ask("/_truth")
    lab.ask("/_reset", {})
    with tempfile.TemporaryDirectory(prefix="bench-crawl-", dir=args.scratch) as directory:
        report = Path(directory) / "report"
        timed = [shutil.which("time"), "-o", str(report), "-f", "%e %U %S %M"]
        timed = [] if timed[0] is None else timed
        child = subprocess.run([*timed, *command(args, lab, ids, flags)], cwd=directory, capture_output=True, text=True)
        if child.returncode != 0:
            sys.exit(f"exit status {child.returncode}\n{child.stderr}")
        wall, user, system, kilobytes = report.read_text().split()[-4:] if timed else (0, 0, 0, 0)
    truth = lab.ask("/_truth")
    lab.end()
    records, answered = truth["pages"]["records"], truth["accepted"]
    return {
        "used": (truth["new_requests"] - 1) / (args.rate * truth["new_span_ms"] / 1000),
        "raw": (truth["requests"] - 1) / (args.rate * truth["span_ms"] / 1000),
        "beyond": answered / -(-records // PAGE),
        "requests": truth["requests"],
        "busiest": truth["busiest_second"],
        "side_by_side": truth["max_in_flight"],
        "wall": float(wall),
        "cpu": float(user) + float(system),
        "mb": int(kilobytes) * 1.024 / 1000,
        "same": check(child.stdout, truth),
    }


HEADS = ("used", "to the last", "answered / least", "requests", "busiest s", "side by side", "wall s", "CPU s", "MB", "counts")


def row(name, r):
    if r is None:
        say(f"\n{name:<30}" + "".join(f"{h:>18}" if "/" in h else f"{h:>13}" for h in HEADS))
        return
    say(
        f"{name:<30}{r['used']:>13.4f}{r['raw']:>13.4f}{r['beyond']:>18.4f}{r['requests']:>13,}{r['busiest']:>13,}"
        f"{r['side_by_side']:>13}{r['wall']:>13.1f}{r['cpu']:>13.1f}{r['mb']:>13.1f}{'same' if r['same'] else 'WRONG':>13}"
    )


def repeated(args, name, pages, script, **more):
    row(f"{pages:,} pages at {args.rate}/s", None)
    runs = []
    for _ in range(args.repeat):
        runs.append(measure(args, pages, script, **more))
        row(name, runs[-1])
    middle = {key: statistics.median(r[key] for r in runs) for key in ("used", "beyond", "mb")}
    return middle, max(r["busiest"] for r in runs), all(r["same"] for r in runs)


def verdict(args, verdicts, name, found, share, beyond=1.02):
    middle, busiest, same = found
    verdicts.add(f"{name}: share of the allowed rate used", middle["used"], share, 0.999, False)
    if beyond:
        verdicts.add(f"{name}: pages answered, of the least possible", middle["beyond"], beyond)
    verdicts.add(f"{name}: requests in the busiest second", busiest, 1.01 * args.rate + 1, args.rate + 1)
    verdicts.add(f"{name}: counts equal to the truth", float(same), 1, at_most=False)


def errors(args, verdicts):
    found = repeated(args, "2 % errors, 200 ± 100 ms", args.pages, {"error_rate": 0.02})
    verdict(args, verdicts, "errors", found, 0.99)


def clean(args, verdicts):
    verdict(args, verdicts, "clean", repeated(args, "no errors, 200 ± 100 ms", args.pages, {}), 0.99)


def skew(args, verdicts):
    """Nine tenths of the ids stand in a hundredth of the range."""
    # A tenth of the usual density everywhere would be: the range is as long as it must be for the pages.
    found = repeated(args, "2 % errors, 9/10 in 1/100", args.pages * 90, {"error_rate": 0.02}, lab_flags=["--skew"])
    verdict(args, verdicts, "skew", found, 0.97, None)


def killed(args, verdicts):
    """Killed again and again; what it counted in the end."""
    pages = args.pages // 2
    ids, kills, rng = int(pages * PAGE / DENSITY), 0, random.Random(7)
    lab = Lab(args.lab, "pages", "--ids", f"0..{ids}")
    lab.ask("/_set", {"latency_ms": 20.0, "jitter_ms": 20.0, "error_rate": 0.02, "drop_rate": 0.01})
    with tempfile.TemporaryDirectory(prefix="bench-crawl-", dir=args.scratch) as directory:
        for _ in range(args.kills):
            child = subprocess.Popen(command(args, lab, ids, []), cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.05, 2 * pages / args.rate / args.kills * 0.9))
            child.kill()
            kills += child.wait() == -signal.SIGKILL
        child = subprocess.run(command(args, lab, ids, []), cwd=directory, capture_output=True, text=True)
        if child.returncode != 0:
            sys.exit(f"exit status {child.returncode}\n{child.stderr}")
    truth = lab.ask("/_truth")
    lab.end()
    same, least = check(child.stdout, truth), -(-truth["pages"]["records"] // PAGE)
    say(f"\nkilled {kills} times: {truth['accepted']:,} pages answered, {least:,} are the least; counts {'same' if same else 'WRONG'}")
    verdicts.add("killed: kills that came before the end", kills, args.kills * 0.5, args.kills * 0.8, False)
    verdicts.add("killed: counts equal to the truth", float(same), 1, at_most=False)


def records(args, verdicts):
    """Records from memory through the aggregates."""
    command = [str(Path(args.haul).parent / "examples" / "records"), str(args.records), args.scratch]
    if not Path(command[0]).exists():
        sys.exit(f"{command[0]} is not there: cargo build --release -p haul --example records")
    say(f"\n{args.records:,} records, pages from memory")
    child = subprocess.run(command, capture_output=True, text=True)
    say(child.stdout.rstrip())
    if child.returncode != 0:
        say(child.stderr)
    peak = [line.split("peak RSS ")[1].split()[0] for line in child.stdout.splitlines() if "peak RSS" in line]
    verdicts.add("records: counts equal to the truth", float(child.returncode == 0), 1, at_most=False)
    verdicts.add("records: peak RSS", float(peak[0]) if peak else float("inf"), 40, 32, unit=" MB")


ALL = {"errors": errors, "clean": clean, "skew": skew, "killed": killed, "records": records}


def options():
    parser = argparse.ArgumentParser(description="Measures how much of an allowed rate haul crawl uses.")
    parser.add_argument("--haul", default=str(TARGET / "haul"), help="the binary to measure")
    parser.add_argument("--lab", help="the binary whose lab to use (default: the same)")
    parser.add_argument("--only", action="append", choices=ALL, help="leave out the others (repeatable)")
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--records", type=int, default=150_000_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one repetition, a tenth of the records")
    parser.add_argument("--scratch", default=tempfile.gettempdir(), help="where runs are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    args = parser.parse_args()
    if args.quick:
        args.repeat, args.records = 1, args.records // 10
    if not Path(args.haul).exists():
        sys.exit(f"{args.haul} is not there: cargo build --release -p haul")
    args.lab = args.lab or args.haul
    return args


def main():
    args, verdicts = options(), Verdicts()
    for name in args.only or ALL:
        ALL[name](args, verdicts)
    if args.json:
        args.json.write_text(json.dumps(verdicts.rows, indent=1))
    sys.exit(verdicts.status())


if __name__ == "__main__":
    main()
