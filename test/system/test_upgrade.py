"""SIGUSR2: another activator takes over, and no client notices.  If it cannot, the one that runs goes
on.  (Promises 1, 9 and 12.)"""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from fakes.activator import FakeActivator
from h2client import H2Client
from helpers import BUILD, WAIT_S, free_port, stat_fields, stopped, wait_until
from stack import Client, Gate, Program
from test_systemd import Notified
from tls import Tls, TlsConnection
from upgrading import Load, UpgradeStack, upgrading

FAILED = 'msg="the upgrade has failed, this activator goes on"'
REFUSED = 'msg="the upgrade is refused"'
S = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} min_scale = 1 } }'


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def is_running(pid):
    return os.path.exists("/proc/%d/exe" % pid) and bool(os.listdir("/proc/%d/fd" % pid))


def set_conf(stack, before, after):
    with open(stack.conf) as f:
        text = f.read()
    assert before in text
    with open(stack.conf, "w") as f:
        f.write(text.replace(before, after, 1))


# --- it takes over

def test_under_load(tmp_path):
    """Ten times, with short, long, streamed, parked and tunnelled requests under way."""
    with upgrading(tmp_path, activator="drain_timeout = 1s") as s:
        with Load(s) as load:
            for _ in range(10):
                s.wait_elders(1)
                s.upgrade()
                load.wait_more()
            s.wait_elders(0)
        assert load.errors == []
        assert len(s.ended()) >= 10


@pytest.mark.parametrize("before, after", [(1, 3), (3, 1), (4, 3)])
def test_another_number_of_workers(tmp_path, before, after):
    """A worker of the new one accepts from each socket of the old one."""
    with upgrading(tmp_path, S, workers=before) as s:
        set_conf(s, "workers = %d" % before, "workers = %d" % after)
        with contextlib.ExitStack() as all_of:
            with stopped(s.pid()):  # what waits in the queues is accepted, whoever does it
                waiting = [all_of.enter_context(s.connect()) for _ in range(50)]
                for c in waiting:
                    c.request("GET", "/", "s")
            s.upgrade()
            for c in waiting:
                assert c.response()[0] == 200
        assert s.status()["workers"] == after
        for _ in range(50):
            assert s.get("s")[0] == 200
        s.upgrade()
        for _ in range(50):
            assert s.get("s")[0] == 200


def test_what_it_has_is_finished(tmp_path):
    """Parked until after the upgrade, in flight, and idle: the old one answers them, and an idle
    connection ends with the answer to its next request."""
    gate = Gate(tmp_path)
    services = S + 'service "cold" { hosts = {"cold"} revision "v1" { %s } }' % gate.command()
    answer = Gate(tmp_path, "answer")
    with upgrading(tmp_path, services, activator="drain_timeout = 24h") as s:
        with s.connect() as parked, s.connect() as idle, s.connect() as busy, \
                H2Client(s.port) as h2:
            idle.request("GET", "/", "s")
            assert idle.response()[0] == 200
            parked.request("GET", "/", "cold")
            busy.request("GET", "/" + answer.query(), "s")
            stream = h2.request("/" + answer.query(), "s")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 2 and
                       s.metric("activator_parked") == 1, what="the requests")
            old, new = s.upgrade()
            assert s.metric("activator_parked") == 0
            assert s.metric("activator_older_connections") == 4
            gate.open()
            answer.open()
            status, fields, _ = parked.response()
            assert (status, fields["connection"]) == (200, "close")
            assert busy.response()[0] == 200
            assert h2.response(stream).status == 200
            idle.request("GET", "/", "s")
            status, fields, _ = idle.response()
            assert (status, fields["connection"]) == (200, "close")
        wait_until(lambda: s.ended().get(old) == 0, what="the old one to end")
        assert is_running(new)
        assert s.metric("activator_older_connections") == 0


def test_a_response_whose_head_was_sent_before(tmp_path):
    """That head does not say close: the connection stays for one more request."""
    size = 20000000  # more than sockets hold
    with upgrading(tmp_path, S) as s, s.connect() as c:
        c.request("GET", "/bytes/%d" % size, "s")
        line, fields = c.head()
        assert line.split()[1] == "200" and "close" not in str(fields)
        s.upgrade()
        c.exactly(size)
        c.request("GET", "/", "s")
        status, fields, _ = c.response()
        assert (status, fields["connection"]) == (200, "close")


