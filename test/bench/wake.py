"""What a start from zero costs, beside the same program started by hand; a burst onto a stopped
service."""
import json
import os
import selectors
import socket
import statistics
import subprocess
import time

import contenders
from contenders import Contender
from helpers import HELLO

PORT, ADMIN, TLS_PORT = 18300, 18309, 18301
CONF = """
socket = "%s/s"
state_dir = "%s/state"
log_level = error
activator { listen = {"127.0.0.1:%d"%s} admin = "127.0.0.1:%d" workers = %d %s }
autoscaler { admin = "" stable_window = 60s max_instances = 400 }
%s
"""
SERVICE = 'service "%s" { hosts = {"%s"} revision "v1" { command = {%s} %s } }\n'


def service(name, *command, extra=""):
    return SERVICE % (name, name, ", ".join('"%s"' % word for word in command), extra)


def start_activator(folder, services, workers=1, listen="", keys=""):
    """Both programs with these services, and one that a rule answers: Contender.wait() asks it.
    listen: further addresses; keys: of activator {}."""
    conf = folder + "/wake.conf"
    always = 'service "always" { hosts = {"b"} rule "r" { action = answer status = 200 } ' \
        'revision "v1" { addresses = {"127.0.0.1:9"} } }\n'
    with open(conf, "w") as f:
        f.write(CONF % (folder, folder, PORT, listen, ADMIN, workers, keys, always + services))
    return Contender("activator", PORT, [[contenders.BUILD + "/autoscaler", "-c", conf],
                                         [contenders.BUILD + "/activator", "-c", conf]]).start()


def ask_s(port, host, patience=30):
    """Seconds from the first connect(2) to a 200; connections that are refused are tried again."""
    start = time.monotonic()
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.settimeout(patience)
                s.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
                          % host.encode())
                got = s.recv(4096)
                assert got.startswith(b"HTTP/1.1 200"), got
                return time.monotonic() - start
        except ConnectionRefusedError:
            if time.monotonic() - start > patience:
                raise
            time.sleep(0.0005)


def by_hand_s(n):
    times = []
    for i in range(n):
        start = time.monotonic()
        p = subprocess.Popen([HELLO], env=dict(os.environ, PORT=str(18400 + i)),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        ask_s(18400 + i, "x")
        times.append(time.monotonic() - start)
        p.terminate()
        p.wait()
    return times


def cold_starts_s(folder, n):
    """The first request of each of n services."""
    ours = start_activator(folder, "".join(service("cold%d" % i, HELLO) for i in range(n)))
    try:
        return [ask_s(PORT, "cold%d" % i) for i in range(n)]
    finally:
        ours.stop()


def burst_s(folder, n, startup="500ms"):
    """n requests at once for a stopped service: seconds to each answer."""
    ours = start_activator(folder, service("burst", HELLO, "--startup", startup))
    waiting, times = selectors.DefaultSelector(), []
    try:
        sockets = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(n)]
        start = time.monotonic()
        for s in sockets:
            s.sendall(b"GET / HTTP/1.1\r\nHost: burst\r\n\r\n")
            waiting.register(s, selectors.EVENT_READ)
        while len(times) < n:
            for key, _ in waiting.select(30) or [(None, None)]:
                got = key.fileobj.recv(4096)
                assert got.startswith(b"HTTP/1.1 200"), got
                times.append(time.monotonic() - start)
                waiting.unregister(key.fileobj)
                key.fileobj.close()
        return times
    finally:
        ours.stop()


def ask_stats(host):
    """/stats of the sample app, which has the same clock as this program (CLOCK_MONOTONIC)."""
    with socket.create_connection(("127.0.0.1", PORT), 5) as s:
        s.sendall(b"GET /stats HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
                  % host.encode())
        with s.makefile("rb") as f:
            return json.loads(f.read().split(b"\r\n\r\n", 1)[1])


def first_bytes_s(folder, n):
    """From an instance's listen(2) to the first byte of a parked request there, n times."""
    ours = start_activator(folder, "".join(service("first%d" % i, HELLO, "--startup", "100ms")
                                  for i in range(n)))
    times = []
    try:
        for i in range(n):
            ask_s(PORT, "first%d" % i)
            stats = ask_stats("first%d" % i)
            times.append((stats["first_byte_ns"] - stats["listen_ns"]) / 1e9)
        return sorted(times)
    finally:
        ours.stop()


def release_s(folder, n):
    """From listen(2) of the only instance to the last answer of n parked requests."""
    ours = start_activator(folder, service("one", HELLO, "--startup", "2s", extra="max_scale = 1"))
    waiting, left = selectors.DefaultSelector(), n
    try:
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", PORT))
            s.sendall(b"GET / HTTP/1.1\r\nHost: one\r\n\r\n")
            waiting.register(s, selectors.EVENT_READ)
        while left > 0:
            for key, _ in waiting.select(30) or [(None, None)]:
                assert key.fileobj.recv(4096).startswith(b"HTTP/1.1 200")
                waiting.unregister(key.fileobj)
                key.fileobj.close()
                left -= 1
        return time.monotonic() - ask_stats("one")["listen_ns"] / 1e9
    finally:
        ours.stop()


def ms(seconds):
    return "%.1f ms" % (seconds * 1000)


def report(folder, say, runs):
    cold, hand = cold_starts_s(folder, runs), by_hand_s(runs)
    times = sorted(burst_s(folder, 1000))
    added = statistics.median(cold) - statistics.median(hand)
    say("\n### Starts from zero\n")
    say("| what | median | worst |")
    say("| --- | --- | --- |")
    say("| `hello` started by hand, to its first answer (%d times) | %s | %s |"
        % (runs, ms(statistics.median(hand)), ms(max(hand))))
    say("| the same through the activator, from zero | %s | %s |"
        % (ms(statistics.median(cold)), ms(max(cold))))
    say("| what the activator adds | %s | |" % ms(added))
    say("\n1000 requests at once for a stopped service that takes 500 ms to start: p50 %s, "
        "p99 %s, worst %s, none refused." % (ms(times[499]), ms(times[989]), ms(times[-1])))
    first = first_bytes_s(folder, 200)
    say("\nFrom an instance's `listen()` to the first byte of the first parked request there, 200 "
        "cold starts: p50 %s, p99 %s, worst %s; to the last answer of 1000 requests that were "
        "parked for one instance: %s." % (ms(first[99]), ms(first[197]), ms(first[-1]),
                               ms(release_s(folder, 1000))))
