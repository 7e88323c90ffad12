"""An autoscaler as the activator sees one: the link, and no decisions behind it.

It speaks version 1 of the protocol (activator-protocol(7)).  It has no thread of its own: it
reads and sends only inside the calls made here, so a test decides in which order messages are
read, which are lost, and when the link breaks.
"""
import json
import os
import socket
import time


class Scripted:
    """Listens at `path`, for one activator at a time.  No call takes longer than `patience`
    seconds."""

    def __init__(self, path, patience):
        self.path, self.patience = path, patience
        self.link, self.buffer, self.generation = None, b"", 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(patience)
        self.listener.bind(path)
        self.listener.listen(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close_link()
        self.listener.close()
        os.unlink(self.path)

    def send(self, **message):
        self.send_all([message])

    def send_all(self, messages):
        """The activator reads all of them at once."""
        self.link.sendall(b"".join(json.dumps(m).encode() + b"\n" for m in messages))

    def greet(self, protocol, term=None):
        """term: under which it gives out shares."""
        self.link, _ = self.listener.accept()
        self.buffer, self.is_first = b"", True
        self.generation += 1
        more = {} if term is None else {"features": ["shares"], "term": term}
        self.send(type="hello", protocol=protocol, role="autoscaler",
                  id="scripted-%d" % self.generation, **more)

    def refuse_link(self, protocol):
        """Accept the next link, with a hello that the activator refuses."""
        self.greet(protocol)
        self.wait_for_end()

    def accept_link(self, service, hosts, revision, services=1, limits=None, term=None):
        """Accept the next link, and describe one service of one revision without any instance.
        services: the number in `end`."""
        self.greet(1, term)
        self.wait_for("hello")
        self.describe(service, hosts, revision, services, limits)

    def describe(self, service, hosts, revision, services=1, limits=None):
        """The table: one service, whose instances stay those of the messages before."""
        self.send_all(self.description(service, hosts, revision, services, limits))

    def description(self, service, hosts, revision, services=1, limits=None):
        instances = [] if self.is_first else None
        self.is_first = False
        return [{"type": "begin", "generation": self.generation},
                {"type": "service", "name": service, "hosts": hosts,
                 "traffic": [{"revision": revision, "percent": 100}],
                 "revisions": [{"name": revision, "limits": limits or {}, "wanted": 0,
                                "instances": instances}]},
                {"type": "end", "generation": self.generation, "services": services}]

    def wait_for_end(self):
        """Read until the activator has closed the link, and close it."""
        self.link.settimeout(self.patience)
        try:
            while self.link.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        self.close_link()

    def close_link(self):
        if self.link is not None:
            self.link.close()
        self.link = None

    def instances(self, revision, wanted, instances):
        self.send(type="instances", revision=revision, wanted=wanted, target=100,
                  instances=instances)

    def next(self):
        """The next message, of whatever type."""
        end = time.monotonic() + self.patience
        while b"\n" not in self.buffer:
            self.link.settimeout(max(end - time.monotonic(), 0.001))
            data = self.link.recv(1 << 16)
            assert data, "the activator has closed the link"
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def wait_for(self, kind, **members):
        """The next message of a type, with these members; those before it are dropped."""
        end = time.monotonic() + self.patience
        while True:
            assert time.monotonic() < end, "waited in vain for %s %r" % (kind, members)
            m = self.next()
            if m["type"] == kind and all(m.get(k) == v for k, v in members.items()):
                return m