def test_drain_timeout_cuts_what_would_not_end(tmp_path):
    """A tunnel, and an idle connection; a request goes on, and its own time limits hold."""
    answer = Gate(tmp_path)
    with upgrading(tmp_path, activator="drain_timeout = 300ms") as s:
        with s.connect() as tunnel, s.connect() as idle, s.connect() as busy:
            tunnel.sendall(b"GET / HTTP/1.1\r\nHost: tunnel\r\nUpgrade: echo\r\n"
                           b"Connection: Upgrade\r\n\r\n")
            assert tunnel.head()[0].split()[1] == "101"
            idle.request("GET", "/", "s")
            assert idle.response()[0] == 200
            busy.request("GET", "/" + answer.query(), "s")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                       what="the request")
            old, _ = s.upgrade()
            assert tunnel.is_closed()
            assert idle.is_closed()
            assert old not in s.ended()
            answer.open()
            assert busy.response()[0] == 200
        wait_until(lambda: s.ended().get(old) == 0, what="the old one to end")
        assert "tunnels_cut=1" in s.activator.text()


def test_two_older_ones(tmp_path):
    """A third one is refused until one of them has ended, and a fourth generation works."""
    with upgrading(tmp_path, S, activator="drain_timeout = 24h") as s:
        gates, clients = [], []
        with contextlib.ExitStack() as all_of:
            for i in range(2):
                gates.append(Gate(tmp_path, "gate%d" % i))
                clients.append(all_of.enter_context(s.connect()))
                clients[i].request("GET", "/" + gates[i].query(), "s")
                wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                           what="the request")
                s.upgrade()
            assert s.status()["older_processes"] == 2
            s.refused_upgrade("2 older activators still finish their requests")
            assert s.metric('activator_upgrades_total{result="refused"}') == 1
            gates[0].open()
            assert clients[0].response()[0] == 200
            s.wait_elders(1)
            s.upgrade()
            gates[1].open()
            assert clients[1].response()[0] == 200
            s.wait_elders(0)
        assert s.get("s")[0] == 200


def test_bounds_are_shared(tmp_path):
    """What the old one has parked counts in max_parked_total of the new one; no more once it has
    ended, in whatever way."""
    gate = Gate(tmp_path)
    services = S + 'service "cold" { hosts = {"cold"} revision "v1" { %s } }' % gate.command()
    with upgrading(tmp_path, services, activator="max_parked_total = 2") as s:
        with s.connect() as first, s.connect() as second:
            first.request("GET", "/", "cold")
            second.request("GET", "/", "cold")
            wait_until(lambda: s.metric("activator_parked") == 2, what="parked requests")
            old, _ = s.upgrade()
            status, fields, _ = s.get("cold")
            assert (status, fields["x-activator-reason"]) == (503, "queue_full")
            os.kill(old, signal.SIGKILL)
            s.wait_elders(0)
        with s.connect() as third:
            third.request("GET", "/", "cold")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            gate.open()
            assert third.response()[0] == 200


def session_of(stack, context, session=None):
    with TlsConnection(Client(stack.port), context, session=session) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
        while c.recv(1000):
            pass
        return c.tls.session, c.tls.session_reused


def test_sessions_are_resumed(tmp_path):
    """TLS: the new one knows the keys of session tickets."""
    tls = Tls(str(tmp_path))
    with upgrading(tmp_path, S, tls=tls, activator=tls.certificate("www", "localhost")) as s:
        context = tls.context()
        session, _ = session_of(s, context)
        s.upgrade()
        for _ in range(4):  # by each worker
            assert session_of(s, context, session)[1]


