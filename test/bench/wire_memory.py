"""Memory of a proxy per idle connection of TLS and HTTP/2, and per stream that waits."""
import os
import resource
import socket
import ssl
import struct

import hpack

import wake
from helpers import HELLO, rss_kib, settled
from tls import Tls

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STREAMS = 100  # of a connection
FIELDS = (("user-agent", "curl/7.88.1"), ("accept", "*/*"), ("accept-encoding", "gzip, br"),
          ("accept-language", "en"), ("cookie", "session=" + "0123456789abcdef" * 4),
          ("x-request-id", "0123456789abcdef" * 2), ("referer", "http://never/"))


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


class H2:
    """A connection by TLS that has had one answer."""

    def __init__(self, port, context, host="b"):
        self.next_id, self.rest = 3, b""
        self.encoder = hpack.Encoder()
        self.link = context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                        server_hostname=host)
        assert self.link.selected_alpn_protocol() == "h2"
        self.link.sendall(PREFACE + frame(SETTINGS, 0, 0) + self.request(1, "/", host))
        self.wait_answer()

    def wait_answer(self):
        """All that the server sends beside it is answered, too: the connection is idle then."""
        has_ended = has_settings = False
        while not (has_ended and has_settings):
            kind, flags, stream, payload = self.frame()
            if kind == SETTINGS and not flags & ACK:
                self.link.sendall(frame(SETTINGS, ACK, 0))
                has_settings = True
            elif kind == PING and not flags & ACK:
                self.link.sendall(frame(PING, ACK, 0, payload))
            elif kind in (GOAWAY, 3):
                raise SystemExit("bench: a stream was refused")
            elif stream == 1 and flags & END_STREAM and kind in (DATA, HEADERS):
                has_ended = True

    def frame(self):
        while len(self.rest) < 9 or len(self.rest) < 9 + self.payload_n():
            got = self.link.recv(65536)
            if not got:
                raise SystemExit("bench: the connection has ended")
            self.rest += got
        n = 9 + self.payload_n()
        _, flags, stream = struct.unpack(">IBI", self.rest[:9])
        kind, payload, self.rest = self.rest[3], self.rest[9:n], self.rest[n:]
        return kind, flags, stream, payload

    def payload_n(self):
        return int.from_bytes(self.rest[:3], "big")

    def request(self, stream, path, host):
        block = self.encoder.encode([(":method", "GET"), (":scheme", "https"), (":path", path),
                                     (":authority", host), *FIELDS])
        return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)

    def park(self, n, path, host="b"):
        ids = range(self.next_id, self.next_id + 2 * n, 2)
        self.link.sendall(b"".join(self.request(i, path, host) for i in ids))
        self.next_id += 2 * n

    def close(self):
        self.link.close()


def client_context(alpn=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if alpn:
        c.set_alpn_protocols([alpn])
    return c


class H1:
    def __init__(self, port, context):
        self.link = context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                        server_hostname="b")
        self.link.sendall(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
        if not self.link.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("bench: an unexpected answer")

    def close(self):
        self.link.close()


def close(connections):
    for c in connections:
        c.close()


def idle_kib(contender, n, kind, context):
    """Connections that have had one answer and send nothing.  The first ones are not counted:
    what they allocate for all others is no memory of a connection."""
    first = [kind(contender.port, context) for _ in range(20)]
    before = settled(contender.rss_bytes)
    connections = [kind(contender.port, context) for _ in range(n)]
    after = settled(contender.rss_bytes)
    close(first + connections)
    return (after - before) / n / 1024


def parked_kib(contender, n, context):
    """Streams that the origin never answers, beyond their connections."""
    connections = [H2(contender.port, context) for _ in range(n // STREAMS)]
    before = settled(contender.rss_bytes)
    for c in connections:
        c.park(STREAMS, "/park")
    after = settled(contender.rss_bytes)
    close(connections)
    return (after - before) / (len(connections) * STREAMS) / 1024


def report_parked(folder, say, most):
    """Streams whose service never starts, beyond their connections."""
    folder = os.path.join(folder, "wire-parked")
    os.makedirs(folder, exist_ok=True)
    chain, key = Tls(folder).issue("bench", "bench")
    ours = wake.start_activator(
        folder, wake.service("never", HELLO, "--never-listen", extra="max_scale = 1"), 1,
        ', "127.0.0.1:%d tls"' % wake.TLS_PORT,
        'certificate "bench" { chain = "%s" key = "%s" }' % (chain, key))
    try:
        context = client_context("h2")
        connections = [H2(wake.TLS_PORT, context) for _ in range(most // STREAMS)]
        before = settled(lambda: rss_kib(ours.pid))
        for c in connections:
            c.park(STREAMS, "/park", "never")
        after = settled(lambda: rss_kib(ours.pid))
        close(connections)
    finally:
        ours.stop()
    say("\nParked streams (GET, %d on each of %d connections of h2 over TLS), beyond their "
        "connections: %.2f KiB each." % (STREAMS, len(connections),
                                         (after - before) / (len(connections) * STREAMS)))


def report(makers, folder, say):
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = min(2000, descriptors // 8)
    say("\n### Memory of TLS and HTTP/2\n")
    say("Resident memory of all processes of each, above that with 20 such connections. A parked "
        "stream is one that the origin never answers: it has a connection of its own there.\n")
    say("| | KiB per idle connection, TLS | KiB per idle connection, h2 over TLS | "
        "KiB per stream that the origin parks, beyond its connection |")
    say("| --- | --- | --- | --- |")
    measures = (lambda c: idle_kib(c, n, H1, client_context("http/1.1")),
                lambda c: idle_kib(c, n, H2, client_context("h2")),
                lambda c: parked_kib(c, n, client_context("h2")))
    for name, make in makers.items():
        cells = []
        for measure in measures:
            contender = make().start()
            try:
                cells.append("%.2f" % measure(contender))
            finally:
                contender.stop()
        say("| %s | %s |" % (name, " | ".join(cells)))
    report_parked(folder, say, n)
