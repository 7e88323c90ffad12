"""Spans at a collector that decodes them by the public schema (opentelemetry-proto, JSON Protobuf
Encoding), and a collector that is away, or rude: that costs spans and nothing else.

With OTLP_SCHEMA, a folder in which protoc --python_out has made modules of opentelemetry-proto, the
parser of protobuf decodes each message, too, which refuses members that the schema has not."""
import base64
import http.server
import json
import os
import re
import socket
import ssl
import sys
import threading

import pytest

from fleet import Activator
from fakes.instance import FakeInstance, read_head
from helpers import free_port, wait_until
from stack import Client, Gate, running
from test_ctl import ctl
from tls import Tls

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = "00-%s-%s-01" % (TRACE, PARENT)
VALUES = {"stringValue": str, "intValue": str, "boolValue": bool}


def decode_attributes(items):
    found = {}
    for item in items:
        assert set(item) == {"key", "value"} and len(item["value"]) == 1
        (kind, value), = item["value"].items()
        assert type(value) is VALUES[kind]
        assert item["key"] not in found
        found[item["key"]] = int(value) if kind == "intValue" else value
    return found


def check_schema(message):
    """Protobuf's own JSON has bytes in base64, that of OTLP has them in hexadecimal digits."""
    sys.path.insert(0, os.environ["OTLP_SCHEMA"])
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    def by_base64(at):
        if isinstance(at, list):
            return [by_base64(v) for v in at]
        if not isinstance(at, dict):
            return at
        return {k: base64.b64encode(bytes.fromhex(v)).decode()
                if k in ("traceId", "spanId", "parentSpanId") else by_base64(v)
                for k, v in at.items()}
    parsed = json_format.ParseDict(by_base64(message),
                                   trace_service_pb2.ExportTraceServiceRequest())
    assert parsed.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano > 1 << 60


def decode(message):
    """The spans of an ExportTraceServiceRequest, with their attributes as a dict."""
    spans = []
    if "OTLP_SCHEMA" in os.environ:
        check_schema(message)
    assert set(message) == {"resourceSpans"}
    for of_resource in message["resourceSpans"]:
        assert set(of_resource) == {"resource", "scopeSpans"}
        assert decode_attributes(of_resource["resource"]["attributes"])[
            "service.name"] == "activator"
        for of_scope in of_resource["scopeSpans"]:
            assert of_scope["scope"] == {"name": "activator"}
            for s in of_scope["spans"]:
                assert set(s) <= {"traceId", "spanId", "parentSpanId", "name", "kind",
                                  "startTimeUnixNano", "endTimeUnixNano", "attributes", "status",
                                  "links", "events"}
                for link in s.get("links", []):
                    assert set(link) == {"traceId", "spanId"}
                    assert re.fullmatch("[0-9a-f]{32}", link["traceId"])
                    assert re.fullmatch("[0-9a-f]{16}", link["spanId"])
                for event in s.get("events", []):
                    assert set(event) == {"timeUnixNano", "name"} and event["name"]
                    assert (int(s["startTimeUnixNano"]) <= int(event["timeUnixNano"]) <=
                            int(s["endTimeUnixNano"]))
                assert re.fullmatch("[0-9a-f]{32}", s["traceId"])
                assert re.fullmatch("[0-9a-f]{16}", s["spanId"]) and int(s["spanId"], 16) != 0
                assert re.fullmatch("[0-9a-f]{16}", s.get("parentSpanId", PARENT))
                assert type(s["name"]) is str and s["name"] and s["kind"] in (1, 2)
                for key in ("startTimeUnixNano", "endTimeUnixNano"):
                    assert re.fullmatch(r"\d{19}", s[key])
                    s[key] = int(s[key])
                assert s["startTimeUnixNano"] <= s["endTimeUnixNano"]
                s["attributes"] = decode_attributes(s.get("attributes", []))
                spans.append(s)
    return spans


def is_activation(span):
    return span["name"].startswith("activation ")


def is_decision(span):
    return span["name"].startswith("scale up ")


def link_of(span):
    return {"traceId": span["traceId"], "spanId": span["spanId"]}