def test_a_unix_socket(tmp_path):
    """Its file stays where it is, and the last one removes it."""
    path = str(tmp_path / "http")
    with upgrading(tmp_path, S, listen=', "unix:%s"' % path) as s:
        for _ in range(2):
            old, _ = s.upgrade()
            wait_until(lambda: s.ended().get(old) == 0, what="the old one to end")
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(path)
                c.sendall(b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
                assert c.recv(100).startswith(b"HTTP/1.1 200 ")
    assert not os.path.exists(path)


def test_a_unix_socket_of_a_failed_upgrade(tmp_path):
    """A new one that ends before it has taken over leaves the file as it is."""
    path = str(tmp_path / "http")
    tls = Tls(str(tmp_path))
    certificate = tls.certificate("www", "localhost")

    def check():
        assert os.stat(path).st_mode == mode
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(path)
            c.sendall(b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
            assert c.recv(100).startswith(b"HTTP/1.1 200 ")

    with upgrading(tmp_path, S, tls=tls, listen=', "unix:%s"' % path,
                   activator=certificate + 'listen_mode = "0600"') as s:
        mode = os.stat(path).st_mode
        set_conf(s, "0600", "0666")
        set_conf(s, "www.pem", "none.pem")
        s.refused_upgrade(FAILED)
        check()
        set_conf(s, "none.pem", "www.pem")
        with stopped(s.autoscaler.pid):
            old, new = begun(s)
            os.kill(new, signal.SIGTERM)
            wait_until(lambda: s.count(FAILED) == 2, what="the failure")
        assert s.pid() == old
        check()
        s.upgrade()
        mode |= 0o666
        check()
    assert not os.path.exists(path)


def test_addresses_change(tmp_path):
    """The conf that the new one reads may have other addresses: it opens those that are missing,
    and names those that are gone."""
    other = free_port()
    with upgrading(tmp_path, S) as s:
        set_conf(s, '"127.0.0.1:%d"' % s.port, '"127.0.0.1:%d"' % other)
        s.upgrade()
        with Client(other) as c:
            c.request("GET", "/", "s")
            assert c.response()[0] == 200
        wait_until(lambda: s.count("address=127.0.0.1:%d" % s.port) > 0, what="the warning")
        s.wait_elders(0)
        with pytest.raises(ConnectionRefusedError):
            Client(s.port)


def test_the_end_of_all(tmp_path):
    """SIGTERM to each of them, as systemd sends it: they finish their requests and end."""
    answer = Gate(tmp_path)
    with upgrading(tmp_path, S) as s:
        with s.connect() as c:
            c.request("GET", "/" + answer.query(), "s")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                       what="the request")
            s.upgrade()
            s.activator.process.terminate()
            wait_until(lambda: s.readyz() in (0, 503), what="the end")
            answer.open()
            assert c.response()[0] == 200
        assert s.activator.process.wait(WAIT_S) == 0


def test_what_systemd_hears(tmp_path):
    """The new process is the main one from now on."""
    systemd = Notified(str(tmp_path / "notify"))
    with upgrading(tmp_path, S, environment=systemd.environment) as s:
        systemd.wait("READY=1")
        _, new = s.upgrade()
        systemd.wait("MAINPID=%d" % new)
        for _ in range(5):
            systemd.wait("WATCHDOG=1")


# --- it cannot take over

BAD = [("exit 3\n", 0o755, "has ended with status 3 before it was ready"),
       ("exec sleep 600\n", 0o755, "not ready within upgrade_timeout"),
       ("kill -SEGV $$\n", 0o755, "was ended by signal 11"),
       ("", 0o644, "Permission denied"),
       ("exec true 3>&-\n", 0o755, "has ended with status 0 before it was ready")]


@pytest.mark.parametrize("script, mode, why", BAD)
def test_a_bad_binary(tmp_path, script, mode, why):
    limit = "upgrade_timeout = 500ms" if "sleep" in script else ""
    with upgrading(tmp_path, activator=limit + " drain_timeout = 1s") as s:
        with Load(s) as load:
            s.put_script(script, mode)
            for i in range(2):
                s.refused_upgrade(FAILED)
                assert why in s.activator.text()
                assert s.metric('activator_upgrades_total{result="failed"}') == i + 1
                load.wait_more()
                assert children(s.pid()) == []
            s.put_program()
            if limit:
                set_conf(s, limit, "")
                os.kill(s.pid(), signal.SIGHUP)
                wait_until(lambda: s.count('msg="conf file reloaded"') == 1, what="the reload")
            s.upgrade()
            load.wait_more()
        assert load.errors == []


def test_no_binary(tmp_path):
    with upgrading(tmp_path, S) as s:
        os.unlink(s.program)
        s.refused_upgrade("No such file or directory")
        s.put_program()
        s.upgrade()


def test_a_bad_conf(tmp_path):
    """The reason has file and line.  A mistake in an address is one of them, too."""
    with upgrading(tmp_path, S) as s:
        with open(s.conf, "a") as f:
            f.write("\nservce \"x\" { }\n")
        s.refused_upgrade(FAILED)
        assert s.count('a.conf:') > 0 and s.count("servce") > 0
        set_conf(s, "servce \"x\" { }", "")
        with socket.create_server(("127.0.0.1", 0)) as held:
            address = '"127.0.0.1:%d"' % held.getsockname()[1]
            set_conf(s, "listen = {", "listen = {%s, " % address)
            s.refused_upgrade("held by")
        set_conf(s, address + ", ", "")
        s.upgrade()
        assert s.get("s")[0] == 200


def test_another_protocol(tmp_path):
    """A program that speaks another version of the hand-over, or none."""
    other = tmp_path / "other.py"
    with upgrading(tmp_path, S) as s:
        s.put_script("exec %s %s\n" % (sys.executable, other))
        other.write_text(OTHER)
        s.refused_upgrade("version 7.0 speaks protocol 9 of the hand-over, expected 1")
        other.write_text(OTHER.replace("protocol", "protokoll"))
        s.refused_upgrade("$.protocol")


OTHER = """
import os, socket, time
s = socket.socket(fileno=int(os.environ['ACTIVATOR_TAKEOVER']))
s.send(b'{"type":"ready","protocol":9,"version":"7.0","pid":1}')
time.sleep(600)
"""


def begun(s):
    """SIGUSR2 while the autoscaler does not answer: the new one waits for its services.  Its pid."""
    old = s.pid()
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: children(old) and s.count('msg="activator started"') > 1,
               what="the new one")
    return old, children(old)[0]


