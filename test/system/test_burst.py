"""A burst onto a stopped service: as many instances as it needs, neither one and then more
nor dozens for nothing.  Counts, not times: what the autoscaler started before the first
instance answered, and in all."""
import json
import os
import re
import subprocess

from helpers import BUILD, wait_until
from stack import running

CONF = """
service "burst" { hosts = {"burst"} target = 10 revision "v1" {
    command = {"HELLO", "--startup", "600ms"} } }
"""


def ask_at_once(s, n, ms):
    clients = [s.connect() for _ in range(n)]
    try:
        for c in clients:
            c.request("GET", "/?ms=%d" % ms, "burst")
        return [c.response()[0] for c in clients]
    finally:
        for c in clients:
            c.close()


def starts(log):
    """Instances wanted when the first one answered (that they are started is told later, by
    who forks), and started in all."""
    before, ready, _ = log.partition('msg="instance ready"')
    assert ready, log
    return max(n for n, _, _ in wishes(before)), log.count('msg="instance started"')


def wishes(log):
    """What was wanted, one after another: how many, by which rule, and the response time that
    was known then in ms (-1: none)."""
    return [(int(n), rule, float(ms)) for n, rule, ms in
            re.findall(r'msg="wanted" .* to=(\d+) rule=(\w+) .*latency_ms=(\S+)', log)]


def learned(s, ms):
    """Ask one after another, let it go to zero; where the log of the burst begins."""
    with s.connect() as c:
        for _ in range(3):
            c.request("GET", "/?ms=%d" % ms, "burst")
            assert c.response()[0] == 200
    wait_until(lambda: not s.instances(), what="zero instances")
    return len(s.autoscaler.text())


def test_short_requests_that_are_known(tmp_path):
    with running(tmp_path, CONF, autoscaler="max_instances = 50") as s:
        at = learned(s, 5)
        assert ask_at_once(s, 500, 5) == [200] * 500
        wait_until(lambda: not s.instances(), what="zero instances")
        before, in_all = starts(s.autoscaler.text()[at:])
        # on a machine with more to do they take longer, and need more: in half a start-up
        # time, at the target and the utilisation
        took_s = max(ms for _, _, ms in wishes(s.autoscaler.text()[at:])) / 1000
        assert before <= max(3, 500 * took_s / (10 * 0.7 * 0.3) + 1)
        assert in_all < 50  # one for each ten of them; how many fewer is a matter of speed


def test_long_requests_that_are_known(tmp_path):
    with running(tmp_path, CONF, autoscaler="max_instances = 50") as s:
        at = learned(s, 1000)
        assert ask_at_once(s, 120, 1000) == [200] * 120
        before, in_all = starts(s.autoscaler.text()[at:])
        assert before >= 10  # 12, but for those that came after the first one answered
        assert in_all <= 13


def test_long_requests_of_which_nothing_is_known(tmp_path):
    with running(tmp_path, CONF, autoscaler="max_instances = 50") as s:
        assert ask_at_once(s, 120, 1000) == [200] * 120
        before, in_all = starts(s.autoscaler.text())
        assert before <= 3
        assert 3 < in_all <= 13
        # that they take long is seen before the first one is answered
        assert (12, "backlog", -1) in wishes(s.autoscaler.text())


def test_short_requests_of_which_nothing_is_known(tmp_path):
    with running(tmp_path, CONF, autoscaler="max_instances = 50") as s:
        assert ask_at_once(s, 500, 5) == [200] * 500
        before, in_all = starts(s.autoscaler.text())
        assert before <= 3
        assert in_all < 50  # as above
        wait_until(lambda: wishes(s.autoscaler.text())[-1][0] <= 1, what="the guess corrected")
        assert all(rule != "activation" or n <= 3 for n, rule, _ in wishes(s.autoscaler.text()))


def test_a_simulation_touches_nothing(tmp_path):
    conf, trace, line = (tmp_path / n for n in ("a.conf", "trace.csv", "timeline.csv"))
    conf.write_text("""socket = "%s/no/s"\nstate_dir = "%s/no/state"\n
        activator { listen = {"127.0.0.1:1"} }\n%s""" % (tmp_path, tmp_path, CONF))
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
    trace.write_text("start_ms,duration_ms\n1,x\n")
    got = simulate()
    assert got.returncode == 1 and got.stderr.startswith("%s:2: expected" % trace)
