"""A run worth looking at: services that fail a little, one that states a rate, a person who tunes it."""

import json
import signal
import subprocess
import time


class Scene:
    """The lab and a run in a directory; ended when left."""

    def __init__(self, haul, directory, pairs=30_000, flags=()):
        self.haul, self.directory, self.pairs, self.flags = haul, directory, pairs, flags
        self.lab = self.run = None

    def __enter__(self):
        command = [self.haul, "lab", "users,videos,index", "--port", "0", "--json", "--latency", "20ms", "--jitter", "10ms"]
        command += ["--error-rate", "3%", "--reply-loss", "1%", "--missing-rate", "2%", "--refuse-rate", "1%"]
        self.lab = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        services = json.loads(self.lab.stdout.readline())["services"]
        make = [self.haul, "lab", "gen", "pairs", "-c", str(self.pairs)]
        pairs = subprocess.run(make, capture_output=True, check=True).stdout
        (self.directory / "pairs.csv").write_bytes(pairs)
        self.command = [
            self.haul, "enrich", "pairs.csv", "--columns", "user_id:int,video_id:int", "--run", "videos",
            "--lookup", f"user={services['users']}/users/{{user_id}}", "--take", "user=.data",
            "--lookup", f"video={services['videos']}/videos/{{video_id}}", "--take", "video=.data",
            "--post", f"{services['index']}/index", "--goal", "p95 < 5s", "-j", "4..64", "--on", "404=skip", *self.flags,
        ]
        return self

    def start(self):
        self.run = subprocess.Popen(self.command, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tell(self, *words, patience=30):
        """Steers the run, as soon as it can be reached."""
        until = time.monotonic() + patience
        while True:
            told = subprocess.run([self.haul, *words], cwd=self.directory, capture_output=True, text=True)
            if told.returncode == 0:
                return
            if self.run.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"haul {' '.join(words)}: {told.stderr}")
            time.sleep(0.2)

    def wait(self, seconds):
        time.sleep(seconds)

    def finish(self, seconds=120):
        self.run.wait(timeout=seconds)

    def stop(self):
        self.run.send_signal(signal.SIGINT)
        self.run.wait()

    def __exit__(self, *_):
        if self.run and self.run.poll() is None:
            self.stop()
        self.lab.send_signal(signal.SIGINT)
        self.lab.wait()
