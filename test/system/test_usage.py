"""/usage: what the autoscaler says of instances and requests agrees with what the instances and the
activator say themselves, also after a crash of the autoscaler and with a damaged journal."""
import csv
import glob
import io
import json
import os
import urllib.error
import urllib.request

import pytest

from helpers import WAIT_S, wait_until
from stack import Gate, running

SERVICES = """
service "a" { hosts = {"a"} container_concurrency = 1 max_scale = 3
    revision "v1" { command = {"HELLO"} } }
service "b" { hosts = {"b"} owner = "web-team" cost_center = "4711"
    revision "v1" { command = {"HELLO"} } }
"""
# An instance that writes down when it began and when it ended.
DIARY = """
service "a" { hosts = {"a"} container_concurrency = 1 max_scale = 3
    revision "v1" { command = {"sh", "-c", "trap : TERM
        date +%%s.%%N >%(path)s/$$.begin
        HELLO & wait; wait; date +%%s.%%N >%(path)s/$$.end"} } }
"""
SLACK_S = 0.5  # between what an instance notices and what the driver shows, on a busy machine


def usage(s, query=""):
    url = "http://127.0.0.1:%d/usage%s" % (s.scaler_admin, query)
    try:
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError:  # nothing listens
        return 0, ""


def rows(s, query=""):
    status, text = usage(s, "?from=0&format=json" + query)
    assert status == 200, text
    return json.loads(text)["rows"]


def row(s, revision="a/v1"):
    """The row of the revision, or None while the journal is read."""
    status, text = usage(s, "?from=0&format=json")
    return next((r for r in json.loads(text)["rows"] if r["revision"] == revision),
                None) if status == 200 else None


def requests_of(s):
    found = row(s)
    return found and found["requests"]


def journal(s):
    return glob.glob(s.state + "/usage/*.journal")


def written(s):
    return s.metrics(s.scaler_admin)["autoscaler_usage_records_written_total"]


def times(folder, suffix):
    """What the instances have written down."""
    found = []
    for path in glob.glob("%s/*.%s" % (folder, suffix)):
        with open(path) as f:
            found.append(f.read())
    return [float(text) for text in found if text]


def test_the_books_of_instances_and_activator_agree(tmp_path):
    answers = Gate(tmp_path)
    with running(tmp_path, DIARY % {"path": tmp_path}) as s:
        clients = [s.connect() for _ in range(3)]
        for c in clients:
            c.request("GET", "/" + answers.query(), "a")
        wait_until(lambda: len(times(tmp_path, "begin")) == 3, what="three instances")
        answers.open()
        for c in clients:
            assert c.response()[0] == 200
            c.close()
        wait_until(lambda: not s.instances(), what="no instance")
        assert s.get("a")[0] == 200
        wait_until(lambda: not s.instances(), what="no instance")
        begins, ends = times(tmp_path, "begin"), times(tmp_path, "end")
        assert len(begins) == len(ends) == 4
        wait_until(lambda: requests_of(s) == 4, what="the last report")
        found = row(s)
        assert found["instance_s"] > sum(ends) - sum(begins) - SLACK_S * len(begins)
        assert found["instance_s"] < found["peak"] * found["observed_s"]
        assert (found["starts"], found["wakes"], found["peak"]) == (4, 2, 3)
        assert found["completed"] == found["answered_2xx"] == 4
        assert 1 <= found["cold_starts"] <= 4
        assert 0 < found["cold_wait_max_s"] <= found["cold_wait_s"] <= 4 * found["cold_wait_max_s"]
        assert found["always_one_s"] <= found["observed_s"] + found["instance_s"]
        assert found["always_peak_s"] == pytest.approx(3 * found["observed_s"], abs=1e-3)
        waited_s = s.metric('activator_parked_duration_seconds_sum{revision="a/v1"}')
        assert found["parked_s"] == pytest.approx(waited_s, rel=0.1, abs=0.01)


def test_what_a_killed_autoscaler_wrote_is_there_afterwards(tmp_path):
    with running(tmp_path, SERVICES) as s:
        for _ in range(5):
            assert s.get("a")[0] == 200
        wait_until(lambda: requests_of(s) == 5, what="the report")
        wait_until(lambda: written(s) >= 1, what="the journal")
        s.autoscaler.kill()
        with open(journal(s)[0], "ab") as f:
            f.write(b'1f2e3d4c {"run":"torn')  # as a crash leaves it
        s.start_autoscaler()
        wait_until(lambda: requests_of(s) == 5, what="the journal to be read")
        assert "skipped broken records of the usage journal" in s.autoscaler.text()
        assert json.loads(usage(s, "?format=json")[1])["broken_records"] == 1
        assert s.get("a")[0] == 200
        wait_until(lambda: requests_of(s) == 6, what="the report")
        s.autoscaler.stop()
        s.start_autoscaler()
        wait_until(lambda: requests_of(s) == 6, what="the journal to be read again")
        found = row(s)
        assert 0 < found["instance_s"] <= found["observed_s"] * found["peak"]
        assert found["starts"] >= 1


