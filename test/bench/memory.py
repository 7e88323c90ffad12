"""Memory of a proxy per idle connection and per parked request."""
import resource
import socket
import statistics

import wake
from helpers import HELLO, rss_kib, settled

PARKED = b"GET /park?id=%d HTTP/1.1\r\nHost: never\r\nUser-Agent: curl/7.88.1\r\n" \
    b"Accept: */*\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en\r\n" \
    b"Cookie: session=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n" \
    b"X-Request-Id: 0123456789abcdef0123456789abcdef\r\nReferer: http://never/\r\n\r\n"


def connect(port, n, request, is_answered):
    sockets = []
    for i in range(n):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(request % i if b"%d" in request else request)
        if is_answered and not s.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit("bench: an unexpected answer")
        sockets.append(s)
    return sockets


def close(sockets):
    for s in sockets:
        s.close()


def idle_kib(contender, n):
    """Connections that have had one answer and send nothing."""
    before = settled(contender.rss_bytes)
    sockets = connect(contender.port, n, b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", True)
    after = settled(contender.rss_bytes)
    close(sockets)
    return (after - before) / n / 1024


def parked_kib(contender, n):
    """Requests that the origin never answers: a proxy that cannot park holds them so."""
    before = settled(contender.rss_bytes)
    sockets = connect(contender.port, n, PARKED, False)
    after = settled(contender.rss_bytes)
    close(sockets)
    return (after - before) / n / 1024


def parked_line(folder, say, most):
    """Requests of a service that never starts: memory over their number, as a line, and the same
    numbers a second time."""
    ours = wake.start_activator(folder, wake.service("never", HELLO, "--never-listen",
                                            extra="max_scale = 1"), workers=2)
    points, again = [], []

    def rss_bytes():
        return settled(lambda: rss_kib(ours.pid)) * 1024

    try:
        sockets = connect(wake.PORT, 1, PARKED, False)
        before = rss_bytes()
        for memories in points, again:
            for n in [most // 9 * i for i in (1, 3, 5, 7, 9)]:
                sockets += connect(wake.PORT, n + 1 - len(sockets), PARKED, False)
                memories.append((n, rss_bytes()))
            close(sockets)
            sockets = []
            rss_bytes()
    finally:
        ours.stop()
    xs, ys = zip(*points)
    slope = statistics.linear_regression(xs, ys).slope
    say("\nParked GETs (%d bytes of head) over 2 workers, connection included, above the idle "
        "process: %s; %.2f KiB each by the line through these. %d took %.1f MiB, the same burst "
        "again %.1f MiB (%+.1f %%); 100,000 would take %.0f MiB." % (
            len(PARKED), ", ".join("%d: %.2f KiB each" % (n, (y - before) / n / 1024)
                                   for n, y in points),
            slope / 1024, xs[-1], ys[-1] / 2**20, again[-1][1] / 2**20,
            100 * (again[-1][1] / ys[-1] - 1), (before + slope * 100000) / 2**20))


def report_parked(folder, say):
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    parked_line(folder, say, min(18000, (descriptors - 500) // 9 * 9))


def report(makers, folder, say):
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    n = min(4000, descriptors // 4)
    say("\n### Memory\n")
    say("Resident memory of all processes of each. A parked request is one that the origin never "
        "answers: it has a connection of its own there, too.\n")
    say("| | started, MiB | KiB per idle connection | KiB per request that the origin parks |")
    say("| --- | --- | --- | --- |")
    for name, make in makers.items():
        cells = []
        for measure in idle_kib, parked_kib:
            contender = make().start()
            try:
                started = "%.1f" % (contender.rss_bytes() / 2**20)
                if name == "activator":
                    started += " with the autoscaler, %.1f without" % (
                        rss_kib(contender.pid) / 1024)
                cells.append(measure(contender, n))
            finally:
                contender.stop()
        say("| %s | %s | %.2f | %.2f |" % (name, started, *cells))
