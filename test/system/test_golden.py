"""What the instance and the client receive, byte for byte.  A client and an instance send what the
transcripts in golden/ contain, and check what they receive.

A file holds several transcripts of this form:

    == its name                     and, in brackets, the client's address if it matters
    # remarks
    C> what the client sends        CRLF is added; a backslash at the end: no CRLF
    >I what the instance receives   escapes as in Python: \\x00 \\n
    I> what the instance sends
    >C what the client receives     {date}: any date; {a*99}: 99 times a; all else is literal

Words in brackets stand for what is not a byte.  [fin] and [reset]: this side ends the connection;
the other side receives [end] and [reset].  `>I [new]`: the bytes below come on another connection.
`I> [park]`: wait until the request is parked; the instance does not listen before `I> [wake]`.

GOLDEN_WRITE=1 replaces `>I ?` and `>C ?` by what was received: check it before it is committed."""
import glob
import os
import re
import select
import socket
import time

import pytest

from fakes.instance import listening_socket
from helpers import SLOW, WAIT_S, free_port, reset, wait_until
from stack import running

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
SERVICES = """
service "plain" { hosts = {"plain", "xn--nxasmq6b"} upstream_idle_timeout = 0
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "all" { hosts = {"*"} upstream_idle_timeout = 0
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "kept" { hosts = {"kept"} upstream_idle_timeout = 60s
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "via" { hosts = {"via"} upstream_idle_timeout = 0 via = yes
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "half" { hosts = {"half"} upstream_idle_timeout = 0 half_close = yes
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "few" { hosts = {"few"} upstream_idle_timeout = 0 requests_per_connection = 2
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "small" { hosts = {"small"} upstream_idle_timeout = 0 max_head = 1KiB max_fields = 10
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "quick" { hosts = {"quick"} upstream_idle_timeout = 0 body_timeout = 1s
    response_timeout = 3s stall_timeout = 1s tunnel_timeout = 1s
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "whole" { hosts = {"whole"} upstream_idle_timeout = 0 request_timeout = 2s
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "rule" { hosts = {"rule"}
    rule "health" { paths = {"/health"} action = "answer" status = 200 body = "fine"
        fields = {"X-Rule: yes"} }
    rule "nothing" { paths = {"/nothing"} action = "answer" status = 204 }
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "kn" { hosts = {"kn"} upstream_idle_timeout = 0 knative_headers = yes
    knative_tag_header = yes response_start_timeout = 2s tunnel_max_lifetime = 1s
    traffic "v1" { percent = 100 } traffic "v2" { percent = 0 tag = "next" }
    revision "v1" { addresses = {"127.0.0.1:PORT"} }
    revision "v2" { addresses = {"127.0.0.1:PORT"} via = yes } }
service "knparked" { hosts = {"knparked"} upstream_idle_timeout = 0 knative_headers = yes
    response_start_timeout = 1s
    revision "v1" { addresses = {"127.0.0.1:PARKED"} } }
service "parked" { hosts = {"parked"} upstream_idle_timeout = 0
    revision "v1" { addresses = {"127.0.0.1:PARKED"} } }
"""


def transcripts():
    for path in sorted(glob.glob(HERE + "/*.txt")):
        text = open(path, encoding="latin-1").read()
        for part in re.split(r"^(?=== )", text, flags=re.M)[1:]:
            head, _, steps = part.partition("\n")
            m = re.match(r"== (.*?)(?: \[([0-9.]+)\])?$", head)
            stem = os.path.basename(path)[:-4]
            yield pytest.param(path, m[1], m[2] or "127.0.0.1", steps,
                               id="%s: %s" % (stem, m[1]))


def parse(steps):
    """[(direction, bytes or word in brackets)]: neighbouring lines of a direction are one step."""
    out = []
    for line in steps.splitlines():
        if not line or line.startswith("#"):
            continue
        way, text = line[:2], line[3:]
        assert way in ("C>", ">I", "I>", ">C"), line
        if text == "?" or re.fullmatch(r"\[\w+\]", text):
            out.append((way, text))
            continue
        text = re.sub(r"\{(.)\*(\d+)\}", lambda m: m[1] * int(m[2]), text)
        data = (text[:-1] if text.endswith("\\") and not text.endswith("\\\\")
                else text + "\r\n").encode("latin-1")
        data = data.decode("unicode_escape").encode("latin-1")
        if out and out[-1][0] == way and isinstance(out[-1][1], bytes):
            out[-1] = (way, out[-1][1] + data)
        else:
            out.append((way, data))
    return out


def transcript_lines(way, data):
    """The lines of a transcript that stand for data."""
    out = []
    for line in re.findall(rb"[^\n]*\n|[^\n]+$", data):
        text = line[:-2] if line.endswith(b"\r\n") else line
        text = re.sub(r"[^ -~]", lambda m: "\\x%02x" % ord(m[0]),
                      text.decode("latin-1").replace("\\", "\\\\"))
        text = re.sub(r"(?<=Date: )\w{3}, \d\d \w{3} 20\d\d [\d:]{8} GMT", "{date}", text)
        text = re.sub(r" $", r"\\x20", text) + ("" if line.endswith(b"\r\n") else "\\")
        out.append("%s %s" % (way, text) if text else way)
    return "\n".join(out)


