"""What RFC 9113 (HTTP/2) and RFC 7541 (HPACK) say that a client must do, each broken by raw frames,
over a plain connection and over TLS.  `make conformance` prints the cases and what came of each.

A stream error may be answered as an error of the connection (RFC 9113 5.4.1): nghttp2 does that
where only a client that is broken or hostile can be the cause.  Those cases allow both."""
import collections
import contextlib
import re
import struct
import sys
import tempfile

import pytest

from fakes.instance import FakeInstance, read_head
from h2client import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
                      INITIAL_WINDOW, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM,
                      RST_STREAM, SETTINGS, WINDOW_UPDATE, H2Client)
from helpers import free_port
from stack import running
from tls import Tls

PUSH_PROMISE = 5
PADDED, WITH_PRIORITY = 8, 32
FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 3, 5, 6, 9
NAMES = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 2: "INTERNAL_ERROR", 3: "FLOW_CONTROL_ERROR",
         5: "STREAM_CLOSED", 6: "FRAME_SIZE_ERROR", 7: "REFUSED_STREAM", 8: "CANCEL",
         9: "COMPRESSION_ERROR", 11: "ENHANCE_YOUR_CALM", None: "no GOAWAY"}
STREAMS_MOST = 20
# The requests of cases whose instance must not see them.
MALFORMED = re.compile(rb"\S+ (?!/1 )\S* HTTP/1.1\r\nHost: hello\r\n")

# `open` answers once the client has sent its side; `slow` never answers; requests for `parked` wait.
SERVICES = """
service "hello" { hosts = {"hello"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"} } }
service "slow" { hosts = {"slow"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"} } }
service "parked" { hosts = {"parked"} max_scale = 1
    revision "v1" { command = {"HELLO", "--never-listen"} } }
"""


class Origin(FakeInstance):
    """Answers GETs, reads bodies to their end, and keeps the heads of all requests."""

    def __init__(self):
        super().__init__()
        self.heads, self.bodies = [], []

    def serve(self, connection):
        head, rest = read_head(connection)
        while head is not None:
            self.heads.append(head)
            if b"Host: slow" in head:
                while connection.recv(65536):
                    pass
                return
            if b"chunked" in head.lower():
                while not rest.endswith(b"0\r\n\r\n"):
                    more = connection.recv(65536)
                    if not more:
                        return
                    rest += more
                self.bodies.append(rest)
                rest = b""
            size = int(head.split()[1].rpartition(b"/")[2] or 6)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
                size, b"x" * size))
            head, rest = read_head(connection, rest)


# --- what a case expects

class Connection:
    """The connection ends, with a GOAWAY of one of these codes."""

    def __init__(self, *codes):
        self.codes = codes

    def __str__(self):
        return "connection: " + " or ".join(NAMES[c] for c in self.codes)

    def check(self, c, stream):
        code = c.end()
        assert code in self.codes, "got %s" % NAMES.get(code, code)


class Reset:
    """The stream is reset with one of these codes, and the connection goes on.  or_connection: or
    the connection ends so (RFC 9113 5.4.1)."""

    def __init__(self, *codes, or_connection=False):
        self.codes, self.or_connection = codes, or_connection

    def __str__(self):
        return "stream%s: %s" % (" or connection" if self.or_connection else "",
                                 " or ".join(NAMES[c] for c in self.codes))

    def check(self, c, stream):
        r = c.streams[stream]
        while r.reset is None:
            if c.pump() is None:
                assert self.or_connection, "the connection has ended: %r" % c.goaways
                assert c.goaways and c.goaways[-1][1] in self.codes, c.goaways
                return
            assert r.reset is not None or r.status is None or not r.is_ended, "status %d" % r.status
        assert r.reset in self.codes, "got RST_STREAM %s" % NAMES.get(r.reset, r.reset)
        Fine().check(c, None)


class Answer:
    """The stream is answered with this status, and the connection goes on."""

    def __init__(self, status=200):
        self.status = status

    def __str__(self):
        return "status %d" % self.status

    def check(self, c, stream):
        r = c.response(stream)
        assert (r.status, r.reset if self.status == 200 else None) == (self.status, None)
        Fine().check(c, None)


class Fine:
    """Nothing comes of it: the next request is answered."""

    def __str__(self):
        return "ignored, or done as asked"

    def check(self, c, stream):
        r = c.get("/1")
        assert (r.status, c.goaways) == (200, [])


# --- pieces of which cases are made

def literal(name, value, first=b"\x00"):
    """A field without Huffman code; without indexing, unless first says otherwise."""
    if isinstance(name, str):
        name = name.encode("latin-1")
    if isinstance(value, str):
        value = value.encode("latin-1")
    return first + string(name) + string(value)


