"""Many sockets are ready in one round of the event loop: each peer receives its own bytes, whole
and in order, whether the sockets share system calls (batch = yes) or not."""
import os
import random
import signal
import socket
import time

import pytest

from helpers import WAIT_S, reset, stat_fields, stopped, wait_until
from stack import Client, running, stats

SERVICES = """
service "free" { hosts = {"free"} revision "v1" { command = {"HELLO"} min_scale = 1 } }
service "one" { hosts = {"one"}
    revision "v1" { command = {"HELLO"} container_concurrency = 1 max_scale = 1 min_scale = 1 } }
"""
ALPHABET = bytes(range(ord("a"), ord("z") + 1))
SIZES = 0, 1, 13, 1000, 1900, 2047, 2048, 2049, 5000, 70000


def letters(n):
    return (ALPHABET * (n // 26 + 1))[:n]


class Asker:
    """A client of one kind: ask() sends while the activator is stopped; check() receives when the
    activator continues."""

    def __init__(self, stack, host, rng):
        self.client, self.host, self.rng = stack.connect(), host, rng

    def get(self, size, fields=()):
        self.client.request("GET", "/bytes/%d" % size, self.host, fields=fields)

    def expect(self, *sizes):
        """A response for each size, in order."""
        for size in sizes:
            status, _, body = self.client.response()
            assert (status, body) == (200, letters(size))

    def ask(self):
        self.size = self.rng.choice(SIZES)
        self.get(self.size)

    def check(self):
        self.expect(self.size)


class Poster(Asker):
    def ask(self):
        self.body = letters(self.rng.choice(SIZES))[::-1]
        self.client.request("POST", "/echo", self.host, self.body)

    def check(self):
        status, _, body = self.client.response()
        assert (status, body) == (200, self.body)


class Pipeliner(Asker):
    def ask(self):
        self.sizes = [self.rng.choice(SIZES) for _ in range(5)]
        self.client.sendall(b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (
            size, self.host.encode()) for size in self.sizes))

    def check(self):
        self.expect(*self.sizes)


class ConnectionClose(Asker):
    def ask(self):
        self.size = self.rng.choice(SIZES)
        self.get(self.size, [("Connection", "close")])

    def check(self):
        self.expect(self.size)
        assert self.client.is_closed()


class Http10(Asker):
    def ask(self):
        self.client.sendall(b"GET /bytes/999 HTTP/1.0\r\nHost: %s\r\n\r\n" % self.host.encode())

    def check(self):
        self.expect(999)
        assert self.client.is_closed()


class LongHead(Asker):
    """Longer than one read of a head."""

    def ask(self):
        self.get(13, [("X-Long", "l" * self.rng.choice((1900, 2048, 4000, 9000)))])

    def check(self):
        self.expect(13)


class HalfHead(Asker):
    """The second half of its head comes when the activator continues."""

    def ask(self):
        self.client.sendall(b"GET /bytes/77 HTTP/1.1\r\nHost: ")

    def check(self):
        self.client.sendall(b"%s\r\n\r\n" % self.host.encode())
        self.expect(77)


class Malformed(Asker):
    def ask(self):
        self.client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")

    def check(self):
        assert self.client.response()[0] == 400
        assert self.client.is_closed()


class Resetter(Asker):
    def ask(self):
        self.get(self.rng.choice(SIZES))
        reset(self.client)

    def check(self):
        pass


class HalfCloser(Asker):
    def ask(self):
        self.get(13)
        self.client.shutdown(socket.SHUT_WR)

    def check(self):  # given up; answered only if its FIN was read after the response was sent
        while self.client.more():
            pass


KINDS = (Asker, Asker, Poster, Pipeliner, ConnectionClose, Http10, LongHead, HalfHead, Malformed,
         Resetter, HalfCloser)


def wait_until_none_in_flight(stack):
    def counts():
        return [n for name, n in stack.metrics().items()
                if name.startswith(("activator_revision_in_flight", "activator_revision_parked"))]

    assert counts()
    wait_until(lambda: not any(counts()), what="the end of all requests")


@pytest.mark.parametrize("host", ["free", "one"])
@pytest.mark.parametrize("batch", ["yes", "no"])
def test_clients_of_all_kinds_at_once(tmp_path, batch, host):
    rng = random.Random(20261127)
    with running(tmp_path, SERVICES, workers=1, activator="batch = " + batch) as stack:
        assert stack.get(host)[0] == 200
        lasting = [Asker(stack, host, rng) for _ in range(20)]
        for _ in range(12):
            askers = lasting + [rng.choice(KINDS)(stack, host, rng) for _ in range(40)]
            rng.shuffle(askers)
            with stopped(stack.activator.pid):
                for asker in askers:
                    asker.ask()
            for asker in askers:
                asker.check()
            for asker in askers:
                if asker not in lasting:
                    asker.client.close()
        wait_until_none_in_flight(stack)
        if host == "one":
            assert stats(stack, host)["active_most"] == 1
        for asker in lasting:
            asker.client.close()


class SmallBufferClient(Client):
    """The kernel keeps few received bytes for it."""

    def connect(self, address):
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        super().connect(address)


def ask_many(client, n):
    """Ask for n responses of 1,700 bytes; the connection closes behind the last one."""
    ask = b"GET /bytes/1700 HTTP/1.1\r\nHost: free\r\n"
    client.sendall((ask + b"\r\n") * (n - 1) + ask + b"Connection: close\r\n\r\n")


def expect_many(client, n):
    for _ in range(n):
        assert client.response()[0::2] == (200, letters(1700))
    assert client.is_closed()
    client.close()


def answered(stack):
    return stack.metric('activator_requests_total{outcome="ok"}')


def wait_until_still(stack, since):
    """Wait until more than `since` requests are answered and no more can be, because buffers are
    full: the threads through which requests pass, the workers and those of instances, all sleep."""
    threads = ["/proc/%d/task/%s/stat" % (pid, task)
               for pid in [stack.activator.pid] + stack.instances()
               for task in os.listdir("/proc/%d/task" % pid) if int(task) != stack.activator.pid]

    def all_sleep():
        time.sleep(0.001)
        return all(stat_fields(t)[0] == "S" for t in threads)

    def is_still():
        before = answered(stack)
        # Bytes on the way within the kernel are not seen: look ten times.
        return all(all_sleep() for _ in range(10)) and since < before == answered(stack)

    wait_until(is_still, what="full buffers")


@pytest.mark.parametrize("batch", ["yes", "no"])
def test_a_client_that_does_not_read_receives_all_later(tmp_path, batch):
    """Responses that do not fit into the kernel's buffers wait, whole and in order."""
    sizes = [(i * 37) % 1500 for i in range(4000)]
    with running(tmp_path, SERVICES, workers=1, activator="batch = " + batch) as stack:
        clients = [stack.connect() for _ in range(4)]
        for client in clients:
            client.settimeout(None)
            client.setblocking(False)
        asked = b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: free\r\n\r\n" % n for n in sizes)
        left = {client: asked for client in clients}
        before = -1
        while before != sum(map(len, left.values())):  # until the requests do not fit either
            before, n_answered = sum(map(len, left.values())), answered(stack)
            for client in clients:
                try:
                    while left[client]:
                        left[client] = left[client][client.send(left[client]):]
                except BlockingIOError:
                    pass
            wait_until_still(stack, n_answered - 1)
        for client in clients:
            client.settimeout(WAIT_S)
        for n in sizes:
            for client in clients:
                status, _, body = client.response()
                assert (status, body) == (200, letters(n))
                if left[client]:
                    left[client] = left[client][client.send(left[client]):]
        for client in clients:
            client.close()
        wait_until_none_in_flight(stack)


@pytest.mark.parametrize("batch", ["yes", "no"])
def test_a_last_response_that_does_not_fit_is_whole(tmp_path, batch):
    """The first response that does not fit may be the last before the connection closes.  Clients
    ask for as many responses as fit, for one more, and for a few more or less."""
    with running(tmp_path, SERVICES, workers=1, activator="batch = " + batch) as stack:
        first = SmallBufferClient(stack.port)
        before = answered(stack)
        ask_many(first, 8000)
        wait_until_still(stack, before)
        fitting = int(answered(stack) - before)
        assert fitting < 8000
        expect_many(first, 8000)
        clients = {n: SmallBufferClient(stack.port) for n in range(fitting - 5, fitting + 6)}
        before = answered(stack)
        with stopped(stack.activator.pid):
            for n, client in clients.items():
                ask_many(client, n)
        wait_until_still(stack, before)
        for n, client in clients.items():
            expect_many(client, n)
        wait_until_none_in_flight(stack)


def test_instances_die_while_clients_ask(tmp_path):
    """All kept connections are dead: each request is sent on a new one (promise 2, README)."""
    with running(tmp_path, SERVICES, workers=1) as stack:
        clients = [stack.connect() for _ in range(30)]
        for _ in range(3):
            for client in clients:
                client.request("GET", "/bytes/13", "free")
            for client in clients:
                assert client.response()[0::2] == (200, letters(13))
            # That the instances have answered is known to both programs once these two answer:
            # else the end of an instance counts as a start that has failed.
            stack.metrics()
            stack.why("free/v1")
            with stopped(stack.activator.pid):
                for pid in stack.instances():
                    os.kill(pid, signal.SIGKILL)
                for client in clients:
                    client.request("GET", "/bytes/13", "free")
            for client in clients:
                assert client.response()[0::2] == (200, letters(13))
        for client in clients:
            client.close()
