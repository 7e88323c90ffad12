"""What is said to be routed is routed: the autoscaler knows by which services each activator
routes, waits for all of them, and for none that hangs."""
import json
import re
import signal
import socket
import subprocess
import urllib.request

import pytest

from autoscaler_alone import Autoscaler
from fakes.activator import FakeActivator
from fleet import Activator
from helpers import HELLO, ROOT, WAIT_S, stopped, wait_until
from stack import Client, Stack
from test_ctl import CTL, ctl
from test_link_autoscaler import service


def answer_of(activator, host):
    client = Client(activator.port)
    client.request("GET", "/", host)
    status = client.response()[0]
    client.close()
    return status


@pytest.fixture
def pair(tmp_path):
    """A stack without an activator of its own, and two more."""
    stack = Stack(tmp_path, 'service "other" { hosts = {"o.x"} revision "v1" { command = {"HELLO"} } }')
    activators = []
    try:
        stack.start_autoscaler()
        activators += [Activator(stack, name) for name in ("one", "two")]
        for a in activators:
            a.start()
        yield stack, activators
        for a in activators:
            a.stop()
    except BaseException:
        for a in activators:
            print("--- %s\n%s" % (a.name, a.program.text()[-3000:] if a.program else ""))
        print("--- autoscaler\n%s" % stack.autoscaler.text()[-6000:])
        raise
    finally:
        for a in activators:
            if a.program is not None and a.program.process.poll() is None:
                a.program.kill()
        stack.stop()


def deploy(stack, name):
    done = ctl(stack, "deploy", name, "--host", name + ".x", "--env", "TEST_STACK=" + stack.path,
               "--", HELLO)
    assert done.status == 0, done


def status(stack):
    url = "http://127.0.0.1:%d/status" % stack.scaler_admin
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return json.loads(answer.read())


def is_settled(stack, n):
    """All of n activators route by the newest services."""
    s = status(stack)
    return (s["routed_generation"] == s["generation"] and
            [a["generation"] for a in s["activators"]] == [s["generation"]] * n)


def test_a_command_ends_once_all_activators_route_by_it(pair):
    stack, activators = pair
    for i in range(10):
        deploy(stack, "shop%d" % i)
        for a in activators:
            assert answer_of(a, "shop%d.x" % i) == 200
    for i in range(10):
        assert ctl(stack, "delete", "shop%d" % i).status == 0
        for a in activators:
            assert answer_of(a, "shop%d.x" % i) == 404
    wait_until(lambda: is_settled(stack, 2), what="both to be settled")
    stack.autoscaler.kill()
    stack.start_autoscaler()  # its generations begin anew, and both come back, one by one
    wait_until(lambda: ctl(stack, "status").status == 0, what="the control socket")
    deploy(stack, "again")
    for a in activators:
        assert answer_of(a, "again.x") == 200


def test_one_that_hangs_is_waited_for_no_longer(pair):
    stack, (one, two) = pair
    wait_until(lambda: is_settled(stack, 2), what="both to be settled")
    with stopped(two.program.pid):
        deploy(stack, "shop")
        assert answer_of(one, "shop.x") == 200
        log = stack.autoscaler.text()
        assert re.search(r'activator disconnected.*does not route by generation \d+ of the services '
                         'after 10 s, and is waited for no longer', log), log[-3000:]
        assert is_settled(stack, 1)
        deploy(stack, "more")
        assert answer_of(one, "more.x") == 200
        text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % stack.scaler_admin,
                                      timeout=WAIT_S).read().decode()
        assert re.search("^autoscaler_swaps_overdue_total 1$", text, re.M)
    wait_until(lambda: is_settled(stack, 2), what="the one that was stopped to be back")
    deploy(stack, "last")
    assert answer_of(one, "last.x") == answer_of(two, "last.x") == 200


def test_one_that_was_killed_is_not_waited_for(pair):
    stack, (one, two) = pair
    with stopped(two.program.pid):
        deploying = subprocess.Popen(
            [CTL, "-c", stack.conf, "deploy", "shop", "--host", "shop.x", "--env",
             "TEST_STACK=" + stack.path, "--", HELLO],
            cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until(lambda: answer_of(one, "shop.x") == 200, what="the first to route it")
        two.program.process.send_signal(signal.SIGKILL)
    two.program.process.wait(WAIT_S)
    assert b"gets 100%" in deploying.communicate(timeout=WAIT_S)[1]
    assert deploying.returncode == 0
    assert "does not route by generation" not in stack.autoscaler.text()


@pytest.fixture
def autoscaler(tmp_path):
    made = Autoscaler(tmp_path, service())
    yield made.start()
    assert made.stop() == 0, made.log()[-3000:]
    assert "check failed" not in made.log()


def hello(autoscaler, *features):
    fake = FakeActivator(autoscaler.path, hello=False)
    fake.send(type="hello", protocol=1, role="activator", id=fake.ident, features=list(features))
    return fake


def swap(fake):
    fake.send(type="swapped", generation=fake.generation)


def swapping(autoscaler):
    """An activator that has swapped to the first services."""
    fake = hello(autoscaler, "swapped")
    fake.wait_described()
    swap(fake)
    return fake


def begin_deploy(autoscaler):
    return subprocess.Popen([CTL, "-c", autoscaler.conf, "deploy", "shop", "--host", "shop.x", "--",
                             "true"], cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_deployed(fake, process):
    fake.wait(lambda: process.poll() is not None, what="for activatorctl to end")
    assert b"gets 100%" in process.communicate()[1]
    assert process.returncode == 0


def test_it_waits_for_the_word_of_each(autoscaler):
    fake = swapping(autoscaler)
    old = hello(autoscaler)  # of an earlier version, it cannot say so
    old.wait_described()
    fake.peers = [old]
    process = begin_deploy(autoscaler)
    fake.wait(lambda: fake.generation == 2, what="for the new service")
    assert process.poll() is None
    fake.send(type="swapped", generation=1)
    fake.serve_for(0.2)
    assert process.poll() is None
    swap(fake)
    wait_deployed(fake, process)
    fake.close()
    old.close()


def test_one_that_leaves_meanwhile_is_not_waited_for(autoscaler):
    fake = swapping(autoscaler)
    process = begin_deploy(autoscaler)
    fake.wait(lambda: "shop" in fake.services, what="for the new service")
    fake.send(type="leaving")
    wait_deployed(fake, process)
    fake.close()


def test_a_generation_that_was_not_sent_ends_the_link(autoscaler):
    fake = hello(autoscaler, "swapped")
    fake.wait_described()
    fake.send(type="swapped", generation=fake.generation + 1)
    fake.wait_closed()
    wait_until(lambda: "swapped to services that were not sent" in autoscaler.log(), what="the log")


def test_a_second_line_while_the_answer_is_held(autoscaler):
    """The control socket refuses it, and the autoscaler goes on."""
    fake = swapping(autoscaler)
    process = begin_deploy(autoscaler)
    fake.wait(lambda: fake.generation == 2, what="for the new service")
    swap(fake)
    wait_deployed(fake, process)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(WAIT_S)
    sock.connect(autoscaler.folder + "/a-control.sock")
    sock.sendall(b'{"type":"hello","protocol":1,"role":"control","id":"c"}\n'
                 b'{"type":"request","command":"delete","name":"shop"}\n')
    fake.wait(lambda: fake.generation == 3, what="for the service to go")
    sock.sendall(b'{"type":"request","command":"list"}\n')
    answer = b""
    while b'"done"' not in answer:
        answer += sock.recv(65536)
    assert b"a connection is one request" in answer
    sock.close()
    fake.close()
