"""The rows of TLS and HTTP/2: load, handshakes, memory, counts."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import load
import wire_contenders
import wire_memory
from counts import total_of
from load import middle, middle_ratio, number

# Of each row: its name for --rows, what it says, the kind of contender, what makes the load.
ROWS = (
    ("tls-13b", "TLS, HTTP/1.1, 13 B, c=64", "tls", ("wrk", 64, "/")),
    ("tls-64k", "TLS, HTTP/1.1, 64 KiB, c=16", "tls", ("wrk", 16, "/64k")),
    ("tls-1m", "TLS, HTTP/1.1, 1 MiB, c=16", "tls", ("wrk", 16, "/1m")),
    ("h2-m10", "h2 over TLS to HTTP/1.1, 13 B, c=64 m=10", "tls", ("h2load", 64, 10, "/")),
    ("h2-m1", "h2 over TLS to HTTP/1.1, 13 B, c=64 m=1", "tls", ("h2load", 64, 1, "/")),
    ("h2-64k", "h2 over TLS to HTTP/1.1, 64 KiB, c=16 m=4", "tls", ("h2load", 16, 4, "/64k")),
    ("h2c-m10", "h2c to h2c, 13 B, c=64 m=10", "h2c", ("h2load", 64, 10, "/")),
    ("h2c-m1", "h2c to h2c, 13 B, c=64 m=1", "h2c", ("h2load", 64, 1, "/")),
    ("grpc-m10", "gRPC unary, c=64 m=10", "grpc", ("grpc", 64, 10, "/")),
)
HANDSHAKES = ("full", "full handshakes, 16 at once"), ("resumed", "resumed handshakes, 16 at once")
NAMES = [row[0] for row in ROWS] + [name for name, _ in HANDSHAKES]
SECTIONS = "tls", "h2", "handshakes", "tls-counts", "tls-memory"


def h2load_command(contender, folder, kind, conns, streams, path, how):
    command = ["h2load", "-t1", "-c%d" % conns, "-m%d" % streams, *how]
    if kind == "grpc":
        message = os.path.join(folder, "message")
        with open(message, "wb") as f:
            f.write(b"\0\0\0\0\x0dHello, World!")
        command += ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"]
    return command + [contender.url + path]


def h2load(contender, folder, kind, conns, streams, path, seconds, core):
    command = h2load_command(contender, folder, kind, conns, streams, path, ["-D%d" % seconds])
    before, at = contender.cpu_s(), core and load.ticks(core)
    done = load.generate(command, core)
    cpu = contender.cpu_s() - before
    after = core and load.ticks(core)
    found = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored",
                      done.stdout)
    if found is None:
        raise SystemExit("bench: h2load failed: " + done.stdout + done.stderr)
    n = max(int(found[2]), 1)
    return {"rate": n / seconds, "cpu_us": cpu / n * 1e6, "errors": int(found[3]) + int(found[4]),
            "busy": core and (after[0] - at[0]) / (after[1] - at[1])}


def one(contender, folder, how, seconds, core):
    kind, conns, *more = how
    if kind == "wrk":
        return load.wrk(contender, conns, seconds, more[0], core)
    return h2load(contender, folder, kind, conns, *more, seconds, core)


def handshakes(contender, how, seconds, core):
    before = contender.cpu_s()
    done = load.generate([wire_contenders.HANDSHAKES, str(contender.port), how, str(seconds),
                          "16"], core)
    cpu = contender.cpu_s() - before
    found = re.search(r"RESULT (\{\"handshakes.*\})", done.stdout)
    if found is None:
        raise SystemExit("bench: handshakes failed: " + done.stdout + done.stderr)
    result = json.loads(found[1])
    n = max(result["handshakes"], 1)
    if how == "resumed" and result["resumed"] != result["handshakes"]:
        raise SystemExit("bench: %s has not resumed a session" % contender.name)
    return {"rate": n / result["us"] * 1e6, "cpu_us": cpu / n * 1e6, "per_cpu_s": n / cpu,
            "errors": result["failed"]}


def measure(makers, measures, args, cells):
    """Each run has new processes and another order, as in load.py.  measures: [(row, function
    of a contender)]; cells: {row: {name: results}}."""
    names = list(makers)
    for run in range(args.runs):
        order = names[run % len(names):] + names[:run % len(names)]
        running = {name: makers[name]().start() for name in order}
        try:
            for row, function, warm in measures:
                for name in order:
                    warm(running[name])
                    result = function(running[name])
                    cells.setdefault(row, {}).setdefault(name, []).append(result)
                    print("  run %d %-10s %-10s %9.0f/s %8.2f us" % (
                        run + 1, row, name, result["rate"], result["cpu_us"]), file=sys.stderr)
        finally:
            for contender in running.values():
                contender.stop()


def print_row(title, what, key, values, names, say):
    others = [name for name in names if name != "activator"]

    def ratio(other):
        if other not in values or "activator" not in values:
            return "–"
        return "%.2f" % middle_ratio(values["activator"], values[other], key)

    say("| %s | %s | %s | %s |" % (
        title, what, " | ".join(number(middle(values[n], key)) if n in values else "–"
                                for n in names), " | ".join(map(ratio, others))))


def print_cells(title, cells, names, rows, say):
    """rows: {row: (its text, ((key, what), ...))}"""
    others = [name for name in names if name != "activator"]
    say("\n### %s\n" % title)
    say("| | | " + " | ".join(names + ["/ " + o for o in others]) + " |")
    say("| --- " * (2 + len(names) + len(others)) + "|")
    for row, values in cells.items():
        text, keys = rows[row]
        for key, what in keys:
            print_row(text, what, key, values, names, say)
            text = ""
        busy = [middle(v, "busy") for v in values.values() if v[0].get("busy") is not None]
        if busy:
            say("| | generator's core busy | " + " | ".join(
                "%.0f %%" % (100 * middle(values[n], "busy")) if n in values else "–"
                for n in names) + " |" + " |" * len(others))
    errors = {n: sum(r["errors"] for v in cells.values() for r in v.get(n, [])) for n in names}
    say("\nErrors: " + ", ".join("%s %d" % item for item in errors.items()) + ".")


# --- counts

def difference(contender_of, command_of, measure_total, least=1000, more=8000):
    """Of something per request: that of two runs with `least` and `least + more` requests."""
    totals = []
    for n in least, least + more:
        totals.append(measure_total(contender_of, lambda c, n=n: command_of(c, n)))
        if totals[-1] is None:
            return None
    return {k: (v - totals[0].get(k, 0)) / more for k, v in totals[1].items()}


def syscalls_of(make, command_of):
    contender = make().start()
    try:
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
            load.generate(command_of(contender), None)
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
            rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", out.read(),
                              re.M)
    finally:
        contender.stop()
    return {name: int(n) for n, name in rows if name != "total"}


def instructions_of(make, command_of):
    with tempfile.TemporaryDirectory() as folder:
        contender = make(is_single=True).start(
            ["valgrind", "--tool=callgrind", "-q", "--trace-children=yes",
             "--callgrind-out-file=%s/%%p" % folder])
        try:
            load.generate(command_of(contender), None)
        finally:
            contender.stop()
        return {"instructions": total_of(glob.glob(folder + "/*"))}


def report_counts(by_kind, rows, folder, say):
    say("\n### Counts of TLS and HTTP/2\n")
    say("The difference of two runs of h2load, so that handshakes do not count; 16 connections.\n")
    say("| | | system calls per request | which | user instructions per request |")
    say("| --- " * 5 + "|")
    for row, text, kind, how in rows:
        for name, make in by_kind[kind].items():
            streams = how[2] if how[0] != "wrk" else 1
            h1 = ["--h1"] if how[0] == "wrk" else []

            def command(contender, n):
                return h2load_command(contender, folder, how[0], 16, streams, how[-1],
                                      ["-n%d" % n] + h1)

            calls = difference(make, command, syscalls_of) if shutil.which("strace") else None
            steps = difference(make, command, instructions_of) if shutil.which("valgrind") else None
            say("| %s | %s | %s | %s | %s |" % (
                text, name, "not measured" if calls is None else "%.2f" % sum(calls.values()),
                ", ".join("%s %.2f" % (call, n) for call, n in
                          sorted((calls or {}).items(), key=lambda item: -item[1]) if n >= 0.005),
                "not measured" if steps is None or steps["instructions"] < 1
                else "%.0f" % steps["instructions"]))
            text = ""


# --- all

def chosen_rows(args):
    """[(row, text, kind, how)] of the sections and of --rows."""
    prefixes = [p for p, s in (("tls-", "tls"), ("h2-", "h2"), ("h2c-", "h2"), ("grpc-", "h2"))
                if s in args.only]
    return [row for row in ROWS if row[0] in args.rows and row[0].startswith(tuple(prefixes))]


def report(args, folder, cores, say):
    wanted = set(args.only) & set(SECTIONS)
    if not wanted:
        return
    rows = chosen_rows(args)
    is_small = set(NAMES) == set(args.rows)  # else each row is named
    counted = [row for row in ROWS if row[0] in args.rows and (row[3][-1] == "/" or not is_small)
               ] if "tls-counts" in wanted else []
    kinds = {row[2] for row in rows + counted}
    if {"handshakes", "tls-memory"} & wanted:
        kinds.add("tls")
    kinds = [kind for kind in ("tls", "h2c", "grpc") if kind in kinds]
    say("\n## TLS and HTTP/2")
    if shutil.which("h2load") is None:
        say("\nLeft out: h2load is not installed.")
        return
    if shutil.which("nghttpd") is None and kinds != ["tls"]:
        say("\nThe rows of HTTP/2 to instances are left out: nghttpd is not installed.")
        kinds = ["tls"] if "tls" in kinds else []
    load.environment = wire_contenders.generator_environment(folder)
    by_kind = {kind: wire_contenders.Maker(kind, folder, cores[0], args.beside, say).all()
               for kind in kinds}
    origins = wire_contenders.h2_origins(cores[1], [k for k in kinds if k != "tls"], folder)
    try:
        report_kinds(args, folder, cores, by_kind, rows, counted, say)
    finally:
        for origin in origins:
            origin.stop()


def report_kinds(args, folder, cores, by_kind, rows, counted, say):
    core, alike = cores[1], {}
    if "tls" in by_kind:
        by_kind["tls"], alike = wire_contenders.same(by_kind["tls"], say)
    cells, seconds = {}, args.seconds
    for kind, makers in by_kind.items():
        of_kind = [row for row in rows if row[2] == kind]
        if of_kind and makers:
            measure(makers, [(row, lambda c, how=how: one(c, folder, how, seconds, core),
                              lambda c, how=how: one(c, folder, how, 1, core))
                             for row, _, _, how in of_kind], args, cells)
    names = list(dict.fromkeys(n for values in cells.values() for n in values))
    if cells:
        print_cells("Load by TLS and HTTP/2", cells, names, {
            row: (text, (("cpu_us", "CPU µs per request"), ("rate", "requests/s")))
            for row, text, _, _ in rows}, say)
    if "handshakes" in args.only and alike:
        report_handshakes(alike, args, core, say)
    if counted:
        report_counts(by_kind, [row for row in counted if row[2] in by_kind], folder, say)
    if "tls-memory" in args.only:
        wire_memory.report(by_kind["tls"], folder, say)


def report_handshakes(makers, args, core, say):
    cells = {}
    kinds = [h for h in HANDSHAKES if h[0] in args.rows]
    if not kinds:
        return
    measure(makers, [(how, lambda c, how=how: handshakes(c, how, args.seconds, core),
                      lambda c: None) for how, _ in kinds], args, cells)
    print_cells("Handshakes", cells, list(makers), {
        how: (text, (("cpu_us", "CPU µs per handshake"),
                     ("per_cpu_s", "handshakes per second of CPU"), ("rate", "handshakes/s")))
        for how, text in kinds}, say)
    say("\nThe client needs more CPU than a server, and bounds the rate.")
