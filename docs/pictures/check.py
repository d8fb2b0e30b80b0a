#!/usr/bin/env python3
"""Opens the page of `haul report --html` in a real browser, as a reader would, and holds it to what it promises.

    docs/pictures/check.py HAUL [--keep DIRECTORY]

On a desktop and a phone, light and dark, and on paper: nothing is wider than the screen, headings are in order, each
plot has a name and its numbers as a table, text has contrast, nothing is asked of a network, and it opens in under a
second. `--keep` writes pictures of all of it, to be looked at. Exit status: 0 when all of it holds, 1 otherwise.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from chrome import Chrome  # noqa: E402
from scene import Scene  # noqa: E402

SCREENS = {"desktop": (1280, 900, False), "phone": (390, 844, True)}
LONGEST = 1.0

WIDER = """
const wide = document.documentElement.scrollWidth - window.innerWidth;
const inside = e => { for (; e; e = e.parentElement) if (getComputedStyle(e).overflowX === 'auto') return true; return false; };
const out = [...document.body.querySelectorAll('*')].filter(e => !inside(e) && e.getBoundingClientRect().right > window.innerWidth + 1);
return [wide, out.slice(0, 3).map(e => e.outerHTML.slice(0, 100))];
"""
HEADINGS = "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => [Number(h.tagName[1]), h.textContent.trim()]);"
PLOTS = """
return [...document.querySelectorAll('svg')].map(svg => {
  const section = svg.closest('section');
  const name = svg.getAttribute('aria-label') || document.getElementById(svg.getAttribute('aria-labelledby'))?.textContent || '';
  return [svg.getAttribute('role'), name, section ? section.querySelectorAll('table tbody tr').length : 0];
});
"""
SMALL = """
const small = [...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height).filter(h => h < 10);
const wide = [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().right > window.innerWidth + 1);
return [small.length, wide.length];
"""
# Contrast as WCAG 2 defines it, of every element with text of its own on the paper behind it.
CONTRAST = """
const luminance = ([r, g, b]) => { const f = c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
const rgb = text => (text.match(/[0-9.]+/g) || []).map(Number);
const paper = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
const low = [], seen = [...document.body.querySelectorAll('*')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
for (const e of seen) {
  const style = getComputedStyle(e), ink = rgb(e instanceof SVGElement ? style.fill : style.color);
  const [a, b] = [luminance(ink), luminance(paper(e))].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
  if (ratio < 4.5) low.push(e.tagName + ' ' + ratio.toFixed(2) + ' ' + e.textContent.trim().slice(0, 30));
}
return [seen.length, luminance(paper(document.body)), low.slice(0, 5)];
"""


class Checks:
    def __init__(self):
        self.failed = []

    def holds(self, what, good, found=""):
        print(f"  {'holds' if good else 'FAILS'}  {what}" + (f": {found}" if found != "" and not good else ""), flush=True)
        if not good:
            self.failed.append(what)


def check_screen(browser, page, name, dark, checks, keep):
    width, height, phone = SCREENS[name]
    browser.look(width, height, dark, phone=phone)
    browser.requests()
    took = browser.open(page)
    where = f"{name}, {'dark' if dark else 'light'}"
    checks.holds(f"{where}: it opens in under a second", took < LONGEST, f"{took:.2f} s")
    wide, elements = browser.run(WIDER)
    checks.holds(f"{where}: nothing is wider than the screen", wide <= 0 and not elements, f"{wide} px, {elements}")
    small, beyond = browser.run(SMALL)
    checks.holds(f"{where}: plots are seen whole, and their words can be read", small == 0 and beyond == 0, f"{small}, {beyond}")
    seen, luminance, low = browser.run(CONTRAST)
    checks.holds(f"{where}: text has contrast", seen > 50 and not low, f"{seen} elements, {low}")
    checks.holds(f"{where}: the paper is {'dark' if dark else 'light'}", (luminance < 0.1) == dark, luminance)
    foreign = [url for url in browser.requests() if not url.startswith(f"file://{page}")]
    resources = browser.run("return performance.getEntriesByType('resource').length")
    checks.holds(f"{where}: nothing is asked of anybody", not foreign and resources == 0, foreign)
    if keep:
        whole = min(browser.run("return document.documentElement.scrollHeight"), 6000)
        browser.look(width, whole, dark, phone=phone)
        browser.picture(keep / f"{name}-{'dark' if dark else 'light'}.png")


def check_contents(browser, page, checks, keep):
    browser.look(*SCREENS["desktop"][:2])
    browser.open(page)
    headings = browser.run(HEADINGS)
    levels = [level for level, _ in headings]
    steps = all(b <= a + 1 for a, b in zip(levels, levels[1:]))
    checks.holds("one h1 comes first, and no level is left out", levels[:1] == [1] and levels.count(1) == 1 and steps, headings)
    checks.holds("headings say something", all(text for _, text in headings), headings)
    plots = browser.run(PLOTS)
    named = len(plots) >= 6 and all(role == "img" and name for role, name, _ in plots)
    checks.holds("each plot is an image with a name", named, plots)
    checks.holds("each plot has its numbers as a table", bool(plots) and all(rows > 0 for _, _, rows in plots), plots)
    checks.holds("the language is said", browser.run("return document.documentElement.lang") == "en")
    heads = browser.run("return [...document.querySelectorAll('th')].filter(h => !h.scope).length")
    checks.holds("headers of tables say what they are headers of", heads == 0, heads)
    pdf = browser.print()
    checks.holds("it prints", pdf.startswith(b"%PDF") and len(pdf) > 10_000, len(pdf))
    if keep:
        (keep / "print.pdf").write_bytes(pdf)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("haul", type=Path)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    haul, checks = str(args.haul.resolve()), Checks()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="haul-browser-") as scratch, Chrome() as browser:
        directory = Path(scratch)
        # At its rate it takes longer than what is done to it, however fast the machine is.
        with Scene(haul, directory, pairs=2000, flags=("--rate", "400/s")) as scene:
            scene.start()
            scene.wait(1)
            scene.tell("tune", "videos", "--rate", "300/s")
            scene.wait(3)
            scene.tell("tune", "videos", "--rate", "5000/s")
            scene.finish()
        page = directory / "report.html"
        told = subprocess.run([haul, "report", "videos", f"--html={page}"], cwd=directory, capture_output=True, text=True)
        if told.returncode:
            sys.exit(told.stderr)
        checks.holds("the page is under 1 MB", page.stat().st_size < 1_000_000, page.stat().st_size)
        for name in SCREENS:
            for dark in (False, True):
                check_screen(browser, page, name, dark, checks, args.keep)
        check_contents(browser, page, checks, args.keep)
    if checks.failed:
        print(f"{len(checks.failed)} do not hold")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