def string(text):
    """RFC 7541 5.2"""
    if len(text) < 127:
        return bytes([len(text)]) + text
    n, out = len(text) - 127, b"\x7f"
    while n >= 128:
        out += bytes([n % 128 + 128])
        n //= 128
    return out + bytes([n]) + text


def pseudo(**changed):
    fields = {"method": "GET", "scheme": "http", "authority": "hello", "path": "/"}
    fields.update(changed)
    return [(":" + k, v) for k, v in fields.items() if v is not None]


def block(fields):
    return b"".join(literal(*f) for f in fields)


GET = block(pseudo())
POST = block(pseudo(method="POST", authority="slow"))


def headers(c, payload, flags=END_HEADERS | END_STREAM, stream=1):
    c.next_id = max(c.next_id, (stream | 1) + 2)
    c.frame(HEADERS, flags, stream, payload)
    return stream


def get(fields=(), **changed):
    """A case that sends one request."""
    return lambda c: headers(c, block(pseudo(**changed) + list(fields)))


def raw(kind, flags=0, stream=0, payload=b""):
    """A case that sends one frame, on an idle connection."""
    def send(c):
        c.wait_settings()
        c.frame(kind, flags, stream, payload)
        return 1
    return send


def on_open(kind, flags=0, payload=b"", host="slow"):
    """A case that sends one frame on a stream whose body is not over."""
    def send(c):
        c.wait_settings()
        stream = headers(c, block(pseudo(method="POST", authority=host)), END_HEADERS)
        c.frame(kind, flags, stream, payload)
        return stream
    return send


def on_half_closed(kind, flags=0, payload=b""):
    """A case that sends one frame on a stream that its client has ended."""
    def send(c):
        c.wait_settings()
        stream = headers(c, block(pseudo(authority="slow")))
        c.frame(kind, flags, stream, payload)
        return stream
    return send


def on_closed(kind, flags=0, payload=b""):
    """A case that sends one frame on a stream that its client has reset."""
    def send(c):
        c.wait_settings()
        stream = headers(c, POST, END_HEADERS)
        c.reset(stream)
        c.frame(kind, flags, stream, payload)
        return stream
    return send


def no_preface(data):
    def send(c):
        c.sendall(data)
    send.preface = False
    return send


def setting(key, value):
    return raw(SETTINGS, payload=struct.pack(">HI", key, value))


def trailers(payload, flags=END_HEADERS | END_STREAM):
    def send(c):
        stream = headers(c, POST, END_HEADERS)
        c.data(stream, b"body")
        c.frame(HEADERS, flags, stream, payload)
        return stream
    return send


def hpack(payload):
    """A case that sends one request with this header block."""
    return lambda c: headers(c, payload)


def body(length, *pieces):
    """A body whose content-length says another number of bytes, or the same."""
    def send(c):
        c.wait_settings()
        stream = headers(c, block(pseudo(method="POST", authority="hello" if sum(
            len(p) for p in pieces) == length else "slow") + [("content-length", str(length))]),
            END_HEADERS | (0 if pieces else END_STREAM))
        for i, piece in enumerate(pieces):
            c.data(stream, piece, end=i == len(pieces) - 1)
        return stream
    return send


# --- cases that are more than a frame

def undefined_flags(c):
    stream = headers(c, GET, END_HEADERS | END_STREAM | 0x52)
    c.frame(PING, 0xfe, 0, b"12345678")
    c.wait(lambda: c.pongs == 1, "the answer to a PING")
    return stream


def reserved_bit(c):
    c.next_id = 3
    c.frame(HEADERS, END_HEADERS | END_STREAM, 1 | 1 << 31, GET)
    return 1


def ends_headers_late(c):
    headers(c, GET[:10], END_STREAM)
    for i in range(8):  # nghttp2 1.52 as Debian has it takes no more
        c.frame(CONTINUATION, END_HEADERS if i == 7 else 0, 1,
                GET[10 + i:11 + i] if i < 7 else GET[17:])
    return 1


def inside_block(kind, flags=0, stream=1, payload=b""):
    def send(c):
        headers(c, GET[:10], END_STREAM)
        c.frame(kind, flags, stream, payload)
        return 1
    return send


def second_response(c):
    c.get()
    return headers(c, GET, stream=1)


def skipped_stream(c):
    """Stream 5 closes 1 and 3 (5.1.1), and a frame on a closed stream may be taken in and dropped
    (5.1).  Its block has to be decoded: the next one names what it has put into the table."""
    headers(c, GET, stream=5)
    c.frame(HEADERS, END_HEADERS | END_STREAM, 3,
            block(pseudo(method="POST")) + literal("x-a", "1", b"\x40"))
    assert c.response(5).status == 200
    return headers(c, GET + b"\xbe", stream=7)


