"""From zero and back: a stopped program is started for its first request and stopped when no
requests come any more, also where one of the two programs dies or is stopped meanwhile."""
import signal
import threading
import time

from helpers import SLOW, wait_until
from stack import Gate, running, stats

SERVICE = """
service "hello" { hosts = {"hello"} revision "v1" { %s } }
"""
HELLO = SERVICE % 'command = {"HELLO", "--startup", "300ms"}'


def test_a_program_is_started_for_a_request_and_stopped_again(tmp_path):
    with running(tmp_path, HELLO) as s:
        assert not s.instances()
        status, _, body = s.get("hello")
        assert (status, body) == (200, b"hello\n")
        assert s.autoscaler.text().count("instance started") == 1
        assert s.metric('activator_cold_starts_total{revision="hello/v1"}') == 1
        wait_until(lambda: not s.instances(), what="zero instances")
        assert "scaled to zero" in s.autoscaler.text()
        assert s.get("hello")[0] == 200


def test_every_parked_request_is_answered_once(tmp_path):
    services = HELLO.replace('revision "v1" {', 'revision "v1" { max_scale = 1 stable_window = 60s')
    with running(tmp_path, services) as s:
        clients = [s.connect() for _ in range(200)]
        for i, c in enumerate(clients):
            c.request("GET", "/", "hello", fields=[("X-Id", str(i))])
        assert [c.response()[0] for c in clients] == [200] * 200
        assert stats(s, "hello")["requests"] == 200


def test_a_parked_request_with_a_body(tmp_path):
    with running(tmp_path, HELLO) as s:
        body = b"x" * 3000000
        with s.connect() as c:
            sender = threading.Thread(target=c.request, args=("POST", "/echo", "hello", body))
            sender.start()
            status, _, got = c.response()
            sender.join()
            assert (status, got) == (200, body)


# Opens its port, and ends: at once, without an answer, or after its first answer.
ENDS = """
import http.server, os, sys, threading, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
        threading.Timer(0.1, os._exit, [3]).start()
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), H)
if sys.argv[1] == "early":
    time.sleep(0.2)
    os._exit(3)
s.serve_forever()
"""


def ending(tmp_path, when):
    program = tmp_path / "ends.py"
    program.write_text(ENDS)
    return SERVICE % ('command = {"/usr/bin/python3", "%s", "%s"}' % (program, when))


def test_a_program_that_opens_its_port_and_ends_has_failed_to_start(tmp_path):
    with running(tmp_path, ending(tmp_path, "early")) as s:
        answers = [s.get("hello") for _ in range(3)]
        status, fields, body = answers[-1]
        assert (status, fields["x-activator-reason"]) == (503, "activation_failed"), answers
        assert b"exited with status 3 soon after it was ready" in body
        assert int(fields["retry-after"]) >= 1


def test_a_program_that_ends_after_its_first_answer_has_not_failed(tmp_path):
    with running(tmp_path, ending(tmp_path, "late")) as s:
        for n in range(1, 4):
            assert s.get("hello")[0] == 200
            wait_until(lambda: s.autoscaler.text().count("instance ended by itself") == n)
        ends = [x for x in s.autoscaler.text().splitlines() if "instance ended by itself" in x]
        assert all("had_served=1" in x and "failed=0" in x for x in ends), ends


# Answers with the variable ANSWER; after a request for /close it closes its port and lives on.
CLOSES = """
import http.server, os, threading, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["ANSWER"].encode()
        if self.path == "/close": s.socket.close()
        if self.path == "/slow":
            while not os.path.exists(os.environ["GATE"]): time.sleep(0.02)
        self.send_response(200); self.send_header("content-length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H)
try: s.serve_forever(0.01)
except (OSError, ValueError): pass
time.sleep(1000)
"""


def closing(tmp_path, gate=None):
    program = tmp_path / "closes.py"
    program.write_text(CLOSES)
    return """service "hello" { hosts = {"hello"} stable_window = 60s upstream_idle_timeout = 0
        refusal_timeout = 1s revision "v1" {
        command = {"env", "ANSWER=one", "GATE=%s", "/usr/bin/python3", "%s"} } }""" % (
            gate and gate.path, program)


def test_an_instance_that_closes_its_port_is_replaced(tmp_path):
    with running(tmp_path, closing(tmp_path)) as s:
        assert s.get("hello", "/close")[2] == b"one"
        first = s.instances()
        wait_until(lambda: s.get("hello")[0] == 200, what="an answer of another instance")
        assert s.autoscaler.text().count("refused every connection for refusal_timeout") == 1
        wait_until(lambda: not set(first) & set(s.instances()), what="the first one to end")


def test_a_reload_that_changes_the_command_replaces_the_instance(tmp_path):
    """No request is lost or waits longer than for its work, and one in flight is finished."""
    gate = Gate(tmp_path)
    with running(tmp_path, closing(tmp_path, gate)) as s:
        assert s.get("hello")[2] == b"one"
        first = s.instances()
        slow = s.connect()
        slow.request("GET", "/slow", "hello")
        wait_until(lambda: s.revision_status("hello/v1")["in_flight"] == 1)
        with open(s.conf) as f:
            text = f.read()
        with open(s.conf, "w") as f:
            f.write(text.replace("ANSWER=one", "ANSWER=two"))
        s.autoscaler.kill(signal.SIGHUP)
        answers = []
        while b"two" not in answers:
            status, _, body = s.get("hello")
            assert status == 200
            answers.append(body)
        assert set(answers) <= {b"one", b"two"}
        assert answers[0] == b"one"  # the old instance is used until the new one is ready
        assert set(first) & set(s.instances())
        gate.open()
        assert slow.response()[2] == b"one"
        slow.close()
        wait_until(lambda: not set(first) & set(s.instances()), what="the first one to end")
        assert s.get("hello")[2] == b"two"
        assert s.metric('activator_cold_starts_total{revision="hello/v1"}') == 1


