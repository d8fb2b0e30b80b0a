#!/usr/bin/env python3
"""Measures `haul get` against curl, wget2 and aria2, side by side in one run.

    bench/get/run.py [--quick] [--repeat N] [--case NAME]... [--json FILE]

The lab serves files from memory, over loopback, in a process of its own. Programs take turns, so that
whatever else the machine does meets all of them. Exit status: 0 when every figure that must hold does,
1 otherwise.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from sidebyside import binary, commands, run, say, scratch_directory, verdicts  # noqa: E402

PACKAGES = {"time": "time", "curl": "curl", "wget2": "wget2", "aria2c": "aria2"}
PEERS = ("curl", "wget2", "aria2")
# At once: what aria2 opens to one host at most, and for the others no less.
AT_ONCE = 16


class Case:
    """Files, as a list of URLs and, for records, as a manifest."""

    def __init__(self, name, files, records=False):
        self.name, self.files, self.records = name, files, records

    def write(self, base, directory):
        urls = [f"{base}/files/{i}-{size}.{ext}" for i, size, ext in self.files]
        self.urls, self.manifest, self.curl = (directory / f"{self.name}{end}" for end in (".txt", ".json", ".curl"))
        self.urls.write_text("".join(url + "\n" for url in urls))
        self.curl.write_text("".join(f'url = "{url}"\nremote-name\n' for url in urls))
        if self.records:
            pairs = zip(urls[::2], urls[1::2])
            records = {f"r{i}": {"id": i, "download_urls": {"mp4": a, "png": b}} for i, (a, b) in enumerate(pairs)}
            self.manifest.write_text(json.dumps(records))

    def bytes(self):
        return sum(size for _, size, _ in self.files)


def cases(quick):
    rng = random.Random(7)
    share = 10 if quick else 1
    medium = [(i, rng.randrange(20_000, 200_000), "png") for i in range(2000 // share)]
    small = [(i, 10_000, "png") for i in range(20_000 // share)]
    videos = []
    for i in range(50 // share):
        videos += [(i, rng.randrange(5_000_000, 20_000_000), "mp4"), (i, rng.randrange(10_000, 60_000), "png")]
    return [Case("2000x20-200K", medium), Case("20000x10K", small), Case("50x5-20M", videos, records=True)]


class Lab:
    """The file service, in a process of its own."""

    def __init__(self, program):
        command = [program, "lab", "files", "--port", "0", "--json"]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        first = self.child.stdout.readline()
        if not first:
            sys.exit(f"{program} lab did not start")
        self.url = json.loads(first)["services"]["files"]

    def cpu(self):
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.child.send_signal(signal.SIGINT)
        self.child.communicate()


def command(name, case, args, scratch):
    """What a program is called with; it saves into the directory `to` of a scratch directory."""
    to, quiet = scratch / "to", ">/dev/null 2>&1"
    if name == "haul":
        what = f"{case.urls}"
        if case.records:
            what = f"{case.manifest} --url mp4=.download_urls.mp4 --url png=.download_urls.png"
        return f"exec {args.haul} get {what} --to {to} --state {scratch}/state -q {args.flags}"
    if name == "curl":
        return f"cd {to} && curl -sf --parallel --parallel-max {AT_ONCE} -K {case.curl} {quiet}"
    if name == "wget2":
        return f"cd {to} && wget2 -q --max-threads={AT_ONCE} --no-robots -i {case.urls} {quiet}"
    return f"aria2c -q -j{AT_ONCE} -x1 --file-allocation=none --allow-overwrite=true -d {to} -i {case.urls} {quiet}"


def contents(directory):
    """Hashes of all files, however they are called."""
    found = []
    for path in directory.rglob("*"):
        if path.is_file():
            found.append(hashlib.blake2b(path.read_bytes(), digest_size=16).digest())
    return sorted(found)


def once(name, case, args, scratch, lab, synced):
    # What thousands of files are saved over is not deleted first: for half a minute ext4 looks at each inode
    # that was freed and passes over it, and that search would be most of what is measured.
    place = Path(tempfile.mkdtemp(dir=scratch))
    to = place / "to"
    to.mkdir()
    os.sync()
    text = command(name, case, args, place)
    if synced and name != "haul":
        text += f"; s=$?; sync -f {to}; exit $s"
    before = lab.cpu()
    result = run(["sh", "-c", text], scratch, limit=900)
    if not result:
        sys.exit(f"{name}: not finished after 15 minutes")
    result["lab"] = (lab.cpu() - before) / result["wall"]
    result["files"] = contents(to)
    if case.records:
        shutil.rmtree(place)  # few files, and 600 MB
    if result["exit"]:
        say(f"    {name}: exit status {result['exit']}: {result['err'][-500:]}")
    return result


def orders(names):
    """Orders in which each follows each other one equally often (E. J. Williams, 1949): what one leaves to be written
    back, and to the journal, is work of the next."""
    count = len(names)
    first = [(i + 1) // 2 if i % 2 else (count - i // 2) % count for i in range(count)]
    rows = [[names[(place + turn) % count] for place in first] for turn in range(count)]
    return rows if count % 2 == 0 else rows + [row[::-1] for row in rows]


def measure(case, names, args, scratch, lab, synced):
    runs = {name: [] for name in names}
    turns = orders(names)
    for turn in range(args.repeat if synced else 1):
        for name in turns[turn % len(turns)]:
            runs[name].append(once(name, case, args, scratch, lab, synced))
    return runs


def show(case, runs, synced):
    say(f"\n{case.name}: {len(case.files)} files, {case.bytes() / 1e6:.0f} MB, {'to a final sync' if synced else 'without a sync'}")
    say(f"  {'':8}{'s min':>8}{'median':>8}{'max':>8}{'CPU s':>8}{'µs/file':>9}{'peak MB':>9}{'lab core':>10}{'files':>8}")
    for name, of in runs.items():
        walls = sorted(r["wall"] for r in of)
        cpu, mb, lab = (statistics.median(r[key] for r in of) for key in ("cpu", "mb", "lab"))
        say(
            f"  {name:8}{walls[0]:>8.2f}{statistics.median(walls):>8.2f}{walls[-1]:>8.2f}{cpu:>8.2f}"
            f"{cpu / len(case.files) * 1e6:>9.0f}{mb:>9.1f}{lab:>10.0%}{len(of[0]['files']):>8}"
        )


def judge(case, runs):
    """The figures that must hold: (text, measured, holds)."""
    median = {name: {key: statistics.median(r[key] for r in of) for key in ("wall", "cpu", "mb")} for name, of in runs.items()}
    ours = median.pop("haul")
    every = [r["files"] for of in runs.values() for r in of]
    equal = all(files == every[0] and len(files) == len(case.files) for files in every)
    checks = [(f"{case.name}: all files of all programs are equal", f"{len(every[0])} files", equal)]
    if not median:
        return checks
    best = min(m["wall"] for m in median.values())
    share = ours["wall"] / best
    checks.append((f"{case.name}: wall against the best other ≤ 1.1 (aim 0.9)", f"{share:.2f}", share <= 1.1))
    if "aria2" in median and not case.records:
        least = 1.8 if case.name.startswith("2000x") else 2.5
        ratio = median["aria2"]["wall"] / ours["wall"]
        checks.append((f"{case.name}: as fast as aria2 ≥ {least} times", f"{ratio:.2f}", ratio >= least))
    if "curl" in median:
        ratio = ours["cpu"] / median["curl"]["cpu"]
        checks.append((f"{case.name}: CPU a file against curl ≤ 1", f"{ratio:.2f}", ratio <= 1.0))
    checks.append((f"{case.name}: peak memory ≤ 30 MB", f"{max(r['mb'] for r in runs['haul']):.1f} MB", ours["mb"] <= 30))
    return checks


def options():
    parser = argparse.ArgumentParser(description="Measures haul get against curl, wget2 and aria2.")
    parser.add_argument("--haul", help="the binary to measure (default: target/release/haul)")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--case", action="append", help="2000, 20000 or 50; all when not said")
    parser.add_argument("--only", action="append", help="these programs only")
    parser.add_argument("--flags", default="", help="more flags for haul")
    parser.add_argument("--where", help="directory of the downloads (default: that for temporary files)")
    parser.add_argument("--quick", action="store_true", help="one repetition with a tenth of the files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements there")
    args = parser.parse_args()
    args.haul = binary(args.haul)
    if args.quick:
        args.repeat = 1
    return args


def main():
    args = options()
    commands(PACKAGES)
    present = ["haul"] + [p for p in PEERS if shutil.which("aria2c" if p == "aria2" else p)]
    names = [n for n in present if not args.only or n in args.only]
    checks, kept = [], []
    with scratch_directory(args.where) as directory:
        scratch = Path(directory)
        lab = Lab(args.haul)
        for case in cases(args.quick):
            if args.case and not any(case.name.startswith(c + "x") for c in args.case):
                continue
            case.write(lab.url, scratch)
            for synced in (True, False):
                runs = measure(case, names, args, scratch, lab, synced)
                show(case, runs, synced)
                if synced and "haul" in runs:
                    checks += judge(case, runs)
                plain = {n: [{k: r[k] for k in ("wall", "cpu", "mb", "lab", "exit")} for r in of] for n, of in runs.items()}
                kept.append({"case": case.name, "synced": synced, "runs": plain})
        lab.end()
    status = verdicts(checks)
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1))
    sys.exit(status)


if __name__ == "__main__":
    main()
