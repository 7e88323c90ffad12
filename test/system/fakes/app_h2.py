"""HTTP/2 for app.py."""
import select
import ssl
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings


class Stream:
    def __init__(self, fields):
        self.fields, self.body = fields, b""
        self.is_tunnel = fields.get(":protocol") == "websocket"
        self.gone = threading.Event()


class Connection2:
    """HTTP/2 on a socket.  Each request has a thread; self.change guards all that is shared, and
    tells of windows that have opened."""

    def __init__(self, app, sock):
        self.app, self.sock, self.streams = app, sock, {}
        self.change = threading.Condition()
        self.c = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8"))
        self.c.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})

    def flush(self):
        data = self.c.data_to_send()
        if data:
            self.sock.sendall(data)

    def serve(self):
        with self.change:
            self.c.initiate_connection()
            self.flush()
        try:
            while True:
                data = self.receive()
                if not data:
                    return
                with self.change:
                    for event in self.c.receive_data(data):
                        self.handle(event)
                    self.change.notify_all()
                    self.flush()
        finally:
            for stream in self.streams.values():
                stream.gone.set()

    def receive(self):
        """As recv().  A TLS socket is not for two threads at a time: what waits to be read shows
        without reading, but for what is in the socket's own buffer."""
        while True:
            if not (hasattr(self.sock, "pending") and self.sock.pending()):
                select.select([self.sock], [], [])
            with self.change:
                self.sock.setblocking(False)
                try:
                    return self.sock.recv(65536)
                except (BlockingIOError, ssl.SSLWantReadError):
                    pass
                finally:
                    self.sock.setblocking(True)

    def handle(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[event.stream_id] = Stream(dict(event.headers))
            if stream.is_tunnel:
                self.c.send_headers(event.stream_id, [(":status", "200")])
        elif isinstance(event, h2.events.DataReceived):
            self.c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if stream.is_tunnel:
                self.c.send_data(event.stream_id, event.data.upper())
            else:
                stream.body += event.data
        elif isinstance(event, h2.events.StreamEnded):
            if stream.is_tunnel:
                self.c.send_data(event.stream_id, b"BYE", end_stream=True)
            else:
                threading.Thread(target=self.answer, args=(event.stream_id, stream),
                                 daemon=True).start()
        elif isinstance(event, h2.events.StreamReset):
            stream.gone.set()

    def answer(self, number, stream):
        body = self.app.handle(stream.fields[":method"], stream.fields[":path"], stream.fields,
                               stream.body, lambda: stream.gone.wait(0.02))
        try:
            if body is not None:
                with self.change:
                    self.c.send_headers(number, [(":status", "200"),
                                                 ("content-length", str(len(body)))])
                    self.send(number, stream, body)
        except (OSError, h2.exceptions.ProtocolError):
            pass  # the other side has left

    def send(self, number, stream, body):
        while not stream.gone.is_set():
            n = min(self.c.local_flow_control_window(number), self.c.max_outbound_frame_size)
            is_last = len(body) <= n
            if n > 0 or is_last:
                self.c.send_data(number, body[:n], end_stream=is_last)
                self.flush()
                body = body[n:]
                if is_last:
                    return
            else:
                self.flush()
                self.change.wait()