@pytest.mark.parametrize("workers", [2, 4])
def test_the_new_one_is_killed(tmp_path, workers):
    """No client was in a queue of its own."""
    with upgrading(tmp_path, activator="drain_timeout = 1s") as s:
        set_conf(s, "workers = 2", "workers = %d" % workers)
        with Load(s) as load:
            with stopped(s.autoscaler.pid):
                old, new = begun(s)
                before = load.snapshot()["new"]
                wait_until(lambda: load.snapshot()["new"] > before + 50, what="connections")
                os.kill(old, signal.SIGHUP)
                wait_until(lambda: s.count("an upgrade is under way") == 1, what="the refusal")
                os.kill(new, signal.SIGKILL)
                wait_until(lambda: s.count("was ended by signal 9") == 1, what="the failure")
            load.wait_more()
            s.upgrade()
            load.wait_more()
        assert load.errors == []


def test_a_script_starts_the_new_one(tmp_path):
    """The older one notices the end of the new one, which is not its child, and not that of the
    script."""
    ended = "the activator that has taken over has ended"
    gate = Gate(tmp_path)
    with upgrading(tmp_path, S) as s, s.connect() as c:
        c.request("GET", "/" + gate.query(), "s")  # for which the older one stays
        wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                   what="the request to be in flight")
        shutil.copy(os.path.join(BUILD, "activator"), s.program + ".real")
        s.put_script('%s.real "$@" &\n' % s.program)
        old, new = s.upgrade()
        wait_until(lambda: children(old) == [], what="the script to end")
        assert s.get("s")[0] == 200
        assert s.count(ended) == 0
        os.kill(new, signal.SIGKILL)
        wait_until(lambda: re.search(r'msg="%s" pid=%d\n' % (ended, new), s.activator.text()),
                   what="its end to be noticed")
        gate.open()
        assert c.response()[0] == 200


