"""activatorctl: what it shows and changes, how it fails, who may use it, and its manners at a
terminal."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import termios
import time

import pytest

from helpers import BUILD, ROOT, WAIT_S, process_state, stopped, wait_until
from stack import Gate, running

CTL = os.path.join(BUILD, "activatorctl")
SERVICES = """
service "shop" { hosts = {"shop.x"} owner = "web"
    traffic "v1" { percent = 90 } traffic "v2" { percent = 10 tag = "next" }
    revision "v1" { command = {"HELLO"} } revision "v2" { command = {"HELLO"} } }
service "broken" { hosts = {"broken.x"} revision "v1" { command = {"no-such-program"} } }
"""
MEMBERS = {
    "service": {"type", "name", "hosts", "source", "file", "line", "owner", "revisions"},
    "revision": {"name", "revision", "percent", "tags", "command", "state", "ready", "starting",
                 "wanted", "parked", "in_flight", "requests_per_second", "latency_ms"},
}


class Done:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return "status %d\n%s\n%s" % (self.status, self.out, self.err)

    @property
    def json(self):
        return json.loads(self.out)


def ctl(stack, *arguments, **more):
    """Run it with the conf file of a stack, or with none (None)."""
    where = [] if stack is None else ["-c", stack.conf]
    return Done(subprocess.run([CTL, *where, *arguments], capture_output=True, text=True,
                               timeout=2 * WAIT_S, stdin=subprocess.DEVNULL, cwd=ROOT, **more))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with running(tmp_path_factory.mktemp("ctl"), SERVICES) as s:
        yield s


# --- to show

def test_list(shop):
    done = ctl(shop, "list")
    assert done.status == 0 and done.err == "", done
    lines = done.out.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "INSTANCES", "PARKED", "IN", "FLIGHT", "TRAFFIC",
                                "HOSTS"]
    assert re.match(r"shop +\w+ +\d+/\d+ +0 +0  v1 90%, v2 10% \(next\)  shop\.x$", lines[1])
    assert ctl(shop, "list", "-o", "name").out == "shop\nbroken\n"
    assert ctl(shop, "list", "shop", "-o", "name").out == "shop\n"
    assert "LATENCY" in ctl(shop, "-o", "wide", "list").out


def test_json_has_its_members(shop):
    services = ctl(shop, "list", "-o", "json").json["services"]
    assert [s["name"] for s in services] == ["shop", "broken"]
    assert MEMBERS["service"] <= set(services[0])
    assert services[0]["file"] == shop.conf
    v1, v2 = services[0]["revisions"]
    assert MEMBERS["revision"] <= set(v1)
    assert (v1["percent"], v1["tags"], v2["percent"], v2["tags"]) == (90, [], 10, ["next"])
    assert ctl(shop, "describe", "shop", "-o", "json").json["revisions"][0]["instances"] is not None


def test_members_are_in_the_manual():
    def read(path):
        with open(os.path.join(ROOT, path)) as f:
            return f.read()

    source = read("autoscaler/ctl_views.c") + read("autoscaler/share_view.c")
    written = set(re.findall(r'(?:jput|put)_\w+\(\s*j, "(\w+)"', source))
    page = read("conf/man/activatorctl.1")
    named = set()
    for line in re.findall(r"^\.Va (.*)$", page, re.M):
        named |= set(re.findall(r"(?<!\w)[a-z][a-z0-9_]*", line))
    assert len(written) > 40
    assert written <= named, written - named


def test_describe_revisions_and_why(shop):
    page = ctl(shop, "describe", "shop").out
    for text in ("shop.x", "web", shop.conf + ":", "shop/v1", "shop/v2", "tags: next"):
        assert text in page
    assert "shop/v1" not in ctl(shop, "describe", "shop/v2").out
    assert ctl(shop, "revisions", "shop", "-o", "name").out == "shop/v1\nshop/v2\n"
    assert ctl(shop, "revisions", "shop").out.splitlines()[2].split()[:3] == ["shop/v2", "10%",
                                                                             "next"]
    assert "shop/v1  wanted" in ctl(shop, "why", "shop/v1").out
    assert "shop/v2  wanted" not in ctl(shop, "why", "shop/v1").out
    assert ctl(shop, "why", "shop", "-o", "json").json["revisions"][0]["revision"] == "shop/v1"


def test_status_and_version(shop):
    status = ctl(shop, "status", "-o", "json").json
    assert status["pid"] == shop.autoscaler.pid
    assert [a["pid"] for a in status["activators"]] == [shop.activator.pid]
    assert "2 with 3 revisions" in ctl(shop, "status").out
    versions = ctl(shop, "version").out.splitlines()
    assert len(versions) == 3 and len({v.split()[1] for v in versions}) == 1
    assert shop.metrics(shop.scaler_admin)["autoscaler_control_requests_total"] > 0


def test_top_without_a_terminal(shop):
    done = ctl(shop, "top", "-n", "2", "--interval", "10ms")
    assert done.out.count("REVISION") == 2 and "\033" not in done.out
    assert len(ctl(shop, "top", "-n", "1", "-o", "json").json["services"]) == 2


def test_top_has_what_is_busy_first(tmp_path):
    gate = Gate(tmp_path)
    services = "".join('service "%s" { hosts = {"%s.x"} revision "v1" { command = {"HELLO"} } }\n'
                       % (n, n) for n in "abcd")
    with running(tmp_path, services) as s:
        with s.connect() as client:
            client.request("GET", "/" + gate.query(), "c.x")
            wait_until(lambda: ctl(s, "top", "-n", "1").out.splitlines()[1].startswith("c/v1 "),
                       what="the request to be reported")
            gate.open()
            assert client.response()[0] == 200


# --- to wake, to put to sleep, to wait

def test_wake_and_sleep(tmp_path):
    gate = Gate(tmp_path)
    service = 'service "app" { hosts = {"app.x"} stable_window = 1h revision "v1" { %s } }'
    with running(tmp_path, service % gate.command()) as s:
        done = ctl(s, "wake", "app", "--no-wait")
        assert done.status == 0 and "app is being started" in done.err
        done = ctl(s, "wait", "app", "--timeout", "1ms")
        assert done.status == 5 and "it goes on" in done.err
        waiting = subprocess.Popen([CTL, "-c", s.conf, "wait", "app/v1"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        gate.open()
        out, err = waiting.communicate(timeout=WAIT_S)
        assert waiting.returncode == 0 and "app/v1 is awake after" in err
        assert ctl(s, "list", "-o", "json").json["services"][0]["revisions"][0]["state"] == "awake"
        assert s.get("app.x")[0] == 200
        wait_until(lambda: ctl(s, "sleep", "app").status == 0, what="the request to be reported")
        assert not s.instances()
        assert ctl(s, "wait", "app", "--for", "asleep").status == 0
        assert s.get("app.x")[0] == 200  # a request wakes it
        assert ctl(s, "wake", "app", "-o", "json").json["done"] is True


def test_what_was_woken_sleeps_again_by_itself(tmp_path):
    with running(tmp_path, 'service "a" { hosts = {"a.x"} revision "v1" { command = {"HELLO"} } }'
                 ) as s:
        assert ctl(s, "wake", "a").status == 0
        assert ctl(s, "wait", "a", "--for", "asleep").status == 0


def test_a_service_in_use_is_not_put_to_sleep(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, 'service "a" { hosts = {"a.x"} revision "v1" { command = {"HELLO"} } }'
                 ) as s:
        with s.connect() as client:
            client.request("GET", "/" + gate.query(), "a.x")
            wait_until(lambda: ctl(s, "list", "-o", "json").json["services"][0]["revisions"][0]
                       ["in_flight"] == 1, what="the request to be reported")
            done = ctl(s, "sleep", "a")
            assert done.status == 1 and "a/v1 is in use" in done.err
            gate.open()
            assert client.response()[0] == 200


def test_a_start_that_fails_says_why(shop):
    done = ctl(shop, "wake", "broken")
    assert done.status == 1
    assert "broken/v1 cannot start: cannot start no-such-program: not found in PATH" in done.err
    assert "failing" in ctl(shop, "list").out


# --- to reload

def test_reload(tmp_path):
    with running(tmp_path, SERVICES.replace("HELLO", "true")) as s:
        with open(s.conf) as f:
            good = f.read()
        with open(s.conf, "w") as f:
            f.write(good.replace('"shop.x"', '"shop.x", "other.x"'))
        done = ctl(s, "reload")
        assert done.status == 0, done
        assert "reloaded: 2 services; done by 1 activator" in done.err
        assert "other.x" in ctl(s, "list").out
        with open(s.conf, "w") as f:
            f.write(good.replace("percent = 90", "percent = 91") + "\nmistake = 1\n")
        done = ctl(s, "reload")  # the file with the mistake says where the socket is, too
        assert done.status == 1
        assert re.search(r"a\.conf:\d+: mistake: unknown key", done.err), done
        assert "nothing has changed" in done.err
        assert "v1 90%" in ctl(s, "list").out
        results = ctl(s, "reload", "-o", "json").json
        assert results["done"] is False and len(results["results"]) >= 1
        with open(s.conf, "w") as f:
            f.write(good)
        assert ctl(s, "reload", "--quiet").err == ""


# --- how it fails

@pytest.mark.parametrize("arguments, status, text", [
    (["describe", "shp"], 3, 'there is no service "shp"; did you mean "shop"?'),
    (["describe", "nothing-like-it"], 3, "activatorctl list shows all services"),
    (["why", "shop/v3"], 3, 'did you mean "shop/v'),
    (["wake", "/"], 3, 'there is no service ""'),
    (["lst"], 2, 'there is no command "lst"; did you mean "list"?'),
    (["describe"], 2, "usage: activatorctl describe NAME"),
    (["list", "--for", "awake"], 2, "list does not take --for"),
    (["list", "-o", "xml"], 2, 'expected wide, name or json, got "xml"'),
    (["wake", "shop", "--timeout", "soon"], 2, 'expected a duration such as 30s or 5m, got "soon"'),
    (["wait", "shop", "--for", "ever"], 2, 'expected awake or asleep, got "ever"'),
    (["list", "--frobnicate"], 2, "activatorctl: there is no option --frobnicate; activatorctl "),
    (["list", "--outptu=json"], 2, "there is no option --outptu; did you mean --output?"),
    (["deploy", "x", "--max-scal", "5"], 2, "--max-scal is short for several options"),
    (["list", "-x"], 2, "there is no option -x; activatorctl COMMAND --help"),
    (["list", "-o"], 2, "-o: expected a value behind it, got none"),
    (["wait", "shop", "--for"], 2, "--for: expected a value behind it, got none"),
    (["completion", "tcsh"], 2, "expected bash, zsh or fish"),
])
def test_mistakes(shop, arguments, status, text):
    done = ctl(shop, *arguments)
    assert done.status == status and text in done.err and done.out == "", done
    assert len(done.err.splitlines()) == 1


def test_without_an_autoscaler(tmp_path):
    done = ctl(None, "--socket", str(tmp_path / "s"), "list")
    assert done.status == 4 and "is it running" in done.err
    done = ctl(None, "-c", str(tmp_path / "missing.conf"), "list")
    assert done.status == 2 and "missing.conf" in done.err


def test_help():
    done = ctl(None, "--help")
    commands = re.findall(r"^  ([a-z]+) ", done.out, re.M)
    assert done.status == 0 and len(commands) >= 13
    assert ctl(None).status == 2
    starts = {line.index(text) for line in done.out.splitlines()
              for text in ("make a new version", "split the traffic", "show all services")
              if text in line}
    assert len(starts) == 1  # a column
    with open(os.path.join(ROOT, "conf/man/activatorctl.1")) as f:
        page = f.read()
    helps = ""
    for command in commands:
        one = ctl(None, command, "--help")
        assert one.status == 0 and "Examples:\n  activatorctl " + command in one.out.replace(
            "source <(", "")
        assert one.out == ctl(None, "help", command).out
        helps += one.out
        assert re.search(r"^\.It Cm %s\b" % command, page, re.M)
    with open(os.path.join(ROOT, "autoscaler/ctl/main.c")) as f:
        options = re.findall(r'\{"([a-z-]+)", (?:no|required)_argument', f.read())
    for option in options:
        assert "--" + option in done.out + helps
        assert re.search(r"^\.It Fl (\w , )?-%s\b" % option, page, re.M)


def test_an_autoscaler_that_is_stopped_is_not_waited_for_for_ever(tmp_path):
    with running(tmp_path, SERVICES.replace("HELLO", "true")) as s:
        with stopped(s.autoscaler.pid):
            waiting = subprocess.Popen([CTL, "-c", s.conf, "list"], stderr=subprocess.PIPE,
                                       text=True)
            wait_until(lambda: process_state(waiting.pid) == "S")
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(WAIT_S) == 130
            assert "interrupted" in waiting.stderr.read()


# --- who may use it

@pytest.fixture
def open_folder():
    """One that other users can reach."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield path


