"""An instance that speaks HTTP/2 with prior knowledge, or by TLS, frame by frame as a test wants."""
import collections
import contextlib
import socket
import struct

import hpack

from fakes.instance import FakeInstance
from h2client import ACK, CONNECT_PROTOCOL, GOAWAY, PING, PREFACE, SETTINGS, H2Client


class Request:
    """What has come for a stream."""

    def __init__(self):
        self.fields, self.body, self.trailers = None, b"", None
        self.reset, self.is_ended, self.window = None, False, 0
        self.is_answered = False  # the test's

    def add_head(self, fields):
        if self.fields is None:
            self.fields = fields
        else:
            self.trailers = fields


class Peer(H2Client):
    """A connection.  on_request(peer, id) is called when the head of a request has come, and
    on_end(peer, id) when the request is whole.  says_pong False: no PING is answered."""

    def __init__(self, link, origin):
        self.link, self.origin = link, origin
        self.sendall, self.close = link.sendall, link.close
        self.takes, self.rest, self.is_eof = True, b"", False
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams = collections.defaultdict(self._new_stream)
        self.settings, self.window = {}, 65535
        self.goaways, self.pongs, self.acks, self.pings = [], 0, 0, []
        self.says_pong = True

    def _new_stream(self):
        request = Request()
        request.window = self.settings.get(4, 65535)
        return request

    def say_settings(self, settings):
        self.frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *s) for s in settings))

    def run(self):
        text = b""
        while len(text) < len(PREFACE):
            got = self.link.recv(len(PREFACE) - len(text))
            if not got:
                return
            text += got
        assert text == PREFACE
        self.origin.peers.append(self)
        if self.origin.settings is not None:
            self.say_settings(self.origin.settings)
        seen, ended = set(), set()
        while True:
            f = self.pump()
            if f is None:
                return
            for stream, r in list(self.streams.items()):
                if r.fields is not None and stream not in seen:
                    seen.add(stream)
                    self.origin.note(self, stream, r)
                    self.origin.on_request(self, stream)
                if r.is_ended and stream not in ended and r.fields is not None:
                    ended.add(stream)
                    if r.reset is None:
                        self.origin.on_end(self, stream)

    def frame(self, kind, flags=0, stream=0, payload=b""):
        if self.origin.is_mute:
            return
        if kind == PING and flags & ACK and not self.says_pong:
            self.pings.append(payload)
            return
        super().frame(kind, flags, stream, payload)

    @contextlib.contextmanager
    def together(self):
        """The frames of the block are written at once."""
        pieces = []
        self.sendall = pieces.append
        try:
            yield
        finally:
            self.sendall = self.link.sendall
            self.sendall(b"".join(pieces))

    def pong_all(self):
        self.says_pong = True
        pings, self.pings = self.pings, []
        for payload in pings:
            self.frame(PING, ACK, 0, payload)

    def answer(self, stream, body=b"origin", status=200, fields=(), trailers=None):
        self.head([(":status", str(status)), *fields], end=not body and trailers is None,
                  stream=stream)
        if body:
            self.data(stream, body, end=trailers is None)
        if trailers is not None:
            self.head(trailers, end=True, stream=stream)

    def goaway(self, last, code=0):
        self.frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


class H2Origin(FakeInstance):
    """settings: None: it never sends SETTINGS.  is_mute: it reads, and sends nothing.  on_request and on_end may be replaced; each is
    called in the thread of its connection.  context: of TLS."""

    def __init__(self, settings=((CONNECT_PROTOCOL, 1),), context=None):
        self.settings, self.is_mute, self.context = settings, False, context
        self.forget()
        super().__init__()

    def forget(self):
        self.peers, self.requests = [], []
        self.on_request = lambda peer, stream: None
        self.on_end = lambda peer, stream: peer.answer(stream)

    def note(self, peer, stream, request):
        self.requests.append((peer, stream, request))

    def serve(self, connection):
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True)
        peer = Peer(connection, self)
        try:
            peer.run()
        except OSError:
            pass