class Collector:
    """Answers with self.status."""

    def __init__(self, port=0, context=None):
        self.spans, self.status, self.posts, self.failures = [], 200, 0, []
        self.activations, self.decisions = [], []  # their spans, which are not in self.spans
        self.broken = 0  # connections that ended otherwise than in order, as by a handshake
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.posts += 1
                try:
                    assert self.path == "/v1/traces"
                    assert self.headers["Content-Type"] == "application/json"
                    if collector.status == 200:
                        found = decode(json.loads(body))
                        collector.activations += [s for s in found if is_activation(s)]
                        collector.decisions += [s for s in found if is_decision(s)]
                        collector.spans += [s for s in found
                                            if not is_activation(s) and not is_decision(s)]
                except Exception as e:  # a thread of its own
                    collector.failures.append("%r: %s" % (e, body[:2000]))
                self.send_response(collector.status)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
            self.server.handle_error = self.count_broken
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count_broken(self, *_):
        self.broken += 1

    def wait(self, n, what="spans"):
        """The spans, once there are n."""
        wait_until(lambda: len(self.spans) >= n or self.failures, what=what)
        assert not self.failures, self.failures
        assert len(self.spans) == n, self.spans
        spans, self.spans = self.spans, []
        return spans

    def activation(self, *roots):
        """The one that these requests, and no others, have asked for."""
        wanted, = roots[0]["links"]
        found = wait_until(lambda: [s for s in self.activations if link_of(s) == wanted],
                           what="the span of the activation")
        assert len(found) == 1 and not self.failures, (found, self.failures)
        assert all(r["links"] == [wanted] for r in roots)
        key = str
        assert sorted(found[0]["links"], key=key) == sorted(map(link_of, roots), key=key)
        assert "parentSpanId" not in found[0] and found[0]["traceId"] != roots[0]["traceId"]
        return found[0]

    def decision(self, revision, **attributes):
        """The one span of a decision on the revision that has these attributes."""
        def look():
            assert not self.failures, self.failures
            return [s for s in self.decisions if s["name"] == "scale up " + revision and
                    attributes.items() <= {k.removeprefix("activator."): v for k, v in
                                           s["attributes"].items()}.items()]
        found = wait_until(look, what="the span of the decision")
        assert len(found) == 1, found
        return found[0]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Origin(FakeInstance):
    def __init__(self):
        super().__init__()
        self.heads = []

    def serve(self, connection):
        head, _ = read_head(connection)
        if head is not None:
            self.heads.append(head.decode())
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture(scope="module")
def collector():
    c = Collector()
    yield c
    c.close()


@pytest.fixture(scope="module")
def origin():
    return Origin()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, collector, origin):
    path = tmp_path_factory.mktemp("traces")
    services = """
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }
service "all" { hosts = {"all"} trace_sample = 100
    revision "v1" { addresses = {"127.0.0.1:%d"} } }
service "some" { hosts = {"some"} revision "v1" { addresses = {"127.0.0.1:%d"} } }
service "broken" { hosts = {"broken"} access_log = off
    revision "v1" { command = {"HELLO", "--exit", "3"} } }
""" % (origin.port, origin.port)
    with running(path, services, activator='trace_collector = "http://localhost:%d" '
                 'access_log = json access_log_file = "%s/access.log"' % (collector.port,
                                                                          path) +
                 " trace_follow = all") as s:
        yield s


def test_a_cold_start_is_a_trace(stack, collector):
    wait_until(lambda: not stack.instances(), what="zero instances")
    assert stack.get("hello", "/bytes/10?secret=1", fields=[("traceparent", SAMPLED)])[0] == 200
    spans = collector.wait(8)
    root, = [s for s in spans if s["kind"] == 2]
    assert all(s["traceId"] == TRACE for s in spans)
    assert (root["name"], root["parentSpanId"]) == ("GET", PARENT)
    a = root["attributes"]
    assert (a["http.response.status_code"], a["url.path"], a["activator.revision"]) == (
        200, "/bytes/10", "hello/v1")
    assert (a["http.response.body.size"], a["activator.outcome"], a["activator.cold_start"]) == (
        10, "ok", True)
    assert "status" not in root and "secret" not in json.dumps(spans)
    below = [s for s in spans if s is not root]
    assert [s["name"] for s in below] == ["parked"] + [
        "cold start: " + p for p in ("signal", "ack", "address", "connect", "send", "first_byte")]
    assert all(s["parentSpanId"] == root["spanId"] for s in below)
    assert len({s["spanId"] for s in spans}) == 8
    for s in below:
        assert root["startTimeUnixNano"] <= s["startTimeUnixNano"]
        assert s["endTimeUnixNano"] <= root["endTimeUnixNano"]
    for before, after in zip(below[1:], below[2:]):
        assert before["endTimeUnixNano"] == after["startTimeUnixNano"]