NOBODY = 65534


def as_user(uid, gid, *groups):
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % gid,
            "--groups=%s" % ",".join(map(str, groups)) if groups else "--clear-groups", CTL]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_who_may_use_it(tmp_path, open_folder):
    path = open_folder + "/c.sock"
    services = 'control_socket = "%s"\n%s' % (path, SERVICES.replace("HELLO", "true"))
    program = os.path.join(open_folder, "activatorctl")  # other users may not reach the build
    with open(CTL, "rb") as f, open(program, "wb") as to:
        to.write(f.read())
    os.chmod(program, 0o755)

    def ask(*groups):
        command = as_user(NOBODY, NOBODY, *groups)[:-1] + [program, "--socket", path, "list"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, cwd="/")
        return done.returncode, done.stderr

    with running(tmp_path, services) as s:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert ctl(s, "list").status == 0
        status, err = ask()
        assert status == 4 and "control_group" in err
        os.chmod(path, 0o666)  # the mode is not all that is checked
        status, err = ask()
        assert status == 4 and "closed the connection" in err
        wait_until(lambda: "refused a connection of another user" in s.autoscaler.text())
        with open(s.conf, "a") as f:
            f.write('control_group = "daemon"\n')
        assert ctl(s, "reload").status == 0
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert ask(1)[0] == 0
        assert ask(2)[0] == 4
        with open(s.conf) as f:
            text = f.read()
        with open(s.conf, "w") as f:
            f.write(text.replace('control_group = "daemon"', ""))
        assert ctl(s, "reload").status == 0
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


