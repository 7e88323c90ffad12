"""An instance that shows which one it is and what it received, at any address."""
import socket
import threading

from fakes.instance import read_head


class Echo:
    """Answers each request with its own name and the head that it received."""

    def __init__(self, name, at):
        self.name = name
        self.listener = socket.socket(socket.AF_UNIX if isinstance(at, str) else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(at)
        self.listener.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            head, _ = read_head(connection)
            if head is not None:
                body = self.name.encode() + b"\n" + head
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"
                                   b"Connection: close\r\n\r\n" % len(body) + body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # accept(2) under way would keep it open
        self.listener.close()


def name_of(answer):
    return answer[2].split(b"\n")[0].decode()


def fields_of(answer):
    """The fields that the instance received, by their name in lower case."""
    lines = answer[2].decode().split("\n", 1)[1].split("\r\n")[1:]
    return {l.split(": ", 1)[0].lower(): l.split(": ", 1)[1] for l in lines if l}