def test_the_autoscaler_is_killed_and_returns(tmp_path):
    answers = Gate(tmp_path)
    with running(tmp_path, HELLO, autoscaler="orphan_timeout = 60s") as s:
        with s.connect() as c, s.connect() as d:
            c.request("GET", "/" + answers.query(), "hello")  # keeps the instance in use
            d.request("GET", "/", "hello")
            assert d.response()[0] == 200
            before = s.instances()
            s.autoscaler.kill()
            for _ in range(50):
                d.request("GET", "/", "hello")
                assert d.response()[0] == 200
            assert s.readyz() == 200
            wait_until(lambda: s.metric("activator_link_up") == 0, what="the loss of the link")
            s.start_autoscaler()
            wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")
            d.request("GET", "/", "hello")
            assert d.response()[0] == 200
            assert s.instances() == before  # adopted, not replaced
            answers.open()
            assert c.response()[0] == 200
        wait_until(lambda: not s.instances(), what="zero instances")


def test_the_next_autoscaler_stops_an_idle_instance(tmp_path):
    """It adopts the instance, and knows of no request to it."""
    with running(tmp_path, HELLO, autoscaler="orphan_timeout = 60s") as s:
        assert s.get("hello")[0] == 200
        s.autoscaler.kill()
        s.start_autoscaler()
        wait_until(lambda: not s.instances(), what="zero instances")
        assert s.autoscaler.text().count("scaled to zero") == 1


def test_a_request_that_is_parked_while_the_autoscaler_is_away(tmp_path):
    with running(tmp_path, HELLO) as s:
        s.autoscaler.kill()
        with s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            s.start_autoscaler()
            assert c.response()[0] == 200


def test_requests_are_parked_before_services_are_known(tmp_path):
    with running(tmp_path, HELLO) as s:
        s.activator.stop()
        s.autoscaler.stop()
        s.start_activator()
        wait_until(lambda: s.readyz() == 503, what="/readyz")
        with s.connect() as c, s.connect() as d:
            c.request("GET", "/", "hello")
            d.request("GET", "/", "nobody")
            wait_until(lambda: s.metric("activator_parked") == 2, what="parked requests")
            s.start_autoscaler()
            assert c.response()[0] == 200
            status, fields, _ = d.response()
            assert (status, fields["x-activator-reason"]) == (404, "no_route")


def test_nothing_is_scaled_down_without_an_activator(tmp_path):
    with running(tmp_path, HELLO) as s:
        assert s.get("hello")[0] == 200
        before = s.instances()
        s.activator.kill()
        time.sleep(3)  # longer than stable window and grace: silence is not idleness
        assert s.instances() == before
        s.start_activator()
        s.wait_ready()
        assert s.get("hello")[0] == 200


def test_an_instance_with_a_request_in_flight_is_not_stopped(tmp_path):
    with running(tmp_path, HELLO) as s:
        with s.connect() as c:
            c.request("GET", "/?ms=4000", "hello")  # longer than stable window and grace
            assert c.response()[0] == 200


def test_sigterm_waits_for_parked_requests(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, SERVICE % gate.command()) as s:
        with s.connect() as parked, s.connect() as idle:
            idle.request("GET", "/", "nobody")
            idle.response()
            parked.request("GET", "/?ms=500", "hello")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            s.activator.kill(signal.SIGTERM)
            assert idle.is_closed()
            wait_until(lambda: s.readyz() == 503, what="/readyz")
            gate.open()
            status, fields, _ = parked.response()
            assert (status, fields["connection"]) == (200, "close")
        assert s.activator.process.wait(60 * SLOW) == 0


def test_requests_that_are_parked_after_drain_timeout_are_refused(tmp_path):
    never = 'service "never" { hosts = {"never"} revision "v1" { command = {"sleep", "1000"} } }'
    with running(tmp_path, never, activator="drain_timeout = 300ms") as s:
        with s.connect() as c:
            c.request("GET", "/", "never")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            s.activator.kill(signal.SIGTERM)
            status, fields, _ = c.response()
            assert (status, fields["x-activator-reason"]) == (503, "shutting_down")
            assert c.is_closed()
        assert s.activator.process.wait(60 * SLOW) == 0


def test_a_second_process_names_the_first(tmp_path):
    with running(tmp_path, HELLO) as s:
        first_activator, first_autoscaler = s.activator, s.autoscaler
        s.start_activator()
        assert s.activator.process.wait(60 * SLOW) == 1
        assert "held by process %d" % first_activator.pid in s.activator.text()
        s.start_autoscaler()
        assert s.autoscaler.process.wait(60 * SLOW) == 1
        assert "%d" % first_autoscaler.pid in s.autoscaler.text()
        s.activator, s.autoscaler = first_activator, first_autoscaler
        assert s.get("hello")[0] == 200