def streams_at_once(c):
    c.wait_settings()
    c.ping()
    for _ in range(STREAMS_MOST + 1):
        stream = headers(c, block(pseudo(authority="slow")), stream=c.next_id)
    return stream


def streams_in_turn(c):
    c.wait_settings()
    assert c.settings[3] == STREAMS_MOST
    for _ in range(3):
        streams = [c.request() for _ in range(STREAMS_MOST)]
        assert [c.response(s).status for s in streams] == [200] * STREAMS_MOST


def beyond_the_stream_window(c):
    c.wait_settings()
    c.ping()
    stream = headers(c, block(pseudo(method="POST", authority="parked")), END_HEADERS)
    c.sendall(c.packed(DATA, 0, stream, bytes(c.settings[INITIAL_WINDOW] - 100)) +
              c.packed(DATA, 0, stream, bytes(101)))
    return stream


def data_of_closed_streams_counts(c):
    c.wait_settings()
    stream = headers(c, POST, END_HEADERS)
    c.reset(stream)
    for _ in range(200):  # three windows of the connection
        c.window -= 16384
        c.wait(lambda: c.window >= 0, "room in the window of the connection")
        c.data(stream, bytes(16384))


def padding_counts(c):
    """The window opens again for padding, too."""
    c.wait_settings()
    stream = headers(c, POST, END_HEADERS)
    c.streams[stream].window = c.settings[INITIAL_WINDOW]
    for _ in range(100):
        c.window -= 257
        c.streams[stream].window -= 257
        c.wait(lambda: c.streams[stream].window >= 0, "room in the window")
        c.frame(DATA, PADDED, stream, b"\xff" + b"x" + bytes(255))
    return None


def windows_are_kept(c):
    """No byte goes beyond a window, whichever it is."""
    c.takes = False
    c.wait_settings()
    c.frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 10))
    stream = c.request("/100000")
    r = c.streams[stream]
    c.wait(lambda: len(r.body) == 10, "the window of the stream")
    c.frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 30))
    c.wait(lambda: len(r.body) == 30, "20 more")
    c.frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 5))  # -25 are left: 6.9.2
    c.open_window(stream, 25)
    c.ping()
    assert len(r.body) == 30
    c.open_window(stream, 1)
    c.wait(lambda: len(r.body) == 31, "one more")
    c.open_window(stream, 1 << 20)
    c.wait(lambda: len(r.body) == 65535, "the window of the connection")
    c.ping()
    assert len(r.body) == 65535
    c.open_window(0, 1 << 20)
    assert len(c.response(stream).body) == 100000
    c.frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 65535))


def frames_are_small(c):
    c.open_window(0, 1 << 20)
    c.frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 1 << 20))
    stream = c.request("/500000")
    while not c.streams[stream].is_ended:
        f = c.pump()
        assert len(f.payload) <= 16384
    assert len(c.streams[stream].body) == 500000


def ping_is_answered(c):
    c.frame(PING, 0, 0, b"\x00\xff345678")
    while True:
        f = c.pump()
        if f.type == PING:
            assert (f.flags, f.stream, f.payload) == (ACK, 0, b"\x00\xff345678")
            return


def settings_are_acknowledged(c):
    for i in range(3):
        c.frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 1000 + i))
    c.wait(lambda: c.acks == 4, "four acknowledgements")


def a_goaway_lets_streams_end(c):
    stream = c.request("/100000")
    c.frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0))
    r = c.response(stream)
    assert (r.status, len(r.body)) == (200, 100000)


def without_a_table(c):
    """SETTINGS_HEADER_TABLE_SIZE 0: the next block has to say that the table has shrunk."""
    c.frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0))
    c.wait(lambda: c.acks == 2, "the acknowledgement")
    c.decoder.max_allowed_table_size = 0
    for _ in range(3):
        assert c.get().status == 200
    assert c.decoder.header_table_size == 0


def malformed_block_is_decoded(c):
    headers(c, GET + literal("x-a", "1", b"\x40") + literal("X-Upper", "1"))
    c.wait(lambda: c.streams[1].reset == PROTOCOL_ERROR, "RST_STREAM")
    return headers(c, GET + b"\xbe", stream=3)


def table_is_emptied(c):
    """An entry larger than the table empties it, and is no error."""
    headers(c, GET + literal("x-a", "1", b"\x40") + literal("x-b", "2" * 4100, b"\x40"))
    assert c.response(1).status == 200
    return headers(c, GET + b"\xbe", stream=3)


def table_is_evicted(c):
    headers(c, GET + literal("x-a", "1", b"\x40"))
    assert c.response(1).status == 200
    return headers(c, b"\x20" + GET + b"\xbe", stream=3)


