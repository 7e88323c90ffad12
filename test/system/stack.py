"""Activator and autoscaler with a conf file of the test's own, on free ports, and a client that
sends and reads byte by byte."""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from helpers import BUILD, HELLO, ROOT, WAIT_S, claim_range, free_port, release, wait_until
from h2client import H2Client
from tls import Tls, TlsConnection


class Gate:
    """A file that holds back what waits for it until the test calls open(): the starts of
    instances, by command(), or the answers to requests, by query()."""

    def __init__(self, folder, name="gate"):
        self.path = os.path.join(str(folder), name)

    def command(self, options=""):
        """For the conf file: the sample app, once the gate is open."""
        return 'command = {"sh", "-c", "until [ -e %s ]; do sleep 0.02; done; exec HELLO %s"}' % (
            self.path, options)

    def query(self):
        """For a request to the sample app, which answers once the gate is open."""
        return "?until=" + self.path

    def open(self):
        open(self.path, "w").close()

    def close(self):
        os.unlink(self.path)


class Program:
    """A running activator or autoscaler, and its log.  behind: the words of a command that
    executes it, such as `setpriv`.  nofile: how many descriptors it may have.  path: of the
    program, if that is not the one that was built.  pass_fds: descriptors that it inherits."""

    def __init__(self, name, conf, log, environment=None, nofile=None, behind=(), path=None,
                 pass_fds=()):
        self.name, self.log = name, log
        self.out = open(log, "ab")
        self.process = subprocess.Popen(
            [*behind, path or os.path.join(BUILD, name), "-c", conf], stdin=subprocess.DEVNULL,
            stderr=self.out, stdout=self.out, cwd=ROOT, pass_fds=pass_fds,
            env=dict(os.environ, **(environment or {})),
            preexec_fn=nofile and (
                lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))))

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def kill(self, signo=signal.SIGKILL):
        self.process.send_signal(signo)
        if signo == signal.SIGKILL:
            self.process.wait(WAIT_S)

    def stop(self):
        """Send SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def generation_at(admin):
    """The generation of the services that the activator has whose admin endpoint this is."""
    with urllib.request.urlopen("http://127.0.0.1:%d/status" % admin, timeout=WAIT_S) as answer:
        return json.loads(answer.read())["generation"]


class Stack:
    """Both programs.  services, activator, autoscaler: text of the conf file, the latter two
    inside the sections of these names.  environment: of the activator, beside what it inherits.
    nofile: how many descriptors the activator may have.  tls: clients connect by TLS, with a
    certificate for localhost, or with those that `activator` has and this Tls has made.
    TEST_TLS=1 in the environment makes that the default: it runs the tests that use connect() and
    get() over TLS.  listen: more addresses, each behind a comma."""

    def __init__(self, path, services, activator="", autoscaler="", workers=2,
                 environment=None, nofile=None, tls=os.environ.get("TEST_TLS") == "1",
                 listen=""):
        self.path = str(path)
        self.nofile, self.environment = nofile, environment
        self.port, self.admin, self.scaler_admin = free_port(), free_port(), free_port()
        self.instance_ports = claim_range()
        self.tls = tls if isinstance(tls, Tls) else None
        if tls is True:
            self.tls = Tls(self.path)
            activator += self.tls.certificate("test", "localhost")
        self.scheme = "https" if tls else "http"
        self.conf = os.path.join(self.path, "a.conf")
        self.state = os.path.join(self.path, "state")
        services = services.replace(
            "command = {", 'environment = {"TEST_STACK=%s"} command = {' % self.path)
        with open(self.conf, "w") as f:
            f.write("""socket = "%s/s"
state_dir = "%s"
log_level = "debug"
activator { listen = {"127.0.0.1:%d%s"%s} admin = "127.0.0.1:%d" workers = %d %s }
autoscaler { admin = "127.0.0.1:%d" ports = "%d-%d"
    stable_window = 1s scale_to_zero_grace = 1s %s }
