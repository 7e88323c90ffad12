"""Clients of several kinds, and a record of every request: when it was sent, by which activator, and
what its client saw."""
import contextlib
import random
import socket
import threading
import time

from h2client import NO_ERROR, H2Client
from helpers import WAIT_S
from stack import Client, TlsClient

FNV, PRIME, MASK = 14695981039346656037, 1099511628211, (1 << 64) - 1


def fnv(data):
    h = FNV
    for b in data:
        h = (h ^ b) * PRIME & MASK
    return h


BODIES = [(b, fnv(b)) for b in (b"", b"x", bytes(range(256)) * 20, bytes(range(251)) * 500)]


class Asked:
    """A request, and what became of it.  outcome: ok; the reason of a refusal; wrong (an answer that
    is not its own); cut (the connection ended within the response); gone (before it); refused (no
    connection); left (the client did not wait); late (nothing came within WAIT_S); unprocessed (of a
    connection of HTTP/2 that had been closed in order: its GOAWAY says so).
    expects: what may come without any fault."""

    def __init__(self, id, kind, service, activator, path, method="GET", expects=("ok",)):
        self.id, self.kind, self.service, self.activator = id, kind, service, activator
        self.path, self.method, self.expects = path, method, set(expects)
        self.opened = self.sent = time.monotonic()  # the connection; the request
        self.ended = self.outcome = self.detail = None

    @property
    def is_idempotent(self):
        return self.method != "POST"

    def end(self, outcome, detail=""):
        self.outcome, self.detail, self.ended = outcome, detail, time.monotonic()

    def __str__(self):
        return "%s %s %s %s by %s: sent %.3f ended %.3f %s %s" % (
            self.id, self.kind, self.method, self.service + self.path, self.activator, self.sent,
            self.ended or 0, self.outcome, self.detail)


class Pulse(threading.Thread):
    """How busy the machine is: `gaps` has the times (from, until) in which this thread, which wants to
    run each 20 ms, did not."""

    EVERY_S, GAP_S = 0.02, 0.1

    def __init__(self):
        super().__init__(daemon=True)
        self.gaps, self.is_over = [], threading.Event()

    def run(self):
        before = time.monotonic()
        while not self.is_over.wait(self.EVERY_S):
            now = time.monotonic()
            if now - before > self.GAP_S:
                self.gaps.append((before, now))
            before = now

    def lost_s(self, since, until):
        """The seconds, and those of the longest gap."""
        found = [min(b, until) - max(a, since) for a, b in list(self.gaps)
                 if a < until and b > since]
        return sum(found), max(found, default=0)


class Crowd:
    """All clients of a run.  Each has random numbers of its own: the seed decides what it asks."""

    def __init__(self, world, seed, kinds):
        self.world, self.seed = world, seed
        self.asked, self.is_over = [], threading.Event()
        self.threads = [kind(self, n) for n, kind in enumerate(kinds)]

    def start(self):
        for t in self.threads:
            t.start()

    def stop(self):
        """They finish what they have begun."""
        self.is_over.set()
        for t in self.threads:
            t.join(2 * WAIT_S)
            assert not t.is_alive(), "a client hangs: %s" % t.kind
            if t.error is not None:
                raise t.error


