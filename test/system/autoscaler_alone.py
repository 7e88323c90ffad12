"""The autoscaler without an activator: for tests that play the activator themselves."""
import json
import os
import urllib.error
import urllib.request

from helpers import WAIT_S, claim_range, free_port, release, wait_until
from stack import Program


class Autoscaler:
    """folder: where its socket, state and log are.  services: text of the conf file, `more` inside
    its section `autoscaler`."""

    def __init__(self, folder, services, more=""):
        self.folder = str(folder)
        self.path = os.path.join(self.folder, "a.sock")
        self.conf = os.path.join(self.folder, "activator.conf")
        self.port, self.instance_ports = free_port(), claim_range()
        self.program = None
        self.write_conf(services, more)

    def write_conf(self, services, more="", instance_ports=None):
        first, last = instance_ports or self.instance_ports
        with open(self.conf, "w") as f:
            f.write(f'''socket = "{self.path}"
state_dir = "{self.folder}/state"
log_level = "debug"
autoscaler {{
    admin = "127.0.0.1:{self.port}"
    ports = "{first}-{last}"
    {more}
}}
{services}
''')

    def start(self):
        self.program = self.start_another()
        return self

    def start_another(self):
        """One more process on the same conf file; both write to one log."""
        return Program("autoscaler", self.conf, os.path.join(self.folder, "log"))

    @property
    def pid(self):
        return self.program.pid

    def kill(self):
        self.program.kill()

    def stop(self):
        """Send SIGTERM; the exit status.  All instances have ended by then."""
        status = self.program.stop()
        release(self.instance_ports[0])
        return status

    def signal(self, number):
        self.program.process.send_signal(number)

    def log(self):
        return self.program.text()

    def wait_log(self, text):
        wait_until(lambda: text in self.log(), what=f"{text!r} in the log")

    def get(self, path):
        """(status, text) of the admin endpoint."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=WAIT_S) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def status(self, revision=None):
        """/status, or the part of it about one revision."""
        answer = json.loads(self.get("/status")[1])
        if revision is None:
            return answer
        return next(r for r in answer["revisions"] if r["name"] == revision)
