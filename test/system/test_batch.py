"""Many sockets that are ready in one round: what each says and hears is its own, whole and in
order, whether they share system calls or not."""
import os
import random
import signal
import socket

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
    """A client of one kind: what it sends while the activator is stopped, and what it must
    hear when that goes on."""

    def __init__(self, stack, host, rng):
        self.client, self.host, self.rng = stack.connect(), host, rng

    def get(self, size, fields=()):
        self.client.request("GET", "/bytes/%d" % size, self.host, fields=fields)

    def hear(self, *sizes):
        for size in sizes:
            status, _, body = self.client.response()
            assert (status, body) == (200, letters(size))

    def ask(self):
        self.size = self.rng.choice(SIZES)
        self.get(self.size)

    def check(self):
        self.hear(self.size)


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
        self.hear(*self.sizes)


class Closer(Asker):
    def ask(self):
        self.size = self.rng.choice(SIZES)
        self.get(self.size, [("Connection", "close")])

    def check(self):
        self.hear(self.size)
        assert self.client.is_closed()


class Old(Asker):
    def ask(self):
        self.client.sendall(b"GET /bytes/999 HTTP/1.0\r\nHost: %s\r\n\r\n" % self.host.encode())

    def check(self):
        self.hear(999)
        assert self.client.is_closed()


class BigHead(Asker):
    """Larger than what is read of a head in one go."""

    def ask(self):
        self.get(13, [("X-Long", "l" * self.rng.choice((1900, 2048, 4000, 9000)))])

    def check(self):
        self.hear(13)


class Halved(Asker):
    def ask(self):
        self.client.sendall(b"GET /bytes/77 HTTP/1.1\r\nHost: ")

    def check(self):
        self.client.sendall(b"%s\r\n\r\n" % self.host.encode())
        self.hear(77)


class Wrong(Asker):
    def ask(self):
        self.client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")

    def check(self):
        assert self.client.response()[0] == 400
        assert self.client.is_closed()


class Leaver(Asker):
    def ask(self):
        self.get(self.rng.choice(SIZES))
        reset(self.client)

    def check(self):
        pass


class Shutter(Asker):
    def ask(self):
        self.get(13)
        self.client.shutdown(socket.SHUT_WR)

    def check(self):  # it has left, or is served if its end came after the answer
        while self.client.more():
            pass


KINDS = Asker, Asker, Poster, Pipeliner, Closer, Old, BigHead, Halved, Wrong, Leaver, Shutter


def settle(stack):
    def left():
        return [n for name, n in stack.metrics().items()
                if name.startswith(("activator_revision_in_flight", "activator_revision_parked"))]

    assert left()
    wait_until(lambda: not any(left()),
               what="the end of all requests")


@pytest.mark.parametrize("host", ["free", "one"])
@pytest.mark.parametrize("batch", ["yes", "no"])
def test_a_crowd_of_all_kinds(tmp_path, batch, host):
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
        settle(stack)
        if host == "one":
            assert stats(stack, host)["active_most"] == 1
        for asker in lasting:
            asker.client.close()


class Narrow(Client):
    """Takes little before it reads."""

    def connect(self, address):
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        super().connect(address)


def ask_many(client, n):
    """n answers of 1,700 bytes, and the end."""
    ask = b"GET /bytes/1700 HTTP/1.1\r\nHost: free\r\n"
    client.sendall((ask + b"\r\n") * (n - 1) + ask + b"Connection: close\r\n\r\n")


def hear_many(client, n):
    for _ in range(n):
        assert client.response()[0::2] == (200, letters(1700))
    assert client.is_closed()
    client.close()


def answers(stack):
    return stack.metric('activator_requests_total{outcome="ok"}')


def is_still(stack, since):
    """Nothing goes any more after `since` answers: all sleep, and none was given meanwhile."""
    before = answers(stack)
    for pid in [stack.activator.pid] + stack.instances():
        for task in os.listdir("/proc/%d/task" % pid):
            if stat_fields("/proc/%d/task/%s/stat" % (pid, task))[0] != "S":
                return False
    return since < before == answers(stack)


def wait_until_still(stack, since):
    # What the kernel has not passed on yet is not seen: ten looks.
    wait_until(lambda: all(is_still(stack, since) for _ in range(10)),
               what="the end of what fits")


@pytest.mark.parametrize("batch", ["yes", "no"])
def test_who_does_not_read_gets_all_of_it_later(tmp_path, batch):
    """Answers that no longer fit into what the kernel holds wait, whole and in order."""
    sizes = [(i * 37) % 1500 for i in range(4000)]
    with running(tmp_path, SERVICES, workers=1, activator="batch = " + batch) as stack:
        clients = [stack.connect() for _ in range(4)]
        for client in clients:
            client.settimeout(None)
            client.setblocking(False)
        asked = b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: free\r\n\r\n" % n for n in sizes)
        left = {client: asked for client in clients}
        before = -1
        while before != sum(map(len, left.values())):  # until nothing goes any more
            before, answered = sum(map(len, left.values())), answers(stack)
            for client in clients:
                try:
                    while left[client]:
                        left[client] = left[client][client.send(left[client]):]
                except BlockingIOError:
                    pass
            wait_until_still(stack, answered - 1)
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
        settle(stack)


@pytest.mark.parametrize("batch", ["yes", "no"])
def test_a_last_answer_that_does_not_fit_is_whole(tmp_path, batch):
    """The answer that finds no more room may be the last before the end: as many as fit,
    one more, and a few around that, are asked for in one go."""
    with running(tmp_path, SERVICES, workers=1, activator="batch = " + batch) as stack:
        first = Narrow(stack.port)
        before = answers(stack)
        ask_many(first, 8000)
        wait_until_still(stack, before)
        fitting = int(answers(stack) - before)
        assert fitting < 8000
        hear_many(first, 8000)
        clients = {n: Narrow(stack.port) for n in range(fitting - 5, fitting + 6)}
        before = answers(stack)
        with stopped(stack.activator.pid):
            for n, client in clients.items():
                ask_many(client, n)
        wait_until_still(stack, before)
        for n, client in clients.items():
            hear_many(client, n)
        settle(stack)


def test_instances_that_die_under_a_crowd(tmp_path):
    """Kept connections, all dead at once: each request goes on a new one (promise 2)."""
    with running(tmp_path, SERVICES, workers=1) as stack:
        clients = [stack.connect() for _ in range(30)]
        for _ in range(3):
            for client in clients:
                client.request("GET", "/bytes/13", "free")
            for client in clients:
                assert client.response()[0::2] == (200, letters(13))
            with stopped(stack.activator.pid):
                for pid in stack.instances():
                    os.kill(pid, signal.SIGKILL)
                for client in clients:
                    client.request("GET", "/bytes/13", "free")
            for client in clients:
                assert client.response()[0::2] == (200, letters(13))
        for client in clients:
            client.close()