class Peer(socket.socket):
    """A peer at the control socket that says what the test wants."""

    def __init__(self, path):
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.settimeout(WAIT_S)
        self.connect(path)

    def rest(self):
        """All that comes until the autoscaler closes."""
        data = b""
        while True:
            try:
                more = self.recv(65536)
            except ConnectionResetError:
                return data
            if not more:
                return data
            data += more


HELLO = b'{"type":"hello","protocol":1,"role":"control","id":"x"}\n'


@pytest.mark.parametrize("data, answer", [
    (b"GET / HTTP/1.1\n", b"cannot parse JSON"),
    (b'{"type":"hello","protocol":1,"role":"activator","id":"x"}\n', b"this is the control socket"),
    (b'{"type":"hello","protocol":9,"role":"control","id":"x"}\n', b"protocol version differs"),
    (b'{"type":"request","command":"list"}\n', b"this is the control socket"),
    (HELLO + b'{"type":"reload"}\n', b"expected a request"),
    (HELLO + b'{"type":"request"}\n', b"$.command"),
    (HELLO + b'{"type":"request","command":"wait","timeout_ms":0}\n', b"$.timeout_ms"),
    (HELLO + b'{"type":"request","command":"list","name":7}\n', b"$.name"),
    (HELLO + b'{"type":"request","command":"explode"}\n', b"does not know the command"),
    (HELLO + b'{"type":"request","command":"wake"}\n', b"expected the name of a service"),
    (HELLO + b"x" * 600000 + b"\n", b"the line is too long"),
], ids=lambda value: value[-30:].decode() if len(value) < 50 else "")
def test_peers_that_break_the_protocol(shop, data, answer):
    with Peer(shop.path + "/s-control.sock") as peer:
        peer.sendall(data)
        wanted = b""
        while b'"done"' not in wanted:
            more = peer.recv(65536)
            assert more, wanted
            wanted += more
        assert answer in wanted
    assert ctl(shop, "list").status == 0


