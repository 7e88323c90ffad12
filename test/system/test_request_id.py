"""X-Request-Id, begun or passed on, is the same at the instance and in the access log; traceparent is
passed on, and the access log has its trace id."""
import json
import re

import pytest

from fakes.instance import FakeInstance, read_head
from h2client import H2Client
from helpers import wait_until
from stack import running

TRACE = "0af7651916cd43dd8448eb211c80319c"


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
def origin():
    return Origin()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, origin):
    path = tmp_path_factory.mktemp("ids")
    services = "".join(
        'service "%s" { hosts = {"%s"} request_id = %s\n'
        '    revision "v1" { addresses = {"127.0.0.1:%d"} } }\n' % (how, how, how, origin.port)
        for how in ("pass", "keep", "trusted", "new"))
    with running(path, services,
                 activator='access_log = json access_log_file = "%s/access.log"' % path) as s:
        s.lines = 0
        yield s


def ask(stack, origin, host, fields):
    """(X-Request-Id at the instance, the line of the access log)"""
    origin.heads.clear()
    assert stack.get(host, fields=fields)[0] == 200
    stack.lines += 1

    def lines():
        with open(stack.path + "/access.log") as f:
            found = f.readlines()
        return found if len(found) == stack.lines and found[-1].endswith("\n") else None
    entry = json.loads(wait_until(lines, what="the line")[-1])
    found = re.findall(r"^x-request-id: (.*)\r$", origin.heads[0], re.M | re.I)
    assert len(found) <= 1
    return found[0] if found else None, entry


@pytest.mark.parametrize("host, is_kept, is_begun", [
    ("pass", True, False), ("keep", True, True), ("trusted", False, True), ("new", False, True)])
def test_request_ids(stack, origin, host, is_kept, is_begun):
    got, entry = ask(stack, origin, host, [("X-Request-Id", "mine-1")])
    assert entry["request_id"] == got and (got == "mine-1") == is_kept
    first, entry = ask(stack, origin, host, [])
    assert entry.get("request_id") == first
    assert (first is not None) == is_begun
    if is_begun:
        second, _ = ask(stack, origin, host, [])
        assert re.fullmatch("[0-9a-f]{32}", first) and first != second


def test_the_trace_of_a_client(stack, origin):
    parent = "00-%s-b7ad6b7169203331-01" % TRACE
    _, entry = ask(stack, origin, "new", [("traceparent", parent), ("tracestate", "a=b")])
    assert entry["trace_id"] == TRACE
    assert "traceparent: %s\r\n" % parent in origin.heads[0]
    assert "tracestate: a=b\r\n" in origin.heads[0]
    _, entry = ask(stack, origin, "new", [("traceparent", "00-nonsense")])
    assert "trace_id" not in entry


def test_by_http2(stack, origin):
    origin.heads.clear()
    with H2Client(stack.port) as c:
        assert c.get("/", "keep", fields=[("x-request-id", "over-h2")]).status == 200
    stack.lines += 1
    assert re.search(r"^x-request-id: over-h2\r$", origin.heads[0], re.M | re.I)


@pytest.mark.parametrize("how, is_kept", [
    ("pass", True), ("keep", True), ("trusted", False), ("new", False)])
def test_a_refusal_before_routing(tmp_path, how, is_kept):
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    log = str(tmp_path / "access.log")
    with running(tmp_path, services, activator='request_id = %s access_log = json '
                 'access_log_file = "%s"' % (how, log)) as s:
        assert s.get("s", fields=[("X-Request-Id", "mine-1"), ("Expect", "nonsense")])[0] == 417

        def lines():
            with open(log) as f:
                return [line for line in f if line.endswith("\n")]
        entry = json.loads(wait_until(lines, what="the line")[0])
        assert (entry["request_id"] == "mine-1") == is_kept
        assert is_kept or re.fullmatch("[0-9a-f]{32}", entry["request_id"])


def test_a_trusted_proxy_sends_its_own(tmp_path, origin):
    services = ('service "s" { hosts = {"s"} request_id = trusted\n'
                '    revision "v1" { addresses = {"127.0.0.1:%d"} } }' % origin.port)
    with running(tmp_path, services, activator='trusted_proxies = {"127.0.0.0/8"}') as s:
        origin.heads.clear()
        assert s.get("s", fields=[("X-Request-Id", "of-the-proxy")])[0] == 200
        assert "X-Request-Id: of-the-proxy\r\n" in origin.heads[0]
