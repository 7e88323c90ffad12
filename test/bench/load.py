"""Load by wrk on one proxy after the other: rates, latencies, CPU per request."""
import argparse
import json
import operator
import os
import re
import shutil
import statistics
import subprocess
import sys

import contenders
import counts

environment = None  # of generate(); None: this program's
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrk.lua")


def ticks(core):
    """(not idle, all) clock ticks of a core since the machine started."""
    with open("/proc/stat") as f:
        text = next(line for line in f if line.startswith("cpu%d " % min(core)))
    values = list(map(int, text.split()[1:9]))
    return sum(values) - values[3] - values[4], sum(values)


def generate(command, core):
    """Run a program that makes load, on that core."""
    return subprocess.run(command, capture_output=True, text=True, env=environment,
                          preexec_fn=core and (lambda: os.sched_setaffinity(0, core)))


def wrk(contender, conns, seconds, path, core):
    command = ["wrk", "-t1", "-c%d" % conns, "-d%ds" % seconds, "--timeout", "30s",
               "-s", SCRIPT, contender.url + path]
    before, at = contender.cpu_s(), core and ticks(core)
    done = generate(command, core)
    cpu = contender.cpu_s() - before
    busy, of = map(operator.sub, ticks(core), at) if core else (None, 1)
    found = re.search(r"RESULT (\{.*\})", done.stdout)
    if found is None:
        raise SystemExit("bench: wrk failed: " + done.stdout + done.stderr)
    result = json.loads(found[1])
    n = max(result["requests"], 1)
    return {"requests": n, "rate": n / result["us"] * 1e6, "cpu_us": cpu / n * 1e6,
            "p50_ms": result["p50"] / 1e3, "p99_ms": result["p99"] / 1e3,
            "errors": result["errors"], "busy": core and busy / of}


def middle(results, key):
    return statistics.median(r[key] for r in results)


def middle_ratio(ours, others, key):
    """The median of ratios of runs that were made one after the other: a machine that is slower for
    a while is slower for both."""
    return statistics.median(a[key] / max(b[key], 1e-9) for a, b in zip(ours, others))


def matrix(makers, args, cores):
    """{(path, conns): {name: results}}.  Each run has new processes and another order, because a
    process's past changes its cost."""
    cells = {}
    names = list(makers)
    for run in range(args.runs):
        order = names[run % len(names):] + names[:run % len(names)]
        running = {name: makers[name]().start() for name in order}
        try:
            for name in order:
                wrk(running[name], 64, 1, "/", cores[1])
            for path in args.paths.split(","):
                for conns in map(int, args.conns.split(",")):
                    for name in order:
                        result = wrk(running[name], conns, args.seconds, path, cores[1])
                        cells.setdefault((path, conns), {}).setdefault(name, []).append(result)
                        print("  run %d %-5s c=%-5d %-10s %9.0f/s %8.2f us" % (
                            run + 1, path, conns, name, result["rate"], result["cpu_us"]),
                            file=sys.stderr)
        finally:
            for contender in running.values():
                contender.stop()
    return cells


def number(value):
    return "%.0f" % value if value >= 100 else "%.1f" % value if value >= 10 else "%.2f" % value