def test_many_peers_harm_nobody_else(tmp_path):
    with running(tmp_path, SERVICES) as s:
        peers = [Peer(s.path + "/s-control.sock") for _ in range(100)]
        try:
            assert s.get("shop.x")[0] == 200  # what clients want goes on
            # Those that ask for nothing are closed, and make room.
            wait_until(lambda: ctl(s, "list").status == 0, what="a place at the socket")
            for p in peers:
                p.rest()
        finally:
            for p in peers:
                p.close()


def test_peers_that_leave_while_the_audit_is_read(tmp_path):
    old = b'{"time":"2020-01-01T00:00:00.000000Z","id":"1-1-1-1","event":"intent"}\n'
    with running(tmp_path, SERVICES) as s:
        with open(s.state + "/audit.log.1", "wb") as f:
            f.write(old * 50000)
        for i in range(60):
            with Peer(s.path + "/s-control.sock") as peer:
                peer.sendall(HELLO + b'{"type":"request","command":"audit","timeout_ms":%d}\n'
                             % (1 + i % 3 * 30))
                if i % 2:  # its hello has come: the request is under way
                    peer.recv(100)
        wait_until(lambda: ctl(s, "audit", "--since", "1h").status == 0, what="an answer")
        assert s.autoscaler.stop() == 0


