"""An instance as the activator sees one: a listening socket whose answers a test decides."""
import contextlib
import socket
import threading

from helpers import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def listening_socket(port, backlog=100):
    return socket.create_server(("127.0.0.1", port), backlog=backlog)


def read_head(connection, data=b""):
    """Read on from data to the end of a request head: (head, bytes behind it).  (None, data)
    where the connection ends before that."""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None, data
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    return head + b"\r\n\r\n", rest


class FakeInstance:
    """Listens at a free port.  Each connection has a thread, which calls serve() and then closes
    the connection."""

    def __init__(self):
        self.port = free_port()
        self.listener = None
        self.listen()

    def listen(self):
        self.listener = listening_socket(self.port)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """Refuse connections from now on."""
        self.listener.shutdown(socket.SHUT_RDWR)  # accept(2) under way would keep it open
        self.listener.close()
        self.listener = None

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            self.serve(connection)

    def serve(self, connection):
        raise NotImplementedError
