#!/usr/bin/env python3
"""Measures `haul enrich` against the same join in Python and against wrk, side by side in one run.

    bench/enrich/run.py [--quick] [--repeat N] [--json FILE]

The lab plays the three services in a process of its own. Clients take turns, so that whatever else the
machine does meets all of them; the median of the repetitions counts. Exit status: 0 when every figure
that must hold does, 1 otherwise.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FAULTS = ["--error-rate", "3%", "--drop-rate", "1%", "--reply-loss", "1%"]
SHAPES = [(32, 0), (1024, 20)]  # in flight, latency in ms


def say(text=""):
    print(text, flush=True)


# --- measuring -------------------------------------------------------------------------------------


class Peak(threading.Thread):
    """The peak resident memory of a process, in MB. Where there is /proc it is asked for while the process
    lives: what wait4 reports also holds the memory of the process that started it."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status, self.mb, self.over = Path(f"/proc/{pid}/status"), 0.0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            try:
                line = next(x for x in self.status.read_text().splitlines() if x.startswith("VmHWM"))
                self.mb = max(self.mb, int(line.split()[1]) / 1000 * 1.024)
            except (OSError, StopIteration):
                return


def measured(command, cwd, log):
    """Runs a command: wall and CPU seconds, peak MB, exit status, standard output."""
    with open(log, "wb") as errors, tempfile.TemporaryFile() as output:
        start = time.monotonic()
        child = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        peak = Peak(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        peak.over.set()
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    mb = peak.mb or usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "mb": mb, "exit": child.returncode, "out": text}


class Lab:
    """The services, in a process of their own."""

    def __init__(self, binary, latency_ms, faults):
        command = [binary, "lab", "users,videos,index", "--port", "0", "--json", "--gzip"]
        if latency_ms:
            command += ["--latency", f"{latency_ms}ms"]
        self.child = subprocess.Popen(command + (FAULTS if faults else []), stdout=subprocess.PIPE, text=True)
        first = self.child.stdout.readline()
        if not first:
            sys.exit(f"{binary} lab did not start")
        self.urls = json.loads(first)["services"]

    def ask(self, path, method="GET"):
        call = urllib.request.Request(self.urls["index"] + path, method=method)
        with urllib.request.urlopen(call) as reply:
            return json.load(reply)

    def cpu(self):
        try:
            fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0

    def end(self):
        self.child.send_signal(signal.SIGINT)
        self.child.communicate()


# --- clients ---------------------------------------------------------------------------------------


def haul(args, lab, in_flight, scratch):
    urls = lab.urls
    state = tempfile.mkdtemp(dir=scratch)
    command = [args.haul, "enrich", str(scratch / "haul.csv"), "--columns", "user_id:int,video_id:int"]
    command += ["--lookup", f"user={urls['users']}/users/{{user_id}}", "--take", "user=.data | {id, fullName, country}"]
    command += ["--lookup", f"video={urls['videos']}/videos/{{video_id}}", "--take", "video=.data"]
    command += ["--post", f"{urls['index']}/index", "-j", str(in_flight), "--state", state, "-q"]
    result = client(command, lab, args.items, scratch, "haul")
    shutil.rmtree(state, ignore_errors=True)
    return result


def python(args, lab, in_flight, scratch):
    command = [args.python, str(HERE / "join.py"), str(scratch / "python.csv"), "--in-flight", str(in_flight)]
    for name in ("users", "videos", "index"):
        command += [f"--{name}", lab.urls[name]]
    return client(command, lab, args.python_items, scratch, "python")