def test_the_new_one_is_killed_later(tmp_path):
    """The older one, of which it is a child, is quick: its end lets a supervisor notice, and start
    another one.  Not where the new one has ended because a further one has taken over."""
    with upgrading(tmp_path, activator="drain_timeout = 24h") as s, s.connect() as tunnel:
        tunnel.sendall(b"GET / HTTP/1.1\r\nHost: tunnel\r\nUpgrade: echo\r\n"
                       b"Connection: Upgrade\r\n\r\n")
        assert tunnel.head()[0].split()[1] == "101"
        first, second = s.upgrade()
        _, third = s.upgrade()
        wait_until(lambda: s.count("has taken over has ended in order") == 1, what="the second")
        tunnel.sendall(b"ping")
        assert tunnel.exactly(4) == b"ping"
        assert is_running(first) and is_running(third)
    with upgrading(tmp_path, activator="drain_timeout = 24h") as s, s.connect() as tunnel:
        answer = Gate(tmp_path)
        with s.connect() as busy:
            busy.request("GET", "/" + answer.query(), "s")
            tunnel.sendall(b"GET / HTTP/1.1\r\nHost: tunnel\r\nUpgrade: echo\r\n"
                           b"Connection: Upgrade\r\n\r\n")
            assert tunnel.head()[0].split()[1] == "101"
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                       what="the request")
            first, second = s.upgrade()
            os.kill(second, signal.SIGKILL)
            assert tunnel.is_closed()
            assert is_running(first)
            answer.open()
            assert busy.response()[0] == 200
        assert s.activator.process.wait(WAIT_S) == 0


def test_the_new_one_is_killed_once_it_is_replaced(tmp_path):
    """A further one serves: the oldest one keeps its tunnels."""
    with upgrading(tmp_path, activator="drain_timeout = 24h") as s, s.connect() as tunnel:
        gate = Gate(tmp_path)
        tunnel.sendall(b"GET / HTTP/1.1\r\nHost: tunnel\r\nUpgrade: echo\r\n"
                       b"Connection: Upgrade\r\n\r\n")
        assert tunnel.head()[0].split()[1] == "101"
        first, second = s.upgrade()
        with s.connect() as busy:
            busy.request("GET", "/" + gate.query(), "s")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                       what="the request")
            _, third = s.upgrade()
            os.kill(second, signal.SIGKILL)
            wait_until(lambda: s.count('msg="the activator that has taken over has ended"') == 1,
                       what="its end to be noticed")
            tunnel.sendall(b"ping")
            assert tunnel.exactly(4) == b"ping"
            assert is_running(first) and is_running(third)
        gate.open()


def test_the_old_one_is_killed(tmp_path):
    """The new one goes on: who connects is answered, and who waits in the queue."""
    with upgrading(tmp_path, S) as s:
        with stopped(s.autoscaler.pid), contextlib.ExitStack() as all_of:
            old, new = begun(s)
            os.kill(old, signal.SIGSTOP)
            wait_until(lambda: all(  # what a thread has accepted already is lost with it
                stat_fields("/proc/%d/task/%s/stat" % (old, t))[0] == "T"
                for t in os.listdir("/proc/%d/task" % old)), what="all threads to stop")
            waiting = [all_of.enter_context(s.connect()) for _ in range(20)]
            for c in waiting:
                c.request("GET", "/", "s")
            os.kill(old, signal.SIGKILL)
            wait_until(lambda: s.count('msg="this activator has taken over"') == 1,
                       what="the new one")
            os.kill(s.autoscaler.pid, signal.SIGCONT)
            for c in waiting:
                assert c.response()[0] == 200
        assert s.pid() == new
        s.wait_elders(0)
        s.upgrade()
        assert s.get("s")[0] == 200


def test_it_is_told_to_end_meanwhile(tmp_path):
    with upgrading(tmp_path, S) as s:
        with stopped(s.autoscaler.pid):
            old, new = begun(s)
            s.refused_upgrade("another upgrade is under way")
            os.kill(new, signal.SIGUSR2)
            wait_until(lambda: s.count("this activator has not taken over itself yet") == 1,
                       what="the refusal")
            os.kill(old, signal.SIGTERM)
        assert s.activator.process.wait(WAIT_S) == 0
        assert s.ended()[old] == 0


