"""A burst onto a stopped service: the autoscaler wants as many instances as clear the queue in
about the time that a start takes, neither one and then more nor dozens for nothing.

No instance starts before the test has seen what the autoscaler decides for the whole burst, so
that no count depends on the speed of the machine."""
import json
import math
import os
import re
import subprocess

from helpers import BUILD, wait_until
from stack import Gate, running

CONF = """
service "burst" { hosts = {"burst"} target = 10 revision "v1" { %s } }
"""
REVISION = "burst/v1"
UTILISATION = 0.7  # target_utilization, the default
MOST = "max_instances = 50"


def requests(s, n, path):
    """n clients, each of which has sent one request."""
    clients = [s.connect() for _ in range(n)]
    for c in clients:
        c.request("GET", path, "burst")
    return clients


def responses(clients):
    statuses = [c.response()[0] for c in clients]
    for c in clients:
        c.close()
    return statuses


def decision(s, parked):
    """Wait for a decision by which so many requests are parked."""
    def find():
        newest = s.why(REVISION)["decisions"][0]
        return newest if newest["inputs"].get("parked") == parked else None

    return wait_until(find, what="a decision about %d parked requests" % parked)


def wanted(s, since=0):
    """Each change of what is wanted that the log tells from its byte `since` on: (how many, the
    rule, the response time known then in ms or -1)."""
    return [(int(n), rule, float(ms)) for n, rule, ms in
            re.findall(r'msg="wanted" .* to=(\d+) rule=(\w+) .*latency_ms=(\S+)',
                       s.autoscaler.text()[since:])]


def started(s, since=0):
    return s.autoscaler.text()[since:].count('msg="instance started"')


def learn(s, gate, ms):
    """Let the autoscaler learn how long a start and a request take, and scale to zero.  Return the
    length of its log."""
    gate.open()
    with s.connect() as c:
        for _ in range(3):
            c.request("GET", "/?ms=%d" % ms, "burst")
            assert c.response()[0] == 200
    wait_until(lambda: not s.instances(), what="zero instances")
    gate.close()
    return len(s.autoscaler.text())


def test_short_requests_of_known_response_time(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, CONF % gate.command("--startup 600ms"), autoscaler=MOST) as s:
        learn(s, gate, 5)
        clients = requests(s, 500, "/?ms=5")
        d = decision(s, 500)
        # What one instance answers in half a start-up time, by the times measured here.
        each = 10 * UTILISATION / d["inputs"]["latency_s"] * d["inputs"]["start_s"] / 2
        assert d["rule"] == "backlog"
        assert abs(d["wanted"] - min(math.ceil(500 / each), 50)) <= 1
        gate.open()
        assert responses(clients) == [200] * 500


def test_long_requests_of_known_response_time(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, CONF % gate.command("--startup 600ms"), autoscaler=MOST) as s:
        since = learn(s, gate, 1000)
        clients = requests(s, 40, "/?ms=1000")
        d = decision(s, 40)
        assert (d["wanted"], d["rule"]) == (4, "backlog")  # 10 at each
        gate.open()
        assert responses(clients) == [200] * 40
        assert started(s, since) <= 5


def test_more_starts_at_once_than_were_tried(tmp_path):
    """20 instances would be needed; four for each CPU start at first, and the others follow."""
    gate = Gate(tmp_path)
    trusted = min(4 * os.sysconf("SC_NPROCESSORS_ONLN"), 20)
    with running(tmp_path, CONF % gate.command("--startup 600ms"), autoscaler=MOST) as s:
        learn(s, gate, 1000)
        clients = requests(s, 200, "/?ms=1000")
        wait_until(lambda: wanted(s)[-1][0] >= trusted, what="the starts that are trusted")
        wait_until(lambda: decision(s, 200)["inputs"]["starting"] == trusted, what="them to begin")
        assert decision(s, 200)["wanted"] == trusted
        gate.open()
        assert responses(clients) == [200] * 200


def test_long_requests_of_unknown_response_time(tmp_path):
    gate, answers = Gate(tmp_path), Gate(tmp_path, "answers")
    with running(tmp_path, CONF % gate.command(), autoscaler=MOST) as s:
        clients = requests(s, 120, "/" + answers.query())
        d = decision(s, 120)
        assert (d["wanted"], d["rule"]) == (3, "activation")
        gate.open()
        # That they take long is seen before the first one is answered.
        wait_until(lambda: (12, "backlog", -1) in wanted(s), what="an instance for each ten")
        wait_until(lambda: started(s) >= 12, what="12 instances")
        answers.open()
        assert responses(clients) == [200] * 120
        assert started(s) <= math.ceil(120 / (10 * UTILISATION))


def test_short_requests_of_unknown_response_time(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, CONF % gate.command(), autoscaler=MOST) as s:
        clients = requests(s, 500, "/?ms=5")
        d = decision(s, 500)
        assert (d["wanted"], d["rule"]) == (3, "activation")
        gate.open()
        assert responses(clients) == [200] * 500
        wait_until(lambda: wanted(s)[-1][0] <= 1, what="the guess to be corrected")
        assert all(rule != "activation" or n <= 3 for n, rule, _ in wanted(s))


def test_a_simulation_touches_nothing(tmp_path):
    conf, trace, line = (tmp_path / n for n in ("a.conf", "trace.csv", "timeline.csv"))
    conf.write_text("""socket = "%s/no/s"\nstate_dir = "%s/no/state"\n
        activator { listen = {"127.0.0.1:1"} }\n%s""" % (
        tmp_path, tmp_path, CONF % 'command = {"no-such-program"}'))
    trace.write_text("start_ms,duration_ms\n" + "".join("%d,5\n" % i for i in range(500)))
    before = sorted(p.name for p in tmp_path.iterdir())

    def simulate(*more):
        return subprocess.run([os.path.join(BUILD, "autoscaler"), "-c", conf, "--simulate", trace,
                               "--revision", "burst/v1", *more], capture_output=True, text=True)

    got = simulate("--start-time", "800ms")
    assert got.returncode == 0 and not got.stderr, got.stderr
    figures = json.loads(got.stdout)
    assert set(figures) >= {"instance_seconds", "requests", "cold_starts", "added_wait_ms",
                            "peak_instances", "decisions"}
    assert set(figures["added_wait_ms"]) == {"p50", "p90", "p99", "max", "mean"}
    assert figures["requests"] == 500
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert simulate("--preset", "knative", "--timeline", line).returncode == 0
    assert line.read_text().startswith("second,concurrency,parked,instances,wanted,rule\n0,")
    assert simulate("--preset", "unheard-of").returncode == 2
    policies = json.loads(simulate("--compare", "--wait-costs", "1").stdout)["policies"]
    assert [p["policy"] for p in policies] == ["best_fixed", "clairvoyant", "configured",
                                               "fast_brain", "slow_brain", "keep_warm", "knative"]
    picture = tmp_path / "picture.svg"
    table = simulate("--sweep", "target=1,10", "--svg", picture).stdout.splitlines()
    assert len(table) == 3 and table[0].startswith("target,instance_seconds,waited_seconds,")
    assert picture.read_text().endswith("</svg>\n")
    got = simulate("--sweep", "target=0,ten")
    assert got.returncode == 1 and got.stderr.startswith("target: expected a number")
    assert simulate("--wait-costs", "1,").returncode == 2
    assert simulate("--from-day", "0").returncode == 2
    trace.write_text("start_ms,duration_ms\n1,x\n")
    got = simulate()
    assert got.returncode == 1 and got.stderr.startswith("%s:2: expected" % trace)