def test_requests_without_an_autoscaler_are_in_the_books(tmp_path):
    with running(tmp_path, SERVICES.replace("max_scale = 3", "max_scale = 1 min_scale = 1")) as s:
        for _ in range(5):
            assert s.get("a")[0] == 200
        wait_until(lambda: requests_of(s) == 5, what="the report")
        wait_until(lambda: written(s) >= 1, what="the journal")
        s.autoscaler.kill()
        wait_until(lambda: s.metric("activator_link_up") == 0, what="the link to break")
        for _ in range(3):
            assert s.get("a")[0] == 200
        total = 'activator_request_duration_seconds_count{revision="a/v1"}'
        assert s.metric(total) == 8
        s.start_autoscaler()
        wait_until(lambda: requests_of(s) == 8, what="the report of what was missed")


def test_requests_by_how_they_end(tmp_path):
    """Each request counts once, as its client has seen it end; also while there is no autoscaler."""
    gate = Gate(tmp_path)
    with running(tmp_path, SERVICES.replace("max_scale = 3", "max_scale = 1 min_scale = 1 max_parked = 1")) as s:
        for status in (200, 204, 404, 500):
            assert s.get("a", "/status/%d" % status)[0] == status
        wait_until(lambda: requests_of(s) == 4, what="the report")
        before = written(s)
        wait_until(lambda: written(s) > before, what="the journal")
        s.autoscaler.kill()
        wait_until(lambda: s.metric("activator_link_up") == 0, what="the link to break")
        assert s.get("a", "/status/503", method="POST", body=b"x" * 1000)[0] == 503
        with s.connect() as first, s.connect() as second, s.connect() as third:
            first.request("GET", "/" + gate.query(), "a")
            wait_until(lambda: s.revision_status("a/v1")["in_flight"] == 1, what="the first")
            second.request("GET", "/", "a")
            wait_until(lambda: s.revision_status("a/v1")["queued"] == 1, what="the second")
            third.request("GET", "/", "a")
            assert third.response()[0] == 503
            second.close()
            wait_until(lambda: s.revision_status("a/v1")["queued"] == 0, what="the second to leave")
            gate.open()
            assert first.response()[0] == 200
        s.start_autoscaler()
        expected = {"answered_2xx": 3, "answered_4xx": 1, "answered_5xx": 2, "client_gone": 1,
                    "refused_queue_full": 1}
        wait_until(lambda: requests_of(s) == 8, what="the report")
        found = row(s)
        ends = {k: n for k, n in found.items() if k.startswith(("answered_", "refused_")) or
                k == "client_gone"}
        assert ends == expected
        bytes_out = s.metric('activator_revision_response_bytes_total{revision="a/v1"}')
        assert (found["bytes_in"], found["bytes_out"]) == (1000, bytes_out)
        metrics = s.metrics(s.scaler_admin)
        ended = 'autoscaler_requests_ended_total{revision="a/v1",end="refused_queue_full"}'
        assert metrics[ended] == 1


def test_a_service_that_is_removed_counts_to_its_end(tmp_path):
    """A reload removes it while a request is in flight.  It is forgotten before the activator's next
    report, which has that request."""
    gate = Gate(tmp_path)
    with running(tmp_path, DIARY % {"path": tmp_path}) as s:
        assert s.get("a")[0] == 200
        generation = s.metric("activator_services_generation")
        with s.connect() as client:
            client.request("GET", "/" + gate.query(), "a")
            wait_until(lambda: s.revision_status("a/v1")["in_flight"] == 1, what="the request")
            s.reload('service "a" { hosts = {"a"}', 'service "c" { hosts = {"c"}')
            wait_until(lambda: s.metric("activator_services_generation") > generation, what="the swap")
            seen = row(s)["in_flight_s"]
            wait_until(lambda: row(s)["in_flight_s"] > seen + 1.5, what="the time in flight")
            gate.open()
            assert client.response()[0] == 200
        wait_until(lambda: len(times(tmp_path, "end")) == 1, what="the end of the instance")
        wait_until(lambda: row(s).get("answered_2xx") == 2, what="the last report")
        assert requests_of(s) == 2
        ran_s = times(tmp_path, "end")[0] - times(tmp_path, "begin")[0]
        wait_until(lambda: row(s)["instance_s"] >= ran_s - SLACK_S, what="the last view")


