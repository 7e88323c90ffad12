"""System calls and user instructions per request, which depend neither on the machine's speed nor
on its load.  Start and connections do not count: only a known number of requests is traced, or the
difference of two runs is taken."""
import glob
import re
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: bench\r\n\r\n"


class Clients:
    """n connections, each with one request in flight at a time."""

    def __init__(self, port, n):
        self.ready = selectors.DefaultSelector()
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
        for s in self.sockets:
            self.ready.register(s, selectors.EVENT_READ)

    def ask(self, requests):
        """Send so many requests in all, and wait for their answers."""
        sent = answered = 0
        for s in self.sockets:
            s.sendall(REQUEST)
            sent += 1
        while answered < sent:
            for key, _ in self.ready.select(60) or [(None, None)]:
                got = key.fileobj.recv(65536)
                if not got.startswith(b"HTTP/1.1 200") or b"\r\n\r\n" not in got:
                    raise SystemExit("bench: unexpected answer %r" % got[:200])
                answered += 1
                if sent < requests:
                    key.fileobj.sendall(REQUEST)
                    sent += 1

    def close(self):
        for s in self.sockets:
            s.close()


def syscalls(contender):
    """{name: calls per request} at 64 connections, by strace -c; None where it is not allowed."""
    clients = Clients(contender.port, 64)
    requests = 20000
    try:
        clients.ask(640)
        with tempfile.NamedTemporaryFile("r") as out:
            tracer = subprocess.Popen(
                ["strace", "-c", "-f", "-o", out.name] +
                [word for pid in contender.pids() for word in ("-p", str(pid))],
                stderr=subprocess.PIPE, text=True)
            if "attached" not in tracer.stderr.readline():
                tracer.kill()
                tracer.wait()
                return None
            time.sleep(0.5)
            clients.ask(requests)
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
            rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", out.read(),
                              re.M)
    finally:
        clients.close()
    return {name: int(n) / requests for n, name in rows if name != "total"}


def total_of(files):
    """Instructions in all of these files of callgrind."""
    total = 0
    for name in files:
        with open(name) as f:
            found = re.findall(r"^(?:totals|summary): (\d+)", f.read(), re.M)
        total += int(found[-1]) if found else 0
    return total


def instructions(make):
    """User instructions per request, by callgrind."""
    totals = []
    for requests in (1600, 9600):
        with tempfile.TemporaryDirectory() as folder:
            contender = make(is_single=True).start(
                ["valgrind", "--tool=callgrind", "-q", "--trace-children=yes",
                 "--callgrind-out-file=%s/%%p" % folder])
            try:
                clients = Clients(contender.port, 16)
                clients.ask(requests)
                clients.close()
            finally:
                contender.stop()
            totals.append(total_of(glob.glob(folder + "/*")))
    return (totals[1] - totals[0]) / 8000


def report(makers, cores, say):
    say("\n### Counts\n")
    say("64 connections for the system calls (strace -c), 16 for the instructions (callgrind).\n")
    say("| | system calls per request | which | user instructions per request |")
    say("| --- | --- | --- | --- |")
    for name, make in makers.items():
        calls = None
        if shutil.which("strace"):
            contender = make().start()
            try:
                calls = syscalls(contender)
            finally:
                contender.stop()
        say("| %s | %s | %s | %s |" % (
            name, "not measured: no strace, or not allowed" if calls is None
            else "%.2f" % sum(calls.values()),
            ", ".join("%s %.2f" % (call, n) for call, n in
                      sorted((calls or {}).items(), key=lambda item: -item[1]) if n >= 0.005),
            "%.0f" % instructions(make) if shutil.which("valgrind") else
            "not measured: no valgrind"))