class Peer:
    """One connection.  rest: bytes received and not yet compared; end: how it ended, or None."""

    def __init__(self, fd):
        self.fd, self.rest, self.end = fd, b"", None
        fd.settimeout(WAIT_S)

    def receive(self, timeout=None):
        """Whether something came in time."""
        if self.end is None and select.select([self.fd], [], [], timeout)[0]:
            try:
                data = self.fd.recv(65536)
            except ConnectionResetError:
                self.end = "[reset]"
                return True
            self.rest += data
            if not data:
                self.end = "[end]"
            return True
        return False

    def expect(self, want):
        if want in ("[end]", "[reset]"):
            while self.end is None:
                assert self.receive(WAIT_S), "waited in vain for %s" % want
            assert (self.rest, self.end) == (b"", want)
            return
        date = b"{date}"
        size = len(want) + want.count(date) * (29 - len(date))
        while len(self.rest) < size and self.end is None:
            assert self.receive(WAIT_S), "%r came instead of %r" % (self.rest, want)
        got, self.rest = self.rest[:size], self.rest[size:]
        form = re.escape(want).replace(re.escape(date), rb"\w{3}, \d\d \w{3} 20\d\d [\d:]{8} GMT")
        if not re.fullmatch(form, got):
            assert got + self.rest == want  # pytest shows the difference

    def record(self, way):
        while self.receive(0.3 * SLOW) and self.end is None:
            pass
        text, self.rest = transcript_lines(way, self.rest), b""
        return "\n".join(x for x in (text, self.end and "%s %s" % (way, self.end)) if x)

    def do(self, what):
        if what == "[fin]":
            self.fd.shutdown(socket.SHUT_WR)
        elif what == "[reset]":
            reset(self.fd)
            self.end = "closed"
        else:
            self.fd.sendall(what)


class Instance:
    """Listens.  peer: the connection with the current request; idle: connections without one.
    woken: the listener of the service "parked", from [wake] on."""

    def __init__(self):
        self.port, self.parked_port = free_port(), free_port()
        self.listener = listening_socket(self.port)
        self.woken, self.idle, self.peer = None, [], None

    def next(self):
        """Wait for the next connection with a byte to read: probes send none."""
        end = time.monotonic() + WAIT_S
        while True:
            left = end - time.monotonic()
            assert left > 0, "no request came"
            listeners = [x for x in (self.listener, self.woken) if x is not None]
            ready = select.select(listeners + [p.fd for p in self.idle], [], [], left)[0]
            for s in ready:
                if s in listeners:
                    self.idle.append(Peer(s.accept()[0]))
            for p in list(self.idle):
                if p.fd in ready and p.receive(0):
                    self.idle.remove(p)
                    if p.rest:
                        self.peer = p
                        return p
                    p.fd.close()

    def close_connections(self):
        for p in self.idle + [self.peer]:
            if p is not None:
                p.fd.close()
        if self.woken is not None:
            self.woken.close()
        self.woken, self.idle, self.peer = None, [], None


@pytest.fixture(scope="module")
def instance():
    return Instance()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, instance):
    services = SERVICES.replace("PORT", str(instance.port))
    services = services.replace("PARKED", str(instance.parked_port))
    with running(tmp_path_factory.mktemp("golden"), services, workers=1,
                 activator='trusted_proxies = {"127.0.0.2"} trace = yes') as s:
        yield s


def connect(stack, source):
    fd = socket.socket()
    fd.bind((source, 0))
    fd.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    fd.connect(("127.0.0.1", stack.port))
    return Peer(fd)


def step(stack, instance, client, way, what):
    """One step; the lines that replace a `?`."""
    if way == "C>":
        client.do(what)
    elif way == ">C":
        if what == "?":
            return client.record(way)
        client.expect(what)
    elif what == "[park]":
        wait_until(lambda: stack.metric("activator_parked") == 1, what="a parked request")
    elif what == "[wake]":
        instance.woken = listening_socket(instance.parked_port)
    elif way == "I>":
        instance.peer.do(what)
    else:
        if instance.peer is None or what == "[new]":
            if instance.peer is not None:
                instance.idle.append(instance.peer)
            instance.next()
        if what == "?":
            return instance.peer.record(way)
        if what != "[new]":
            instance.peer.expect(what)
    return None


def play(stack, instance, source, steps):
    client, written = connect(stack, source), []
    try:
        for way, what in parse(steps):
            written.append(step(stack, instance, client, way, what))
        for peer, name in ((client, "client"), (instance.peer, "instance")):
            if peer is not None and peer.end is None:
                peer.receive(0)
                assert peer.rest == b"", "the %s received more" % name
    finally:
        client.fd.close()
        instance.close_connections()
    return [x for x in written if x is not None]


@pytest.mark.xdist_group("golden")
@pytest.mark.parametrize("path, name, source, steps", transcripts())
def test_golden(stack, instance, path, name, source, steps):
    written = play(stack, instance, source, steps)
    if written and os.environ.get("GOLDEN_WRITE"):
        text = open(path, encoding="latin-1").read()
        for block in written:
            filled = re.sub(r"^>[IC] \?$", lambda m, block=block: block, steps, count=1, flags=re.M)
            text, steps = text.replace(steps, filled), filled
        with open(path, "w", encoding="latin-1") as f:
            f.write(text)
    else:
        assert not written, "a transcript is not complete"