def test_a_peer_that_leaves_while_it_waits(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, 'service "a" { hosts = {"a.x"} revision "v1" { %s } }' % gate.command()
                 ) as s:
        with Peer(s.path + "/s-control.sock") as peer:
            peer.sendall(HELLO + b'{"type":"request","command":"wake","name":"a","wait":true}\n')
            seen = b""
            while b"progress" not in seen:
                seen += peer.recv(65536)
        gate.open()
        assert ctl(s, "wait", "a").status == 0


@pytest.mark.parametrize("request_line", [
    b'{"type":"request","command":"wait","name":"a","state":"awake"}\n',
    b'{"type":"request","command":"wake","name":"a","wait":true}\n',
], ids=["wait", "wake"])
@pytest.mark.parametrize("second, answer", [
    (b"garbage\n", b"a connection is one request"),
    (b"x" * 600000 + b"\n", b"the line is too long"),
], ids=["garbage", "long"])
def test_a_peer_that_says_more_while_it_waits(tmp_path, request_line, second, answer):
    gate = Gate(tmp_path)
    with running(tmp_path, 'service "a" { hosts = {"a.x"} revision "v1" { %s } }' % gate.command()
                 ) as s:
        with Peer(s.path + "/s-control.sock") as peer:
            peer.sendall(HELLO + request_line)
            seen = b""
            while b"progress" not in seen:
                seen += peer.recv(65536)
            peer.sendall(second)
            while b'"done"' not in seen:
                more = peer.recv(65536)
                assert more, seen
                seen += more
            assert answer in seen
        # This one waits longer than the autoscaler would take to look at the first one again.
        assert ctl(s, "wait", "a", "--timeout", "1s").status == 5
        gate.open()
        assert ctl(s, "wake", "a").status == 0
        assert s.autoscaler.stop() == 0


