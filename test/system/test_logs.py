"""activatorctl logs: what instances have written, of which revision, since when, and what comes
then; across ends of instances, of the autoscaler and of the keeper."""
import json
import os
import signal
import subprocess

import pytest

from helpers import WAIT_S, wait_until
from stack import Gate, running
from test_ctl import CTL, HELLO, Peer, Terminal, ctl
from test_versions import change, deploy, routed

# It writes a line, then serves.
WRITER = """service "%s" { hosts = {"%s.x"} stable_window = 1h
    revision "v1" { command = {"sh", "-c", "echo %s says $0 $PORT; exec HELLO", "hello"} } }
"""


def writer(name):
    return WRITER % (name, name, name)


class Follower:
    """`activatorctl logs -f`, whose output goes to a file."""

    def __init__(self, stack, *arguments):
        self.path = os.path.join(stack.path, "follower-%d" % id(self))
        self.out = open(self.path, "wb")
        self.process = subprocess.Popen([CTL, "-c", stack.conf, "logs", "-f", *arguments],
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)

    def text(self):
        with open(self.path, errors="replace") as f:
            return f.read()

    def until(self, text, n=1):
        wait_until(lambda: self.text().count(text) >= n, what="%d times %s in %s" % (
            n, text, self.text()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)
        self.out.close()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(WAIT_S)


def lines(stack, *arguments):
    done = ctl(stack, "logs", *arguments)
    assert done.status == 0, done
    return done.out.splitlines()


def test_what_was_written(tmp_path):
    with running(tmp_path, writer("a") + writer("b")) as s:
        assert lines(s, "a") == []
        for n in "ab":
            assert ctl(s, "wake", n).status == 0
        wait_until(lambda: lines(s, "a") and lines(s, "b"), what="the lines to be read")
        (line,) = lines(s, "a")
        assert line.startswith("a-v1-") and "  a says hello" in line
        (one,) = [json.loads(l) for l in lines(s, "a/v1", "-o", "json")]
        assert one["revision"] == "a/v1" and one["text"].startswith("a says hello")
        assert lines(s, "b", "-o", "name") == ["b says hello %s" % one["text"].split()[-1]] or \
            lines(s, "b", "-o", "name")[0].startswith("b says hello ")
        assert lines(s, "a", "-o", "wide")[0][:2] == "20"
        assert lines(s, "a", "--since", "1h") and lines(s, "a", "--tail", "0") == []
        # The lines of an instance outlive it, and stay in their order.
        assert ctl(s, "sleep", "a").status == 0
        assert ctl(s, "wake", "a").status == 0
        wait_until(lambda: len(lines(s, "a")) == 2)
        assert lines(s, "a")[0] == line
        assert lines(s, "a", "--tail", "1") == lines(s, "a")[1:]
        assert ctl(s, "logs", "aa").status == 3
        assert ctl(s, "logs", "a/v2").status == 3
        assert ctl(s, "logs", "a", "--since", "soon").status == 2
        assert ctl(s, "list", "--tail", "1").status == 2


def test_followed_through_starts_and_restarts(tmp_path):
    with running(tmp_path, writer("a") + writer("b"), autoscaler="orphan_timeout = 60s") as s:
        with Follower(s, "a") as f:
            for n in "ab":
                assert ctl(s, "wake", n).status == 0
            f.until("a says hello")
            assert ctl(s, "sleep", "a").status == 0
            assert ctl(s, "wake", "a").status == 0
            f.until("a says hello", 2)
            # The autoscaler is killed, and returns to its keeper: no line comes twice.
            s.autoscaler.kill()
            f.until("the autoscaler has gone")
            s.start_autoscaler()
            wait_until(lambda: ctl(s, "sleep", "a").status == 0, what="the autoscaler")
            assert ctl(s, "wake", "a").status == 0
            f.until("a says hello", 3)
            assert len(lines(s, "a")) == 3
            # The keeper is killed, and its lines are gone with it.
            keeper = int(open(s.state + "/keeper.lock").read())
            os.kill(keeper, signal.SIGKILL)
            wait_until(lambda: ctl(s, "wake", "a").status == 0, what="another keeper")
            f.until("a says hello", 4)
            assert f.interrupt() == 0
            written = [l for l in f.text().splitlines() if "says" in l]
            assert len(written) == len(set(written)) >= 4  # each instance has its name
            assert not any("b says" in l for l in written)


def test_a_revision_that_fails_shows_its_last_lines(tmp_path):
    with running(tmp_path, writer("a")) as s:
        deploy(s, "shop", "--host", "shop.x")
        routed(s, "shop.x")
        done = ctl(s, "deploy", "shop", "--wait", "30s", "--", "sh", "-c",
                   "echo the database is away >&2; printf 'red \\033[31m\\302\\233 end\\n'; exit 3")
        assert done.status == 1
        assert "  the database is away\n" in done.err, done
        assert "  red ?[31m? end\n" in done.err, done
        # It has neither traffic nor a tag; what it wrote is still there.
        assert any("the database is away" in l for l in lines(s, "shop/shop-00002"))
        assert any("the database is away" in l for l in lines(s, "shop"))
        change(s, "delete", "shop/shop-00002")


@pytest.mark.parametrize("conf, count", [
    ("output_bytes = 8KiB", 40), ("output_bytes = 0", 0)], ids=["few", "none"])
def test_bounds(tmp_path, conf, count):
    loud = """service "a" { hosts = {"a.x"} revision "v1" { command = {"sh", "-c",
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; exec HELLO"} } }"""
    with running(tmp_path, loud, autoscaler=conf) as s:
        assert ctl(s, "wake", "a").status == 0
        if count > 0:
            wait_until(lambda: lines(s, "a") and lines(s, "a")[-1].endswith("line 3000"),
                       what="the last line")
        assert count <= len(lines(s, "a")) < 200
        # With a reload, more is kept.
        s.edit(conf, "output_bytes = 1MiB")
        assert ctl(s, "reload").status == 0
        assert ctl(s, "sleep", "a").status == 0
        assert ctl(s, "wake", "a").status == 0
        wait_until(lambda: len(lines(s, "a")) >= 3000, what="more lines")


def peer_after(stack, cursor):
    """A peer that has asked for the lines behind a cursor."""
    peer = Peer(stack.path + "/s-control.sock")
    peer.sendall(HELLO + b'{"type":"request","command":"logs","name":"a",'
                 b'"options":["after=%s"]}\n' % cursor.encode())
    return peer


def answer_of(peer):
    """All that the autoscaler answers."""
    answer = b""
    while b'"done"' not in answer[-1000:]:
        more = peer.recv(65536)
        assert more, answer[-1000:]
        answer += more
    return answer.decode()


def answer_after(stack, cursor):
    with peer_after(stack, cursor) as peer:
        return answer_of(peer)


def test_lines_lost_at_the_end_are_reported(tmp_path):
    # A character of the output is six of an answer, which gets longer than what may wait.
    script = "x=$(printf '%0900d' 0 | tr 0 '\\\\033'); i=0; " \
        "while [ $i -lt 1500 ]; do i=$((i+1)); echo $x $i; done; exec HELLO"
    loud = """service "a" { hosts = {"a.x"}
        revision "v1" { command = {"sh", "-c", "%s"} } }""" % script

    def count(answer):
        all_lines = [json.loads(l) for l in answer.splitlines()]
        return sum("text" in l for l in all_lines) + sum(l.get("lost", 0) for l in all_lines)

    with running(tmp_path, loud, autoscaler="output_bytes = 1MiB") as s:
        assert ctl(s, "wake", "a").status == 0
        wait_until(lambda: lines(s, "a") and lines(s, "a")[-1].endswith(" 1500"),
                   what="the last line")
        with peer_after(s, "0.0") as peer:
            # The keeper answers in turn: once this peer has all, the autoscaler has all of both.
            whole = answer_after(s, "0.0")
            answer = answer_of(peer)
        assert '"lost"' in answer.splitlines()[-2], answer[-300:]
        assert count(answer) == count(whole)


def test_cursors(tmp_path):
    with running(tmp_path, writer("a")) as s:
        assert ctl(s, "wake", "a").status == 0
        wait_until(lambda: lines(s, "a"))
        for cursor in ("1", "1.", ".1", "1.2x", "-1.0", "0.-1", " 1.1", "+1.1",
                       "9223372036854775808.1", "1.9223372036854775808", "1.18446744073709551616"):
            assert "expected a cursor" in answer_after(s, cursor), cursor
        (line,) = lines(s, "a", "-o", "json")
        epoch = json.loads(line)["cursor"].split(".")[0]
        answer = answer_after(s, epoch + ".9223372036854775807")
        assert '"ok"' in answer and '"log"' not in answer, answer


def test_instances_that_run_elsewhere(tmp_path):
    with running(tmp_path, """service "a" { hosts = {"a.x"}
            revision "v1" { addresses = {"127.0.0.1:1"} } }""") as s:
        done = ctl(s, "logs", "a")
        assert done.status == 1 and "are started by something else; look where they run" in done.err


def test_at_a_terminal(tmp_path):
    rude = """service "a" { hosts = {"a.x"} revision "v1" { command = {"sh", "-c",
        "printf 'red \\\\033[31m\\\\007 end\\\\n'; exec HELLO"} } }"""
    with running(tmp_path, rude) as s:
        assert ctl(s, "wake", "a").status == 0
        wait_until(lambda: lines(s, "a"))
        assert "red \033[31m\a end" in lines(s, "a")[0]
        t = Terminal(["-c", s.conf, "logs", "-f", "a"], {"NO_COLOR": "1"})
        t.until("red ?[31m? end")
        os.write(t.fd, b"\x03")
        assert t.end() == 0