def cookies(c):
    stream = headers(c, block(pseudo() + [("cookie", "a=1"), ("cookie", "b=2"),
                                          ("cookie", "c=3")]))
    assert c.response(stream).status == 200
    assert b"\r\ncookie: a=1; b=2; c=3\r\n" in c.origin.heads[-1]


def authority_is_the_host(c):
    stream = headers(c, block(pseudo() + [("host", "hello")]))
    assert c.response(stream).status == 200
    assert c.origin.heads[-1].lower().count(b"\r\nhost: hello\r\n") == 1


def nothing_of_a_connection_passes(c):
    """What a response has of a connection, of HTTP/1 or of capital letters stays here: 8.2."""
    r = c.get()
    assert all(n == n.lower() for n in r.fields)
    assert not {"connection", "keep-alive", "transfer-encoding", "upgrade"} & set(r.fields)
    assert [n for n in r.fields if n[0] == ":"] == [":status"]


def no_push(c):
    for _ in range(3):
        stream = c.request()
        while not c.streams[stream].is_ended:
            assert c.pump().type != PUSH_PROMISE


def priority_frames(c):
    for stream in (1, 3, 7):
        c.frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 1))
    stream = headers(c, struct.pack(">IB", 0, 15) + GET, END_HEADERS | END_STREAM | WITH_PRIORITY)
    assert c.response(stream).status == 200
    c.frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 1))  # also of a closed stream


def window_updates_of_ended_streams(c):
    assert c.get().status == 200
    c.open_window(1, 1000)
    c.reset(1)