def test_an_autoscaler_stops_while_a_peer_waits(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, 'service "a" { hosts = {"a.x"} revision "v1" { %s } }' % gate.command()
                 ) as s:
        waiting = subprocess.Popen([CTL, "-c", s.conf, "wake", "a"], stderr=subprocess.PIPE,
                                   text=True)
        wait_until(lambda: "an operator wakes a revision" in s.autoscaler.text())
        assert s.autoscaler.stop() == 0
        assert waiting.wait(WAIT_S) == 4
        assert "closed the connection" in waiting.stderr.read()


# --- at a terminal

class Terminal:
    """activatorctl at a pseudo-terminal of 100 columns and 12 lines."""

    def __init__(self, arguments, environment=None):
        self.text = ""
        pid, self.fd = pty.fork()
        if pid == 0:
            env = dict(os.environ, TERM="xterm", **(environment or {}))
            if environment is None:
                env.pop("NO_COLOR", None)
            os.execve(CTL, [CTL, *arguments], env)
        self.pid = pid
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 100, 0, 0))

    def more(self):
        """Read what has come; False: it has ended."""
        try:
            if select.select([self.fd], [], [], 0.1)[0]:
                data = os.read(self.fd, 65536)
                self.text += data.decode(errors="replace")
                return bool(data)
        except OSError:
            return False
        return True

    def until(self, text):
        end = time.monotonic() + WAIT_S
        while text not in self.text:
            assert self.more() and time.monotonic() < end, self.text

    def end(self):
        """The exit status."""
        end = time.monotonic() + WAIT_S
        while self.more():
            assert time.monotonic() < end, self.text
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_colour_on_a_terminal_alone(shop):
    t = Terminal(["-c", shop.conf, "list"])
    assert t.end() == 0 and "\033[1mNAME\033[0m" in t.text
    t = Terminal(["-c", shop.conf, "list"], {"NO_COLOR": "1"})
    assert t.end() == 0 and "\033" not in t.text
    assert "\033" not in ctl(shop, "list").out


def test_top_at_a_terminal(shop):
    t = Terminal(["-c", shop.conf, "top", "--interval", "20ms"])
    t.until("shop/v1")
    first = len(t.text)
    wait_until(lambda: t.more() and "shop/v1" in t.text[first:])
    os.write(t.fd, b"\x03")
    assert t.end() == 0
    assert "\033[H\033[2J" in t.text


def test_progress_and_interrupt_at_a_terminal(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, 'service "a" { hosts = {"a.x"} revision "v1" { %s } }' % gate.command()
                 ) as s:
        t = Terminal(["-c", s.conf, "wake", "a"])
        t.until("a/v1: started, does not answer yet (")
        os.write(t.fd, b"\x03")
        assert t.end() == 130
        assert "interrupted: it goes on without this command" in t.text
        gate.open()
        assert ctl(s, "wait", "a").status == 0


def test_top_keeps_each_row_on_one_line(shop):
    t = Terminal(["-c", shop.conf, "top"])
    begin = "\033[H\033[2J"
    wait_until(lambda: t.more() and t.text.count(begin) > 2, what="three pages")
    os.kill(t.pid, signal.SIGINT)
    assert t.end() == 0
    page = t.text.split(begin)[2]
    lines = [re.sub(r"\033\[[0-9;]*[A-Za-z]", "", line) for line in page.splitlines()]
    assert "\u2026" in page and max(map(len, lines)) == 100, lines


# --- completion