def test_an_activation_is_linked_to_the_requests_that_asked(tmp_path, origin):
    """To all that are recorded; a later activation has a span of its own."""
    gate = Gate(tmp_path)
    services = """
service "hello" { hosts = {"hello"} trace_follow = all
    revision "v1" { max_scale = 1
        %s } }
service "far" { hosts = {"far"} trace_sample = 100
    revision "v1" { addresses = {"127.0.0.1:%d"} } }
""" % (gate.command(), origin.port)
    c = Collector()
    try:
        with running(tmp_path, services,
                     activator='trace_collector = "http://localhost:%d"' % c.port) as s:
            assert s.get("far")[0] == 200
            root, = c.wait(1)
            assert "links" not in root  # nothing was started for it
            fields = [[("traceparent", "00-%032x-%s-0%d" % (i, PARENT, i < 4))]
                      for i in range(1, 5)]  # the last one is not recorded
            threads = [threading.Thread(target=s.get, args=("hello",), kwargs={"fields": f})
                       for f in fields]
            # What one that is not recorded asks for is a trace of its own.
            threads[0].start()
            wait_until(lambda: s.metric("activator_parked") == 1, what="the first one")
            for t in threads[1:]:
                t.start()
            wait_until(lambda: s.metric("activator_parked") == len(threads), what="all of them")
            gate.open()
            for t in threads:
                t.join()
            roots = [r for r in c.wait(3 * 8) if r["kind"] == 2]
            a = c.activation(*roots)
            assert a["name"] == "activation hello/v1" and "status" not in a
            of = a["attributes"]
            assert (of["activator.outcome"], of["activator.service"], of["activator.revision"],
                    of["activator.recorded_requests"]) == ("ready", "hello", "hello/v1", 3)
            assert {r["attributes"]["activator.instance"] for r in roots} == {
                of["activator.instance"]}
            assert [e["name"] for e in a["events"]] == [
                "cold start: " + p for p in ("signal", "ack", "address", "connect")]
            d = c.decision("hello/v1")
            assert (d["traceId"], d["parentSpanId"]) == (a["traceId"], a["spanId"])
            assert d["links"] and all(link in a["links"] for link in d["links"])
            of = d["attributes"]
            assert (of["activator.rule"], of["activator.instances.from"],
                    of["activator.instances.to"], of["activator.outcome"]) == (
                        "activation", 0, 1, "ready")
            assert of["activator.why"].startswith("requests are parked")
            wait_until(lambda: not s.instances(), what="zero instances")
            assert s.get("hello", fields=fields[0])[0] == 200
            again, = [r for r in c.wait(8) if r["kind"] == 2]
            assert c.activation(again)["traceId"] != a["traceId"]
            assert len(c.activations) == 2
    finally:
        c.close()


def test_what_no_request_has_asked_for_is_a_trace_too(tmp_path):
    """What an operator starts.  Of two activators that have the collector, one makes the span."""
    gate = Gate(tmp_path)
    gate.open()
    services = 'service "hello" { hosts = {"hello"} revision "v1" { %s } }' % gate.command()
    c = Collector()
    key = 'trace_collector = "http://localhost:%d"' % c.port
    try:
        with running(tmp_path, services, activator=key) as s:
            second = Activator(s, "second", key).start()
            try:
                assert ctl(s, "wake", "hello").status == 0
                d = c.decision("hello/v1", rule="woken", outcome="ready")
                assert "parentSpanId" not in d and not d["links"] and "status" not in d
            finally:
                second.stop()
        assert [s["attributes"]["activator.rule"] for s in c.decisions] == ["woken"]
    finally:
        c.close()


def test_the_instance_goes_on_with_the_trace(stack, collector, origin):
    origin.heads.clear()
    assert stack.get("some", fields=[("traceparent", SAMPLED), ("tracestate", "a=b")])[0] == 200
    root, = collector.wait(1)
    assert "traceparent: 00-%s-%s-01\r\n" % (TRACE, root["spanId"]) in origin.heads[0]
    assert origin.heads[0].lower().count("traceparent") == 1
    assert "tracestate: a=b\r\n" in origin.heads[0]