def client(command, lab, items, scratch, name):
    """Runs one client over all its items and holds it to the truth of the lab."""
    lab.ask("/_reset/all", "POST")
    before = lab.cpu()
    result = measured(command, scratch, scratch / f"{name}.log")
    lab_share = (lab.cpu() - before) / result["wall"]
    truth = lab.ask("/_truth/all")
    index = truth["index"]
    wrong = [f"{word} {index[word]}" for word in ("repeated", "conflicts", "unidentified") if index[word]]
    if name == "haul" and index["mismatched"]:
        wrong.append(f"mismatched {index['mismatched']}")
    if index["unique"] != items:
        wrong.append(f"{index['unique']} of {items} pairs arrived")
    if result["exit"] != 0:
        wrong.append(f"exit status {result['exit']}")
    if wrong:
        tail = (scratch / f"{name}.log").read_text(errors="replace").splitlines()[-5:]
        say(f"    {name}: WRONG: {', '.join(wrong)}\n      " + "\n      ".join(tail))
    requests = sum(service["requests"] for service in truth.values())
    return {
        "rate": items / result["wall"],
        "cpu_us": result["cpu"] / items * 1e6,
        "mb": result["mb"],
        "requests": requests / items,
        "in_flight": max(service["max_in_flight"] for service in truth.values()),
        "altered": index["mismatched"] / items,
        "lab": lab_share,
        "right": not wrong,
        "wrong": ", ".join(wrong),
    }


def wrk(args, lab, in_flight, scratch):
    """CPU of wrk for one request of each kind, added up: the least a client can spend on an item."""
    total = 0.0
    for target in ("users", "videos", "index"):
        command = ["wrk", "-t1", f"-c{in_flight}", f"-d{args.wrk_seconds}s"]
        path = {"users": "/users/7", "videos": "/videos/9", "index": "/index"}[target]
        if target == "index":
            command += ["-s", str(HERE / "post.lua")]
        lab.ask("/_reset/all", "POST")
        result = measured(command + [lab.urls[target] + path], scratch, scratch / "wrk.log")
        # wrk leaves without its last replies: the lab must be through with them before it is asked to forget.
        time.sleep(0.5)
        total += result["cpu"] / max(1, lab.ask(f"/_truth/{target}")["requests"]) * 1e6
    return {"cpu_us": total}


# --- the report ------------------------------------------------------------------------------------


def median(rows, key):
    return statistics.median(row[key] for row in rows)


class Verdicts:
    """Figures against what they must reach and what we aim for."""

    def __init__(self):
        self.rows, self.counts = [], True

    def add(self, what, figure, must, aim, at_most=True, unit=""):
        """A figure of a run that did not do its work counts as not reached."""
        if not self.counts:
            figure = float("nan")
        reached = (lambda bound: figure <= bound) if at_most else (lambda bound: figure >= bound)
        verdict = "AIM" if reached(aim) else "PASS" if reached(must) else "FAIL"
        kept = figure if self.counts else None
        self.rows.append({"what": what, "figure": kept, "must": must, "aim": aim, "verdict": verdict})
        sign = "≤" if at_most else "≥"
        bounds = f"must {sign} {must:.4g}{unit}, aim {sign} {aim:.4g}{unit}"
        say(f"  {verdict:<5}{what:<64}{figure:>8.3g}{unit:<3} ({bounds})")

    def truth(self, what, right):
        self.counts = right
        self.rows.append({"what": what, "figure": right, "verdict": "PASS" if right else "FAIL"})
        say(f"  {'PASS' if right else 'FAIL':<5}{what}")

    def good(self):
        return all(row["verdict"] != "FAIL" for row in self.rows)


def table(results):
    say(f"\n{'':34}{'items/s':>10}{'CPU µs/item':>13}{'peak MB':>9}{'requests':>10}{'in flight':>11}{'lab core':>10}{'altered':>9}")
    for (in_flight, latency, faults), peers in results.items():
        for name, rows in peers.items():
            label = f"{name:<8}{in_flight:>5} × {latency:>2} ms, {'5' if faults else '0'} % faults"
            if name == "wrk":
                say(f"{label:<34}{'':>10}{median(rows, 'cpu_us'):>13.1f}")
                continue
            rate, cpu, mb = (median(rows, key) for key in ("rate", "cpu_us", "mb"))
            requests, most, lab, altered = (median(rows, key) for key in ("requests", "in_flight", "lab", "altered"))
            say(f"{label:<34}{rate:>10,.0f}{cpu:>13.1f}{mb:>9.1f}{requests:>10.2f}{most:>11.0f}{lab:>10.0%}{altered:>9.1%}")


