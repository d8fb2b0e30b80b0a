#!/usr/bin/env python3
"""Holds the forecast of `haul plan --probe 500` to the run that follows, by medians.

    bench/plan/run.py [--only NAME]… [--repeat N] [--haul PATH] [--json FILE]

The lab plays the services; each job is planned, then run, and the two times are compared. NAME: enrich, enrich-rate,
enrich-auto, enrich-far, and the same of pages and files. Exit status: 0 when every forecast is within
15 %, 1 otherwise. See README.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from sidebyside import Lab, Verdicts, binary, say  # noqa: E402

PAIRS, IDS, RECORDS = 20_000, 2_000_000, 5_000
LATENCY = ["--latency", "20ms"]
# Where the machine is the bound, so many times the items: a forecast is for work that takes a while.
FAST = 6


def enrich(labs, directory, haul, times):
    text = subprocess.run([haul, "lab", "gen", "pairs", "-c", str(PAIRS * times)], capture_output=True, check=True).stdout
    (directory / "pairs.csv").write_bytes(text)
    command = ["enrich", "pairs.csv", "--columns", "user_id:int,video_id:int"]
    command += ["--lookup", f"user={labs['users'].url}/users/{{user_id}}", "--take", "user=.data"]
    command += ["--lookup", f"video={labs['videos'].url}/videos/{{video_id}}", "--take", "video=.data"]
    return command + ["--post", f"{labs['index'].url}/index"]


def pages(labs, directory, haul, times):
    command = ["crawl", f"{labs['pages'].url}/foodstats", "--items", ".response", "--offset", "offset"]
    command += ["--next", ".meta.next_offset", "--page-size", "limit=100", "--range", f"0..{IDS * times}", "--id", ".id"]
    return command + ["--count", ".food_id:10"]


def files(labs, directory, haul, times):
    make = [haul, "lab", "gen", "manifest", "-c", str(RECORDS * times), "--url", labs["files"].url]
    # Where the machine is the bound, that is the program and not the disk, which takes 3 s of anything at once.
    make += ["--video", "10k..10k", "--image", "5k..5k"] if times > 1 else []
    (directory / "contents.json").write_bytes(subprocess.run(make, capture_output=True, check=True).stdout)
    command = ["get", "contents.json", "--url", "mp4=.download_urls.mp4", "--url", "png=.download_urls.png"]
    return command + ["--to", "content"]


# By name: the job, its services, their flags, the pace, and how many times the items.
JOBS = {
    "enrich": (enrich, ["users", "videos", "index"], LATENCY, ["-j", "64"], 1),
    "enrich-rate": (enrich, ["users", "videos", "index"], LATENCY, ["--rate", "2000/s"], 1),
    "enrich-auto": (enrich, ["users", "videos", "index"], [], [], FAST),
    "enrich-far": (enrich, ["users", "videos", "index"], LATENCY, [], FAST),
    "pages": (pages, ["pages"], LATENCY, ["-j", "32"], 1),
    "pages-rate": (pages, ["pages"], LATENCY, ["--rate", "1000/s"], 1),
    "pages-auto": (pages, ["pages"], [], [], FAST),
    "pages-far": (pages, ["pages"], LATENCY, [], FAST),
    "files": (files, ["files"], LATENCY, ["-j", "32"], 1),
    "files-rate": (files, ["files"], LATENCY, ["--rate", "500/s"], 1),
    "files-auto": (files, ["files"], [], [], 4),
    "files-far": (files, ["files"], LATENCY, [], 4),
}


def measure(name, haul, directory):
    """Seconds that were said and seconds that it took."""
    job, services, flags, pace, times = JOBS[name]
    ids = ["--ids", f"0..{IDS * times}"]
    labs = {service: Lab(haul, service, *flags, *(ids if service == "pages" else [])) for service in services}
    try:
        directory.mkdir()
        command = [haul, *job(labs, directory, haul, times), *pace]
        plan = [haul, "plan", *command[1:], "--probe", "500", "--json"]
        said = subprocess.run(plan, cwd=directory, capture_output=True, text=True)
        if said.returncode != 0:
            sys.exit(f"{' '.join(plan)}\n{said.stderr}")
        said = json.loads(said.stdout)
        begun = time.monotonic()
        done = subprocess.run([*command, "-q"], cwd=directory, capture_output=True, text=True)
        took = time.monotonic() - begun
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        ledger = sum(f.stat().st_size for f in directory.glob(".haul/*/ledger.db"))
    finally:
        for lab in labs.values():
            lab.end()
    return said, took, ledger


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=JOBS)
    parser.add_argument("--repeat", type=int, default=3, help="plans and runs of each job; the median counts")
    parser.add_argument("--haul")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    haul, verdicts = binary(args.haul), Verdicts()
    # Nothing is deleted before the end: what a file system does with deleted files, whoever comes next would pay.
    with tempfile.TemporaryDirectory(prefix="bench-plan-") as scratch:
        for name in args.only or JOBS:
            turns = [measure(name, haul, Path(scratch) / f"{name}-{turn}") for turn in range(args.repeat)]
            seconds = [(said["seconds"], took) for said, took, _ in turns]
            for one, took in seconds:
                say(f"       {one:.1f} s said, {took:.1f} s taken: {100 * (one / took - 1):+.1f} %")
            one, took = (statistics.median(column) for column in zip(*seconds))
            said, _, ledger = turns[-1]
            words = f"{name}: {one:.1f} s said ({said['rules']}), {took:.1f} s taken"
            verdicts.add(words, 100 * abs(one / took - 1), must=15, aim=7, unit=" %")
            guess = said["disk"][-1]["bytes"]
            say(f"       ledger {guess} said, {ledger} written; nearer: {said['nearer']}")
    if args.json:
        args.json.write_text(json.dumps(verdicts.rows, indent=1))
    return verdicts.status()


if __name__ == "__main__":
    sys.exit(main())
