"""Calls of gRPC through both programs, with unmodified peers: grpcio as the client and, started from
zero, as the server."""
import collections
import contextlib
import os
import queue
import signal
import socket
import sys
import threading

import pytest

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # other threads call grpcio while a test forks
import grpc  # noqa: E402

from h2client import H2Client
from helpers import ROOT, WAIT_S, wait_until
from stack import running
from test_ctl import ctl
from test_versions import change

APP = os.path.join(ROOT, "test/system/fakes/grpc_app.py")


def service(name, more="", app=""):
    return """service "%s" { hosts = {"%s"} revision "v1" { protocol = h2c
        command = {"%s", "%s" %s} %s } }\n""" % (
            name, name, sys.executable, APP, "".join(', "%s"' % word for word in app.split()), more)


SERVICES = "".join([
    service("calls"), service("join"), service("count"), service("talk"),
    service("one", "container_concurrency = 1 max_scale = 1"),
    service("two", "container_concurrency = 2 max_scale = 1"),
    service("three", "container_concurrency = 1 max_scale = 3"),
    service("late", "container_concurrency = 1 max_scale = 1", "--late 1000"),
    'service "deaf" { hosts = {"deaf"} revision "v1" { protocol = h2c\n'
    '    command = {"HELLO", "--never-listen"} activation_timeout = 30s max_parked = 1 } }\n',
    'service "exits" { hosts = {"exits"} revision "v1" { protocol = h2c\n'
    '    command = {"HELLO", "--exit", "3"} } }\n'])


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running(tmp_path_factory.mktemp("calls"), SERVICES) as s:
        yield s


class Caller:
    """Calls the methods of test.Calls, with messages of bytes."""

    def __init__(self, port, host, credentials=None):
        options = [("grpc.default_authority", host), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.ssl_target_name_override", "localhost")]
        target = "127.0.0.1:%d" % port
        self.channel = (grpc.insecure_channel(target, options) if credentials is None else
                        grpc.secure_channel(target, credentials, options))

    def unary(self, method):
        return self.channel.unary_unary("/test.Calls/" + method)

    def call(self, method, message=b"", timeout=WAIT_S, **more):
        return self.unary(method)(message, timeout=timeout, **more)


@pytest.fixture
def caller(stack):
    with contextlib.ExitStack() as closing:
        def make(host, port=stack.port, credentials=None):
            c = Caller(port, host, credentials)
            closing.enter_context(c.channel)
            return c
        yield make


def in_flight(stack, name):
    return stack.metric('activator_revision_in_flight{revision="%s/v1"}' % name)


def parked(stack, name):
    return stack.metric('activator_revision_parked{revision="%s/v1"}' % name)


def held(caller):
    """(how many Hold are under way, how many were cancelled) at the instance."""
    return tuple(map(int, caller.call("Held").split()))


# --- each kind of call, from zero

def test_a_unary_call(caller):
    assert caller("calls").call("Echo", b"hello") == b"hello"


def test_a_call_that_streams_responses(caller):
    c = caller("count").channel.unary_stream("/test.Calls/Count")
    assert list(c(b"500", timeout=WAIT_S)) == [b"%d" % i for i in range(500)]


def test_a_call_that_streams_requests(caller):
    c = caller("join").channel.stream_unary("/test.Calls/Join")
    messages = [b"%d" % i for i in range(500)]
    assert c(iter(messages), timeout=WAIT_S) == b",".join(messages)


def test_a_call_that_streams_both_ways(caller):
    """Each message waits for the answer to the one before it.  The client opens its windows by a few
    bytes for each of them."""
    answered, done = threading.Semaphore(1), []

    def messages():
        for i in range(1000):
            answered.acquire()
            yield b"%d" % i
    for answer in caller("talk").channel.stream_stream("/test.Calls/Talk")(
            messages(), timeout=WAIT_S):
        done.append(answer)
        answered.release()
    assert done == [b"%d" % i for i in range(1000)]


def test_large_messages(caller):
    message = os.urandom(3 << 20)
    assert caller("calls").call("Echo", message) == message


def test_metadata_and_trailers(caller):
    answer, call = caller("calls").unary("Echo").with_call(
        b"", timeout=WAIT_S, metadata=(("x-echo", "a, b"), ("x-bin-bin", b"\0\xff")))
    assert ("x-echoed", "a, b") in call.initial_metadata()
    assert ("x-trailer", "a, b") in call.trailing_metadata()
    assert answer == b"" and call.code() == grpc.StatusCode.OK


def test_the_status_of_the_server(caller):
    with pytest.raises(grpc.RpcError) as e:
        caller("calls").call("Fail")
    assert e.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert e.value.details() == "not for you: 100% f\xfcr andere\n"
    with pytest.raises(grpc.RpcError) as e:
        caller("calls").call("Nothing")
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert dict(e.value.trailing_metadata()).get("x-activator-reason") is None


def test_calls_that_fail_keep_their_connection(tmp_path):
    """grpcio sends a PING or so for each; a response to it has no DATA."""
    with running(tmp_path, service("fails", app="--fail NOT_FOUND")) as s:
        c = Caller(s.port, "fails")
        for _ in range(300):
            with pytest.raises(grpc.RpcError) as failure:
                c.call("Echo")
            assert failure.value.code() == grpc.StatusCode.NOT_FOUND
        c.channel.close()
        ended = [n for n, v in s.metrics().items() if v and "h2_connections_ended" in n]
        assert 'activator_h2_connections_ended_total{reason="glitches"}' not in ended


class Asking:
    """Clients that ask Who, each on a channel of its own, until the end of the with block or n
    times."""

    def __init__(self, stack, host, clients, n=None):
        self.stack, self.host, self.n = stack, host, n
        self.answers, self.failures, self.is_over = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]

    def run(self):
        c = Caller(self.stack.port, self.host)
        with c.channel:
            asked = 0
            while not self.is_over.is_set() and asked != self.n:
                asked += 1
                try:
                    self.answers.append(c.call("Who"))
                except grpc.RpcError as e:
                    self.failures.append("%s: %s" % (e.code(), e.details()))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        if self.n is None:
            self.is_over.set()
        for t in self.threads:
            t.join()