def judge(results):
    verdicts = Verdicts()
    say("\nenrich (ratios of medians)")
    for (in_flight, latency, faults), peers in results.items():
        ours, theirs = peers["haul"], peers["python"]
        shape = f"{in_flight} in flight, {latency} ms, {'5' if faults else '0'} % faults"
        verdicts.truth(f"every pair arrived once, byte for byte: {shape}", all(row["right"] for row in ours))
        for row in ours:
            if not row["right"]:
                say(f"       {row['wrong']}")
        verdicts.add(f"items/s against Python: {shape}", median(ours, "rate") / median(theirs, "rate"), 4, 6, False, "×")
        if not faults:
            if in_flight == 32:
                share = median(ours, "cpu_us") / median(theirs, "cpu_us")
                verdicts.add(f"CPU per item against Python: {shape}", share, 1 / 6, 1 / 8)
                if "wrk" in peers:
                    ratio = median(ours, "cpu_us") / median(peers["wrk"], "cpu_us")
                    verdicts.add(f"CPU per item against 3 × wrk per request: {shape}", ratio, 2.2, 1.7, True, "×")
            must, aim = (25, 18) if in_flight == 32 else (48, 36)
            verdicts.add(f"peak memory: {shape}", median(ours, "mb"), must, aim, True, " MB")
    return verdicts


# --- getting ready ---------------------------------------------------------------------------------


def python_with_packages():
    """A throw-away environment with the peers' packages, by name, from the usual index."""
    env = ROOT / "bench" / ".env"
    found = env / "bin" / "python"
    if not found.exists():
        say(f"making {env}")
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    have = subprocess.run([str(found), "-c", "import aiohttp, uvloop"], stderr=subprocess.DEVNULL, check=False)
    if have.returncode != 0:
        subprocess.run([str(found), "-m", "pip", "install", "-q", "aiohttp", "uvloop"], check=True)
    return str(found)


def options():
    parser = argparse.ArgumentParser(description="Measures haul enrich against Python and wrk.")
    parser.add_argument("--haul", default=str(ROOT / "target" / "release" / "haul"), help="the binary to measure")
    parser.add_argument("--lab", help="the binary whose lab to use (default: the same)")
    parser.add_argument("--python", help="a Python with aiohttp and uvloop (default: one is made in bench/.env)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--items", type=int, default=100_000, help="items for haul")
    parser.add_argument("--python-items", type=int, default=20_000, help="items for the Python join")
    parser.add_argument("--wrk-seconds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one repetition with a tenth of the items")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements there")
    args = parser.parse_args()
    if args.quick:
        args.repeat, args.items, args.python_items, args.wrk_seconds = 1, args.items // 10, args.python_items // 10, 1
    if not Path(args.haul).exists():
        sys.exit(f"{args.haul} is not there: cargo build --release -p haul")
    args.lab = args.lab or args.haul
    args.python = args.python or python_with_packages()
    return args


def allow_open_files():
    """A thousand items in flight hold three thousand connections; children inherit the limit."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    args = options()
    allow_open_files()
    clients = {"haul": haul, "python": python}
    if shutil.which("wrk"):
        clients["wrk"] = wrk
    else:
        say("wrk is not there, so its row is left out: apt-get install wrk")
    results = {}
    with tempfile.TemporaryDirectory(prefix="bench-enrich-") as directory:
        scratch = Path(directory)
        for name, items in (("haul", args.items), ("python", args.python_items)):
            with open(scratch / f"{name}.csv", "wb") as file:
                subprocess.run([args.lab, "lab", "gen", "pairs", "-q", "-c", str(items)], stdout=file, check=True)
        for in_flight, latency in SHAPES:
            for faults in (False, True):
                lab = Lab(args.lab, latency, faults)
                peers = {name: run for name, run in clients.items() if name != "wrk" or not faults}
                rows = results[in_flight, latency, faults] = {name: [] for name in peers}
                for n in range(args.repeat):
                    say(f"{in_flight} in flight, {latency} ms, {'with' if faults else 'no'} faults: {n + 1} of {args.repeat}")
                    for name, run in peers.items():
                        rows[name].append(run(args, lab, in_flight, scratch))
                lab.end()
    table(results)
    verdicts = judge(results)
    if args.json:
        flat = [{"in_flight": k[0], "latency_ms": k[1], "faults": k[2], "peers": v} for k, v in results.items()]
        args.json.write_text(json.dumps({"measurements": flat, "verdicts": verdicts.rows}, indent=1))
    sys.exit(0 if verdicts.good() else 1)


if __name__ == "__main__":
    main()
