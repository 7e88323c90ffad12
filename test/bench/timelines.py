#!/usr/bin/env python3
"""Five loads, simulated with our rules and with the preset `knative`: what they cost and how long
requests wait (sums and means over some seeds), and a picture of each with the first seed.

    test/bench/timelines.py [FOLDER]        (default: build/timelines)

Writes the traces, the timelines and NAME.svg into FOLDER, and prints the table.  Each run gives the
same numbers."""
import csv
import json
import math
import os
import random
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AUTOSCALER = os.path.join(ROOT, "build/autoscaler")
START = "2s"
SEEDS = 5
QUIET = 300  # seconds before each load, so that each begins with zero instances
CONF = """
autoscaler { max_instances = 1000 }
service "load" { hosts = {"load"} revision "v1" { command = {"load"} target = 10 } }
"""
PRESETS = {"ours": [], "knative": ["--preset", "knative"]}
COLORS = {"ours": "#0b6e4f", "knative": "#c8553d"}


# --- loads: Poisson arrivals at rate(t), durations that scatter around the same mean

def arrivals(seed, seconds, rate, most, mean_ms=200):
    chance, t = random.Random(seed), 0
    while True:
        t += chance.expovariate(most)
        if t >= seconds:
            return
        if chance.random() * most < rate(t):
            yield (QUIET + t) * 1000, chance.gammavariate(4, mean_ms / 4)


def step(t):
    return 500 if 300 <= t < 900 else 5


def ramp(t):
    return 500 * (1 - abs(t - 900) / 900)


def spike(t):
    return 1000 if 300 <= t < 320 else 50


def on_off(seed, seconds, on_s, off_s):
    """The rate at t: phases of random length with and without requests, the first one with."""
    chance, edges, t = random.Random(seed), [], 0
    while t < seconds:
        edges.append((t, t + chance.expovariate(1 / on_s)))
        t = edges[-1][1] + chance.expovariate(1 / off_s)
    return lambda at: 50 if any(a <= at < b for a, b in edges) else 0


def by_request(file, requests):
    with open(file, "w") as f:
        f.write("start_ms,duration_ms\n")
        f.writelines("%.3f,%.3f\n" % r for r in requests)