class Worker(threading.Thread):
    """One client."""

    kind, pause_s = "", 0.02

    def __init__(self, crowd, n):
        super().__init__(daemon=True)
        self.crowd, self.n, self.world = crowd, n, crowd.world
        self.random = random.Random("%s/%d" % (crowd.seed, n))
        self.activator = self.world.activators[n % len(self.world.activators)]
        self.asked_n, self.connection, self.opened, self.error = 0, None, 0, None

    def run(self):
        try:
            while not self.crowd.is_over.is_set():
                self.turn()
                self.crowd.is_over.wait(self.random.uniform(0, 2 * self.pause_s))
        except BaseException as e:  # the suite's own mistake
            self.error = e
        finally:
            self.drop()

    def turn(self):
        raise NotImplementedError

    def ask(self, service, path, method="GET", expects=("ok",)):
        a = Asked("%d-%d" % (self.n, self.asked_n), self.kind, service, self.activator.name, path,
                  method, expects)
        self.asked_n += 1
        self.crowd.asked.append(a)
        return a

    # --- connections of HTTP/1

    def connect(self):
        return Client(self.activator.port)

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def open(self, a):
        """False: the connection was refused."""
        if self.connection is None:
            self.opened = time.monotonic()
            try:
                self.connection = self.connect()
            except ConnectionRefusedError:
                a.end("refused")
                self.crowd.is_over.wait(0.05)
                return False
            except TimeoutError:
                a.end("late", "connect")
                return False
            except OSError as e:
                a.end("gone", "connect: %s" % e)
                return False
        a.opened = self.opened
        a.sent = time.monotonic()
        return True

    def send(self, a, body=None, fields=()):
        """The connection may end meanwhile: what it brought before that counts."""
        with contextlib.suppress(OSError):
            self.connection.request(a.method, a.path, a.service + ".test", body,
                                    [("X-Id", a.id), ("X-Request-Id", a.id), *fields])

    def receive(self, a, is_right=lambda body, a: body == a.id.encode() + b"\n"):
        """Read the response, and note what it was."""
        status, stage = 0, "gone"
        try:
            line, fields = self.connection.head()
            stage, status = "cut", int(line.split()[1])
            names = {n.lower(): v for n, v in fields}
            body = self.body(names)
            stage = self.judge(a, status, names.get("x-activator-reason"), body, is_right)
            if names.get("connection", "").lower() == "close":
                self.drop()
            a.end(stage, "%d" % status)
            return
        except TimeoutError:
            stage = "late"
        except (OSError, AssertionError) as e:
            detail = "%s %s" % (type(e).__name__, e)
            if stage == "gone" and self.connection.rest:
                stage = "cut"
            a.end(stage, detail[:200])
            self.drop()
            return
        a.end(stage)
        self.drop()

    def body(self, names):
        if names.get("transfer-encoding") == "chunked":
            return self.connection.chunked()
        return self.connection.exactly(int(names.get("content-length", 0)))

    @staticmethod
    def judge(a, status, reason, body, is_right):
        if reason is not None:
            return reason
        return "ok" if status == 200 and is_right(body, a) else "wrong"

    def exchange(self, a, body=None, fields=()):
        if self.open(a):
            self.send(a, body, fields)
            self.receive(a)


def some_method(rng):
    return rng.choice(("GET", "GET", "PUT", "POST", "POST"))


class Short(Worker):
    """One request after another on a connection that is kept."""
    kind = "short"

    def turn(self):
        service = self.random.choice(("one", "few", "any", "one", "few", "any", "extra"))
        method = some_method(self.random)
        a = self.ask(service, "/ok?ms=%d" % self.random.choice((0, 0, 3, 10)), method,
                     ("ok", "no_route") if service == "extra" else ("ok",))
        self.exchange(a, None if method == "GET" else self.random.choice((b"", b"body")))


class Fresh(Short):
    """Each request on a connection of its own."""
    kind = "fresh"

    def turn(self):
        super().turn()
        self.drop()


class Secure(Short):
    kind, pause_s = "tls", 0.04

    def connect(self):
        return TlsClient(self.activator.tls_port, self.world.context)

    def turn(self):
        super().turn()
        if self.random.random() < 0.1:
            self.drop()


class Long(Worker):
    """A response that takes its time."""
    kind = "long"

    def turn(self):
        n = self.random.randrange(1, 40)
        a = self.ask(self.random.choice(("few", "any")),
                     "/long?n=%d&ms=%d" % (n, self.random.choice((0, 10, 30))))
        if self.open(a):
            self.send(a)
            self.receive(a, lambda body, a: body == b"".join(
                (b"%s %d " % (a.id.encode(), i)).ljust(1024, b".") for i in range(n)))


class Upload(Worker):
    """A body that comes bit by bit, of known length or chunked."""
    kind = "upload"

    def turn(self):
        body, digest = self.random.choice(BODIES)
        a = self.ask(self.random.choice(("one", "few", "any")), "/up", "POST")
        if not self.open(a):
            return
        is_chunked, step = self.random.random() < 0.5, len(body) // 3 + 1
        self.send(a, None, [("Transfer-Encoding", "chunked") if is_chunked
                            else ("Content-Length", str(len(body)))])
        with contextlib.suppress(OSError):
            for at in range(0, len(body), step):
                piece = body[at:at + step]
                self.crowd.is_over.wait(self.random.uniform(0, 0.03))
                self.connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked
                                        else piece)
            if is_chunked:
                self.connection.sendall(b"0\r\n\r\n")
        self.receive(a, lambda got, a: got == b"%s %d %016x\n" % (a.id.encode(), len(body), digest))


class Busy(Worker):
    """Work that an instance finishes even if nobody waits for it any more.  It is done before the
    slots of a killed activator count as free."""
    kind, pause_s = "busy", 0.1

    def turn(self):
        a = self.ask(self.random.choice(("one", "few")),
                     "/busy?ms=%d" % self.random.choice((50, 150, 300)), some_method(self.random))
        self.exchange(a, None if a.method == "GET" else b"body")


