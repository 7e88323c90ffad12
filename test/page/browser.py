"""Headless Chromium, driven over a pipe by the DevTools protocol: nothing but Python and Debian's
package chromium is needed."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = shutil.which("chromium")


class Browser:
    """A browser with one page.  width, height, is_dark: of the page at first."""

    def __init__(self, width=1440, height=900, is_dark=False):
        self.folder = tempfile.mkdtemp(prefix="chromium-")
        read_end, self.out = os.pipe()
        self.into, write_end = os.pipe()

        def place():  # the browser reads from descriptor 3, and writes to 4
            a, b = os.dup(read_end), os.dup(write_end)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", "--user-data-dir=" + self.folder, "--no-first-run",
             "--hide-scrollbars", "--disable-extensions", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "about:blank"],
            preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(read_end)
        os.close(write_end)
        self.rest, self.last_id, self.events = b"", 0, []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(domain + ".enable")
        self.resize(width, height, is_dark)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            try:
                os.write(self.out, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
                self.process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        os.close(self.out)
        os.close(self.into)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- the protocol

    def message(self, timeout):
        """The next message, or None."""
        end = time.monotonic() + timeout
        while b"\0" not in self.rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.into], [], [], left)[0]:
                return None
            data = os.read(self.into, 1 << 20)
            assert data, "the browser has ended"
            self.rest += data
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, timeout=60, **params):
        self.last_id += 1
        m = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            m["sessionId"] = self.session
        os.write(self.out, json.dumps(m).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self.message(max(0, end - time.monotonic()))
            assert answer is not None, "no answer to " + method
            if answer.get("id") != self.last_id:
                self.events.append(answer)
                continue
            assert "error" not in answer, (method, answer["error"])
            return answer["result"]

    def pump(self, seconds=0.0):
        """Take what events there are."""
        end = time.monotonic() + seconds
        while True:
            m = self.message(max(0, end - time.monotonic()))
            if m is None:
                return
            self.events.append(m)

    # --- the page

    def resize(self, width, height=900, is_dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script):
        """The value of the expression; a promise is waited for."""
        r = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in r, r["exceptionDetails"].get("exception", r)
        return r["result"].get("value")

    def until(self, script, timeout=60):
        """Wait until the expression is true, and return its value."""
        end = time.monotonic() + timeout
        while True:
            value = self.run("(v => v instanceof Node ? true : v)(%s)" % script)
            if value:
                return value
            assert time.monotonic() < end, "waited in vain for %s\n%s" % (
                script, self.run("document.body.innerText.slice(0, 3000)"))
            self.pump(0.05)

    def text(self, selector):
        return self.run("document.querySelector(%s)?.innerText ?? ''" % json.dumps(selector))

    def click(self, selector):
        """Click as a person does: at the middle of the element, where it is seen."""
        box = self.run("""(() => { const e = document.querySelector(%s);
            if (!e) return null;
            e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();
            const x = r.x + r.width / 2, y = r.y + r.height / 2;
            const hit = document.elementFromPoint(x, y);
            return [x, y, !!hit && (hit === e || e.contains(hit) || hit.contains(e))]; })()"""
                       % json.dumps(selector))
        assert box and box[2], "nothing to click: " + selector
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                      clickCount=1)

    KEYS = {"Escape": 27, "Tab": 9, "Enter": 13}

    def key(self, key):
        code = self.KEYS.get(key, ord(key[0].upper()))
        more = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def screenshot(self, path, whole=False):
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
            r = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        else:
            r = self.call("Page.captureScreenshot", format="png")
        with open(path, "wb") as f:
            f.write(base64.b64decode(r["data"]))

    def complaints(self):
        """What the browser has complained of: errors of scripts, refusals by the policy, failed
        requests."""
        self.pump()
        found = []
        for e in self.events:
            p = e.get("params", {})
            if e.get("method") == "Runtime.exceptionThrown":
                found.append(str(p["exceptionDetails"].get("exception", p)))
            elif e.get("method") == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
                found.append("%(level)s: %(text)s" % p["entry"])
            elif e.get("method") == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning"):
                found.append(str(p["args"]))
        return found
