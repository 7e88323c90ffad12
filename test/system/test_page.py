"""The status page as HTTP has it: its files and their fields, and /events. What a browser makes of it
is tested by `make page-test`."""
import contextlib
import http.client
import json
import re
import socket
import time

from helpers import IS_SANITISED, WAIT_S, reset_on_close, rss_kib, wait_until
from stack import Client, Gate, running

SERVICES = """
service "shop" { hosts = {"shop", "www.shop"} owner = "web-team"
    traffic "v1" { percent = 90 }
    traffic "v2" { percent = 10 tag = "next" }
    revision "v1" { command = {"HELLO"} }
    revision "v2" { command = {"HELLO"} } }
service "broken" { hosts = {"broken"}
    revision "v1" { command = {"<img src=x onerror=alert(1)>"} } }
"""
WATCHERS_MAX = 32


def fetch(s, path, method="GET", **fields):
    """(status, fields, body) from the autoscaler's admin endpoint."""
    c = http.client.HTTPConnection("127.0.0.1", s.scaler_admin, timeout=WAIT_S)
    with contextlib.closing(c):
        c.request(method, path, headers={n.replace("_", "-"): v for n, v in fields.items()})
        r = c.getresponse()
        return r.status, {n.lower(): v for n, v in r.getheaders()}, r.read()


class Watcher:
    """A client of /events, and what it knows: {(kind, name): item}."""

    def __init__(self, s):
        self.link = Client(s.scaler_admin)
        self.link.request("GET", "/events", "x")
        self.status_line, fields = self.link.head()
        self.fields = {n.lower(): v for n, v in fields}
        self.text, self.items, self.events = b"", {}, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()

    def event(self):
        """Take in the next event; its type and data."""
        while b"\n\n" not in self.text:
            n = int(self.link.line(), 16)
            assert n > 0
            self.text += self.link.exactly(n)
            assert self.link.line() == b""
        event, self.text = self.text.split(b"\n\n", 1)
        kind, data = event.decode().split("\n")
        assert kind.startswith("event: ") and data.startswith("data: ")
        self.take(kind[7:], json.loads(data[6:]))
        self.events.append(kind[7:])
        return self.events[-1], json.loads(data[6:])

    def take(self, kind, data):
        if kind in ("hello", "anew"):
            self.items = {}
        elif kind == "items":
            for item in data:
                if "gone" in item:
                    self.items.pop(tuple(item["gone"].split(" ", 1)), None)
                else:
                    self.items[item["k"], item["name"]] = item

    def until(self, condition, what):
        """Take in events until condition(self) is true."""
        end = time.monotonic() + WAIT_S
        while not condition(self):
            assert time.monotonic() < end, "waited in vain for %s: %r" % (what, self.items)
            self.event()

    def revision(self, name):
        return self.items.get(("revision", name), {})

    def of(self, kind):
        return [i for (k, _), i in self.items.items() if k == kind]


def test_the_files_of_the_page(tmp_path):
    with running(tmp_path, SERVICES) as s:
        status, fields, page = fetch(s, "/ui")
        assert status == 200 and fields["content-type"] == "text/html; charset=utf-8"
        policy = fields["content-security-policy"]
        assert "unsafe" not in policy and "*" not in policy and "http" not in policy
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'",
                     "connect-src 'self'", "img-src 'self'", "base-uri 'none'",
                     "form-action 'none'", "frame-ancestors 'none'"):
            assert part in policy.split("; "), part
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["referrer-policy"] == "no-referrer"
        # nothing inline, and nothing from elsewhere
        text = page.decode()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|//[a-z]", text), text
        assert re.findall(r"<script([^>]*)>(.*?)</script>", text) == [
            (' src="ui/%s.js" defer' % name, "") for name in ("base", "revisions", "lists", "page")]
        for path in re.findall(r'(?:src|href)="(ui/[^"]*)"', text):
            status, fields, body = fetch(s, "/" + path)
            assert status == 200 and body and fields["content-security-policy"] == policy
            assert fields["x-content-type-options"] == "nosniff"
            assert b"http://" not in body.replace(b"http://www.w3.org/", b"")
            again = fetch(s, "/" + path, If_None_Match=fields["etag"])
            assert again[0] == 304 and again[2] == b"" and again[1]["etag"] == fields["etag"]
            assert fetch(s, "/" + path, If_None_Match='"other"')[0] == 200
            assert fetch(s, "/" + path, "HEAD")[1]["content-length"] == str(len(body))
            for sink in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write",
                         b"eval(", b"POST", b"method:"):
                assert sink not in body
        # a browser that asks for "/" is sent there; all else still gets the list
        status, fields, body = fetch(s, "/", Accept="text/html,application/xhtml+xml")
        assert (status, fields["location"]) == (302, "ui")
        assert fetch(s, "/", Accept="*/*")[0] == 200
        assert b"/ui\n" in fetch(s, "/")[2] and b"/events\n" in fetch(s, "/")[2]
        assert fetch(s, "/ui", "POST")[0] == 405
        assert fetch(s, "/events", "HEAD")[0] == 200
        assert fetch(s, "/events?since=1")[0] == 400


