#!/usr/bin/env python3
"""Makes the pictures of the documentation anew, from a real run.

    docs/pictures/make.py [--haul PATH]

Starts the lab and a run, takes `haul watch` from a real terminal (tmux) and the page of `haul report --html` from a
real browser, both light and dark, and writes them beside this file's ../src/pictures. It needs Python 3.9, tmux,
chromium and chromedriver (Debian: apt-get install tmux chromium chromium-driver fonts-dejavu-core).
"""

import argparse
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from chrome import Chrome  # noqa: E402
from scene import Scene  # noqa: E402

ROOT = HERE.parent.parent
OUT = HERE.parent / "src" / "pictures"
COLUMNS, ROWS = 100, 30
# Those of many terminals: black, red, green, yellow, blue, magenta, cyan, white, and bright.
LIGHT = ["#1b1f24", "#b3261e", "#1a6b2d", "#8a5a00", "#1a5fb4", "#6a1b9a", "#00697a", "#57606a"] * 2
DARK = ["#e8eaed", "#ff8a80", "#7fd494", "#ffd479", "#7fb4ff", "#d9a6f2", "#6fd6e6", "#a9b1ba"] * 2
PAPER = {False: ("#fbfbfa", "#1b1f24"), True: ("#14171a", "#e8eaed")}


class Screen:
    """A program on a terminal of its own."""

    def __init__(self, directory, command):
        self.tmux = ["tmux", "-L", f"haul-pictures-{os.getpid()}", "-f", "/dev/null"]
        size = ["-x", str(COLUMNS), "-y", str(ROWS)]
        self.call("new-session", "-d", "-s", "screen", "-c", str(directory), *size, command)

    def call(self, *words):
        return subprocess.run([*self.tmux, *words], check=True, capture_output=True, text=True).stdout

    def text(self):
        return self.call("capture-pane", "-e", "-p", "-t", "screen")

    def end(self):
        self.call("kill-server")


def spans(text, palette, paper, ink):
    """Text with colours of a terminal as HTML."""
    out, fore, back, bold, turned = [], None, None, False, False
    for part in re.split(r"(\x1b\[[0-9;]*m)", text):
        code = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if not code:
            a, b = (back or paper, fore or ink) if turned else (fore or ink, back)
            style = f"color:{a};" + (f"background:{b};" if b else "") + ("font-weight:700;" if bold else "")
            if part:
                out.append(f'<span style="{style}">{html.escape(part)}</span>')
            continue
        codes = [int(n or 0) for n in code[1].split(";")]
        while codes:
            n = codes.pop(0)
            if n in (38, 48) and codes[:1] == [5]:
                # The first sixteen of 256 colours are those of the palette.
                chosen = palette[codes[1] % 16]
                fore, back = (chosen, back) if n == 38 else (fore, chosen)
                del codes[:2]
            elif n == 0:
                fore, back, bold, turned = None, None, False, False
            elif n in (1, 22):
                bold = n == 1
            elif n in (7, 27):
                turned = n == 7
            elif n == 39:
                fore = None
            elif n == 49:
                back = None
            elif 30 <= n <= 37 or 90 <= n <= 97:
                fore = palette[n - 30 if n < 90 else n - 82]
            elif 40 <= n <= 47:
                back = palette[n - 40]
    return "".join(out)


def page(text, dark):
    paper, ink = PAPER[dark]
    body = spans(text.rstrip("\n"), DARK if dark else LIGHT, paper, ink)
    font = "font:16px/1.164 'DejaVu Sans Mono',monospace"
    return (
        f"<!DOCTYPE html><meta charset=utf-8><body style='margin:0;background:{paper};color:{ink}'>"
        f"<pre style=\"margin:0;padding:16px 18px;display:inline-block;{font}\">{body}</pre>"
    )


def shrink(path):
    """A palette is enough, where a tool for that is there."""
    tool = shutil.which("pngquant")
    if tool:
        subprocess.run([tool, "--force", "--output", str(path), "64", str(path)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--haul", type=Path, help="the program [default: that of target/release, else target/debug]")
    args = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / kind / "haul" for kind in ("release", "debug")]
    haul = args.haul or next((p for p in built if p.exists()), None)
    if haul is None:
        sys.exit("there is no haul yet: cargo build -p haul, or --haul PATH")
    haul = str(haul.resolve())
    if not shutil.which("tmux"):
        sys.exit("tmux is needed, for a real terminal (Debian: apt-get install tmux)")
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="haul-pictures-") as scratch, Chrome() as browser:
        directory = Path(scratch)
        with Scene(haul, directory) as scene:
            scene.start()
            scene.wait(3)
            screen = Screen(directory, f"env -u NO_COLOR {haul} watch videos")
            scene.wait(6)
            scene.tell("tune", "videos", "--rate", "600/s")
            scene.wait(8)
            shown = screen.text()
            screen.end()
            scene.tell("tune", "videos", "--rate", "5000/s")
            scene.finish()
            told = subprocess.run([haul, "report", "videos", "--html=report.html"], cwd=directory, capture_output=True)
            if told.returncode:
                sys.exit(told.stderr.decode())
        for dark in (False, True):
            name = "dark" if dark else "light"
            (directory / "watch.html").write_text(page(shown, dark))
            browser.look(1040, 650, dark)
            browser.open(directory / "watch.html")
            width, height = browser.run("let r = document.querySelector('pre').getBoundingClientRect(); return [r.width, r.height]")
            browser.look(round(width), round(height), dark)
            browser.picture(OUT / f"watch-{name}.png")
            browser.look(1000, 1180, dark)
            browser.open(directory / "report.html")
            browser.picture(OUT / f"report-{name}.png")
            for picture in ("watch", "report"):
                shrink(OUT / f"{picture}-{name}.png")
    for path in sorted(OUT.glob("*.png")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