ENDED = 'autoscaler_instances_ended_total{revision="%s/v1",reason="%s"}'


@pytest.mark.parametrize("clients, n", [(1, 30), (4, 15)])
def test_max_requests_counts_calls(tmp_path, clients, n):
    """A server gets ten calls in its life, whatever the number of streams."""
    conf = service("few", "max_requests = 10 stable_window = 60s min_scale = 1 max_scale = 3")
    with running(tmp_path, conf) as s:
        with Asking(s, "few", clients, n) as asking:
            pass
        assert not asking.failures
        counts = collections.Counter(asking.answers)
        assert max(counts.values()) <= 10 and sum(counts.values()) == clients * n
        assert clients > 1 or 10 in counts.values()
        ended = ENDED % ("few", "max_requests")
        wait_until(lambda: s.metrics(s.scaler_admin).get(ended, 0) >= 2, what="the end of two")


def test_max_lifetime_with_calls_under_way(tmp_path):
    """Two servers are replaced again and again, and no call notices."""
    conf = service("old", "max_lifetime = 3s stable_window = 60s min_scale = 2 max_scale = 2")
    with running(tmp_path, conf) as s:
        with Asking(s, "old", 3) as asking:
            wait_until(lambda: s.metrics(s.scaler_admin).get(ENDED % ("old", "max_lifetime"), 0) >= 4,
                       what="the end of four")
        assert not asking.failures
        assert len(set(asking.answers)) >= 4
        assert s.metrics(s.scaler_admin).get(ENDED % ("old", "by_itself"), 0) == 0


