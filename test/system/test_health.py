"""Probes of readiness that ask: the health check of gRPC, and a path, plain and by TLS."""
import pytest

from fakes.health import NOT_FOUND, NOT_SERVING, SERVING, UNAVAILABLE, UNIMPLEMENTED, Health
from helpers import wait_until
from stack import running
from test_tls import origin_context
from tls import Tls


def service(port, probe, more=""):
    return """service "s" { hosts = {"s"} revision "v1" { addresses = {"127.0.0.1:%d"}
        probe = "%s" probe_timeout = 2s activation_timeout = 60s %s } }""" % (port, probe, more)


def troubles(stack):
    return [line for line in stack.activator.text().splitlines()
            if "instance does not answer yet" in line]


@pytest.mark.parametrize("says, trouble", [
    (NOT_SERVING, "NOT_SERVING"),
    (UNIMPLEMENTED, "grpc.health.v1.Health"),
    (NOT_FOUND, "NOT_FOUND"),
    (UNAVAILABLE, "UNAVAILABLE"),
    ("reset", "it reset the stream"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP/1, not HTTP/2"),
    (b"220 mail.example ESMTP\r\n", "its answer is no HTTP/2"),
    (b"", "connection closed before the response"),
    ("silence", "no response within probe_timeout"),
], ids=str)
def test_an_instance_gets_requests_once_it_serves(tmp_path, says, trouble):
    instance = Health(says)
    with running(tmp_path, service(instance.port, "grpc:my.Service")) as s, s.connect() as c:
        c.request("GET", "/", "s")
        line = wait_until(lambda: troubles(s), what="the log line of the probe")[0]
        assert trouble in line
        wait_until(lambda: s.metric("activator_parked") == 1, what="the parked request")
        instance.says = SERVING
        instance.is_over.set()
        assert c.response()[0] == 200
        assert set(instance.asked) <= {"my.Service"} and instance.asked[-1] == "my.Service"
        assert "/grpc.health.v1.Health/Check" in instance.paths


@pytest.mark.parametrize("probe, says, trouble", [
    ("grpc", UNIMPLEMENTED, b"it has no health service of gRPC"), ("/up", SERVING, b"HTTP 503")])
def test_who_waits_in_vain_is_told_why(tmp_path, probe, says, trouble):
    instance = Health(says)
    instance.http1 = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"
    text = service(instance.port, probe).replace("activation_timeout = 60s",
                                                 "activation_timeout = 1s")
    with running(tmp_path, text) as s:
        wait_until(lambda: troubles(s), what="the log line of the probe")
        assert b"its probe fails: " + trouble in s.get("s")[2]


def test_the_server_as_a_whole(tmp_path):
    instance = Health()
    with running(tmp_path, service(instance.port, "grpc")) as s:
        assert s.get("s")[0] == 200
        assert instance.asked == [""]


@pytest.mark.parametrize("protocol", ["h2c", "http1"])
def test_a_path_is_asked_by_the_protocol_of_the_instances(tmp_path, protocol):
    instance = Health("-")
    with running(tmp_path, service(instance.port, "/up", "protocol = " + protocol)) as s:
        assert s.get("s")[0] == 200
    assert instance.versions == [protocol] * len(instance.versions)
    assert "/up" in instance.paths


@pytest.mark.parametrize("probe, path", [("grpc", "/grpc.health.v1.Health/Check"),
                                         ("/healthz", "/healthz")])
def test_by_tls(tmp_path, probe, path):
    tls = Tls(tmp_path, "ours")
    context = origin_context(tls, "app", "app.internal")
    context.set_alpn_protocols(["h2", "http/1.1"])
    instance = Health(context=context)
    with running(tmp_path, service(instance.port, probe, """upstream_tls = yes
            upstream_ca = "%s" upstream_name = "app.internal" """ % tls.ca)) as s:
        assert s.get("s")[0] == 200
        assert instance.paths == [path, "/"]


@pytest.mark.parametrize("probe, alpn, ca, name, trouble", [
    ("grpc", ["http/1.1"], "ours", "app.internal", "does not offer HTTP/2"),
    ("grpc", ["h2"], "ours", "other.internal", "hostname mismatch"),
    ("/healthz", ["http/1.1"], "others", "app.internal", "certificate"),
])
def test_by_tls_to_an_instance_that_does_not_fit(tmp_path, probe, alpn, ca, name, trouble):
    authorities = {n: Tls(tmp_path, n) for n in ("ours", "others")}
    context = origin_context(authorities["ours"], "app", "app.internal")
    context.set_alpn_protocols(alpn)
    instance = Health(context=context)
    with running(tmp_path, service(instance.port, probe, """upstream_tls = yes
            upstream_ca = "%s" upstream_name = "%s" """ % (authorities[ca].ca, name))) as s:
        with s.connect() as c:
            c.request("GET", "/", "s")
            assert trouble in wait_until(lambda: troubles(s), what="the log line of the probe")[0]
        assert instance.paths == []


def test_by_tls_after_a_reload_of_the_activator(tmp_path):
    """The settings from which TLS is set up for the first probe are those of the start."""
    tls = Tls(tmp_path, "ours")
    context = origin_context(tls, "app", "app.internal")
    context.set_alpn_protocols(["h2", "http/1.1"])
    instance = Health(context=context)
    instance.close()
    with running(tmp_path, service(instance.port, "grpc", """upstream_tls = yes
            upstream_ca = "%s" upstream_name = "app.internal" """ % tls.ca)) as s, s.connect() as c:
        assert s.hangup(s.activator) and s.hangup(s.activator)
        c.request("GET", "/", "s")
        wait_until(lambda: s.metric("activator_parked") == 1, what="the parked request")
        instance.listen()
        assert c.response()[0] == 200