COMPLETED = [  # the words, and what may stand in place of the last one: among others, or (=) alone
    (["re"], "=", ["revisions", "reload"]),
    (["help", "wa"], "=", ["wake", "wait"]),
    (["describe", "sh"], "=", ["shop"]),
    (["describe", "shop/"], "=", ["shop/v1", "shop/v2"]),
    (["wake", "shop/v2"], "=", ["shop/v2"]),
    (["list", "shop/"], "=", []),
    (["list", "-o", ""], "=", ["wide", "name", "json"]),
    (["-o", "json", "describe", "br"], "=", ["broken"]),
    (["wait", "shop", "--for", "as"], "=", ["asleep"]),
    (["wait", "shop", "--for=as"], "=", ["--for=asleep"]),
    (["wake", "--no"], "=", ["--no-wait"]),
    (["--so"], "=", ["--socket"]),
    (["deploy", "--traf"], "=", ["--traffic"]),
    (["deploy", "x", "--max-sc"], "=", ["--max-scale", "--max-scale-up-rate",
                                        "--max-scale-down-rate"]),
    (["deploy", "x", "--protocol", "h"], "=", ["http1", "h2c"]),
    (["deploy", "x", "--", "-"], "=", [":files"]),
    (["apply", "-f", ""], "=", [":files"]),
    (["list", "-f"], "=", []),
    (["traffic", "shop", "v"], "=", [":nospace", "v1=", "v2="]),
    (["traffic", "shop", "la"], "=", [":nospace", "latest="]),
    (["traffic", "shop", "--untag", ""], "=", ["next"]),
    (["traffic", "shop", "--tag", ""], "=", [":nospace", "v1=", "v2="]),
    (["traffic", "shop", "--tag=v2"], "=", [":nospace", "--tag=v2="]),
    (["rollback", "shop", "--to", ""], "=", ["v1", "v2"]),
    (["rollout", "shop", "--to", "v"], "=", ["v1", "v2"]),
    (["rollout", "s"], "=", ["status", "shop"]),
    (["rollout", "status", ""], "=", ["shop", "broken"]),
    (["rollout", "shop", ""], "=", []),
    (["rollout", "shop", "--"], "in", ["--over", "--steps", "--abort-if", "--min-requests", "--to",
                                       "--no-wait", "--timeout", "--output", "--quiet", "--help"]),
    (["usage", "--by", "mo"], "=", ["month"]),
    (["completion", ""], "=", ["bash", "zsh", "fish"]),
    (["import", ""], "=", [":files"]),
    (["import", "--as", ""], "=", ["annotations", "conf"]),
    (["none", ""], "=", None),
]


def asked(stack, *words):
    """What the scripts of all shells get."""
    done = ctl(None, "__complete", "--", "-c", stack.conf, *words)
    assert done.status == 0 and done.err == "", done
    return [line.split("\t")[0] for line in done.out.splitlines()]


@pytest.mark.parametrize("words, how, expected", COMPLETED)
def test_what_is_completed(shop, words, how, expected):
    found = asked(shop, *words)
    if expected is None:  # there is no such command: others may be meant
        assert "list" in found
    elif how == "=":
        assert sorted(found) == sorted(expected)
    else:
        assert set(expected) <= set(found)


def test_each_option_of_the_help_is_completed(shop):
    helps = re.findall(r"(?m)^  ([a-z]+) ", ctl(None, "--help").out)
    assert len(helps) > 20
    for command in helps:
        text = ctl(None, command, "--help").out.split("\nOptions:")
        options = re.findall(r"(?m)^ +(?:-\w, )?(--[a-z-]+)", text[1]) if len(text) > 1 else []
        missing = set(options) - set(asked(shop, command, "-"))
        assert not missing, (command, missing)


def test_nothing_is_completed_without_an_autoscaler(tmp_path):
    done = ctl(None, "__complete", "--", "--socket", str(tmp_path / "none"), "describe", "")
    assert (done.status, done.out, done.err) == (0, "", "")


def path_with_ctl(folder):
    """Of an environment in which `activatorctl` is the one that was built."""
    (folder / "activatorctl").symlink_to(CTL)
    return dict(os.environ, PATH="%s:%s" % (folder, os.environ["PATH"]))