@pytest.mark.parametrize("status, ends", [("UNAVAILABLE", "aborted"), ("NOT_FOUND", "done")])
def test_a_rollout_counts_failures_of_calls(tmp_path, status, ends):
    """A fault of the server is an error; an answer that the client has to understand is none."""
    with running(tmp_path, service("other")) as s:
        def deploy(*options, app=()):
            change(s, "deploy", "shop", "--env", "TEST_STACK=" + s.path, "--protocol", "h2c",
                   *options, "--", sys.executable, APP, *app)

        deploy("--host", "shop")
        c = Caller(s.port, "shop")
        wait_until(lambda: s.get("shop")[0] != 404, what="the route")
        deploy("--no-traffic", app=["--fail", status])
        seen, is_over = collections.Counter(), threading.Event()

        def ask():
            while not is_over.is_set():
                try:
                    seen[c.call("Echo")] += 1
                except grpc.RpcError as e:
                    seen[e.code().name] += 1

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            done = ctl(s, "rollout", "shop", "--over", "2s", "--steps", "50,100", "--abort-if",
                       "errors>10%", "--min-requests", "10")
        finally:
            is_over.set()
            asking.join(WAIT_S)
            c.channel.close()
        assert done.status == (ends == "aborted"), (done, seen)
        assert set(seen) == {b"", status}, seen
        r = ctl(s, "rollout", "status", "shop", "-o", "json").json
        assert r["state"] == ends and (ends == "done" or r["reason"].startswith("errors>10%")), r


def test_by_tls(tmp_path):
    with running(tmp_path, service("calls"), tls=True) as s:
        with open(s.tls.ca, "rb") as f:
            credentials = grpc.ssl_channel_credentials(f.read())
        c = Caller(s.port, "calls", credentials)
        with c.channel:
            assert c.call("Echo", b"hello") == b"hello"


# --- slots

def test_a_cancelled_call_frees_its_slot(stack, caller):
    """The cancellation arrives at the server, and the next call gets the slot."""
    c = caller("one")
    assert held(c) == (0, 0)
    wait_until(lambda: in_flight(stack, "one") == 0, what="the slot to be free")
    hold = c.channel.unary_stream("/test.Calls/Hold")(
        b"", timeout=WAIT_S, metadata=(("x-tell", "1"),))  # so that its head comes alone
    hold.initial_metadata()  # the server works on it
    other = c.unary("Held").future(b"", timeout=WAIT_S)
    wait_until(lambda: parked(stack, "one") == 1, what="the second call to be parked")
    hold.cancel()
    other.result()
    wait_until(lambda: held(c) == (0, 1), what="the server to hear of it")


def test_container_concurrency_counts_calls(stack, caller):
    c = caller("two")
    c.call("Echo")
    holds = [c.unary("Hold").future(b"", timeout=WAIT_S) for _ in range(3)]
    wait_until(lambda: (in_flight(stack, "two"), parked(stack, "two")) == (2, 1),
               what="two calls in flight and one parked")
    for hold in holds:
        hold.cancel()
    wait_until(lambda: (in_flight(stack, "two"), parked(stack, "two")) == (0, 0),
               what="no call")


def test_calls_of_one_channel_go_to_all_instances(stack, caller):
    c = caller("three")
    holds = [c.unary("Hold").future(b"", timeout=WAIT_S) for _ in range(3)]
    wait_until(lambda: [i["in_flight"] for i in
                        stack.revision_status("three/v1")["instances"]] == [1, 1, 1],
               what="a call at each instance")
    for hold in holds:
        hold.cancel()


# --- deadlines

def test_the_server_knows_what_is_left(stack, caller):
    """Not by grpcio, which rounds what it sends."""
    with H2Client(stack.port) as c:
        stream = c.request("/test.Calls/Left", "late", "POST", [
            ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "1000S")],
            end=False)
        c.data(stream, b"\0\0\0\0\0", end=True)
        r = c.response(stream)
        assert r.trailers["grpc-status"] == "0"
        assert 0 < float(r.body[5:]) < 999  # the server took a second to start
    assert caller("late").call("Left", timeout=None) == b"none"