class Pair(Worker):
    """Two requests for the only slot of a service that nobody else asks: the second comes at about
    the moment at which the first one gives the slot back.  If it is forgotten then, nothing that
    comes later wakes it."""
    kind, pause_s = "pair", 0

    def __init__(self, crowd, n):
        super().__init__(crowd, n)
        self.pair, self.took_s = [None, None], 0.001

    def turn(self):
        asked = []
        for i in 0, 1:
            a = self.ask("pair", "/ok?ms=0", "POST")
            self.connection = self.pair[i]
            if self.open(a):
                self.send(a, b"")
                asked.append((i, a))
            self.pair[i], self.connection = self.connection, None
            end = time.monotonic() + self.random.uniform(0, 1.5 * self.took_s)
            while i == 0 and time.monotonic() < end:
                pass
        for i, a in asked:
            self.connection = self.pair[i]
            self.receive(a)
            self.pair[i], self.connection = self.connection, None
            if i == 0 and a.outcome == "ok":
                self.took_s = min(0.01, 0.9 * self.took_s + 0.1 * (a.ended - a.sent))
        if self.random.random() < 0.02:  # another worker of the activator, perhaps
            self.drop_pair()
        self.crowd.is_over.wait(0.003)

    def run(self):
        super().run()
        self.drop_pair()

    def drop_pair(self):
        for c in self.pair:
            if c is not None:
                c.close()
        self.pair = [None, None]


class Cold(Worker):
    """A request now and then, for which nothing runs."""
    kind, pause_s = "cold", 1.5

    def turn(self):
        a = self.ask("cold", "/ok?ms=0", some_method(self.random))
        self.exchange(a, None if a.method == "GET" else b"body")
        self.drop()


class Tunnel(Worker):
    """A connection that becomes one of another protocol."""
    kind = "tunnel"

    def turn(self):
        a = self.ask(self.random.choice(("few", "any")), "/tunnel")
        if not self.open(a):
            return
        self.send(a, None, [("Connection", "Upgrade"), ("Upgrade", "echo")])
        try:
            line, fields = self.connection.head()
        except (OSError, AssertionError) as e:
            a.end("late" if isinstance(e, TimeoutError)
                  else "cut" if self.connection.rest else "gone", str(e)[:200])
            self.drop()
            return
        reason = dict((n.lower(), v) for n, v in fields).get("x-activator-reason")
        if reason is not None or line.split()[1] != "101":
            a.end(reason or "wrong", line)
        else:
            self.echo(a)
        self.drop()

    def echo(self, a):
        try:
            for i in range(self.random.randrange(1, 20)):
                text = b"%s %d" % (a.id.encode(), i)
                self.connection.sendall(text)
                if self.connection.exactly(len(text)) != text:
                    a.end("wrong")
                    return
                self.crowd.is_over.wait(self.random.uniform(0, 0.05))
            a.end("ok")
        except TimeoutError:
            a.end("late")
        except (OSError, AssertionError) as e:
            a.end("cut", str(e)[:200])


class Streams(Worker):
    """Several requests at once on a connection of HTTP/2, in the clear or by TLS."""
    kind, pause_s = "h2", 0.05

    def connect(self):
        if self.random.random() < 0.5:
            return H2Client(self.activator.port)
        context = self.world.tls.context()
        context.set_alpn_protocols(["h2"])
        return H2Client(self.activator.tls_port, context=context)

    def has_ended(self):
        """Has the server closed the connection while nothing was under way?"""
        sock = getattr(self.connection.link, "sock", self.connection.link)
        sock.settimeout(0.001)
        try:
            while self.connection.pump() is not None:
                pass
            return True
        except TimeoutError:
            return bool(self.connection.goaways)
        except OSError:
            return True
        finally:
            sock.settimeout(WAIT_S)

    def turn(self):
        if self.connection is not None and self.has_ended():
            self.drop()
        batch = [self.ask(self.random.choice(("one", "few", "any")),
                          "/ok?ms=%d" % self.random.choice((0, 3, 10)), some_method(self.random))
                 for _ in range(self.random.randrange(1, 6))]
        if not self.open(batch[0]):
            for a in batch[1:]:
                a.end(batch[0].outcome)
            return
        ids = {}
        try:
            for a in batch:
                a.opened, a.sent = self.opened, time.monotonic()
                ids[a] = self.connection.request(
                    a.path, a.service + ".test", a.method,
                    [("x-id", a.id), ("x-request-id", a.id)] + (
                        [] if a.method == "GET" else [("content-length", "4")]),
                    end=a.method == "GET")
                if a.method != "GET":
                    self.connection.body(ids[a], b"body")
            for a in batch:
                self.note(a, self.connection.response(ids[a]))
        except TimeoutError:
            self.lose(batch, ids, "late")
        except (OSError, AssertionError):
            self.lose(batch, ids, None)
        if self.connection is not None and (self.connection.goaways or self.random.random() < 0.1):
            self.drop()

    def note(self, a, stream):
        # NO_ERROR: the response is complete, and the rest of the request is not wanted.
        if stream.reset is not None and (stream.reset != NO_ERROR or stream.status is None):
            a.end("gone" if stream.status is None else "cut", "RST_STREAM %d" % stream.reset)
            return
        a.end(self.judge(a, stream.status, stream.fields.get("x-activator-reason"), stream.body,
                         lambda body, a: body == a.id.encode() + b"\n"), str(stream.status))

    def is_unprocessed(self, a, ids):
        goaways = self.connection.goaways
        return bool(goaways) and (a not in ids or ids[a] > goaways[-1][0])

    def lose(self, batch, ids, outcome):
        """The connection has ended, or (outcome) nothing comes any more."""
        with contextlib.suppress(OSError, AssertionError):
            while outcome is None and self.connection.pump() is not None:
                pass
        for a in batch:
            if a.outcome is not None:
                continue
            stream = self.connection.streams[ids[a]] if a in ids else None
            if stream is not None and stream.is_ended:
                self.note(a, stream)
            elif self.is_unprocessed(a, ids):
                a.end("unprocessed")
            else:
                a.end(outcome or ("gone" if stream is None or stream.status is None else "cut"))
        self.drop()


