"""The units in conf/systemd, as systemd-analyze sees them, and what the programs tell systemd."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from helpers import ROOT, WAIT_S, stopped
from stack import Stack, running
from tls import Tls

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None,
                                   reason="there is no systemd-analyze")
SERVICES = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'


def unit(folder, name, drop_in=None):
    """The unit as it is installed, with a program that exists."""
    with open(os.path.join(ROOT, "conf/systemd", name)) as f:
        text = f.read()
    text = re.sub(r"@SBINDIR@/\w+", "/bin/true", text).replace("@SYSCONFDIR@", "/etc")
    path = folder / name
    path.write_text(text)
    if drop_in is not None:
        more = folder / (name + ".d")
        more.mkdir()
        shutil.copy(os.path.join(ROOT, "conf/systemd", drop_in), more)
    return str(path)


def analyze(*words):
    done = subprocess.run(["systemd-analyze", "--no-pager", *words], capture_output=True,
                          text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is too old")
    return done


@needs_systemd
@pytest.mark.parametrize("name, drop_in, most", [
    ("activator.service", None, 3.0),
    ("autoscaler.service", "autoscaler-kubernetes.conf", 3.0),
    ("autoscaler.service", "autoscaler-single-user.conf", 3.0),
    # It starts programs as other users.
    ("autoscaler.service", None, 4.0)])
def test_exposure(tmp_path, name, drop_in, most):
    done = analyze("security", "--offline=yes", unit(tmp_path, name, drop_in))
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) < most, done.stdout


@needs_systemd
def test_units_have_no_mistake(tmp_path):
    paths = [unit(tmp_path, n) for n in ("activator.service", "activator.socket")]
    paths.append(unit(tmp_path, "autoscaler.service", "autoscaler-kubernetes.conf"))
    done = analyze("verify", "--man=no", *paths)
    assert (done.returncode, done.stderr) == (0, "")


class Notified:
    """The socket of systemd, and what came there."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(WAIT_S)
        self.socket.bind(path)
        self.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}

    def wait(self, text):
        while True:
            got = self.socket.recv(1000).decode()
            if text in got.split("\n"):
                return

    def empty(self):
        """Throw away what has come until now."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(1000)
        except BlockingIOError:
            pass
        self.socket.settimeout(WAIT_S)

    def is_silent(self, seconds):
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1000)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(WAIT_S)


def test_watchdog_of_the_activator(tmp_path):
    """It tells systemd that it is alive, as long as it is.  (t_watchdog: a worker that hangs.)"""
    systemd = Notified(str(tmp_path / "notify"))
    with running(tmp_path, SERVICES, environment=systemd.environment) as s:
        systemd.wait("READY=1")
        for _ in range(5):
            systemd.wait("WATCHDOG=1")
        with stopped(s.activator.pid):
            systemd.empty()
            assert systemd.is_silent(1)
        systemd.wait("WATCHDOG=1")
        s.activator.kill(signal.SIGTERM)
        systemd.wait("STOPPING=1")
        assert s.activator.process.wait(WAIT_S) == 0


def test_watchdog_of_the_autoscaler(tmp_path):
    systemd = Notified(str(tmp_path / "notify"))
    s = Stack(tmp_path, SERVICES)
    before = dict(os.environ)
    os.environ.update(systemd.environment)
    try:
        s.start_autoscaler()
        systemd.wait("READY=1")
        for _ in range(5):
            systemd.wait("WATCHDOG=1")
        with stopped(s.autoscaler.pid):
            systemd.empty()
            assert systemd.is_silent(1)
        systemd.wait("WATCHDOG=1")
    finally:
        os.environ.clear()
        os.environ.update(before)
        s.stop()


def test_watchdog_of_another_process(tmp_path):
    """A process that has inherited the environment is not asked for."""
    systemd = Notified(str(tmp_path / "notify"))
    environment = dict(systemd.environment, WATCHDOG_PID="1")
    with running(tmp_path, SERVICES, environment=environment):
        systemd.wait("READY=1")
        assert systemd.is_silent(1)


def test_a_key_that_systemd_passes(tmp_path):
    """key = "credential:NAME", where LoadCredential= puts NAME into CREDENTIALS_DIRECTORY."""
    tls = Tls(str(tmp_path))
    text = tls.certificate("www", "localhost")
    key = re.search(r'key = "([^"]+)"', text)[1]
    folder = tmp_path / "credentials"
    folder.mkdir()
    os.rename(key, folder / "www.key")
    text = text.replace(key, "credential:www.key")
    with running(tmp_path, SERVICES, activator=text, tls=tls,
                 environment={"CREDENTIALS_DIRECTORY": str(folder)}) as s:
        assert s.get("s")[0] == 200
