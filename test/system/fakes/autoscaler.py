"""The real autoscaler, started in a folder of its own, for tests that play activator."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

BUILD = os.path.abspath(os.environ.get("ACTIVATOR_BUILD", "build"))
SLOW = 4 if "address" in BUILD or "thread" in BUILD else 1  # sanitisers take their time


def free_port():
    """Free just now, outside the range that the kernel gives to clients."""
    while True:
        port = 19000 + int.from_bytes(os.urandom(2), "big") % 900
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Autoscaler:
    """folder: where socket, state and log are.  services: text of the conf file."""

    def __init__(self, folder, services, autoscaler=""):
        self.folder = str(folder)
        self.path = os.path.join(self.folder, "a.sock")
        self.conf = os.path.join(self.folder, "activator.conf")
        self.log_path = os.path.join(self.folder, "log")
        self.port = free_port()
        self.process = None
        self.write_conf(services, autoscaler)

    def write_conf(self, services, autoscaler=""):
        with open(self.conf, "w") as f:
            f.write(f'''socket = "{self.path}"
state_dir = "{self.folder}/state"
log_level = "debug"
autoscaler {{
    admin = "127.0.0.1:{self.port}"
    {autoscaler}
}}
{services}
''')

    def start(self):
        self.process = subprocess.Popen([os.path.join(BUILD, "autoscaler"), "-c", self.conf],
                                        stderr=open(self.log_path, "ab"))
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=20):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout * SLOW)

    def signal(self, number):
        self.process.send_signal(number)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_log(self, text, timeout=10):
        until = time.monotonic() + timeout * SLOW
        while text not in self.log():
            assert time.monotonic() < until, f"not in the log: {text}\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def get(self, path):
        """(status, text) of the admin endpoint."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def status(self, revision=None):
        answer = json.loads(self.get("/status")[1])
        if revision is None:
            return answer
        return next(r for r in answer["revisions"] if r["name"] == revision)
