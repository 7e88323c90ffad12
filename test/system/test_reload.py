"""Reloads of the conf file by the activator: what is new holds from then on, what is under way goes
on, and a file that cannot be used changes nothing."""
import contextlib
import json
import os
import signal
import socket
import ssl
import threading

import pytest

from helpers import free_port, wait_until
from stack import Client, Gate, Stack, TlsClient, running
from tls import Tls

SERVICES = """
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"} min_scale = 1 } }
service "one" { hosts = {"one"} revision "v1" { command = {"HELLO"} min_scale = 1
    container_concurrency = 1 max_scale = 1 } }
service "echo" { hosts = {"echo"} revision "v1" { addresses = {"127.0.0.1:%d"} } }
"""


class Echo:
    """An origin that upgrades each connection and sends back all that comes."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                fd, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(fd,), daemon=True).start()

    def serve(self, fd):
        with fd, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                got = fd.recv(65536)
                if not got:
                    return  # a probe
                head += got
            fd.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
            while True:
                got = fd.recv(65536)
                if not got:
                    return
                fd.sendall(got)

    def close(self):
        self.socket.close()


class Load:
    """Clients of several kinds that ask without a pause, and note each thing that goes wrong."""

    STREAM = 3000000

    def __init__(self, stack):
        self.s, self.failed, self.stop = stack, [], threading.Event()
        kinds = (self.keep_alive, self.connections, self.long, self.streams, self.tunnel,
                 self.parked, self.parked, self.parked)
        self.done = {f.__name__: 0 for f in kinds}
        self.threads = [threading.Thread(target=self.run, args=(f,)) for f in kinds]

    def run(self, kind):
        try:
            for _ in kind():
                self.done[kind.__name__] += 1
                if self.stop.is_set():
                    return
        except BaseException as e:  # where the test's thread could not see it
            self.failed.append("%s: %r" % (kind.__name__, e))

    def keep_alive(self):
        with Client(self.s.port) as c:
            while True:
                c.request("GET", "/", "hello")
                assert c.response()[0] == 200
                yield

    def connections(self):
        while True:
            with Client(self.s.port) as c:
                c.request("GET", "/", "hello")
                assert c.response()[0] == 200
            yield

    def long(self):
        with Client(self.s.port) as c:
            while True:
                c.request("GET", "/?ms=400", "hello")
                assert c.response()[0] == 200
                yield

    def streams(self):
        with Client(self.s.port) as c:
            while True:
                c.request("GET", "/bytes/%d" % self.STREAM, "hello")
                status, _, body = c.response()
                assert (status, len(body)) == (200, self.STREAM)
                yield

    def tunnel(self):
        with Client(self.s.port) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: echo\r\nUpgrade: echo\r\n"
                      b"Connection: Upgrade\r\n\r\n")
            assert c.head()[0].split()[1] == "101"
            while True:
                c.sendall(b"ping" * 100)
                assert c.exactly(400) == b"ping" * 100
                yield

    def parked(self):
        with Client(self.s.port) as c:
            while True:
                c.request("GET", "/?ms=20", "one")
                assert c.response()[0] == 200
                yield

    def go_on(self):
        """Wait until each kind of client has got something more."""
        before = dict(self.done)
        wait_until(lambda: self.failed or all(self.done[k] > before[k] for k in before),
                   what="each kind of client to get something")
        assert not self.failed, self.failed

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.go_on()
        return self

    def __exit__(self, *args):
        self.stop.set()
        for t in self.threads:
            t.join()
        if args[0] is None:
            assert not self.failed, self.failed


@pytest.fixture
def echo():
    e = Echo()
    yield e
    e.close()


def status_of(port, path="/", host="hello", method="GET", fields=()):
    with Client(port) as c:
        c.request(method, path, host, fields=fields)
        return c.response()[0]


def is_refused(port):
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return True
    return False


def descriptors(s):
    return len(os.listdir("/proc/%d/fd" % s.activator.pid))


def test_each_kind_of_key_under_load(tmp_path, echo):
    with running(tmp_path, SERVICES % echo.port) as s, Load(s) as load:
        more, admin = free_port(), free_port()

        def reload(*changes):
            s.edit(*changes)
            assert s.hangup(s.activator), s.activator.text()[-2000:]

        # an address more
        reload('listen = {"127.0.0.1:%d"}' % s.port,
               'listen = {"127.0.0.1:%d", "127.0.0.1:%d"}' % (s.port, more))
        assert status_of(more) == 200
        kept = Client(more)
        kept.request("GET", "/", "hello")
        assert kept.response()[0] == 200
        load.go_on()
        # … and one less, whose connection goes on
        reload(', "127.0.0.1:%d"' % more, "")
        wait_until(lambda: is_refused(more), what="the listener to be gone")
        kept.request("GET", "/", "hello")
        assert kept.response()[0] == 200
        kept.close()
        load.go_on()
        # the admin endpoint
        reload('admin = "127.0.0.1:%d" workers' % s.admin, 'admin = "127.0.0.1:%d" workers' % admin)
        assert is_refused(s.admin)
        s.admin = admin
        assert s.metric("activator_config_reloads_total") == 3
        # a limit, and what is answered here
        big = [("X-Long", "x" * 3000)]
        assert status_of(s.port, fields=big) == 200
        assert status_of(s.port, method="TRACE", fields=[("Max-Forwards", "0")]) == 501
        reload("workers = 2", "workers = 2 max_head = 2KiB trace = yes")
        wait_until(lambda: status_of(s.port, fields=big) == 431, what="the limit")
        wait_until(lambda: status_of(s.port, method="TRACE", fields=[("Max-Forwards", "0")]) == 200,
                   what="the answer to TRACE")
        load.go_on()
        # a timeout: of a head that does not come
        reload("max_head = 2KiB", "head_timeout = 100ms")
        with Client(s.port) as c:
            c.sendall(b"GET / HT")
            assert c.response()[0] == 408 or c.is_closed()
        # the log
        reload('log_level = "debug"', "log_level = info log_format = json")
        assert '"msg":"conf file reloaded"' in s.activator.text()
        # a service: the autoscaler's reload
        s.edit('hosts = {"hello"}', 'hosts = {"hello", "other"}')
        assert s.hangup(s.autoscaler)
        wait_until(lambda: status_of(s.port, host="other") == 200, what="the other host")
        load.go_on()
        assert s.metric("activator_config_reload_failures_total") == 0
        assert s.metric("activator_config_file_differs") == 1  # for the autoscaler alone
        assert s.hangup(s.activator)
        assert s.metric("activator_config_file_differs") == 0
        assert s.metric("activator_config_read_timestamp_seconds") > 1e9


def test_many_reloads_under_load(tmp_path, echo):
    with running(tmp_path, SERVICES % echo.port) as s, Load(s) as load:
        more = free_port()
        one = 'listen = {"127.0.0.1:%d"}' % s.port
        two = 'listen = {"127.0.0.1:%d", "127.0.0.1:%d local"} max_head = 8KiB' % (s.port, more)
        before = descriptors(s)
        for i in range(25):
            s.edit(one, two)
            assert s.hangup(s.activator, s.autoscaler)
            assert status_of(more) == 200
            s.edit(two, one)
            assert s.hangup(s.activator, s.autoscaler)
        load.go_on()
        wait_until(lambda: is_refused(more), what="the listener to be gone")
        assert s.metric("activator_config_reloads_total") == 50
        # Connections come and go meanwhile; what leaks with each reload is more than that.
        wait_until(lambda: descriptors(s) < before + 25, what="the descriptors to be closed")


def test_bounds(tmp_path):
    gate = Gate(tmp_path)
    services = 'service "s" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }' \
               'service "gate" { hosts = {"gate"} revision "v1" { %s } }' % gate.command()
    with running(tmp_path, services, workers=1) as s:
        first = Client(s.port)
        first.request("GET", "/", "hello")
        assert first.response()[0] == 200
        s.edit("workers = 1", "workers = 1 connections_per_client = 1")
        assert s.hangup(s.activator)
        # the connection from before counts
        wait_until(lambda: status_of(s.port) == 503, what="the bound")
        first.close()
        wait_until(lambda: status_of(s.port) == 200, what="room for a connection")
        s.edit("connections_per_client = 1", "max_parked_total = 1")
        assert s.hangup(s.activator)
        parked = Client(s.port)
        parked.request("GET", "/", "gate")
        wait_until(lambda: s.metric("activator_parked") == 1, what="the request to be parked")
        wait_until(lambda: status_of(s.port, host="gate") == 503, what="the bound")
        s.edit("max_parked_total = 1", "max_parked_total = 2")
        assert s.hangup(s.activator)
        another = Client(s.port)
        another.request("GET", "/", "gate")
        wait_until(lambda: s.metric("activator_parked") == 2, what="both to be parked")
        gate.open()
        for c in (parked, another):
            assert c.response()[0] == 200
            c.close()
        s.edit("max_parked_total = 2", "max_connections = 1")
        assert s.hangup(s.activator)
        with Client(s.port) as c:
            c.request("GET", "/", "hello")
            assert c.response()[0] == 200
            wait_until(lambda: status_of(s.port) == 503, what="the bound")


def test_trusted_proxies(tmp_path, echo):
    services = 'service "s" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } ' \
               'rule "far" { action = answer status = 418 clients = {"192.0.2.0/24"} } }'
    with running(tmp_path, services) as s:
        def ask(c):
            c.request("GET", "/", "hello", fields=[("X-Forwarded-For", "192.0.2.1")])
            return c.response()[0]

        with Client(s.port) as c:
            assert ask(c) == 200
            s.edit("workers = 2", 'workers = 2 trusted_proxies = {"127.0.0.0/8"}')
            assert s.hangup(s.activator)
            wait_until(lambda: ask(c) == 418, what="the network")
            s.edit('{"127.0.0.0/8"}', '{"10.0.0.0/8"}')
            assert s.hangup(s.activator)
            wait_until(lambda: ask(c) == 200, what="the other network")


def test_words_of_a_listener_and_a_unix_socket(tmp_path):
    path = str(tmp_path / "http.sock")

    def ask():
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(5)
            c.connect(path)
            c.sendall(b"GET / HTTP/1.1\r\nHost: near\r\nConnection: close\r\n\r\n")
            return c.recv(12)

    services = 'service "s" { hosts = {"near"} visibility = local ' \
               'revision "v1" { command = {"HELLO"} } }'
    other = free_port()
    with running(tmp_path, services, listen=', "127.0.0.1:%d local"' % other) as s:
        assert status_of(s.port, host="near") == 404
        s.edit('"127.0.0.1:%d", "127.0.0.1:%d local"}' % (s.port, other),
               '"127.0.0.1:%d local", "127.0.0.1:%d", "unix:%s local"} listen_mode = "0600"'
               % (s.port, other, path))
        assert s.hangup(s.activator)
        wait_until(lambda: status_of(s.port, host="near") == 200, what="the word local")
        wait_until(lambda: status_of(other, host="near") == 404, what="the other to lose it")
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert ask() == b"HTTP/1.1 200"
        s.edit('"0600"', '"0666"')
        assert s.hangup(s.activator)
        assert os.stat(path).st_mode & 0o777 == 0o666
        assert ask() == b"HTTP/1.1 200"
        s.edit(', "unix:%s local"' % path, "")
        assert s.hangup(s.activator)
        wait_until(lambda: not os.path.exists(path), what="the socket to be removed")


def test_a_wildcard_takes_the_place_of_an_address(tmp_path):
    services = 'service "s" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services) as s:
        s.edit('listen = {"127.0.0.1:%d"}' % s.port, 'listen = {"0.0.0.0:%d"}' % s.port,
               'admin = "127.0.0.1:%d"' % s.admin, 'admin = "0.0.0.0:%d"' % s.admin)
        assert s.hangup(s.activator), s.activator.text()[-2000:]
        assert status_of(s.port) == 200
        assert s.readyz() == 200
        with socket.create_connection(("127.0.0.2", s.port), 5):
            pass


def test_tls_comes_changes_and_goes(tmp_path):
    tls = Tls(tmp_path)
    section = tls.certificate("test", "localhost")
    services = 'service "s" { hosts = {"hello", "localhost"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services) as s:
        secure = free_port()
        plain = 'listen = {"127.0.0.1:%d"}' % s.port
        s.edit(plain, 'listen = {"127.0.0.1:%d", "127.0.0.1:%d tls"} %s'
               % (s.port, secure, section))
        assert s.hangup(s.activator), s.activator.text()[-2000:]

        def ask(c):
            c.request("GET", "/", "localhost")
            return c.response()[0]

        kept = TlsClient(secure, tls.context())
        assert ask(kept) == 200
        # another version
        old = tls.context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with TlsClient(secure, old) as c:
            assert ask(c) == 200
        s.edit(section, section + " tls_min_version = 1.3")
        assert s.hangup(s.activator)
        with pytest.raises(ssl.SSLError):
            TlsClient(secure, old)
        assert ask(kept) == 200
        # gone again
        s.edit(', "127.0.0.1:%d tls"} %s' % (secure, section), "}")
        assert s.hangup(s.activator)
        wait_until(lambda: is_refused(secure), what="the listener to be gone")
        assert ask(kept) == 200
        assert status_of(s.port) == 200
        kept.close()


def taken_port():
    s = socket.create_server(("127.0.0.1", 0))
    return s, s.getsockname()[1]


def test_a_file_that_cannot_be_used_changes_nothing(tmp_path, echo):
    holder, taken = taken_port()
    with running(tmp_path, SERVICES % echo.port) as s, Load(s) as load, holder:
        more = free_port()
        with open(s.conf) as f:
            good = f.read()
        listen = '"127.0.0.1:%d"}' % s.port
        added = '"127.0.0.1:%d", "127.0.0.1:%d"' % (s.port, more)
        mistakes = (
            ('%s} nonsense = 1' % added, ":4: nonsense"),
            ('%s, "127.0.0.1:%d"}' % (added, taken),
             ":4: listen: cannot listen on 127.0.0.1:%d: held by process %d" % (taken, os.getpid())),
            ('%s} batch = no' % added, ":4: batch: needs a restart to change from yes to no"),
            ('%s} certificate "x" { chain = "/nowhere" }' % added, ":4: chain: "),
        )
        before = descriptors(s)
        for text, message in mistakes:
            s.edit(listen, text)
            assert not s.hangup(s.activator)
            assert s.conf + message in s.activator.text()
            assert is_refused(more)
            load.go_on()
            with open(s.conf, "w") as f:
                f.write(good)
        s.edit('admin = "127.0.0.1:%d" workers' % s.admin, 'admin = "127.0.0.1:%d" workers' % taken,
               listen, added + "}")
        assert not s.hangup(s.activator)
        assert s.conf + ":4: admin: cannot listen at 127.0.0.1:%d" % taken in s.activator.text()
        assert is_refused(more)
        os.unlink(s.conf)
        assert not s.hangup(s.activator)
        assert "%s: cannot be read" % s.conf in s.activator.text()
        assert s.metric("activator_config_reload_failures_total") == 6
        assert s.metric("activator_config_reloads_total") == 0
        assert s.metric("activator_config_file_differs") == 1
        with open(s.conf, "w") as f:
            f.write(good)
        assert s.metric("activator_config_file_differs") == 0
        wait_until(lambda: descriptors(s) < before + 6, what="the descriptors to be closed")


def test_a_reload_while_it_drains_is_refused(tmp_path):
    gate = Gate(tmp_path)
    services = 'service "s" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services) as s:
        c = Client(s.port)
        c.request("GET", "/" + gate.query(), "hello")
        wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                   what="the request to be in flight")
        s.activator.kill(signal.SIGTERM)
        wait_until(lambda: "shutting down" in s.activator.text(), what="the shutdown")
        assert not s.hangup(s.activator)
        assert "the activator is shutting down" in s.activator.text()
        gate.open()
        assert c.response()[0] == 200
        c.close()


# --- parked requests of what the new file does not have

PARKED = """
service "gone" { hosts = {"gone"} revision "v1" { %s } }
service "moved" { hosts = {"moved"} revision "v1" { %s } }
service "kept" { hosts = {"kept"} revision "v1" { command = {"HELLO"} } }
"""


def test_parked_requests_go_where_the_new_file_leads(tmp_path):
    """Of a service that went, they get its 404; of a revision that went, they go to the next."""
    gate = Gate(tmp_path)  # is never opened
    services = PARKED % (gate.command(), gate.command())
    with running(tmp_path, services) as s:
        clients = [(Client(s.port), host) for host in ("gone", "moved") * 3]
        for c, host in clients:
            c.request("GET", "/", host)
        wait_until(lambda: s.metric("activator_parked") == 6, what="all to be parked")
        with open(s.conf) as f:
            text = f.read()
        lines = text.splitlines()
        moved = next(x for x in lines if 'service "moved"' in x)
        kept = next(x for x in lines if 'service "kept"' in x)
        new = kept.replace("kept", "moved").replace('"v1"', '"v2"')
        with open(s.conf, "w") as f:
            f.write("\n".join(x for x in lines if 'service "gone"' not in x)
                    .replace(moved, new))
        assert s.hangup(s.autoscaler), s.autoscaler.text()[-2000:]
        for c, host in clients:
            status, fields, _ = c.response()
            assert status == (404 if host == "gone" else 200), host
            assert host == "moved" or fields["x-activator-reason"] == "no_route"
            c.close()
        wait_until(lambda: s.metric("activator_parked") == 0, what="none to be parked")
        assert status_of(s.port, host="gone") == 404
        assert status_of(s.port, host="kept") == 200


# --- without a signal

def test_a_changed_file_is_enough(tmp_path, echo):
    with running(tmp_path, SERVICES % echo.port, activator="") as s:
        with open(s.conf) as f:
            good = f.read()

        def write(text):
            with open(s.conf + ".new", "w") as f:
                f.write(text)
            os.replace(s.conf + ".new", s.conf)

        programs = (s.activator, s.autoscaler)
        write("reload_on_change = yes\n" + good)
        assert s.hangup(*programs)
        write("reload_on_change = yes\n" + good.replace('hosts = {"hello"}', 'hosts = {"other"}')
              .replace("workers = 2", "workers = 2 trace = yes"))
        wait_until(lambda: status_of(s.port, host="other") == 200, what="the other host")
        wait_until(lambda: all('cause="the file has changed"' in p.text() for p in programs),
                   what="both to reload")
        # a mistake is said once, and nothing changes
        refused = "conf file not reloaded"
        write(good + "nonsense = 1")
        wait_until(lambda: all(refused in p.text() for p in programs), what="both to refuse")
        write(good + "nonsense = 1 # still\nreload_on_change = yes")
        wait_until(lambda: all(p.text().count(refused) == 2 for p in programs),
                   what="both to refuse it again")
        assert status_of(s.port, host="other") == 200
        # off again
        write(good)
        wait_until(lambda: status_of(s.port, host="hello") == 200, what="the first host")
        wait_until(lambda: s.metric("activator_config_file_differs") == 0, what="the activator, too")
        write(good + "nonsense = 1")
        wait_until(lambda: s.metric("activator_config_file_differs") == 1, what="the difference")
        assert all(p.text().count(refused) == 2 for p in programs)


def test_a_mounted_config_map(tmp_path, echo):
    """A change of what the link ..data leads to is noticed by both, and no key is needed."""
    s = Stack(tmp_path, SERVICES % echo.port)
    with open(s.conf) as f:
        good = f.read()

    def publish(name, text):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.conf").write_text(text)
        os.symlink(name, tmp_path / "..data.new")
        os.replace(tmp_path / "..data.new", tmp_path / "..data")

    publish("..one", good)
    os.unlink(s.conf)
    os.symlink("..data/a.conf", s.conf)
    try:
        s.start()
        assert status_of(s.port) == 200
        more = free_port()
        publish("..two", good.replace('hosts = {"hello"}', 'hosts = {"other"}')
                .replace('"127.0.0.1:%d"' % s.port,
                         '"127.0.0.1:%d", "127.0.0.1:%d"' % (s.port, more), 1))
        wait_until(lambda: not is_refused(more), what="the other address")
        wait_until(lambda: status_of(more, host="other") == 200, what="the other host")
    finally:
        s.stop()


# --- the keeper

def test_the_keeper_logs_as_the_new_file_says(tmp_path):
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} min_scale = 1 } }'
    s = Stack(tmp_path, services)
    s.edit('log_level = "debug"', 'log_level = "error"\nlog_format = "logfmt"')
    try:
        s.start()
        assert s.get("s")[0] == 200
        s.reload('"error"\nlog_format = "logfmt"', '"info"\nlog_format = "json"')
        s.metrics(s.scaler_admin)  # answered in a later round: the keeper has been sent the change
        s.autoscaler.kill()
        wait_until(lambda: "autoscaler disconnected, keeping its instances" in s.autoscaler.text(),
                   what="a line of the keeper")
        line = [x for x in s.autoscaler.text().splitlines() if "keeping its instances" in x][0]
        assert json.loads(line)["program"] == "keeper", line
        s.start_autoscaler()  # it adopts the instance, and ends it
        wait_until(lambda: '"msg":"autoscaler started"' in s.autoscaler.text(), what="the next one")
    finally:
        s.stop()