def test_a_deadline_that_is_over_while_the_call_is_parked(stack, caller):
    def over():
        counts = stack.metrics()
        return sum(counts.get('activator_requests_total{outcome="%s"}' % o, 0)
                   for o in ("deadline_exceeded", "client_gone"))
    before = over()
    with pytest.raises(grpc.RpcError) as e:
        caller("deaf").call("Echo", timeout=0.5)
    assert e.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: over() == before + 1, what="the end of the call")


# --- refusals

def refusal(c, timeout=WAIT_S):
    with pytest.raises(grpc.RpcError) as e:
        c.call("Echo", timeout=timeout)
    fields = dict(e.value.trailing_metadata())
    return e.value.code(), fields["x-activator-reason"], e.value.details(), fields


def test_refusals(stack, caller):
    code, reason, text, _ = refusal(caller("nobody"))
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED, "no_route")
    assert text == "no_route: no service has this host and path"
    code, reason, text, fields = refusal(caller("exits"))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "activation_failed")
    assert "exited with status 3" in text and int(fields["grpc-retry-pushback-ms"]) >= 1000
    c = caller("deaf")
    first = c.unary("Echo").future(b"", timeout=WAIT_S)
    wait_until(lambda: parked(stack, "deaf") == 1, what="a parked call")
    code, reason, _, fields = refusal(c)
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "queue_full")
    first.cancel()


# --- ends

class Conversation:
    """A Talk under way, message by message."""

    def __init__(self, caller):
        self.messages = queue.Queue()
        self.call = caller.channel.stream_stream("/test.Calls/Talk")(
            iter(self.messages.get, None), timeout=WAIT_S)

    def say(self, message):
        self.messages.put(message)
        return next(self.call)


def refuses(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as s:
        return s.connect_ex((host, int(port))) != 0


def test_a_server_that_dies(tmp_path):
    """Its calls may have been processed: INTERNAL, which no client repeats."""
    with running(tmp_path, service("calls", "max_scale = 1")) as s:
        c = Caller(s.port, "calls")
        with c.channel:
            talk = Conversation(c)
            assert talk.say(b"a") == b"a"
            hold = c.unary("Hold").future(b"", timeout=WAIT_S)
            wait_until(lambda: in_flight(s, "calls") == 2, what="both calls")
            address, = [i["address"] for i in s.revision_status("calls/v1")["instances"]]
            pid, = s.instances()
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(grpc.RpcError) as e:
                next(talk.call)  # a response had begun: RST_STREAM
            assert e.value.code() == grpc.StatusCode.INTERNAL
            assert hold.code() == grpc.StatusCode.INTERNAL
            assert hold.details().startswith("upstream_failed: ")
            wait_until(lambda: refuses(address), what="its port to be closed")
            assert c.call("Echo", b"again") == b"again"


def test_a_call_ends_in_order_while_the_activator_does(tmp_path):
    with running(tmp_path, service("calls")) as s:
        c = Caller(s.port, "calls")
        with c.channel:
            talk = Conversation(c)
            assert talk.say(b"a") == b"a"
            s.activator.kill(signal.SIGTERM)
            wait_until(lambda: s.readyz() != 200, what="the drain")
            assert talk.say(b"b") == b"b"
            talk.messages.put(None)
            assert list(talk.call) == [] and talk.call.code() == grpc.StatusCode.OK
            assert s.activator.process.wait(WAIT_S) == 0


# --- readiness

def test_a_call_waits_until_the_server_says_that_it_serves(tmp_path):
    state = str(tmp_path / "health")
    with open(state, "w") as f:
        f.write("NOT_SERVING")
    text = service("calls", 'probe = "grpc:my.Service"', "--health " + state)
    with running(tmp_path, text) as s:
        c = Caller(s.port, "calls")
        with c.channel:
            call = c.unary("Echo").future(b"hello", timeout=WAIT_S)
            wait_until(lambda: "says NOT_SERVING" in s.activator.text(), what="the probe")
            assert parked(s, "calls") == 1
            with open(state + ".new", "w") as f:
                f.write("SERVING")
            os.replace(state + ".new", state)
            assert call.result() == b"hello"
