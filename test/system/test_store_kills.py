"""The store under SIGKILL: the autoscaler is killed at a random moment of a random command, many
times.  Beside it runs a twin, which gets the same commands and is never killed: what the killed one
has afterwards is what the twin had before the command, or has after it, and nothing else.

As a program: test/system/test_store_kills.py [KILLS [SEED]]."""
import os
import random
import re
import subprocess
import sys
import tempfile
import time

from helpers import WAIT_S, wait_until
from stack import Stack
from test_ctl import CTL, ctl

CONF = 'service "file" { hosts = {"file.x"} revision "v1" { command = {"true"} } }'
KILLS = int(os.environ.get("STORE_KILLS", "60"))


def export(stack):
    done = ctl(stack, "export")
    assert done.status == 0, done
    return done.out


def section(text, service):
    """The part of an export that is one service; "": there is none."""
    parts = re.split(r'(?m)^(?=service ")', text)
    return next((p for p in parts if p.startswith('service "%s"' % service)), "")


def revisions(text, service):
    return re.findall(r'(?m)^    revision "([^"]+)"', section(text, service))


class Commands:
    """Random commands, by what there is."""

    def __init__(self, rng, folder):
        self.rng, self.folder, self.n = rng, folder, 0
        self.earlier = []  # sections of exports

    def deploy(self, name, *options):
        self.n += 1
        return ["deploy", name, "--host", name + ".x", *options, "--", "true", str(self.n)]

    def next(self, text):
        rng, name = self.rng, self.rng.choice(["shop", "blog"])
        known = revisions(text, name)
        if not known:
            return self.deploy(name)
        self.earlier.append(section(text, name))
        kind = rng.choice(["deploy"] * 4 + ["traffic"] * 4 + ["tag", "untag", "rollback", "revision",
                                                           "apply", "service"])
        one, two = rng.choice(known), rng.choice(known)
        percent = rng.randrange(101)
        if kind == "deploy":
            return self.deploy(name, *rng.choice([[], ["--no-traffic"], ["--tag", "next"],
                                                  ["--traffic", str(percent)]]))
        if kind == "traffic" and one != two:
            return ["traffic", name, "%s=%d" % (one, percent), "%s=%d" % (two, 100 - percent)]
        if kind == "traffic":
            return ["traffic", name, "latest=100"]
        if kind == "tag":
            return ["traffic", name, "--tag", one + "=next"]
        if kind == "untag":
            return ["traffic", name, "--untag", "next"]
        if kind == "rollback":
            return ["rollback", name, "--to", one]
        if kind == "revision":
            return ["delete", name + "/" + one]
        if kind == "apply":
            path = os.path.join(self.folder, "apply.conf")
            with open(path, "w") as f:
                f.write(rng.choice(self.earlier[-20:]))
            return ["apply", "-f", path]
        return ["delete", name]


class Killed:
    """Two autoscalers with the same conf, each with its own state."""

    def __init__(self, path, seed):
        self.rng = random.Random(seed)
        self.victim, self.twin = (self.start(path, n) for n in ("victim", "twin"))
        self.commands = Commands(self.rng, str(path))
        self.text = export(self.twin)
        self.took = [0.05]  # how long commands took
        self.seen = {"before": 0, "after": 0, "refused": 0}

    @staticmethod
    def start(path, name):
        folder = os.path.join(str(path), name)
        os.mkdir(folder)
        stack = Stack(folder, CONF)
        stack.start_autoscaler()
        wait_until(lambda: ctl(stack, "list").status == 0, what="the autoscaler")
        return stack

    def turn(self):
        command = self.commands.next(self.text)
        before = self.text
        begun = time.monotonic()
        status = ctl(self.twin, *command).status
        self.took.append(time.monotonic() - begun)
        assert status in (0, 1, 3), command
        self.text = export(self.twin)
        # SIGKILL at any moment of the command, or right after it.
        typical = sorted(self.took[-21:])[len(self.took[-21:]) // 2]
        child = subprocess.Popen([CTL, "-c", self.victim.conf, *command], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.rng.random() * 1.5 * typical)
        self.victim.autoscaler.kill()
        child.wait(WAIT_S)
        self.victim.start_autoscaler()
        wait_until(lambda: ctl(self.victim, "list").status == 0, what="the autoscaler")
        self.judge(command, before, status)

    def judge(self, command, before, status):
        found = export(self.victim)
        log = self.victim.autoscaler.text()
        assert "broken" not in log and "cannot be used" not in log, command
        assert found in (before, self.text), "%s\n--- found\n%s--- before\n%s--- after\n%s" % (
            command, found, before, self.text)
        files = set(os.listdir(self.victim.state + "/services")) if found else set()
        named = {"%s%s.conf" % (s, r and "@" + r) for s in ("shop", "blog")
                 for r in ["", *revisions(found, s)] if section(found, s)}
        assert files == named, command
        if before == self.text:
            self.seen["refused"] += 1
        else:
            self.seen["after" if found == self.text else "before"] += 1
        if found != self.text:
            assert ctl(self.victim, *command).status == status
            assert export(self.victim) == self.text

    def stop(self):
        for s in (self.victim, self.twin):
            s.stop()


def play(path, kills, seed):
    both = Killed(path, seed)
    try:
        for _ in range(kills):
            both.turn()
    finally:
        both.stop()
    return both.seen


def test_killed_at_random_moments_of_random_commands(tmp_path):
    seen = play(tmp_path, KILLS, 17)
    assert sum(seen.values()) == KILLS


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(play(folder, *[int(x) for x in (sys.argv[1:] + ["1000", "1"][len(sys.argv) - 1:])]))
