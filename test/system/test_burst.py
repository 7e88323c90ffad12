"""A burst onto a stopped service: as many instances as it needs, neither one and then more
nor dozens for nothing.  Counts, not times: what the autoscaler started before the first
instance answered, and in all."""
import re

from stack import running, wait_until

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
    """Instances started before the first one answered, and in all."""
    events = re.findall(r'msg="instance (started|ready)"', log)
    assert "ready" in events, log
    return events.index("ready"), events.count("started")


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
        assert before <= 3
        assert in_all < 50  # one for each ten of them; how many fewer is a matter of speed


def test_long_requests_that_are_known(tmp_path):
    with running(tmp_path, CONF, autoscaler="max_instances = 50") as s:
        at = learned(s, 1000)
        assert ask_at_once(s, 120, 1000) == [200] * 120
        before, in_all = starts(s.autoscaler.text()[at:])
        assert before >= 10  # 12, but for those that came after the first one answered
        assert in_all <= 13


def test_requests_of_which_nothing_is_known(tmp_path):
    with running(tmp_path, CONF, autoscaler="max_instances = 50") as s:
        assert ask_at_once(s, 120, 1000) == [200] * 120
        before, in_all = starts(s.autoscaler.text())
        assert before <= 3
        assert 3 < in_all <= 13  # corrected once it was seen how long they take