%s
""" % (self.path, self.state, self.port, " tls" if tls else "", listen, self.admin, workers, activator, self.scaler_admin,
                *self.instance_ports, autoscaler, services.replace("HELLO", HELLO)))
        self.activator = self.autoscaler = None

    def start(self):
        self.start_autoscaler()
        self.start_activator()
        self.wait_ready()
        return self

    def start_autoscaler(self):
        self.autoscaler = Program("autoscaler", self.conf, self.path + "/autoscaler.log")

    def start_activator(self):
        self.activator = Program("activator", self.conf, self.path + "/activator.log",
                                 self.environment, self.nofile)

    def edit(self, *changes):
        """Replace texts of the conf file: before, after, before, after…"""
        with open(self.conf) as f:
            text = f.read()
        for before, after in zip(changes[::2], changes[1::2]):
            assert before in text, before
            text = text.replace(before, after)
        with open(self.conf, "w") as f:
            f.write(text)

    def hangup(self, *programs):
        """Let them reload the conf file, and wait until they have.  False: one has refused it."""
        done, refused = "conf file reloaded", "conf file not reloaded"
        before = [(p, p.text().count(done), p.text().count(refused)) for p in programs]
        for p in programs:
            p.kill(signal.SIGHUP)
        for p, n, m in before:
            wait_until(lambda: p.text().count(done) > n or p.text().count(refused) > m,
                       what="the reload")
        return all(p.text().count(refused) == m for p, n, m in before)

    def reload(self, before, after):
        """Replace this text of the conf file, and let the autoscaler reload it."""
        self.edit(before, after)
        assert self.hangup(self.autoscaler)

    def wait_ready(self):
        wait_until(lambda: self.readyz() == 200, what="/readyz")

    def readyz(self):
        """The status of the activator's /readyz; 0: nothing listens."""
        try:
            return urllib.request.urlopen("http://127.0.0.1:%d/readyz" % self.admin,
                                          timeout=WAIT_S).status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return 0

    def metrics(self, port=None):
        """{name and labels: value} of the activator, or of the admin endpoint at port."""
        text = urllib.request.urlopen(
            "http://127.0.0.1:%d/metrics" % (port or self.admin), timeout=WAIT_S).read().decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^([^#\s]\S*(?: [^\s]*=\S*)*) (\S+)$",
                                                       text, re.M)}

    def metric(self, name):
        return self.metrics().get(name, 0)

    def generation(self):
        return generation_at(self.admin)

    def revision_status(self, revision):
        """The revision in the activator's /status."""
        url = "http://127.0.0.1:%d/status?revision=%s" % (self.admin, revision)
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return json.loads(answer.read())["revisions"][0]

    def scaled_status(self, revision):
        """The revision in the autoscaler's /status."""
        url = "http://127.0.0.1:%d/status?revision=%s" % (self.scaler_admin, revision)
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return json.loads(answer.read())["revisions"][0]

    def why_text(self, revision, form="text"):
        """The revision in the autoscaler's /why."""
        url = "http://127.0.0.1:%d/why?revision=%s&format=%s" % (self.scaler_admin, revision, form)
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return answer.read().decode()

    def why(self, revision):
        """The same, parsed; the newest of its decisions is the first."""
        return json.loads(self.why_text(revision, "json"))

    def instances(self):
        """Process ids of the instances that are running."""
        found, mark = [], b"TEST_STACK=" + self.path.encode() + b"\0"
        for pid in os.listdir("/proc"):
            if not pid.isdigit():
                continue
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    env = f.read()
            except OSError:
                continue
            if mark in env:
                found.append(int(pid))
        return found

    def connect(self):
        return Client(self.port) if self.tls is None else TlsClient(self.port, self.tls.context())

    def get(self, host, path="/", timeout=WAIT_S, method="GET", body=None, fields=()):
        """Send a request on a connection of its own; (status, fields, body) of the response.
        TEST_H2=1 in the environment: by HTTP/2, to run any test that asks by get() over it."""
        if os.environ.get("TEST_H2") == "1":
            return self.get_by_h2(host, path, timeout, method, body, fields)
        with self.connect() as c:
            c.settimeout(timeout)
            c.request(method, path, host, body, list(fields) + [("Connection", "close")])
            return c.response(method == "HEAD")

    def get_by_h2(self, host, path, timeout, method, body, fields):
        context = None if self.tls is None else self.tls.context()
        if context is not None:
            context.set_alpn_protocols(["h2"])
        with H2Client(self.port, context=context) as c:
            c.link.settimeout(timeout)
            length = [] if body is None else [("content-length", str(len(body)))]
            stream = c.request(path, host, method, [(n.lower(), v) for n, v in fields] + length,
                               end=body is None)
            if body is not None:
                c.body(stream, body)
            r = c.response(stream)
            if r.reset is not None and r.status is None:
                raise ConnectionResetError("RST_STREAM %d" % r.reset)
            return r.status, {n: v for n, v in r.fields.items() if n[0] != ":"}, r.body

    def stop(self):
        """Stop both in an orderly way; fail where one of them, or a sanitiser, complains."""
        try:
            for p in (self.activator, self.autoscaler):
                if p is None:
                    continue
                was_running = p.process.poll() is None
                status = p.stop()
                if was_running:
                    assert status == 0, "%s ended with %d:\n%s" % (p.name, status,
                                                                    p.text()[-3000:])
        finally:
            for p in (self.activator, self.autoscaler):
                if p is not None and p.process.poll() is None:
                    p.process.kill()
        for p in (self.activator, self.autoscaler):
            if p is not None:
                text = p.text()
                for sign in ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer",
                             "runtime error:", "LeakSanitizer", "check failed"):
                    assert sign not in text, text[text.index(sign):][:4000]
        wait_until(lambda: not self.instances(), what="all instances to end")
        release(self.instance_ports[0])


