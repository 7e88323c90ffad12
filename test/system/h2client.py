"""A client of HTTP/2, with prior knowledge or by TLS, that sends exactly the test's frames."""
import collections
import socket
import struct

import hpack

from helpers import WAIT_S
from tls import TlsConnection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = \
    range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_STREAMS, INITIAL_WINDOW, CONNECT_PROTOCOL = 3, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, CALM = 0, 1, 2, 7, 8, 11

Frame = collections.namedtuple("Frame", "type flags stream payload")


class Stream:
    """What has come for a stream.  reset: the code of its RST_STREAM."""

    def __init__(self):
        self.status, self.fields, self.body, self.trailers = None, {}, b"", {}
        self.interim, self.reset, self.is_ended = [], None, False
        self.window = 0

    def add_head(self, fields):
        status = int(fields.get(":status", 0))
        if 100 <= status < 200:
            self.interim.append((status, fields))
        elif self.status is None:
            self.status, self.fields = status, fields
        else:
            self.trailers = fields


class H2Client:
    """takes: give the server new room for all bytes that have come.  Otherwise the test says
    when.  context: of TLS.  link: a connection in place of a new one."""

    def __init__(self, port, settings=(), takes=True, preface=True, context=None, link=None):
        if link is None:
            link = socket.create_connection(("127.0.0.1", port), WAIT_S)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.link = link if context is None else TlsConnection(link, context)
        self.sendall, self.close = self.link.sendall, self.link.close
        self.takes, self.rest, self.is_eof = takes, b"", False
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams = collections.defaultdict(self._new_stream)
        self.settings, self.window, self.next_id = {}, 65535, 1
        self.goaways, self.pongs, self.acks = [], 0, 0
        if preface:
            self.sendall(PREFACE)
            self.frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *s) for s in settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _new_stream(self):
        stream = Stream()
        stream.window = self.settings.get(INITIAL_WINDOW, 65535)
        return stream

    # --- sending

    def frame(self, kind, flags=0, stream=0, payload=b""):
        self.sendall(self.packed(kind, flags, stream, payload))

    @staticmethod
    def packed(kind, flags=0, stream=0, payload=b""):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags,
                                                                 stream) + payload

    def head(self, fields, end=True, stream=None):
        """Send a head; the stream."""
        if stream is None:
            stream, self.next_id = self.next_id, self.next_id + 2
        block = self.encoder.encode(list(fields), huffman=False)
        pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        for i, piece in enumerate(pieces):
            last = END_HEADERS if i == len(pieces) - 1 else 0
            if i == 0:
                self.frame(HEADERS, last | (END_STREAM if end else 0), stream, piece)
            else:
                self.frame(CONTINUATION, last, stream, piece)
        return stream

    def request(self, path="/", host="hello", method="GET", fields=(), end=True):
        return self.head([(":method", method), (":scheme", "http"), (":authority", host),
                          (":path", path), *fields], end)

    def data(self, stream, payload, end=False):
        self.frame(DATA, END_STREAM if end else 0, stream, payload)

    def body(self, stream, body, end=True):
        """Send a body as the windows allow."""
        self.wait_settings()
        at = 0
        while at < len(body) or (end and at == 0 and not body):
            room = min(self.window, self.streams[stream].window, 16384, len(body) - at)
            if room <= 0 and body:
                self.pump()
                continue
            piece = body[at:at + room]
            at += room
            self.window -= room
            self.streams[stream].window -= room
            self.data(stream, piece, end and at == len(body))
            if not body:
                return

    def reset(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    def open_window(self, stream, n):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))

    # --- receiving

    def next_frame(self):
        """The next frame, or None at the end of the connection."""
        while len(self.rest) < 9 or len(self.rest) < 9 + int.from_bytes(self.rest[:3], "big"):
            try:
                data = self.link.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                self.is_eof = True
                return None
            self.rest += data
        n = int.from_bytes(self.rest[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.rest[3:9])
        payload, self.rest = self.rest[9:9 + n], self.rest[9 + n:]
        return Frame(kind, flags, stream & 0x7fffffff, payload)

    def pump(self):
        """Read one frame and note what it says.  None at the end."""
        f = self.next_frame()
        if f is None:
            return None
        if f.type == SETTINGS and not f.flags & ACK:
            old = self.settings.get(INITIAL_WINDOW, 65535)
            for at in range(0, len(f.payload), 6):
                key, value = struct.unpack(">HI", f.payload[at:at + 6])
                self.settings[key] = value
            for stream in self.streams.values():
                stream.window += self.settings.get(INITIAL_WINDOW, 65535) - old
            self.frame(SETTINGS, ACK)
        elif f.type == SETTINGS:
            self.acks += 1
        elif f.type == PING and not f.flags & ACK:
            self.frame(PING, ACK, 0, f.payload)
        elif f.type == PING:
            self.pongs += 1
        elif f.type == GOAWAY:
            last, code = struct.unpack(">II", f.payload[:8])
            self.goaways.append((last & 0x7fffffff, code))
        elif f.type == WINDOW_UPDATE:
            more, = struct.unpack(">I", f.payload)
            if f.stream == 0:
                self.window += more
            else:
                self.streams[f.stream].window += more
        elif f.type == RST_STREAM:
            self.streams[f.stream].reset, = struct.unpack(">I", f.payload)
            self.streams[f.stream].is_ended = True
        elif f.type == HEADERS:
            self._headers(f)
        elif f.type == DATA:
            stream = self.streams[f.stream]
            stream.body += f.payload
            stream.is_ended |= bool(f.flags & END_STREAM)
            if self.takes and f.payload:
                self.open_window(0, len(f.payload))
                if not stream.is_ended:
                    self.open_window(f.stream, len(f.payload))
        return f

    def _headers(self, f):
        block, flags = f.payload, f.flags
        while not flags & END_HEADERS:
            more = self.next_frame()
            assert more.type == CONTINUATION and more.stream == f.stream
            block, flags = block + more.payload, more.flags
        fields = dict((n.decode() if isinstance(n, bytes) else n,
                       v.decode() if isinstance(v, bytes) else v)
                      for n, v in self.decoder.decode(block))
        self.streams[f.stream].add_head(fields)
        self.streams[f.stream].is_ended |= bool(f.flags & END_STREAM)

    def wait(self, condition, what):
        while not condition():
            assert self.pump() is not None, "the connection ended before %s; %r" % (
                what, self.goaways)

    def wait_settings(self):
        self.wait(lambda: self.settings, "SETTINGS")

    def response(self, stream):
        """The stream, once it has ended."""
        self.wait(lambda: self.streams[stream].is_ended, "the end of stream %d" % stream)
        return self.streams[stream]

    def get(self, path="/", host="hello", **more):
        return self.response(self.request(path, host, **more))

    def ping(self):
        """Wait until the server has read all that was sent."""
        before = self.pongs
        self.frame(PING, 0, 0, b"12345678")
        self.wait(lambda: self.pongs > before, "the answer to a PING")

    def end(self):
        """Read to the end of the connection; the code of the last GOAWAY, or None."""
        while self.pump() is not None:
            pass
        return self.goaways[-1][1] if self.goaways else None
