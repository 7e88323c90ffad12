#!/usr/bin/env python3
"""Two activators share an instance with one slot: how long the slot is idle while a request waits.

    test/bench/shares.py [SECONDS]        (default: 10; after `make all apps`)

  moved       a request comes by the activator that has no slot; the other one has it, idle.
              The time from the request to its beginning at the instance, less what the same
              takes where the slot need not move.
  one alone   one activator always has requests waiting: from the end of each request at the
              instance to the beginning of the next.
  contended   the same, while both activators always have requests waiting."""
import json
import os
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
from fleet import HOST, fleet  # noqa: E402
from stack import Client  # noqa: E402


def row(name, us):
    us = sorted(us)
    print("%-28s %8d %9.2f %9.2f %9.2f ms" % (
        name, len(us), *(us[min(int(len(us) * q), len(us) - 1)] / 1000 for q in (.5, .99, 1))))


def ask(client):
    begin = time.monotonic_ns()
    client.request("GET", "/?ms=0", HOST)
    assert client.response()[0] == 200
    return (time.monotonic_ns() - begin) / 1000


def gaps(pid):
    with open("/proc/%d/environ" % pid, "rb") as f:
        env = dict(v.split(b"=", 1) for v in f.read().split(b"\0") if b"=" in v)
    with urllib.request.urlopen("http://127.0.0.1:%d/gaps" % int(env[b"PORT"])) as answer:
        return json.loads(answer.read())


def contend(stack, name, activators, clients, seconds):
    for x in activators:
        x.served = 0
        x.load(clients, ms=2)
    for x in activators:
        x.wait_served()
    pid, = stack.instances()
    gaps(pid)
    before, served = time.monotonic(), [x.served for x in activators]
    time.sleep(seconds)
    idle = gaps(pid)
    passed = time.monotonic() - before
    served = [x.served - n for x, n in zip(activators, served)]
    row(name, idle)
    print("    %.0f requests/s of 2 ms, slot idle %.1f %% of the time; served %s" % (
        sum(served) / passed, sum(idle) / passed / 1e4, " and ".join(map(str, served))))
    for x in activators:
        x.calm()


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder, \
            fleet(folder, 1, 1, 2, is_strict=False) as (stack, (a, b)):
        clients = Client(a.port), Client(b.port)
        stays, moves, end = [], [], time.monotonic() + seconds
        while time.monotonic() < end:
            for c in clients:
                moves.append(ask(c))
                stays.append(ask(c))
        for c in clients:
            c.close()
        print("%-28s %8s %9s %9s %9s" % ("", "n", "p50", "p99", "worst"))
        row("answered, slot is here", stays)
        row("answered, slot moved", moves)
        typical = sorted(stays)[len(stays) // 2]
        row("idle until moved", [max(m - typical, 0) for m in moves])
        contend(stack, "one alone, idle between", (a,), 8, seconds)
        contend(stack, "contended, idle between", (a, b), 4, seconds)


main()