@contextlib.contextmanager
def running(path, services, **more):
    """A started Stack.  Where the with block fails, the ends of both logs are printed."""
    s = Stack(path, services, **more)
    try:
        yield s.start()
    except BaseException:
        for p in (s.activator, s.autoscaler):
            if p is not None:
                print("--- %s\n%s" % (p.name, p.text()[-6000:]))
        raise
    finally:
        s.stop()


class Exchange:
    """Sends requests and parses responses, on a connection that has sendall() and recv()."""

    rest = b""  # received, not parsed yet

    def request(self, method, path, host, body=None, fields=()):
        head = "%s %s HTTP/1.1\r\nHost: %s\r\n" % (method, path, host)
        head += "".join("%s: %s\r\n" % f for f in fields)
        if body is not None:
            head += "Content-Length: %d\r\n" % len(body)
        self.sendall(head.encode() + b"\r\n" + (body or b""))

    def more(self):
        """Receive once.  False: the connection has ended."""
        data = self.recv(65536)
        self.rest += data
        return bool(data)

    def head(self):
        """(status line, [(name, value)…]) of the next response head."""
        while b"\r\n\r\n" not in self.rest:
            assert self.more(), "the connection ended inside a head: %r" % self.rest
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        return lines[0], [tuple(l.split(": ", 1)) for l in lines[1:]]

    def response(self, is_head=False):
        """(status, {name in lower case: value}, body) of the next response.  is_head: it answers
        a HEAD."""
        line, fields = self.head()
        status = int(line.split()[1])
        names = {n.lower(): v for n, v in fields}
        if is_head or status in (204, 304) or status < 200:
            return status, names, b""
        if names.get("transfer-encoding") == "chunked":
            return status, names, self.chunked()
        if "content-length" in names:
            return status, names, self.exactly(int(names["content-length"]))
        while self.more():
            pass
        body, self.rest = self.rest, b""
        return status, names, body

    def exactly(self, n):
        """The next n bytes."""
        while len(self.rest) < n:
            assert self.more(), "the connection ended %d bytes early" % (n - len(self.rest))
        body, self.rest = self.rest[:n], self.rest[n:]
        return body

    def line(self):
        """The next line, without its CRLF."""
        while b"\r\n" not in self.rest:
            assert self.more(), "the connection ended inside a line"
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def chunked(self):
        """The data of a chunked body; trailers are dropped."""
        body = b""
        while True:
            n = int(self.line().split(b";")[0], 16)
            if n == 0:
                while self.line():
                    pass
                return body
            body += self.exactly(n)
            assert self.line() == b""

    def is_closed(self):
        """Wait for the next byte or the end.  True: it was the end."""
        try:
            return not self.rest and self.recv(1) == b""
        except ConnectionResetError:
            return True


class Client(Exchange, socket.socket):
    """A client's connection.  Sends exactly the test's bytes, and parses responses."""

    def __init__(self, port):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.settimeout(WAIT_S)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connect(("127.0.0.1", port))


class TlsClient(Exchange, TlsConnection):
    """The same by TLS.  more: of TlsConnection."""

    def __init__(self, port, context, **more):
        super().__init__(Client(port), context, **more)


def stats(stack, host):
    """What the sample app has counted, asked through the activator."""
    return json.loads(stack.get(host, "/stats")[2])