def test_a_trace_is_begun_when_it_is_sampled(stack, collector, origin):
    origin.heads.clear()
    assert stack.get("all", fields=[("traceparent", "nonsense"), ("tracestate", "a=b")])[0] == 200
    root, = collector.wait(1)
    assert "parentSpanId" not in root
    assert "traceparent: 00-%s-%s-01\r\n" % (root["traceId"], root["spanId"]) in origin.heads[0]
    assert "tracestate" not in origin.heads[0] and "nonsense" not in origin.heads[0]

    def entry():
        with open(stack.path + "/access.log") as f:
            return [e for e in map(json.loads, f) if e.get("trace_id") == root["traceId"]]
    wait_until(entry, what="the line of the access log")


def test_what_is_not_sampled_passes_as_it_came(stack, collector, origin):
    origin.heads.clear()
    plain = SAMPLED[:-1] + "0"
    assert stack.get("all", fields=[("traceparent", plain)])[0] == 200
    assert "traceparent: %s\r\n" % plain in origin.heads[0]
    assert stack.get("some")[0] == 200
    assert "traceparent" not in origin.heads[1]
    assert stack.get("some", fields=[("traceparent", SAMPLED)])[0] == 200
    collector.wait(1)  # of the last one alone


def test_slow_buckets_lead_to_traces(stack, collector):
    """In the form of OpenMetrics, which is asked for by Accept."""
    assert stack.get("some", fields=[("traceparent", SAMPLED)])[0] == 200
    root, = collector.wait(1)

    def ask(accept):
        with Client(stack.admin) as c:
            c.request("GET", "/metrics", "admin", fields=[("Accept", accept)])
            status, fields, body = c.response()
            assert status == 200
            return fields["content-type"], body.decode()
    kind, text = ask("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;q=0.5,*/*;q=0.1")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    found = re.findall(r'^activator_request_duration_seconds_bucket\{revision="some/v1",le="[^"]+"\} '
                       r'\d+ # \{trace_id="(\w+)"\} ([\d.e-]+) [\d.]+$', text, re.M)
    assert {trace for trace, _ in found} == {TRACE}
    assert text.endswith("\n# EOF\n") and "\n# TYPE activator_requests counter\n" in text
    kind, text = ask("text/plain;q=0.9, application/openmetrics-text;q=0.1")
    assert kind.startswith("text/plain") and TRACE not in text and "EOF" not in text


def test_whose_traceparent_decides(tmp_path, collector, origin):
    """One that does not decide is continued all the same, where the request is recorded."""
    revision = 'revision "v1" { addresses = {"127.0.0.1:%d"} }' % origin.port
    services = "".join('service "%s" { hosts = {"%s"} %s %s }\n' % (name, name, keys, revision)
                       for name, keys in (("default", ""), ("none", "trace_follow = none"),
                                          ("sampled", "trace_sample = 100 trace_follow = none")))
    with running(tmp_path, services, activator='trace_collector = "http://localhost:%d" '
                 'trusted_proxies = {"192.0.2.1/32"}' % collector.port) as s:
        def get(host, sent):
            origin.heads.clear()
            assert s.get(host, fields=[("traceparent", sent)])[0] == 200
            return origin.heads[0]
        assert SAMPLED in get("default", SAMPLED)  # the client is no proxy
        head = get("sampled", SAMPLED[:-1] + "0")
        root, = collector.wait(1)
        assert (root["traceId"], root["parentSpanId"]) == (TRACE, PARENT)
        assert "00-%s-%s-01" % (TRACE, root["spanId"]) in head
        s.edit('"192.0.2.1/32"', '"127.0.0.1"')
        assert s.hangup(s.activator), s.activator.text()[-2000:]
        assert SAMPLED in get("none", SAMPLED)
        head = get("default", SAMPLED)
        root, = collector.wait(1)
        assert "00-%s-%s-01" % (TRACE, root["spanId"]) in head


