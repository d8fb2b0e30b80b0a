"""A browser without a window, driven over WebDriver: what the pictures and the test of the report need of it."""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

FLAGS = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--allow-file-access-from-files"]


class Chrome:
    """Started when made, gone when left."""

    def __enter__(self):
        browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
        driver = shutil.which("chromedriver")
        if not browser or not driver:
            sys.exit("a browser is needed: chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
        self.profile = tempfile.TemporaryDirectory(prefix="haul-browser-", ignore_cleanup_errors=True)
        self.driver = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = None
        for line in self.driver.stdout:
            if "on port " in line and "successfully" in line:
                port = int(line.rsplit("on port ", 1)[1].strip(" .\n"))
                break
        if port is None:
            sys.exit("chromedriver did not start")
        self.url = f"http://127.0.0.1:{port}"
        options = {"args": [*FLAGS, f"--user-data-dir={self.profile.name}"], "binary": browser}
        want = {"goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}
        session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": want}})
        self.url += f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *_):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.profile.cleanup()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(self.url + path, data=data, method=method)
        call.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(call, timeout=120) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            sys.exit(f"the browser refuses {method} {path}: {error.read().decode()[:500]}")

    def cdp(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width, height, dark=False, scale=1, phone=False):
        """What the page is shown on from now on."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.cdp("Emulation.setEmulatedMedia", features=scheme)

    def open(self, path):
        """Opens a file; seconds until it was shown."""
        begun = time.monotonic()
        self.ask("POST", "/url", {"url": f"file://{path}"})
        return time.monotonic() - begun

    def run(self, script):
        return self.ask("POST", "/execute/sync", {"script": script, "args": []})

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))

    def print(self):
        return base64.b64decode(self.ask("POST", "/print", {}))

    def requests(self):
        """Addresses that were asked for since the last call."""
        entries = self.ask("POST", "/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