def test_process_1(tmp_path):
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run(
            unshare + ["true"], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0:
        pytest.skip("there is no name space of processes here")
    with upgrading(tmp_path, S, behind=unshare) as s:
        unshared = children(s.activator.pid)[0]
        os.kill(children(unshared)[0], signal.SIGUSR2)
        wait_until(lambda: s.count("this is process 1 of a container") == 1, what="the refusal")
        assert s.get("s")[0] == 200
        os.kill(children(unshared)[0], signal.SIGTERM)
        assert s.activator.process.wait(WAIT_S) == 0


# --- sockets of systemd

LISTEN = """
import os, sys
names, fds, program = sys.argv[1], [int(f) for f in sys.argv[2].split(",")], sys.argv[3:]
for i, fd in enumerate(fds):
    os.dup2(fd, 100 + i)
for i in range(len(fds)):
    os.dup2(100 + i, 3 + i)
os.closerange(3 + len(fds), 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(program[0], program)
"""


def systemd(names, *sockets):
    """Words before a command that pass the sockets on to it, as systemd does."""
    for s in sockets:
        s.set_inheritable(True)
    return [sys.executable, "-c", LISTEN, names, ",".join(str(s.fileno()) for s in sockets)]


def bound():
    return socket.create_server(("127.0.0.1", free_port()))


def test_socket_activation(tmp_path):
    """All workers accept from the one socket of an address; what is left is named; and clients wait,
    and are not refused, while no activator runs."""
    first, left = bound(), bound()
    with first, left:
        address = "127.0.0.1:%d" % first.getsockname()[1]
        with upgrading(tmp_path, S, workers=3, listen=', "%s"' % address,
                       behind=systemd("web:metrics", first, left),
                       pass_fds=[first.fileno(), left.fileno()]) as s:
            assert s.count("name=metrics") == 1 and s.count("name=web") == 0
            port = first.getsockname()[1]

            def ask():
                with Client(port) as c:
                    c.request("GET", "/", "s")
                    return c.response()[0]

            assert [ask() for _ in range(30)] == [200] * 30
            assert s.get("s")[0] == 200  # the address that it has opened itself
            for _ in range(2):
                s.upgrade()
                assert [ask() for _ in range(30)] == [200] * 30
            s.wait_elders(0)
            assert s.activator.stop() == 0
            with Client(port) as c:
                c.request("GET", "/", "s")
                s.start_activator()
                assert c.response()[0] == 200


def test_a_unix_socket_of_systemd(tmp_path):
    """Its file is not ours to remove."""
    path = str(tmp_path / "http")
    with socket.socket(socket.AF_UNIX) as at:
        at.bind(path)
        at.listen(10)
        with upgrading(tmp_path, S, listen=', "unix:%s"' % path, behind=systemd("", at),
                       pass_fds=[at.fileno()]) as s:
            s.upgrade()
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(path)
                c.sendall(b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
                assert c.recv(100).startswith(b"HTTP/1.1 200 ")
        assert os.path.exists(path)


def test_the_admin_socket_of_systemd(tmp_path):
    at = bound()
    with at, upgrading(tmp_path, S, behind=systemd("admin", at), pass_fds=[at.fileno()]) as s:
        assert s.count("name=admin") == 1  # no key has it
        set_conf(s, 'admin = "127.0.0.1:%d"' % s.admin,
                 'admin = "127.0.0.1:%d"' % at.getsockname()[1])
        assert s.activator.stop() == 0
        s.admin = at.getsockname()[1]
        s.start_activator()
        s.wait_ready()
        assert s.count("name=admin") == 1
        s.upgrade()
        assert s.readyz() == 200


def test_a_descriptor_that_is_no_socket(tmp_path):
    """It is a mistake of the unit, and the log says so."""
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))  # and it does not listen
        with upgrading(tmp_path, S) as s:
            assert s.activator.stop() == 0
            s.behind, s.pass_fds = systemd("web", at), [at.fileno()]
            s.start_activator()
            assert s.activator.process.wait(WAIT_S) == 1
            assert s.count("LISTEN_FDS: descriptor 3: expected a stream socket") == 1
            os.unlink(s.record)
            s.behind, s.pass_fds = [], []
            s.start_activator()
            s.wait_ready()