ERR = PROTOCOL_ERROR
BROKEN = Connection(COMPRESSION_ERROR)
Case = collections.namedtuple("Case", "section name send expect")
CASES = [Case(*c) for c in (
    # --- frames and connections
    ("3.4", "a preface that is none", no_preface(PREFACE[:18] + b"XX\r\n\r\n" + bytes(100)),
     Connection(ERR, None)),
    ("3.4", "HTTP/1.1 where h2 was chosen", no_preface(PREFACE[:20] + b"\r\nHost: hello\r\n\r\n"),
     Connection(ERR, None)),
    ("3.4", "another frame than SETTINGS first",
     no_preface(PREFACE + H2Client.packed(PING, 0, 0, bytes(8))), Connection(ERR)),
    ("4.1", "an unknown type of frame", raw(0x16, 0xff, 0, b"anything"), Fine()),
    ("4.1", "an unknown type of frame on a stream", on_open(0x16, 0xff, b"anything"), Fine()),
    ("4.1", "flags that are not defined", undefined_flags, Answer()),
    ("4.1", "the reserved bit", reserved_bit, Answer()),
    ("4.2", "DATA of 16384 bytes", body(16384, bytes(16384)), Answer()),
    ("4.2", "DATA of 16385 bytes", on_open(DATA, 0, bytes(16385)),
     Reset(FRAME_SIZE_ERROR, or_connection=True)),
    ("4.2", "HEADERS of 16385 bytes", raw(HEADERS, END_HEADERS | END_STREAM, 1, bytes(16385)),
     Connection(FRAME_SIZE_ERROR)),
    ("4.2", "SETTINGS of 16386 bytes", raw(SETTINGS, 0, 0, bytes(16386)),
     Connection(FRAME_SIZE_ERROR)),
    ("4.2", "an unknown type of 16385 bytes", raw(0x16, 0, 0, bytes(16385)),
     Connection(FRAME_SIZE_ERROR)),
    ("4.2", "responses in frames of 16384 bytes at most", frames_are_small, Fine()),
    ("4.3", "a block in many CONTINUATIONs", ends_headers_late, Answer()),
    ("4.3", "DATA inside a block", inside_block(DATA), Connection(ERR)),
    ("4.3", "PING inside a block", inside_block(PING, 0, 0, bytes(8)), Connection(ERR)),
    ("4.3", "HEADERS of another stream inside a block", inside_block(HEADERS, 5, 3, GET),
     Connection(ERR)),
    ("4.3", "a block that does not decode", raw(HEADERS, 5, 1, b"\x80"),
     Connection(COMPRESSION_ERROR)),
    ("5.5", "an unknown type inside a block", inside_block(0x16), Connection(ERR)),
    # --- states of streams
    ("5.1", "idle: DATA", raw(DATA, END_STREAM, 1, b"x"), Connection(ERR)),
    ("5.1", "idle: RST_STREAM", raw(RST_STREAM, 0, 1, bytes(4)), Connection(ERR)),
    ("5.1", "idle: WINDOW_UPDATE", raw(WINDOW_UPDATE, 0, 1, struct.pack(">I", 100)),
     Connection(ERR)),
    ("5.1", "idle: CONTINUATION", raw(CONTINUATION, END_HEADERS, 1, GET), Connection(ERR)),
    ("5.1", "idle: PRIORITY", priority_frames, Fine()),
    ("5.1", "half-closed: DATA", on_half_closed(DATA, 0, b"x"),
     Reset(STREAM_CLOSED, or_connection=True)),
    ("5.1", "half-closed: HEADERS", on_half_closed(HEADERS, 5, literal("x-a", "1")),
     Reset(STREAM_CLOSED, or_connection=True)),
    ("5.1", "half-closed: CONTINUATION", on_half_closed(CONTINUATION, END_HEADERS, GET),
     Connection(ERR)),
    ("5.1", "half-closed: WINDOW_UPDATE", on_half_closed(WINDOW_UPDATE, 0, struct.pack(">I", 2000)),
     Fine()),
    ("5.1", "half-closed: RST_STREAM", on_half_closed(RST_STREAM, 0, bytes(4)), Fine()),
    # 5.1 lets a server take in and drop frames on closed streams: the client may have sent them
    # before it knew.  nghttp2 remembers no closed streams, and so does that for all.
    ("5.1", "closed by us: WINDOW_UPDATE and RST_STREAM", window_updates_of_ended_streams, Fine()),
    ("5.1", "closed by RST_STREAM: DATA", on_closed(DATA, 0, b"x"), Fine()),
    ("5.1", "closed by RST_STREAM: HEADERS", on_closed(HEADERS, 5, GET), Fine()),
    ("5.1", "closed by RST_STREAM: CONTINUATION", on_closed(CONTINUATION, END_HEADERS, GET),
     Connection(ERR)),
    ("5.1", "closed by END_STREAM: HEADERS",
     lambda c: c.get() and headers(c, GET, stream=1) and None, Fine()),
    ("5.1.1", "a stream with an even number", lambda c: headers(c, GET, stream=2), Connection(ERR)),
    ("5.1.1", "a stream with a number below the last one", skipped_stream, Answer()),
    ("5.1.2", "streams beyond the limit", streams_at_once,
     Reset(ERR, REFUSED_STREAM, or_connection=True)),
    ("5.1.2", "as many streams as the limit, again and again", streams_in_turn, Fine()),
    # --- types of frames
    ("6.1", "DATA on stream 0", raw(DATA, 0, 0, b"x"), Connection(ERR)),
    ("6.1", "DATA with padding of its whole length", on_open(DATA, PADDED, b"\x05abcd"),
     Connection(ERR)),
    ("6.1", "DATA with no byte for the length of its padding", on_open(DATA, PADDED, b""),
     Connection(FRAME_SIZE_ERROR, ERR)),
    ("6.1", "DATA with padding counts in the windows", padding_counts, Fine()),
    ("6.2", "HEADERS on stream 0", raw(HEADERS, 5, 0, GET), Connection(ERR)),
    ("6.2", "HEADERS with padding of its whole length",
     raw(HEADERS, 5 | PADDED, 1, bytes([len(GET) + 1]) + GET), Connection(ERR)),
    ("6.2", "HEADERS with padding", lambda c: headers(c, b"\x03" + GET + bytes(3), 5 | PADDED),
     Answer()),
    ("6.2", "HEADERS too short for its priority", raw(HEADERS, 5 | WITH_PRIORITY, 1, b"abcd"),
     Connection(FRAME_SIZE_ERROR, ERR)),
    ("6.3", "PRIORITY on stream 0", raw(PRIORITY, 0, 0, bytes(5)), Connection(ERR)),
    ("6.3", "PRIORITY of four bytes", on_open(PRIORITY, 0, bytes(4)),
     Reset(FRAME_SIZE_ERROR, or_connection=True)),
    ("6.4", "RST_STREAM on stream 0", raw(RST_STREAM, 0, 0, bytes(4)), Connection(ERR)),
    ("6.4", "RST_STREAM of three bytes", on_open(RST_STREAM, 0, bytes(3)),
     Connection(FRAME_SIZE_ERROR)),
    ("6.4", "RST_STREAM of five bytes", on_open(RST_STREAM, 0, bytes(5)),
     Connection(FRAME_SIZE_ERROR)),
    ("6.5", "SETTINGS on a stream", raw(SETTINGS, 0, 1, b""), Connection(ERR)),
    ("6.5", "SETTINGS ACK with a payload", raw(SETTINGS, ACK, 0, bytes(6)),
     Connection(FRAME_SIZE_ERROR)),
    ("6.5", "SETTINGS of five bytes", raw(SETTINGS, 0, 0, bytes(5)), Connection(FRAME_SIZE_ERROR)),
    ("6.5.2", "ENABLE_PUSH 2", setting(2, 2), Connection(ERR)),
    ("6.5.2", "INITIAL_WINDOW_SIZE 2^31", setting(4, 1 << 31), Connection(FLOW_CONTROL_ERROR)),
    ("6.5.2", "MAX_FRAME_SIZE 16383", setting(5, 16383), Connection(ERR)),
    ("6.5.2", "MAX_FRAME_SIZE 2^24", setting(5, 1 << 24), Connection(ERR)),
    ("6.5.2", "an unknown setting", setting(0xfefe, 77), Fine()),
    ("6.5.3", "SETTINGS are acknowledged", settings_are_acknowledged, Fine()),
    ("6.6", "PUSH_PROMISE", raw(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + GET),
     Connection(ERR)),
    ("6.6", "PUSH_PROMISE on an open stream",
     on_open(PUSH_PROMISE, END_HEADERS, struct.pack(">I", 2) + GET), Connection(ERR)),
    ("6.6", "nothing is pushed", no_push, Fine()),
    ("6.7", "PING on a stream", raw(PING, 0, 1, bytes(8)), Connection(ERR)),
    ("6.7", "PING of seven bytes", raw(PING, 0, 0, bytes(7)), Connection(FRAME_SIZE_ERROR)),
    ("6.7", "PING of nine bytes", raw(PING, 0, 0, bytes(9)), Connection(FRAME_SIZE_ERROR)),
    ("6.7", "PING is answered with its payload", ping_is_answered, Fine()),
    ("6.7", "PING ACK is not answered", raw(PING, ACK, 0, bytes(8)), Fine()),
    ("6.8", "GOAWAY on a stream", raw(GOAWAY, 0, 1, bytes(8)), Connection(ERR)),
    ("6.8", "GOAWAY of seven bytes", raw(GOAWAY, 0, 0, bytes(7)), Connection(FRAME_SIZE_ERROR)),
    ("6.8", "streams of a client that goes away end", a_goaway_lets_streams_end,
     Connection(0, None)),
    ("6.9", "WINDOW_UPDATE of 0 on a stream", on_open(WINDOW_UPDATE, 0, bytes(4)),
     Reset(ERR, or_connection=True)),
    ("6.9", "WINDOW_UPDATE of 0", raw(WINDOW_UPDATE, 0, 0, bytes(4)), Connection(ERR)),
    ("6.9", "WINDOW_UPDATE of three bytes", raw(WINDOW_UPDATE, 0, 0, bytes(3)),
     Connection(FRAME_SIZE_ERROR)),
    ("6.9", "WINDOW_UPDATE of five bytes", raw(WINDOW_UPDATE, 0, 0, bytes(5)),
     Connection(FRAME_SIZE_ERROR)),
    ("6.9", "DATA of closed streams counts in the window", data_of_closed_streams_counts, Fine()),
    ("6.9.1", "DATA beyond the window of the stream", beyond_the_stream_window,
     Reset(FLOW_CONTROL_ERROR, or_connection=True)),
    ("6.9.1", "a window of the stream beyond 2^31-1",
     on_open(WINDOW_UPDATE, 0, struct.pack(">I", 0x7fffffff)), Reset(FLOW_CONTROL_ERROR)),
    ("6.9.1", "a window of the connection beyond 2^31-1",
     raw(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff)), Connection(FLOW_CONTROL_ERROR)),
    ("6.9.2", "responses keep to the windows", windows_are_kept, Fine()),
    ("6.9.2", "SETTINGS that make a window overflow",
     lambda c: on_open(WINDOW_UPDATE, 0, struct.pack(">I", 0x7fffffff - 65535))(c) and c.frame(
         SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 65536)),
     Connection(FLOW_CONTROL_ERROR)),
    ("6.10", "CONTINUATION on stream 0", inside_block(CONTINUATION, END_HEADERS, 0, GET[10:]),
     Connection(ERR)),
    ("6.10", "CONTINUATION on another stream", inside_block(CONTINUATION, END_HEADERS, 3, GET[10:]),
     Connection(ERR)),
    ("6.10", "CONTINUATION behind a whole block", on_open(CONTINUATION, END_HEADERS, GET),
     Connection(ERR)),
    ("6.10", "CONTINUATION behind DATA",
     lambda c: on_open(DATA, 0, b"x")(c) and c.frame(CONTINUATION, END_HEADERS, 1, GET),
     Connection(ERR)),
    # --- requests
    ("8.1", "trailers", lambda c: trailers(literal("x-a", "1"))(c) and None, Fine()),
    ("8.1", "trailers without END_STREAM", trailers(literal("x-a", "1"), END_HEADERS), Reset(ERR)),
    ("8.1", "a pseudo field in trailers", trailers(literal(":path", "/")), Reset(ERR)),
    ("8.1", "a field of the connection in trailers", trailers(literal("connection", "x")),
     Reset(ERR)),
    ("8.1", "a capital letter in trailers", trailers(literal("X-A", "x")), Reset(ERR)),
    ("8.1.1", "content-length, and no body", body(1), Reset(ERR)),
    ("8.1.1", "content-length, and a shorter body", body(5, b"12", b"3"), Reset(ERR)),
    ("8.1.1", "content-length, and a longer body", body(5, b"12", b"3456"), Reset(ERR)),
    ("8.1.1", "content-length, and a body in pieces", body(5, b"12", b"", b"345", b""), Answer()),
    ("8.1.1", "content-length that is no number", get([("content-length", "x")]), Reset(ERR)),
    ("8.1.1", "content-length that is negative", get([("content-length", "-1")]), Reset(ERR)),
    ("8.1.1", "content-length twice", get([("content-length", "0"), ("content-length", "1")]),
     Reset(ERR)),
    ("8.2", "a capital letter in a name", get([("X-A", "1")]), Reset(ERR)),
    *(("8.2.1", "%r in a name" % c, get([("x" + c + "a", "1")]), Reset(ERR))
      for c in "\0\t\r\n \"(),/:;<=>?@[\\]{}\x7f\x80\xff"),
    ("8.2.1", "an empty name", get([("", "1")]), Reset(ERR)),
    *(("8.2.1", "%r in a value" % c, get([("x-a", "1" + c + "2")]), Reset(ERR)) for c in "\0\r\n"),
    *(("8.2.1", "blanks around a value: %r" % value, get([("x-a", value)]), Reset(ERR))
      for c in " \t" for value in ("1" + c, c + "1", c)),
    *(("8.2.2", "%s: %s" % f, get([f]), Reset(ERR)) for f in (
        ("connection", "close"), ("connection", ""), ("keep-alive", "5"),
        ("proxy-connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"),
        ("te", "gzip"), ("te", "trailers, gzip"))),
    ("8.2.2", "te: trailers", get([("te", "trailers")]), Answer()),
    ("8.2.2", "responses name nothing of the connection", nothing_of_a_connection_passes, Fine()),
    ("8.2.3", "crumbs of a cookie become one field", cookies, Fine()),
    ("8.3", "an unknown pseudo field", get([(":x", "1")]), Reset(ERR)),
    ("8.3", ":status in a request", get([(":status", "200")]), Reset(ERR)),
    ("8.3", "a pseudo field behind others", get([("x-a", "1"), (":path", "/")], path=None),
     Reset(ERR)),
    *(("8.3", "%s twice" % f, get([(f, v)]), Reset(ERR)) for f, v in pseudo()),
    *(("8.3.1", "no :%s" % f, get(**{f: None}), Reset(ERR)) for f in ("method", "scheme", "path")),
    ("8.3.1", "an empty :path", get(path=""), Reset(ERR)),
    ("8.3.1", "an empty :method", get(method=""), Reset(ERR)),
    ("8.3.1", "a :path that does not begin with a slash", get(path="x"), Reset(ERR)),
    ("8.3.1", ":path * for another method than OPTIONS", get(path="*"), Reset(ERR)),
    ("8.3.1", "a blank in :path", get(path="/a b"), Reset(ERR)),
    ("8.3.1", "a line in :path", get(path="/ HTTP/1.1\r\nx: y"), Reset(ERR)),
    ("8.3.1", "a blank in :method", get(method="GET /"), Reset(ERR)),
    ("8.3.1", "userinfo in :authority", get(authority="user@hello"), Answer(400)),
    ("8.3.1", "neither :authority nor host", get(authority=None), Reset(ERR)),
    ("8.3.1", "host in place of :authority", get([("host", "hello")], authority=None), Answer()),
    ("8.3.1", "host beside the same :authority", authority_is_the_host, Fine()),
    ("8.3.1", "host beside another :authority", get([("host", "other")]), Reset(ERR)),
    ("8.5", "CONNECT with :path and :scheme", get(method="CONNECT"), Reset(ERR)),
    ("8.5", "CONNECT without :authority", get(method="CONNECT", path=None, scheme=None,
                                             authority=None), Reset(ERR)),
    ("8.5", "CONNECT", get(method="CONNECT", path=None, scheme=None, authority="hello:80"),
     Answer(501)),
    ("RFC 8441 4", ":protocol without CONNECT", get([(":protocol", "websocket")]), Reset(ERR)),
    ("RFC 8441 4", ":protocol without :path",
     get([(":protocol", "websocket")], method="CONNECT", path=None), Reset(ERR)),
    ("RFC 8441 4", ":protocol without :scheme",
     get([(":protocol", "websocket")], method="CONNECT", scheme=None), Reset(ERR)),
    ("RFC 9218 2.1", "NO_RFC7540_PRIORITIES 2", setting(9, 2), Connection(ERR)),
    # --- header compression
    ("RFC 7541 2.3.3", "an index beyond the tables", hpack(b"\xc6"), BROKEN),
    ("RFC 7541 2.3.3", "an index of a name beyond the tables", hpack(GET + b"\x7f\x27\x011"),
     BROKEN),
    ("RFC 7541 4.2", "a change of the table's size behind a field", hpack(GET + b"\x20"), BROKEN),
    ("RFC 7541 4.2", "two changes of the table's size", hpack(b"\x20\x3f\xe1\x1f" + GET),
     Answer()),
    ("RFC 7541 4.2", "a client without a table", without_a_table, Fine()),
    ("RFC 7541 4.3", "the block of a malformed request counts", malformed_block_is_decoded,
     Answer()),
    ("RFC 7541 4.3", "a table of no bytes loses its entries", table_is_evicted, BROKEN),
    ("RFC 7541 4.4", "an entry larger than the table empties it", table_is_emptied, BROKEN),
    ("RFC 7541 5.1", "an integer of more than 32 bits",
     hpack(GET + b"\xff" + b"\xff" * 9 + b"\x01"), BROKEN),
    ("RFC 7541 5.1", "an integer that does not end", hpack(GET + b"\xff\x80"), BROKEN),
    ("RFC 7541 5.2", "a string longer than the block", hpack(GET + b"\x00\x05ab"), BROKEN),
    ("RFC 7541 5.2", "a field without a value", hpack(GET + b"\x00\x03x-a"), BROKEN),
    ("RFC 7541 5.2", "Huffman code", hpack(GET + b"\x00\x03x-a\x81\x07"), Answer()),
    ("RFC 7541 5.2", "Huffman code with EOS",
     hpack(GET + b"\x00\x03x-a\x84\xff\xff\xff\xff"), BROKEN),
    ("RFC 7541 5.2", "Huffman code with a byte of padding",
     hpack(GET + b"\x00\x03x-a\x82\x07\xff"), BROKEN),
    ("RFC 7541 5.2", "Huffman code with padding of zeros",
     hpack(GET + b"\x00\x03x-a\x81\x00"), BROKEN),
    ("RFC 7541 6.1", "index 0", hpack(GET + b"\x80"), BROKEN),
    ("RFC 7541 6.2.3", "a field that is never indexed",
     hpack(GET + literal("x-a", "1", b"\x10")), Answer()),
    ("RFC 7541 6.3", "a table larger than ours", hpack(b"\x3f\xe2\x1f" + GET), BROKEN),
)]