def bash_completes(environment, *words):
    script = """source <(activatorctl completion bash)
COMP_WORDS=(activatorctl "$@"); COMP_CWORD=$#
_activatorctl; printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True,
                          timeout=WAIT_S, stdin=subprocess.DEVNULL, env=environment)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes(shop, tmp_path):
    environment = path_with_ctl(tmp_path)

    def completes(*words):
        return bash_completes(environment, "-c", shop.conf, *words)

    assert completes("re") == ["revisions", "reload"]
    assert completes("describe", "shop/") == ["shop/v1", "shop/v2"]
    assert "--no-wait" in completes("wake", "--no")
    # bash cuts words at "=".
    assert completes("wait", "shop", "--for", "=", "as") == ["asleep"]
    assert completes("wait", "shop", "--for", "=") == ["awake", "asleep"]
    assert completes("traffic", "shop", "v") == ["v1=", "v2="]
    (tmp_path / "a file.conf").touch()
    assert str(tmp_path / "a") in " ".join(completes("apply", "-f", str(tmp_path / "a")))


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(shop, tmp_path):
    environment = dict(path_with_ctl(tmp_path), HOME=str(tmp_path))

    def completes(line):
        done = subprocess.run(
            ["fish", "--no-config", "-c", "activatorctl completion fish | source\n"
             "complete -C 'activatorctl -c %s %s'" % (shop.conf, line)], capture_output=True,
            text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL, env=environment)
        assert done.stderr == ""
        return [word.split("\t")[0] for word in done.stdout.splitlines()]

    assert sorted(completes("re")) == ["reload", "revisions"]
    assert completes("describe shop/") == ["shop/v1", "shop/v2"]
    assert completes("wake --no") == ["--no-wait"]
    assert completes("wait shop --for ") == ["asleep", "awake"]
    assert "v1=" in completes("traffic shop ")


# --- usage

def test_usage(tmp_path):
    with running(tmp_path, SERVICES, autoscaler="instance_hour_price = 2") as s:
        assert ctl(s, "wake", "shop/v1").status == 0
        assert s.get("shop.x")[0] == 200

        def rows(*arguments):
            since = [] if "--since" in arguments else ["--from", "2020-01-01"]  # of any day
            done = ctl(s, "usage", *arguments, *since, "-o", "json")
            return done.json["rows"] if done.status == 0 else []

        wait_until(lambda: any(r["requests"] > 0 for r in rows()), what="the request to be counted")
        assert {r["service"] for r in rows()} == {"shop", "broken"}
        assert {r["revision"] for r in rows("shop")} == {"shop/v1", "shop/v2"}
        assert {r["revision"] for r in rows("shop/v1", "--by", "hour")} == {"shop/v1"}
        (total,) = rows("--by", "total", "--since", "2h")
        assert total["instance_s"] > 0 and total["cost"] > 0
        assert [r["owner"] for r in rows("--by", "owner")] == ["", "web"]
        table = ctl(s, "usage", "shop", "-o", "wide", "--by", "month", "--from",
                    "2020-01-01").out.splitlines()
        assert table[0].split()[:3] == ["BEGIN", "REVISION", "INSTANCE-H"] and "COST" in table[0]
        assert table[1].split()[1] == "shop/v1"
        text = ctl(s, "usage", "--from", "2020-01-01").out
        assert "REFUSED" in text and "They have cost" in text
        assert "\nInstances have run for " in text and "% saved)" in text
        assert ctl(s, "usage", "-o", "name", "--from", "2020-01-01").out == "broken\nshop\n"
        for arguments, text in ((["--by", "week"], "by: expected hour, day or month"),
                                (["--since", "1h", "--from", "2026-11-01"], "either --since or"),
                                (["shop", "--by", "owner"], "with a name"),
                                (["--from", "yesterday"], "from: expected a time such as")):
            done = ctl(s, "usage", *arguments)
            assert done.status == 2 and text in done.err, done
