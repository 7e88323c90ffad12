"""A machine vanishes without a FIN or reset, as at a power cut: the activator closes its
connections, so that they do not keep the service from zero."""
import ctypes
import socket

import pytest

from fakes.instance import FakeInstance, read_head
from helpers import wait_until
from stack import running

LIMITS = 'tcp_keepalive = 1s'
SERVICES = """
service "app" { hosts = {"app"} tcp_user_timeout = 2s
    revision "v1" { addresses = {"127.0.0.1:%d"} } }
"""
UPGRADE = [("Upgrade", "echo"), ("Connection", "Upgrade")]
SO_ATTACH_FILTER = 26
IN_FLIGHT = 'activator_revision_in_flight{revision="app/v1"}'


class Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.c_void_p)]


def vanish(sock):
    """From now on the socket drops all that reaches it (a BPF filter that accepts no byte):
    nothing is acknowledged, and nothing reset."""
    code = (ctypes.c_uint16 * 4)(0x06)  # ret #0
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                    bytes(Program(1, ctypes.addressof(code))))


class Instance(FakeInstance):
    """Answers an upgrade with 101, and no other request.  connection: the newest with a request."""

    connection = None

    def serve(self, connection):
        head, _ = read_head(connection)
        if head is None:  # a probe
            return
        if b"Upgrade" in head:
            connection.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\n"
                               b"Connection: Upgrade\r\n\r\n")
        self.connection = connection
        while connection.recv(65536):
            pass


@pytest.fixture
def world(tmp_path):
    instance = Instance()
    with running(tmp_path, SERVICES % instance.port, activator=LIMITS) as stack:
        yield stack, instance
    instance.close()


def ask(world, fields):
    """Send a request, and wait until the instance has it: the client's connection."""
    stack, instance = world
    client = stack.connect()
    client.request("POST", "/", "app", b"", fields)  # not sent again
    wait_until(lambda: instance.connection, what="the request")
    assert stack.metric(IN_FLIGHT) == 1
    return client


def wait_for_end(stack):
    wait_until(lambda: stack.metric(IN_FLIGHT) == 0, what="the end of the request")


@pytest.mark.parametrize("has_bytes", [False, True], ids=["silent", "with bytes on their way"])
@pytest.mark.parametrize("side", ["client", "instance"])
def test_a_tunnel_ends_when_either_machine_vanishes(world, side, has_bytes):
    stack, instance = world
    with ask(world, UPGRADE) as client:
        assert client.head()[0].split()[1] == "101"
        ends = [client, instance.connection]
        vanished, other = ends if side == "client" else ends[::-1]
        vanish(vanished)
        if has_bytes:
            other.sendall(b"lost")
        wait_for_end(stack)
        assert other is not client or client.is_closed()


@pytest.mark.parametrize("side", ["client", "instance"])
def test_a_waiting_request_ends_when_either_machine_vanishes(world, side):
    stack, instance = world
    with ask(world, ()) as client:
        vanish(client if side == "client" else instance.connection)
        wait_for_end(stack)
        if side == "instance":
            assert client.response()[0] == 502