def test_what_is_no_request_is_in_no_trace(tmp_path, collector, origin):
    services = ('service "s" { hosts = {"s"} revision "v1" { addresses = {"127.0.0.1:%d"} } }' %
                origin.port)
    with running(tmp_path, services, workers=1, activator='trace_collector = '
                 '"http://localhost:%d" access_log = json access_log_file = "%s/access.log"' %
                 (collector.port, tmp_path) + " trace_follow = all") as s:
        assert s.get("s", fields=[("traceparent", SAMPLED)])[0] == 200
        with socket.create_connection(("127.0.0.1", s.port)) as c:
            c.sendall(b"nonsense\r\n\r\n")
            assert c.recv(1000).startswith(b"HTTP/1.1 400 ")

        def entries():
            with open(s.path + "/access.log") as f:
                found = [json.loads(line) for line in f]
            return found if len(found) == 2 else None
        first, second = wait_until(entries, what="two lines")
        assert first["trace_id"] == TRACE and "trace_id" not in second
        assert second["status"] == 400
    collector.wait(1)  # of the first one


def test_a_refusal_is_an_error(stack, collector):
    assert stack.get("broken", fields=[("traceparent", SAMPLED)])[0] == 503
    root = next(s for s in collector.wait(2) if s["kind"] == 2)
    assert root["status"]["code"] == 2 and "exited with status 3" in root["status"]["message"]
    assert root["attributes"]["activator.outcome"] == "activation_failed"
    a = collector.activation(root)
    d = collector.decision("broken/v1", outcome="failed")
    for s in (a, d):
        assert s["attributes"]["activator.outcome"] == "failed"
        assert s["status"]["code"] == 2 and "exited with status 3" in s["status"]["message"]
    assert (d["traceId"], d["parentSpanId"]) == (a["traceId"], a["spanId"])


def test_a_collector_that_is_busy_or_refuses(stack, collector):
    collector.status = 503
    assert stack.get("all")[0] == 200
    wait_until(lambda: "cannot send spans" in stack.activator.text(), what="a line in the log")
    collector.status = 200
    collector.wait(1, "the span, again")
    wait_until(lambda: "takes spans again" in stack.activator.text(), what="a line in the log")
    collector.status = 400
    assert stack.get("all")[0] == 200
    wait_until(lambda: stack.metric('activator_trace_spans_total{result="lost"}') == 1,
               what="the refused span")
    collector.status = 200
    assert stack.get("all")[0] == 200
    collector.wait(1)


def test_a_collector_over_tls(tmp_path, origin):
    """Its certificate must be of the authority, and name the collector.  Both files may change."""
    ours, other = Tls(tmp_path), Tls(tmp_path, "other")
    wrong, right = other.issue("wrong", "localhost"), ours.issue("right", "localhost")
    named = ours.issue("named", "example.com")
    services = ('service "s" { hosts = {"s"} trace_sample = 100\n'
                '    revision "v1" { addresses = {"127.0.0.1:%d"} } }' % origin.port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*wrong)
    c = Collector(context=context)
    try:
        with running(tmp_path, services, activator='trace_collector = "https://localhost:%d" '
                     'trace_collector_ca = "%s"' % (c.port, ours.ca)) as s:
            assert s.get("s")[0] == 200
            wait_until(lambda: "the TLS handshake with localhost has failed" in s.activator.text(),
                       what="a line in the log")
            context.load_cert_chain(*named)
            assert s.get("s")[0] == 200
            before = c.broken
            wait_until(lambda: c.broken > before + 1 or c.spans, what="two more handshakes")
            assert not c.spans  # the second one had the certificate of another name
            context.load_cert_chain(*right)
            c.wait(2, "both spans")
            assert "takes spans again" in s.activator.text()
    finally:
        c.close()


def test_a_collector_that_is_away(tmp_path, origin):
    port = free_port()
    services = ('service "s" { hosts = {"s"} trace_sample = 100\n'
                '    revision "v1" { addresses = {"127.0.0.1:%d"} } }' % origin.port)
    with running(tmp_path, services, activator='trace_collector = "http://127.0.0.1:%d"' % port) as s:
        assert s.get("s")[0] == 200
        wait_until(lambda: "cannot send spans" in s.activator.text(), what="a line in the log")
        c = Collector(port)
        try:
            c.wait(1, "the span, once the collector is there")
        finally:
            c.close()
        assert s.get("s")[0] == 200