# --- the autoscaler

def autoscaler_copy(s):
    """It runs a copy of the program, so that another one can take its place."""
    s.scaler_program = os.path.join(s.path, "autoscaler")
    put_autoscaler(s)
    s.start_autoscaler = lambda: setattr(s, "autoscaler", Program(
        "autoscaler", s.conf, s.path + "/autoscaler.log", path=s.scaler_program))


def put_autoscaler(s, script=None, mode=0o755):
    path = s.scaler_program + ".new"
    if script is None:
        shutil.copy(os.path.join(BUILD, "autoscaler"), path)
    else:
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + script)
        os.chmod(path, mode)
    os.replace(path, s.scaler_program)


def upgrade_autoscaler(s):
    starts = s.autoscaler.text().count('msg="autoscaler started"')
    s.autoscaler.kill(signal.SIGUSR2)
    wait_until(lambda: s.autoscaler.text().count('msg="autoscaler started"') > starts,
               what="the upgrade")


@contextlib.contextmanager
def autoscaler_upgrading(path, **more):
    s = UpgradeStack(path, **more)
    autoscaler_copy(s)
    try:
        yield s.start()
    except BaseException:
        for p in (s.activator, s.autoscaler):
            print("--- %s\n%s" % (p.name, p and p.text()[-12000:]))
        raise
    finally:
        s.stop()


def test_the_autoscaler_under_load(tmp_path):
    """Its instances stay, as children of the keeper, and so does its pid."""
    with autoscaler_upgrading(tmp_path, activator="drain_timeout = 1s") as s:
        with Load(s) as load:
            before, pid = sorted(s.instances()), s.autoscaler.pid
            for _ in range(5):
                upgrade_autoscaler(s)
                s.upgrade()
                load.wait_more()
                s.wait_elders(1)
            assert sorted(s.instances()) == before
            assert s.autoscaler.pid == pid and s.autoscaler.process.poll() is None
        assert load.errors == []


def test_a_cold_start_meanwhile(tmp_path):
    """An instance that starts is taken over, and the request that waits for it gets it."""
    gate = Gate(tmp_path)
    services = S + 'service "cold" { hosts = {"cold"} revision "v1" { %s } }' % gate.command()
    with autoscaler_upgrading(tmp_path, services=services) as s, s.connect() as c:
        c.request("GET", "/", "cold")
        wait_until(lambda: len(s.instances()) == 2, what="the start")
        upgrade_autoscaler(s)
        gate.open()
        assert c.response()[0] == 200
        assert len(s.instances()) == 2


@pytest.mark.parametrize("script, mode, why", [
    ("exit 3\n", 0o755, "has ended with status 3 when it checked the conf file"),
    ("kill -SEGV $$\n", 0o755, "was ended by signal 11"),
    ("", 0o644, "Permission denied")])
def test_a_bad_autoscaler(tmp_path, script, mode, why):
    with autoscaler_upgrading(tmp_path, services=S) as s:
        put_autoscaler(s, script, mode)
        s.autoscaler.kill(signal.SIGUSR2)
        wait_until(lambda: why in s.autoscaler.text(), what="the failure")
        assert s.metrics(s.scaler_admin)["autoscaler_upgrade_failures_total"] == 1
        assert s.get("s")[0] == 200
        put_autoscaler(s)
        set_conf(s, "stable_window", "stable_windo")
        s.autoscaler.kill(signal.SIGUSR2)
        wait_until(lambda: "unknown key" in s.autoscaler.text(), what="the mistake")
        set_conf(s, "stable_windo", "stable_window")
        wait_until(lambda: s.metrics(s.scaler_admin)["autoscaler_upgrade_failures_total"] == 2,
                   what="the metric")
        upgrade_autoscaler(s)
        assert s.get("s")[0] == 200


