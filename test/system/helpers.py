"""What tests and benchmarks share: where the build is, free ports, waiting for a condition, and
figures of a process from /proc."""
import contextlib
import fcntl
import os
import random
import signal
import socket
import struct
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("ACTIVATOR_BUILD", "build"))
IS_SANITISED = os.path.relpath(BUILD, ROOT) != "build"  # build/address, build/thread
HELLO = os.path.join(ROOT, "build/test/apps/hello")
SLOW = 4 if IS_SANITISED else 1  # how much longer than the release build it may take
WAIT_S = 60 * SLOW  # how long a test waits for what must come, before it fails


def exit_on_sigterm():
    """For programs: let SIGTERM end this one by an exception, as Ctrl-C does, so that it ends what it
    has started."""
    signal.signal(signal.SIGTERM, lambda signo, frame: sys.exit(128 + signo))


# --- ports

RANGE_SIZE = 100
_claimed = set()  # by this process
_claims = os.open(os.path.join(tempfile.gettempdir(), "activator-test-ports.%d" % os.getuid()),
                  os.O_RDWR | os.O_CREAT, 0o600)


def claim(port):
    """Reserve the port for this process until the process ends or releases it.  False: it is
    reserved already.  Test processes run side by side, and a port may be used long after it was
    chosen."""
    if port in _claimed:
        return False
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _claimed.add(port)
    return True


def release(port):
    fcntl.lockf(_claims, fcntl.LOCK_UN, 1, port)
    _claimed.discard(port)


def free_port():
    """A port that no other test has and nothing listens at, outside the ranges from which
    connect(2) and autoscalers choose."""
    while True:
        port = 10000 + int.from_bytes(os.urandom(2), "big") % 9000
        if not claim(port):
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def claim_range():
    """(first, last) of ports for the instances of one autoscaler, until release(first).  Two
    autoscalers with one range give the same port to two instances, where neither listens yet."""
    firsts = list(range(20000, 30000, RANGE_SIZE))
    random.shuffle(firsts)
    first = next(filter(claim, firsts), None)
    assert first is not None, "other tests have reserved all ranges of ports"
    return first, first + RANGE_SIZE - 1


# --- waiting

def wait_until(condition, timeout=WAIT_S, what="the condition"):
    """Call condition() until it returns a true value, and return that value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain for %s" % what
        time.sleep(0.01)


def settled(measure, calm_s=0.5):
    """The value of measure() once it has not changed for calm_s seconds."""
    last, since = measure(), time.monotonic()
    while time.monotonic() - since < calm_s:
        time.sleep(0.05)
        now = measure()
        if now != last:
            last, since = now, time.monotonic()
    return last


# --- processes

def stat_fields(path):
    """The fields of a /proc/PID/stat file from the state on (the name before it may hold
    blanks)."""
    with open(path) as f:
        return f.read().rpartition(")")[2].split()


def process_state(pid):
    """R, S, D, T, Z …, as in ps(1)."""
    return stat_fields("/proc/%d/stat" % pid)[0]


def cpu_s(pid):
    """Seconds of processor time, user and system, that the process has used."""
    fields = stat_fields("/proc/%d/stat" % pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kib(pid):
    """Resident memory."""
    with open("/proc/%d/status" % pid) as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


@contextlib.contextmanager
def stopped(pid):
    """The process is stopped (SIGSTOP) inside the with block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: process_state(pid) == "T", what="the process to stop")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# --- sockets

def reset_on_close(sock):
    """close() will send a reset instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset(sock):
    reset_on_close(sock)
    sock.close()
