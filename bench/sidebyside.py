"""What benches share: peers by package name, programs run side by side, figures against their bounds."""

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

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
CORES = 2


def say(text=""):
    print(text, flush=True)


class Lab:
    """A simulated service, in a process of its own."""

    def __init__(self, binary, service, *flags):
        command = [binary, "lab", service, "--port", "0", "--json", *flags]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        first = self.child.stdout.readline()
        if not first:
            sys.exit(f"{' '.join(command)} did not start")
        self.url = json.loads(first)["services"][service]

    def ask(self, path, change=None):
        body = None if change is None else json.dumps(change).encode()
        call = urllib.request.Request(self.url + path, data=body, method="GET" if path == "/_truth" else "POST")
        with urllib.request.urlopen(call, timeout=600) as reply:
            return json.load(reply)

    def end(self):
        self.child.send_signal(signal.SIGINT)
        self.child.communicate()


class Verdicts:
    """Figures against what they must reach and what we aim for."""

    def __init__(self):
        self.rows = []

    def add(self, what, figure, must, aim=None, at_most=True, unit=""):
        reached = (lambda bound: figure <= bound) if at_most else (lambda bound: figure >= bound)
        aim = must if aim is None else aim
        verdict = "AIM" if reached(aim) else "PASS" if reached(must) else "FAIL"
        self.rows.append({"what": what, "figure": figure, "must": must, "aim": aim, "verdict": verdict})
        sign = "≤" if at_most else "≥"
        bounds = f"must {sign} {must:.5g}{unit}, aim {sign} {aim:.5g}{unit}"
        say(f"  {verdict:<5}{what:<62}{figure:>10.5g}{unit:<4} ({bounds})")

    def status(self):
        """The exit status: 1 when a figure was not reached."""
        return 1 if any(row["verdict"] == "FAIL" for row in self.rows) else 0


def environment(packages):
    """Python with the packages, in a throw-away environment; the path of its interpreter."""
    env = BENCH / ".env"
    python = env / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    have = subprocess.run([str(python), "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True)
    names = {line.split("==")[0].lower() for line in have.stdout.splitlines()}
    missing = [p for p in packages if p not in names]
    if missing:
        say(f"installing {', '.join(missing)} into {env}")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *missing], check=True)
    return str(python)


def commands(packages):
    """Installs commands that are missing, where that is possible; says what stays missing."""
    missing = [p for c, p in packages.items() if not shutil.which(c)]
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        say(f"installing {', '.join(missing)}")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], **quiet)
    absent = [c for c in packages if not shutil.which(c)]
    if "time" in absent:
        sys.exit("GNU time is needed to measure memory (Debian: apt-get install time)")
    for command in absent:
        say(f"{command} is not there and is left out")


def binary(path):
    """The program to measure, built when it is not there."""
    path = Path(path) if path else Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "haul"
    if not path.exists():
        subprocess.run(["cargo", "build", "--release", "-p", "haul"], cwd=ROOT, check=True)
    return str(path)


def run(command, scratch, limit=None):
    """Runs a command on `CORES` cores: wall and CPU seconds, peak MB, exit status, standard output.

    GNU time measures: it is small, so that what wait4 reports is the program's own memory."""
    report, output = scratch / "report", scratch / "output"
    report.unlink(missing_ok=True)
    pinned = ["taskset", "-c", f"0-{CORES - 1}"] if shutil.which("taskset") and os.cpu_count() > CORES else []
    full = ["time", "-o", str(report), "-f", "%e %U %S %M", *pinned, *map(str, command)]
    full[0] = shutil.which("time")
    with open(output, "wb") as out, open(scratch / "errors", "wb") as errors:
        start = time.monotonic()
        child = subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True)
        # Waiting with a time-out polls, and its steps are longer than some of the runs.
        alarm = threading.Timer(limit or 3600, os.killpg, (child.pid, signal.SIGKILL))
        alarm.start()
        child.wait()
        wall = time.monotonic() - start
        alarm.cancel()
    if child.returncode < 0 or not report.exists():
        return None
    _, user, system, kilobytes = report.read_text().splitlines()[-1].split()
    return {
        "wall": wall,
        "cpu": float(user) + float(system),
        "mb": int(kilobytes) * 1.024 / 1000,
        "exit": child.returncode,
        "out": output.read_text(errors="replace"),
        "err": (scratch / "errors").read_text(errors="replace"),
    }


def take_turns(contenders, repeat, scratch):
    """Runs every contender `repeat` times, by turns; medians. A contender is (name, command, repeat or None)."""
    results = {}
    for turn in range(repeat):
        for name, command, own in contenders:
            if turn < (own or repeat):
                results.setdefault(name, []).append(run(command, scratch, limit=900))
    medians = {}
    for name, runs in results.items():
        done = [r for r in runs if r]
        if not done:
            say(f"{name}: not finished after 15 minutes")
            continue
        median = dict(done[0])
        for key in ("wall", "cpu", "mb"):
            median[key] = statistics.median(r[key] for r in done)
        medians[name] = median
    return medians


def warm(path):
    """Reads a file once, so that it comes from memory for everybody."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def table(rows, heads):
    widths = [max(len(str(r[i])) for r in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        cells = [str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        say("  " + "  ".join(cells).rstrip())


def scratch_directory(where):
    return tempfile.TemporaryDirectory(prefix="haul-bench-", dir=where)


def verdicts(checks):
    """Prints (text, measured, holds) and returns the exit status."""
    say()
    for text, measured, holds in checks:
        say(f"  {'holds ' if holds else 'FAILS '} {text}: {measured}")
    return 0 if all(holds for _, _, holds in checks) else 1
