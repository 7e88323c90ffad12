"""Where instances may be: names and Unix sockets in `addresses`.  Names are resolved in a mount
namespace of the autoscaler's own, by a hosts file of the test's."""
import os
import socket
import subprocess

import pytest

from fakes.echo import Echo, name_of
from helpers import free_port, wait_until
from stack import Program, Stack, running

UNSHARE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
ENTER = ('mount --bind "$1/hosts" /etc/hosts; mount --bind "$1/nsswitch" /etc/nsswitch.conf; '
         'shift; exec "$@"')
SERVICE = 'service "s" { hosts = {"s.x"} revision "v1" { addresses = {%s} } %s }'


def may_mount():
    try:
        return subprocess.run([*UNSHARE, "mount", "--bind", "/etc/passwd", "/etc/hosts"],
                              stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


needs_mount = pytest.mark.skipif(not may_mount(), reason="may not mount: no hosts file for names")


# --- names

class Named(Stack):
    """The autoscaler finds names in path/hosts, and nowhere else."""

    def __init__(self, path, services, hosts, **more):
        super().__init__(path, services, **more)
        with open(self.path + "/nsswitch", "w") as f:
            f.write("hosts: files\n")
        self.set_hosts(hosts)

    def set_hosts(self, text):
        with open(self.path + "/hosts", "w") as f:  # the same file, which is mounted
            f.write(text)

    def start_autoscaler(self):
        self.autoscaler = Program("autoscaler", self.conf, self.path + "/autoscaler.log",
                                  behind=[*UNSHARE, "sh", "-ec", ENTER, "sh", self.path])


@pytest.fixture
def named(tmp_path):
    """A function that starts a stack whose service has these addresses."""
    stacks = []

    def start(addresses, hosts, interval="1h", more=""):
        s = Named(tmp_path, SERVICE % (addresses, more), hosts,
                  autoscaler="resolve_interval = " + interval)
        stacks.append(s)
        return s.start()

    yield start
    for s in stacks:
        s.stop()


@needs_mount
def test_a_name_is_all_its_addresses(named):
    port = free_port()
    with Echo("two", ("127.0.0.2", port)), Echo("three", ("127.0.0.3", port)), \
            Echo("four", ("127.0.0.4", port)):
        s = named('"app.internal:%d"' % port, "127.0.0.2 app.internal\n127.0.0.3 app.internal\n",
                  "1s")
        seen = set()
        wait_until(lambda: seen.add(name_of(s.get("s.x"))) or seen == {"two", "three"},
                   what="both to answer")
        s.set_hosts("127.0.0.4 app.internal\n")
        wait_until(lambda: name_of(s.get("s.x")) == "four", what="the new address")
        assert {name_of(s.get("s.x")) for _ in range(20)} == {"four"}
        assert s.autoscaler.text().count('msg="name resolved"') == 2
        ids = [i["id"] for i in s.revision_status("s/v1")["instances"]]
        assert ids == ["s/v1@127.0.0.4:%d" % port]


@needs_mount
def test_a_name_is_resolved_again_when_its_instance_refuses(named):
    port = free_port()
    old = Echo("two", ("127.0.0.2", port))
    with Echo("three", ("127.0.0.3", port)):
        s = named('"app.internal:%d"' % port, "127.0.0.2 app.internal\n")
        assert name_of(s.get("s.x")) == "two"
        s.set_hosts("127.0.0.3 app.internal\n")
        old.close()
        assert name_of(s.get("s.x")) == "three"


@needs_mount
def test_requests_wait_for_a_name_and_hear_why(named):
    port = free_port()
    with Echo("two", ("127.0.0.2", port)):
        s = named('"app.internal:%d"' % port, "", "2s", "activation_timeout = 300ms")
        status, _, body = s.get("s.x")
        assert status == 502
        assert b"cannot resolve app.internal: Name or service not known" in body
        assert s.autoscaler.text().count('msg="cannot resolve a name"') == 1
        s.set_hosts("127.0.0.2 app.internal\n")
        wait_until(lambda: s.get("s.x")[0] == 200, what="the name")


# --- instances at Unix sockets

def test_an_instance_at_a_unix_socket(tmp_path):
    at = str(tmp_path / "app.sock")
    services = SERVICE % ('"unix:%s"' % at, "") + \
        'service "p" { hosts = {"p.x"} probe = "/healthz" revision "v1" ' \
        '{ addresses = {"unix:%s"} } }' % at
    with running(tmp_path, services) as s:
        with s.connect() as c:  # parked: nothing listens there yet
            c.request("GET", "/", "s.x")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            with Echo("app", at):
                assert c.response()[0] == 200
                assert [name_of(s.get("s.x")) for _ in range(20)] == ["app"] * 20
                assert name_of(s.get("p.x")) == "app"
                instance = s.revision_status("s/v1")["instances"][0]
                assert instance["id"] == "s/v1@unix:" + at
                assert instance["address"] == "unix:" + at


# --- programs that listen at the other loopback address

def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no ::1")
def test_a_program_that_listens_at_the_ipv6_loopback_only(tmp_path):
    services = """service "s" { hosts = {"s.x"} container_concurrency = 1
        revision "v1" { min_scale = 1 abort_timeout = 10ms
            command = {"python3", "-m", "http.server", "--bind", "::1", "$PORT"} } }"""
    with running(tmp_path, services) as s:
        assert [s.get("s.x")[0] for _ in range(5)] == [200] * 5
        instance = s.revision_status("s/v1")["instances"][0]
        assert instance["address"].startswith("[::1]:")
        s.activator.kill()  # the next one finds it, too, and in the state "ready"
        s.start_activator()
        s.wait_ready()
        assert [s.get("s.x")[0] for _ in range(5)] == [200] * 5
        assert s.revision_status("s/v1")["instances"][0]["address"] == instance["address"]