def print_cells(cells, say):
    """One table: a row for each load and figure, the ratios of the activator to the others last."""
    names = list(next(iter(cells.values())))
    others = [name for name in names if name != "activator"]
    say("\n### Load\n")
    say("Ratios: the activator's figure divided by the other's, the median over runs that were "
        "made one after the other; below 1 is better for CPU and latency, above 1 for the rate. Where "
        "the generator's core, which is also the origin's, is busy to the end, it bounds the rate, "
        "not the proxy.\n")
    say("| body, connections | | " + " | ".join(
        ["activator"] + others + ["/ " + o for o in others]) + " |")
    say("| --- " * (3 + 2 * len(others)) + "|")
    for (path, conns), rows in cells.items():
        what = "%s, %d" % ({"/": "13 B", "/64k": "64 KiB", "/1m": "1 MiB"}.get(path, path), conns)
        for key, title in (("cpu_us", "CPU µs per request"), ("rate", "requests/s"),
                           ("p50_ms", "p50 ms"), ("p99_ms", "p99 ms")):
            values = {name: middle(rows[name], key) for name in names}
            say("| %s | %s | " % (what, title) + " | ".join(
                [number(values[name]) for name in ["activator"] + others] +
                ["%.2f" % middle_ratio(rows["activator"], rows[o], key) for o in others]) + " |")
            what = ""
        if all(r["busy"] is not None for results in rows.values() for r in results):
            say("| | generator's core busy | " + " | ".join(
                "%.0f %%" % (100 * middle(rows[name], "busy"))
                for name in ["activator"] + others) + " |" + " |" * len(others))
    errors = {name: sum(r["errors"] for rows in cells.values() for r in rows[name])
              for name in names}
    say("\nErrors: " + ", ".join("%s %d" % item for item in errors.items()) + ".")


def report_after(makers, args, cores, say):
    """Whether a request costs more after a burst than before it."""
    say("\n### After a burst\n")
    say("CPU per request with 64 connections after a burst of 1000, divided by that before it, "
        "median of %d fresh processes.\n" % args.runs)
    say("| | after / before |")
    say("| --- | --- |")
    for name, make in makers.items():
        ratios = []
        for _ in range(args.runs):
            contender = make().start()
            try:
                wrk(contender, 64, 1, "/", cores[1])
                before = wrk(contender, 64, args.seconds, "/", cores[1])["cpu_us"]
                wrk(contender, 1000, args.seconds, "/", cores[1])
                ratios.append(wrk(contender, 64, args.seconds, "/", cores[1])["cpu_us"] / before)
            finally:
                contender.stop()
        say("| %s | %.2f |" % (name, statistics.median(ratios)))


def report_log(makers, args, cores, say):
    """CPU per request with the access log, beside that without."""
    say("\n### The access log\n")
    say("64 connections, 13 B, log to a file; instructions by callgrind, at 16 connections. nginx gathers "
        "64 KiB for a write: the activator does so by itself. With traces 1 % of the requests is "
        "recorded and sent to a collector.\n")
    say("| | CPU us a request | through that without a log | user instructions a request |")
    say("| --- | --- | --- | --- |")
    one = argparse.Namespace(**{**vars(args), "paths": "/", "conns": "64"})
    collector = contenders.collector(cores[1]).start()
    try:
        results = matrix(makers, one, cores)["/", 64]
        for name, runs in results.items():
            off = results[name.split()[0] + " off"]
            say("| %s | %s | %.3f | %s |" % (
                name, number(middle(runs, "cpu_us")), middle_ratio(runs, off, "cpu_us"),
                "%.0f" % counts.instructions(makers[name]) if shutil.which("valgrind") else ""))
    finally:
        collector.stop()


def report_workers(folder, args, say):
    """Whether a request costs more CPU when two workers share the work.  Rates that CPU bounds are
    in the inverse ratio; measuring them would take a core for each worker and more for the
    generator."""
    cells = {1: [], 2: []}
    for _ in range(args.runs):
        for workers in cells:
            contender = contenders.activator(folder, None, workers).start()
            try:
                wrk(contender, 64, 1, "/", None)
                cells[workers].append(wrk(contender, 256, args.seconds, "/", None))
            finally:
                contender.stop()
    cpu = {n: middle(cells[n], "cpu_us") for n in cells}
    say("\n### Two workers\n")
    say("256 connections, nothing pinned, %d cores for all: CPU µs per request %.2f with 1 worker, "
        "%.2f with 2; %.0f and %.0f requests/s. CPU-bound, 2 workers do %.2f times the work of 1."
        % (os.cpu_count(), cpu[1], cpu[2], middle(cells[1], "rate"), middle(cells[2], "rate"),
           2 * cpu[1] / cpu[2]))