def test_signals_during_an_upgrade_of_the_autoscaler(tmp_path):
    """They come before the new program has handlers, and end none of both."""
    with autoscaler_upgrading(tmp_path, services=S) as s:
        for signo in (signal.SIGHUP, signal.SIGUSR2):
            for _ in range(3):
                starts = s.autoscaler.text().count('msg="autoscaler started"')
                s.autoscaler.kill(signal.SIGUSR2)
                while s.autoscaler.text().count('msg="autoscaler started"') == starts:
                    s.autoscaler.kill(signo)
                    assert s.autoscaler.process.poll() is None
                    time.sleep(0.002)
        assert s.get("s")[0] == 200


def test_messages_until_an_autoscaler_ends(tmp_path):
    """It reads to the end, when its drivers are closed already."""
    with autoscaler_upgrading(tmp_path, services=S) as s:
        link = FakeActivator(s.path + "/s")
        link.wait_described()
        (ident,) = link.wait_states("s/v1", lambda states: len(states) == 1) and link.states("s/v1")

        def send():
            with contextlib.suppress(OSError):
                while True:
                    link.send(type="instance", id=ident, state="refuses")
                    link.send(type="instance", id=ident, state="answers")
        sender = threading.Thread(target=send)
        sender.start()
        upgrade_autoscaler(s)
        sender.join(WAIT_S)
        assert not sender.is_alive()
        assert s.get("s")[0] == 200


def test_the_autoscaler_is_told_to_end_during_its_upgrade(tmp_path):
    """Whichever program gets the signal ends in order."""
    with autoscaler_upgrading(tmp_path, services=S, autoscaler="orphan_timeout = 1s") as s:
        s.autoscaler.kill(signal.SIGUSR2)
        wait_until(lambda: "takes this one's place" in s.autoscaler.text(), what="the upgrade")
        s.autoscaler.kill(signal.SIGTERM)
        assert s.autoscaler.process.wait(WAIT_S) == 0, s.autoscaler.text()[-2000:]


def test_the_keeper_of_an_upgraded_autoscaler_is_reaped(tmp_path):
    """It is a child of the same process, though of another program."""
    with autoscaler_upgrading(tmp_path, services=S) as s:
        keeper = children(s.autoscaler.pid)[0]
        upgrade_autoscaler(s)
        # Before the new program has heard of the keeper it knows of no child to reap.
        wait_until(lambda: s.scaled_status("s/v1")["ready"] == 1, what="the instance")
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not os.path.exists("/proc/%d" % keeper), what="the end of the keeper")
        wait_until(lambda: s.get("s")[0] == 200, what="another instance")


# --- by activatorctl

def activatorctl(s, *words):
    return subprocess.run([os.path.join(BUILD, "activatorctl"), "-c", s.conf, *words],
                          capture_output=True, text=True, timeout=WAIT_S,
                          stdin=subprocess.DEVNULL)


def test_activatorctl_asks_no_activator_that_is_leaving(tmp_path):
    """The old one finishes a request; reload and upgrade are for the new one alone."""
    answer = Gate(tmp_path)
    with upgrading(tmp_path, S, activator="drain_timeout = 24h") as s:
        with s.connect() as busy:
            busy.request("GET", "/" + answer.query(), "s")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="s/v1"}') == 1,
                       what="the request")
            old, new = s.upgrade()
            for command in ("reload", "upgrade"):
                done = activatorctl(s, command)
                assert done.returncode == 0, done.stdout + done.stderr
                assert "done by 1 activator" in done.stderr
            assert is_running(old) and s.pid() not in (old, new)
            assert s.count("a newer activator has taken over") == 0
            answer.open()
            assert busy.response()[0] == 200
        s.wait_elders(0)


def test_activatorctl(tmp_path):
    """It says how it went; an upgrade that fails is an exit status of its own."""
    with upgrading(tmp_path, S) as s:
        def ctl(*words):
            return activatorctl(s, *words)

        before = s.pid()
        done = ctl("upgrade")
        assert done.returncode == 0, done.stderr
        assert s.pid() != before
        s.wait_elders(0)
        s.put_script("exit 3\n")
        done = ctl("upgrade")
        assert done.returncode != 0
        assert "has ended with status 3" in done.stdout + done.stderr
        assert s.get("s")[0] == 200