def test_events_follow_what_happens(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, SERVICES.replace('command = {"HELLO"} }', gate.command() + " }", 1)) as s:
        with Watcher(s) as w, Watcher(s) as other:
            assert " 200 " in w.status_line and w.fields["content-type"] == "text/event-stream"
            assert w.fields["cache-control"] == "no-store"
            kind, hello = w.event()
            assert kind == "hello" and hello["id"] and hello["now_ms"] > 1e12
            w.until(lambda w: len(w.of("revision")) == 3 and w.of("process"), "all items")
            assert w.items["service", "shop"]["hosts"] == ["shop", "www.shop"]
            assert w.items["service", "shop"]["owner"] == "web-team"
            assert w.revision("shop/v2")["percent"] == 10
            assert w.revision("shop/v2")["tags"] == ["next"]
            w.until(lambda w: all(w.revision("shop/" + v)["state"] == "asleep"
                                  for v in ("v1", "v2")), "asleep")
            w.until(lambda w: w.of("process")[0]["activators"], "the activator")
            # a cold start
            with s.connect() as c:
                c.request("GET", "/", "shop")
                woken = []

                def is_waiting(w):
                    woken[:] = [n for n in ("shop/v1", "shop/v2") if w.revision(n)["state"] != "asleep"]
                    return woken

                w.until(is_waiting, "the wake")
                gate.open()
                assert c.response()[0] == 200
            name = woken[0]
            w.until(lambda w: w.revision(name)["state"] == "awake", "awake")
            w.until(lambda w: w.of("cold"), "the cold start")
            cold = w.of("cold")[0]
            assert cold["revision"] == name
            assert list(cold["phases_ms"]) == ["signal", "ack", "address", "connect", "send",
                                               "first_byte"]
            assert all(ms >= 0 for ms in cold["phases_ms"].values())
            assert abs(cold["at_ms"] / 1000 - time.time()) < WAIT_S
            w.until(lambda w: any(d["revision"] == name and (d.get("from", 0), d["wanted"]) == (0, 1)
                                  for d in w.of("decision")), "the decision")
            # a start that fails: text of users comes as it is
            def is_failing(w):
                assert s.get("broken")[0] == 503
                return w.revision("broken/v1").get("failure")

            w.until(is_failing, "the failure")
            assert "<img src=x onerror=alert(1)>" in w.revision("broken/v1")["failure"]["message"]
            # asleep again
            w.until(lambda w: w.revision(name)["state"] == "asleep", "asleep")
            # a revision that goes, and one that comes
            s.reload('service "broken"', 'service "mended"')
            w.until(lambda w: ("revision", "broken/v1") not in w.items and
                    ("service", "broken") not in w.items and w.revision("mended/v1"), "the reload")
            other.until(lambda o: o.revision("mended/v1") and not o.revision("broken/v1"), "the same")
            assert s.metrics(s.scaler_admin)["autoscaler_status_page_watchers"] == 2
            w.until(lambda w: "beat" in w.events, "a beat, as nothing changes")
        wait_until(lambda: s.metrics(s.scaler_admin)["autoscaler_status_page_watchers"] == 0,
                   what="no watchers")
        with Watcher(s) as w:
            w.until(lambda w: len(w.of("revision")) == 3 and w.of("cold") and w.of("decision"),
                    "all items again")


def test_watchers_are_bounded(tmp_path):
    with running(tmp_path, SERVICES) as s, contextlib.ExitStack() as stack:
        watchers = [stack.enter_context(Watcher(s)) for _ in range(WATCHERS_MAX)]
        assert all(" 200 " in w.status_line for w in watchers)
        status, fields, body = fetch(s, "/events")
        assert status == 503 and fields["retry-after"] and b"watch already" in body
        wait_until(lambda: fetch(s, "/readyz")[0] == 200, what="/readyz")
        watchers.pop().link.close()
        wait_until(lambda: s.metrics(s.scaler_admin)["autoscaler_status_page_watchers"] ==
                   WATCHERS_MAX - 1, what="one to leave")
        with Watcher(s) as w:
            w.until(lambda w: len(w.of("revision")) == 3, "all items")
        reset_on_close(watchers[0].link)
        watchers[0].link.close()
        # the stop waits for nobody


def test_a_watcher_that_does_not_read(tmp_path):
    """A slow watcher costs no memory but that of its queue, delays nobody, and has all that is true
    afterwards."""
    n = 600
    services = SERVICES + "".join(
        'service "t%04d" { hosts = {"t%04d.%s"} revision "v1" { command = {"HELLO"} } }\n'
        % (i, i, ".".join(["x" * 60] * 3)) for i in range(n))
    with running(tmp_path, services) as s:
        with Watcher(s) as quick, contextlib.ExitStack() as stack:
            quick.until(lambda w: len(w.of("revision")) == n + 3, "all items")
            before = rss_kib(s.autoscaler.pid)
            slow = [Client(s.scaler_admin) for _ in range(8)]
            for c in slow:
                stack.enter_context(c)
                c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                c.request("GET", "/events", "x")
            assert s.get("shop")[0] == 200
            quick.until(lambda w: any(w.revision(r)["state"] == "awake" for r in ("shop/v1", "shop/v2")),
                        "the wake")
            # what there is for each of them would be more; a sanitiser keeps what was freed
            assert IS_SANITISED or rss_kib(s.autoscaler.pid) - before < 8 * 200
            # they are cut off once they have taken nothing for a while
            wait_until(lambda: s.metrics(s.scaler_admin)["autoscaler_status_page_watchers"] == 1,
                       what="slow watchers to be cut off")
        with Watcher(s) as w:
            w.until(lambda w: len(w.of("revision")) == n + 3, "all items")
