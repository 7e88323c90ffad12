"""HTTP/1.1 for servers, one request at a time on a connection: keep-alive, bodies with a length
or in chunks, answers whole or in chunks."""
import asyncio
import json
import socket
import struct
import time
import urllib.parse
import zlib

REASONS = {200: "OK", 201: "Created", 202: "Accepted", 400: "Bad Request", 401: "Unauthorized",
           403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
           410: "Gone", 415: "Unsupported Media Type", 422: "Unprocessable Entity",
           429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
           504: "Gateway Timeout"}
WHOLE = 2048  # bytes; a real server sends a longer body in chunks


class Request:
    def __init__(self, method, target, fields, body, at_ns):
        self.method, self.fields, self.body, self.at_ns = method, fields, body, at_ns
        self.target = target
        path, _, query = target.partition("?")
        self.path = urllib.parse.unquote(path)
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def json(self):
        return json.loads(self.body) if self.body else {}


class Connection(asyncio.Protocol):
    """handle(connection, request) is called for each request; done() ends it."""
    last = 0

    def __init__(self, handle, all_connections):
        self.handle, self.all = handle, all_connections
        Connection.last += 1
        self.number = Connection.last
        self.buffer, self.is_busy, self.is_open = bytearray(), False, False
        self.first_ns = 0
        self.on_lost = None
        self.must_close = False
        self.gzip = False

    def connection_made(self, transport):
        self.transport, self.is_open = transport, True
        self.all.add(self)

    def connection_lost(self, exc):
        self.is_open = False
        self.all.discard(self)
        if self.on_lost:
            self.on_lost()

    def data_received(self, data):
        if not self.buffer:
            self.first_ns = time.monotonic_ns()
        self.buffer += data
        if not self.is_busy:
            self._next()

    def _next(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        start = end + 4
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body, used = self._chunked(start)
            if body is None:
                return
        else:
            n = int(fields.get("content-length") or 0)
            if fields.get("expect") and len(self.buffer) == start:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(self.buffer) < start + n:
                return
            body, used = bytes(self.buffer[start:start + n]), start + n
        del self.buffer[:used]
        method, target, _ = lines[0].split(" ", 2)
        self.is_busy = True
        self.must_close = fields.get("connection", "").lower() == "close"
        self.gzip = "gzip" in fields.get("accept-encoding", "")
        self.handle(self, Request(method, target, fields, body, self.first_ns))

    def _chunked(self, at):
        body = b""
        while True:
            end = self.buffer.find(b"\r\n", at)
            if end < 0:
                return None, 0
            n = int(bytes(self.buffer[at:end]).split(b";")[0], 16)
            if len(self.buffer) < end + 2 + n + 2:
                return None, 0
            body += self.buffer[end + 2:end + 2 + n]
            at = end + 4 + n
            if n == 0:
                return body, at

    # ---- answers
    def head(self, code, fields):
        text = "HTTP/1.1 %d %s\r\nCache-Control: no-cache, private\r\n" % (
            code, REASONS.get(code, "Unknown"))
        text += "".join("%s: %s\r\n" % f for f in fields.items())
        if self.must_close:
            text += "Connection: close\r\n"
        return text.encode() + b"\r\n"

    def message(self, code, body, fields=None):
        """The bytes of a whole answer."""
        fields = {"Content-Type": "application/json", **(fields or {})}
        if self.gzip and len(body) > 131072:
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            body = packer.compress(body) + packer.flush()
            fields["Content-Encoding"] = "gzip"
        if len(body) <= WHOLE:
            fields["Content-Length"] = len(body)
            return self.head(code, fields) + body
        fields["Transfer-Encoding"] = "chunked"
        parts = [self.head(code, fields)]
        for i in range(0, len(body), 32768):
            parts.append(chunk(body[i:i + 32768]))
        return b"".join(parts) + b"0\r\n\r\n"

    def write(self, data):
        if self.is_open:
            self.transport.write(data)

    def done(self):
        """The answer is written: handle the next request, if it has come."""
        self.on_lost = None
        if self.must_close:
            self.close()
            return
        self.is_busy = False
        if self.buffer and self.is_open:
            self._next()

    def close(self):
        if self.is_open:
            self.transport.close()

    def reset(self):
        """Send a reset, and drop what is not sent yet."""
        if self.is_open:
            s = self.transport.get_extra_info("socket")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)
