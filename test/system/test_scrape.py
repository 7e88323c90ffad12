"""/metrics of both programs: what metrics_by and metrics_idle leave out, and that nothing else is."""
import re

from helpers import wait_until
from stack import running

SERVICES = """
service "a" { hosts = {"a"} stable_window = 3600s
    traffic "v1" { percent = 100 } traffic "v2" { percent = 0 tag = "next" }
    revision "v1" { command = {"HELLO"} } revision "v2" { command = {"HELLO"} }
    revision "v3" { command = {"HELLO"} } }
service "idle" { hosts = {"idle"} revision "v1" { command = {"HELLO"} } }
"""
ALL = "metrics_idle = yes metrics_by = revision"


def about(metrics):
    """What samples are about."""
    return {found for series in metrics
            for found in re.findall(r'[{,](revision|service)="([^"]*)"', series)}


def total(metrics, name):
    """The sum of all samples of the metric."""
    return sum(n for series, n in metrics.items() if series.split("{")[0] == name)


def both(s):
    return s.metrics(), s.metrics(s.scaler_admin)


def change(s, before, after):
    s.edit(before, after)
    assert s.hangup(s.activator, s.autoscaler)


def test_what_is_idle_and_services_as_a_whole(tmp_path):
    with running(tmp_path, ALL + SERVICES) as s:
        for host in ("a", "a", "next-a"):
            assert s.get(host)[0] == 200
        wait_until(lambda: total(both(s)[1], "autoscaler_requests_total") == 3, what="the report")
        revisions = {("revision", name) for name in ("a/v1", "a/v2", "a/v3", "idle/v1")}
        active = {("revision", name) for name in ("a/v1", "a/v2")}
        whole = both(s)
        assert [about(m) for m in whole] == [revisions, revisions]

        change(s, ALL, "metrics_idle = no metrics_by = revision")
        some = both(s)
        assert [about(m) for m in some] == [active, active]
        for m, all_of in zip(some, whole):
            assert set(m) >= {series for series in all_of if not about([series]) - active}

        change(s, "metrics_by = revision", "metrics_by = service")
        wait_until(lambda: both(s)[1]['autoscaler_ready_instances{service="a"}'] == 2, what="the second")
        activator, autoscaler = both(s)
        assert about(activator) == about(autoscaler) == {("service", "a")}
        assert activator['activator_revision_requests_total{service="a"}'] == 3
        assert activator['activator_revision_instances{service="a",state="open"}'] == 2
        assert activator['activator_request_duration_seconds_count{service="a"}'] == 3
        assert activator['activator_cold_start_phase_seconds_count{service="a",phase="connect"}'] == 2
        assert autoscaler['autoscaler_requests_ended_total{service="a",end="answered_2xx"}'] == 3
        assert autoscaler['autoscaler_cold_start_seconds_count{service="a"}'] == 2
        assert autoscaler['autoscaler_failing{service="a"}'] == 0
        assert "autoscaler_target" not in {series.split("{")[0] for series in autoscaler}

        change(s, "metrics_idle = no", "metrics_idle = yes")
        assert [about(m) for m in both(s)] == [{("service", "a"), ("service", "idle")}] * 2