# --- running them

@contextlib.contextmanager
def world(folder):
    """An activator with a plain listener and one for TLS: a function that runs a case."""
    origin, tls, tls_port = Origin(), Tls(folder), free_port()
    context = tls.context()
    context.set_alpn_protocols(["h2"])
    with running(folder, SERVICES.replace("ORIGIN", str(origin.port)), tls=False,
                 listen=', "127.0.0.1:%d tls"' % tls_port,
                 activator="h2_streams = %d %s" % (
                     STREAMS_MOST, tls.certificate("test", "localhost"))) as s:
        def run(case, is_tls):
            seen = len(origin.heads)
            with H2Client(tls_port if is_tls else s.port, context=context if is_tls else None,
                          preface=getattr(case.send, "preface", True)) as c:
                c.origin = origin
                try:
                    stream = case.send(c)
                except ConnectionError:  # it has ended before all was sent
                    stream = None
                case.expect.check(c, stream)
            if case.section[0] == "8" and isinstance(case.expect, Reset):
                assert not [h for h in origin.heads[seen:] if MALFORMED.match(h)]
        yield run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with world(tmp_path_factory.mktemp("conformance")) as r:
        yield r


@pytest.mark.xdist_group("h2_conformance")
@pytest.mark.parametrize("is_tls", [False, True], ids=["h2c", "tls"])
@pytest.mark.parametrize("case", CASES, ids=["%s %s" % (c.section, c.name) for c in CASES])
def test_conformance(run, case, is_tls):
    run(case, is_tls)


def main():
    """Print the cases as a table; the exit status is 1 where one has failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder, world(folder) as r:
        print("| section | case | expected | h2c | TLS |\n| --- | --- | --- | --- | --- |")
        for case in CASES:
            cells = []
            for is_tls in False, True:
                try:
                    r(case, is_tls)
                    cells.append("yes")
                except (AssertionError, OSError) as e:
                    cells.append("no: %s" % str(e).split("\n")[0])
                    failed += 1
            print("| %s | %s | %s | %s | %s |" % (
                case.section, case.name, case.expect, *cells), flush=True)
    print("\n%d cases, each over both: %d failed" % (len(CASES), failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
