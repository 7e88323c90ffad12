"""An instance that answers the health check of gRPC as a test says, and all HTTP/1.1 with 200."""
import contextlib
import struct
import threading

import h2.config
import h2.connection
import h2.events

from fakes.instance import OK, FakeInstance, read_head

SERVING, NOT_SERVING = 1, 2
UNIMPLEMENTED, NOT_FOUND, UNAVAILABLE = "12", "5", "14"


def message(status):
    return b"\0" + struct.pack(">I", 2) + b"\x08" + bytes([status])


class Health(FakeInstance):
    """says: a status of the health service (int), a grpc-status (str), "reset", "silence", or bytes
    in place of HTTP/2.  http1: the answer to HTTP/1.1.  asked: the names of the services that probes have asked about.  context: of
    TLS.  versions: of HTTP, one for each connection."""

    def __init__(self, says=SERVING, context=None):
        self.says, self.context, self.http1 = says, context, OK
        self.asked, self.paths, self.versions = [], [], []
        self.is_over = threading.Event()
        super().__init__()

    def serve(self, connection):
        if self.context is not None:
            with self.context.wrap_socket(connection, server_side=True) as c:
                self.talk(c)
        else:
            self.talk(connection)

    def talk(self, connection):
        data = connection.recv(65536)
        if data:
            self.versions.append("h2c" if data.startswith(b"PRI ") else "http1")
        if data.startswith(b"PRI "):
            self.speak_h2(connection, data)
            return
        head, _ = read_head(connection, data)
        if head is not None:
            self.paths.append(head.split(b" ")[1].decode())
            connection.sendall(self.http1)

    def speak_h2(self, connection, data):
        if isinstance(self.says, bytes):
            connection.sendall(self.says)
            return
        c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        c.initiate_connection()
        body = b""
        while data:
            for event in c.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.RequestReceived):
                    path = dict(event.headers)[b":path"].decode()
                elif isinstance(event, h2.events.StreamEnded):
                    self.answer(c, event.stream_id, path, body)
            connection.sendall(c.data_to_send())
            data = connection.recv(65536)

    def answer(self, c, stream, path, body):
        self.paths.append(path)
        self.asked.append(body[7:].decode())
        head = [(":status", "200"), ("content-type", "application/grpc")]
        if self.says == "silence":
            self.is_over.wait(10)
        elif self.says == "reset":
            c.reset_stream(stream, 2)
        elif isinstance(self.says, str):
            c.send_headers(stream, head + [("grpc-status", self.says)], end_stream=True)
        else:
            c.ping(b"how fast")
            c.send_headers(stream, head)
            c.send_data(stream, message(self.says))
            c.send_headers(stream, [("grpc-status", "0")], end_stream=True)