def test_sums_of_a_service_keep_what_a_removed_revision_has_counted(tmp_path):
    services = """metrics_by = service
service "a" { hosts = {"a"}
    traffic "v1" { percent = 100 }
    traffic "v2" { percent = 0 tag = "next" }
    revision "v1" { command = {"HELLO"} }
    revision "v2" { command = {"HELLO"} } }
"""
    names = ("activator_revision_requests_total", "activator_cold_starts_total",
             "activator_request_duration_seconds_count", "activator_revision_response_bytes_total",
             "autoscaler_requests_total", "autoscaler_wakes_total", "autoscaler_activations_total")

    def look():
        found = {**s.metrics(), **s.metrics(s.scaler_admin)}
        return {n: found.get(n + '{service="a"}', 0) for n in names}

    def look_for(n):
        return wait_until(lambda: (v := look())["autoscaler_requests_total"] == n and v,
                          what="the report of %d requests" % n)

    def is_known(port):
        with urllib.request.urlopen("http://127.0.0.1:%d/status" % port, timeout=WAIT_S) as answer:
            return b'"a/v1"' in answer.read()

    with running(tmp_path, services) as s:
        for _ in range(3):
            assert s.get("a", "/bytes/10")[0] == 200
        assert s.get("next-a")[0] == 200
        before = look_for(4)
        assert all(before.values()), before
        s.edit('traffic "v1" { percent = 100 }', "", "percent = 0", "percent = 100",
               'revision "v1" {', 'revision "v3" {')
        s.edit('tag = "next" }', 'tag = "next" } traffic "v3" { percent = 0 }')
        assert s.hangup(s.autoscaler)
        wait_until(lambda: not is_known(s.admin) and not is_known(s.scaler_admin) and
                   look()["activator_revision_requests_total"] == 4, what="a/v1 to be forgotten")
        assert s.get("a")[0] == 200
        after = look_for(5)
        assert all(after[n] >= before[n] for n in names), (before, after)
        assert after["activator_revision_requests_total"] == 5


def test_forms_and_mistakes(tmp_path):
    with running(tmp_path, SERVICES, autoscaler="instance_hour_price = 3600") as s:
        assert s.get("b")[0] == 200
        wait_until(lambda: row(s, "b/v1")["requests"] == 1, what="the report")
        status, text = usage(s)
        assert status == 200
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [r["revision"] for r in lines] == ["a/v1", "b/v1"]
        assert float(lines[1]["requests"]) == 1
        assert float(lines[1]["cost"]) == pytest.approx(float(lines[1]["instance_s"]))
        assert float(lines[0]["instance_s"]) == 0 < float(lines[0]["always_one_cost"])
        saved = float(lines[1]["always_one_s"]) - float(lines[1]["instance_s"])
        assert float(lines[1]["saved_one_s"]) == pytest.approx(saved, abs=1e-3)
        assert float(lines[1]["saved_one_cost"]) == pytest.approx(saved, abs=1e-3)
        assert (lines[0]["cpu_s"], lines[1]["answered_2xx"]) == ("", "1")
        # Two days, or two months, where the test runs at midnight.
        assert {r["service"] for r in rows(s, "&by=service,day")} == {"a", "b"}
        assert [(r["owner"], r["requests"]) for r in rows(s, "&by=owner")] == [
            ("", 0), ("web-team", 1)]
        assert [r["cost_center"] for r in rows(s, "&by=cost_center")] == ["", "4711"]
        months = rows(s, "&by=total,month")
        assert sum(r["requests"] for r in months) == 1 == max(r["peak"] for r in months)
        assert rows(s, "&to=1970-01-02") == []
        for query in "?from=x", "?by=week", "?to=1999-01-01":
            status, text = usage(s, query)
            assert status == 400 and "expected" in text
        metrics = s.metrics(s.scaler_admin)
        assert metrics['autoscaler_requests_total{revision="b/v1"}'] == 1
        assert metrics['autoscaler_wakes_total{revision="b/v1"}'] == 1
        assert metrics['autoscaler_instance_seconds_total{revision="b/v1"}'] > 0


def test_a_journal_that_cannot_be_written_holds_nothing_up(tmp_path):
    os.makedirs(str(tmp_path) + "/state")
    open(str(tmp_path) + "/state/usage", "w").close()
    with running(tmp_path, SERVICES) as s:
        assert s.get("a")[0] == 200
        wait_until(lambda: requests_of(s) == 1, what="the report")
        wait_until(lambda: "cannot write usage" in s.autoscaler.text(), what="the log")
        wait_until(lambda: not s.instances(), what="no instance")
        assert s.get("a")[0] == 200
        os.unlink(str(tmp_path) + "/state/usage")
        wait_until(lambda: written(s) > 0, what="the journal")
        assert s.autoscaler.text().count("cannot write usage") == 1
        assert s.metrics(s.scaler_admin)["autoscaler_usage_records_lost_total"] == 0


def test_without_a_journal(tmp_path):
    with running(tmp_path, SERVICES, autoscaler="usage_days = 0") as s:
        assert s.get("a")[0] == 200
        wait_until(lambda: requests_of(s) == 1, what="the report")
        assert not os.path.exists(s.state + "/usage")