def by_minute(file, seed, minutes, mean, duration_ms):
    chance = random.Random(seed)
    with open(file, "w") as f:
        f.write("minute,count,duration_ms\n")
        for m in range(minutes):
            count = max(0, chance.gauss(mean(m), math.sqrt(mean(m))))
            f.write("%d,%d,%d\n" % (QUIET // 60 + m, count, duration_ms))


def day(minute):
    return 60 * 60 * (1 - math.cos(2 * math.pi * minute / 1440))


LOADS = {
    "step": lambda f, s: by_request(f, arrivals(s, 1200, step, 500)),
    "ramp": lambda f, s: by_request(f, arrivals(s, 1800, ramp, 500)),
    "spike": lambda f, s: by_request(f, arrivals(s, 600, spike, 1000)),
    "day": lambda f, s: by_minute(f, s, 1440, day, 500),
    "on_off": lambda f, s: by_request(f, arrivals(s, 14400, on_off(s, 14400, 60, 180), 50)),
}


def simulate(conf, trace, timeline, more):
    out = subprocess.run(
        [AUTOSCALER, "-c", conf, "--simulate", trace, "--revision", "load/v1", "--start-time",
         START, "--timeline", timeline] + more, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)


# --- pictures

WIDTH, HEIGHT, LEFT, TOP, GAP = 1000, 190, 60, 40, 46


def columns(timeline):
    with open(timeline) as f:
        rows = list(csv.DictReader(f))
    return {name: [float(r[name]) for r in rows]
            for name in ("second", "concurrency", "parked", "instances", "wanted")}


def thin(xs, ys, most=1500):
    """At most so many points: the highest of each group of neighbours."""
    every = max(1, len(xs) // most)
    return [(xs[i], max(ys[i:i + every])) for i in range(0, len(xs), every)]


def line(points, x_most, y_most, y0, color, style=""):
    at = " ".join("%.1f,%.1f" % (LEFT + x / x_most * WIDTH, y0 + HEIGHT - y / y_most * HEIGHT)
                  for x, y in points)
    return '<polyline points="%s" fill="none" stroke="%s" %s/>' % (at, color, style)


def panel(title, lines, x_most, y0):
    """lines: (label, color, style, points)"""
    y_most = max([y for _, _, _, points in lines for _, y in points] + [1]) * 1.05
    out = ['<text x="%d" y="%d" font-weight="bold">%s</text>' % (LEFT, y0 - 8, title),
           '<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>'
           % (LEFT, y0, WIDTH, HEIGHT)]
    for part in (0, 0.5, 1):
        out.append('<text x="%d" y="%d" text-anchor="end">%.4g</text>'
                   % (LEFT - 6, y0 + HEIGHT - part * HEIGHT + 4, part * y_most))
        out.append('<text x="%d" y="%d" text-anchor="middle">%d s</text>'
                   % (LEFT + part * WIDTH, y0 + HEIGHT + 15, part * x_most))
    for i, (label, color, style, points) in enumerate(lines):
        out.append(line(points, x_most, y_most, y0, color, style))
        out.append('<text x="%d" y="%d" fill="%s">%s</text>'
                   % (LEFT + 330 + 170 * i, y0 - 8, color, label))
    return out


def picture(file, name, timelines):
    data = {rules: columns(t) for rules, t in timelines.items()}
    x_most = max(d["second"][-1] for d in data.values()) + 1
    out, y0 = [], TOP
    for what in ("concurrency", "instances", "parked"):
        lines = []
        for rules, d in data.items():
            lines.append((rules, COLORS[rules], "", thin(d["second"], d[what])))
            if what == "instances":
                lines.append((rules + " (wanted)", COLORS[rules], 'stroke-dasharray="2 3"',
                              thin(d["second"], d["wanted"])))
        out += panel("%s: %s" % (name, what), lines, x_most, y0)
        y0 += HEIGHT + GAP
    with open(file, "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="'
                'sans-serif" font-size="12"><rect width="100%%" height="100%%" fill="white"/>\n'
                % (WIDTH + LEFT + 40, y0))
        f.write("\n".join(out) + "\n</svg>\n")


# --- the table

def total(results):
    """Over all seeds: sums of costs and counts, means of waits, the highest peak."""
    n = len(results)
    requests = sum(r["requests"] for r in results)
    return {"requests": requests,
            "instance_seconds": sum(r["instance_seconds"] for r in results),
            "cold_starts": sum(r["cold_starts"] for r in results),
            "peak": max(r["peak_instances"] for r in results),
            "mean": sum(r["added_wait_ms"]["mean"] * r["requests"] for r in results) / requests,
            "p90": sum(r["added_wait_ms"]["p90"] for r in results) / n,
            "p99": sum(r["added_wait_ms"]["p99"] for r in results) / n,
            "max": max(r["added_wait_ms"]["max"] for r in results)}


def row(name, rules, r, than=None):
    text = "" if than is None else "%+.1f %% cost, %+.1f %% wait" % tuple(
        100 * (r[what] / than[what] - 1) for what in ("instance_seconds", "mean"))
    print("| %s | %s | %d | %.0f | %.3f | %.0f | %.0f | %.0f | %d | %d | %s |"
          % (name, rules, r["requests"], r["instance_seconds"], r["mean"], r["p90"], r["p99"],
             r["max"], r["cold_starts"], r["peak"], text))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/timelines")
    os.makedirs(folder, exist_ok=True)
    conf = os.path.join(folder, "load.conf")
    with open(conf, "w") as f:
        f.write(CONF)
    print("| load | rules | requests | instance-seconds | added wait ms: mean | p90 | p99 | max "
          "| cold starts | peak | ours against knative |\n" + "| --- " * 11 + "|")
    for name, write in LOADS.items():
        trace = os.path.join(folder, name + ".csv")
        timelines = {rules: os.path.join(folder, "%s-%s.csv" % (name, rules)) for rules in PRESETS}
        results = {rules: [] for rules in PRESETS}
        for seed in range(SEEDS, 0, -1):  # the files of seed 1 are those that stay
            write(trace, seed)
            for rules, more in PRESETS.items():
                results[rules].append(simulate(conf, trace, timelines[rules], more))
        totals = {rules: total(r) for rules, r in results.items()}
        row(name, "ours", totals["ours"], totals["knative"])
        row(name, "knative", totals["knative"])
        picture(os.path.join(folder, name + ".svg"), name, timelines)


if __name__ == "__main__":
    main()