class Odd(Worker):
    """What instances do wrong.  Their other requests, and their next start, suffer from that."""
    kind = "odd"
    SUFFER = {"upstream_failed", "activation_failed", "response_timeout"}
    PATHS = {
        "/ok?ms=5": {"ok"}, "/reset": set(), "/close": set(), "/exit": set(), "/stall": set(),
        "/short": {"cut"}, "/cut?n=8&ms=2": {"cut"}, "/garbage": {"upstream_protocol"},
        "/deaf?ms=300": {"ok"}, "/long?n=5&ms=5": {"ok", "cut"},
    }

    def turn(self):
        path = self.random.choice(list(self.PATHS) + ["/ok?ms=5"] * 10)
        if path == "/exit" and self.random.random() < 0.8:
            path = "/close"  # a program that often ends would hardly ever run
        a = self.ask("odd", path, some_method(self.random), self.SUFFER | self.PATHS[path])
        if self.open(a):
            self.send(a, None if a.method == "GET" else b"body")
            if path.startswith("/long"):
                self.receive(a, lambda body, a: len(body) == 5 * 1024)
            else:
                self.receive(a)


class Leaver(Worker):
    """It does not wait for its responses."""
    kind, pause_s = "leaver", 0.1

    def turn(self):
        a = self.ask(self.random.choice(("one", "few", "any", "cold")),
                     self.random.choice(("/ok?ms=20", "/long?n=100&ms=10", "/busy?ms=100")),
                     some_method(self.random), ("left",))
        if not self.open(a):
            return
        self.send(a, None if a.method == "GET" else b"body")
        self.crowd.is_over.wait(self.random.uniform(0, 0.1))
        with contextlib.suppress(OSError):
            if self.random.random() < 0.3:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        a.end("left")
        self.drop()


class Edge(Worker):
    """A request at about the moment at which its revision goes to zero: it comes a little later where
    the last one found an instance, a little sooner where it did not."""
    kind, pause_s, service, work_ms = "edge", 0, "edge", 30
    COLD_S, STEP_S = 0.25, 0.05  # its instance needs 300 ms to start

    wait_s = 1.5

    def turn(self):
        a = self.ask(self.service, "/ok?ms=%d" % self.work_ms, "POST")
        self.exchange(a, b"")
        self.drop()
        is_warm = a.outcome == "ok" and a.ended - a.sent < self.COLD_S + self.work_ms / 1e3
        self.wait_s = max(0.5, self.wait_s + self.random.uniform(0, 2) * (
            self.STEP_S if is_warm else -self.STEP_S))
        self.crowd.is_over.wait(self.wait_s)


class Edge2(Edge):
    service, work_ms = "edge2", 100


class Edge3(Edge):
    service, work_ms = "edge3", 100


class Calm(Worker):
    """Asked by the suite itself, after the faults: when is all as before?"""
    kind = "calm"

    def run(self):
        raise NotImplementedError

    def is_served(self, activator, service):
        """The time it took, or None."""
        self.activator = activator
        a = self.ask(service, "/ok?ms=0")
        self.exchange(a)
        self.drop()
        return a.outcome == "ok"


ALL = (Short, Short, Short, Fresh, Fresh, Streams, Streams, Long, Long, Upload, Upload, Tunnel,
       Secure, Cold, Cold, Edge, Edge2, Edge3, Odd, Leaver, Busy, Busy, Pair)
