#!/usr/bin/python3
"""An instance that is started like any other program, and speaks HTTP at $PORT: app.py NAME [h2]
[CERTIFICATE KEY]; with h2, HTTP/2 in place of HTTP/1.1; with a certificate, by TLS.

  /          its name                          ?until=FILE: once that file exists; FILE.asked is
                                               there as soon as it waits
  /log       the x-id fields in the order of arrival
  /stats     JSON: requests, active_most (at once), cancelled (the other side ended while they waited)
  POST       the request's body; the paths above do not matter
An Upgrade to websocket, and what it is in HTTP/2, is accepted; the tunnel returns what it gets in
capital letters."""
import base64
import hashlib
import json
import os
import re
import socket
import ssl
import sys
import threading

ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class App:
    def __init__(self, name):
        self.name, self.lock, self.log = name, threading.Lock(), []
        self.requests = self.active = self.active_most = self.cancelled = 0

    def handle(self, method, path, fields, body, is_gone):
        """The body of the response, or None where the client is gone.  is_gone(): wait a little;
        whether it is."""
        with self.lock:
            self.requests += 1
            self.active += 1
            self.active_most = max(self.active_most, self.active)
            if "x-id" in fields:
                self.log.append(fields["x-id"])
        try:
            until = re.search(r"\?until=(.*)", path)
            if until:
                open(until[1] + ".asked", "w").close()
            while until and not os.path.exists(until[1]):
                if is_gone():
                    self.cancelled += 1
                    return None
            if method == "POST":
                return body
            if path == "/log":
                return " ".join(self.log).encode()
            if path == "/stats":
                return json.dumps({k: getattr(self, k) for k in (
                    "requests", "active_most", "cancelled")}).encode()
            return self.name.encode()
        finally:
            with self.lock:
                self.active -= 1


class Connection:
    """HTTP/1.1 on a socket."""

    def __init__(self, app, sock):
        self.app, self.sock, self.rest = app, sock, b""

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError("ended")
        self.rest += data

    def until(self, end):
        while end not in self.rest:
            self.more()
        piece, self.rest = self.rest.split(end, 1)
        return piece

    def exactly(self, n):
        while len(self.rest) < n:
            self.more()
        piece, self.rest = self.rest[:n], self.rest[n:]
        return piece

    def body(self, fields):
        if fields.get("transfer-encoding") != "chunked":
            return self.exactly(int(fields.get("content-length", 0)))
        body = b""
        while True:
            n = int(self.until(b"\r\n"), 16)
            body += self.exactly(n)
            self.until(b"\r\n")
            if n == 0:
                return body

    def is_gone(self):
        self.sock.settimeout(0.02)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(None)

    def tunnel(self, fields):
        key = fields["sec-websocket-key"].encode()
        self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          b"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" %
                          base64.b64encode(hashlib.sha1(key + ACCEPT).digest()))
        while True:
            self.sock.sendall(self.rest.upper())
            self.rest = self.sock.recv(65536)
            if not self.rest:
                self.sock.sendall(b"BYE")
                return

    def serve(self):
        while True:
            lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ")
            fields = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines[1:])}
            if fields.get("upgrade") == "websocket":
                self.tunnel(fields)
                return
            body = self.app.handle(method, path, fields, self.body(fields), self.is_gone)
            if body is None:
                return
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body), body))


def serve(app, sock, context, kind):
    try:
        if context is not None:
            sock = context.wrap_socket(sock, server_side=True)
        with sock:
            kind(app, sock).serve()
    except OSError:
        pass


def main(name, *words):
    app, context, kind = App(name), None, Connection
    if words[:1] == ("h2",):
        from app_h2 import Connection2  # it takes a third of a second
        kind, words = Connection2, words[1:]
    if words:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*words)
        context.set_alpn_protocols(["http/1.1" if kind is Connection else "h2"])
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=200)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(app, sock, context, kind), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
