"""What systemd is to an upgrade: starts a program, adopts what it leaves behind, passes SIGTERM on to
all of them, and ends when all have.  Run as a program: supervisor.py FILE COMMAND…; FILE gets a line
"PID STATUS" for each that has ended, as os.waitstatus_to_exitcode() says it.  The exit status is 0 if
each of them has ended with 0, or by SIGKILL or SIGTERM."""
import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36
# SIGKILL comes from tests; SIGTERM may come when a program has ended all but itself.
FINE = (0, -signal.SIGKILL, -signal.SIGTERM)


def descendants(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            children = [int(child) for child in f.read().split()]
    except OSError:
        return []
    return children + [d for child in children for d in descendants(child)]


def main(record, *command):
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

    def on_term(*_):
        # Again until all have it: the child of one that ends meanwhile is in neither's list.
        told = set()
        while new := set(descendants(os.getpid())) - told:
            for pid in new:
                os.kill(pid, signal.SIGTERM)
            told |= new

    pid = os.fork()
    if pid == 0:
        os.execvp(command[0], command)
    signal.signal(signal.SIGTERM, on_term)
    worst = 0
    with open(record, "a", buffering=1) as out:
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                return worst
            code = os.waitstatus_to_exitcode(status)
            out.write("%d %d\n" % (pid, code))
            if code not in FINE:
                worst = code if code > 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
