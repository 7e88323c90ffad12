"""Standard error that nothing reads, and standard descriptors that are closed at the start."""
import fcntl
import os

import pytest

from helpers import wait_until
from stack import Program, Stack

F_SETPIPE_SZ = 1031
SERVICES = "".join('service "s%d" { hosts = {"s%d"} revision "v1" { command = {"HELLO"} } }\n' %
                   (i, i) for i in range(12))


class Redirected(Stack):
    """The shell's redirections `words` apply to one of the two programs, `name`."""

    def __init__(self, path, name, words):
        super().__init__(path, SERVICES)
        self.name, self.words = name, words

    def start_one(self, name):
        behind = ["sh", "-c", 'exec "$0" "$@" ' + self.words] if name == self.name else ()
        return Program(name, self.conf, "%s/%s.log" % (self.path, name), behind=behind)

    def start_autoscaler(self):
        self.autoscaler = self.start_one("autoscaler")

    def start_activator(self):
        self.activator = self.start_one("activator")


def wake_all(s):
    for i in range(12):
        assert s.get("s%d" % i)[0] == 200


@pytest.mark.parametrize("name", ["autoscaler", "activator"])
def test_a_pipe_that_nothing_reads_stops_neither_program(tmp_path, name):
    os.mkfifo(tmp_path / "unread")
    reader = os.open(tmp_path / "unread", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, F_SETPIPE_SZ, 4096)
    s = Redirected(tmp_path, name, "2>%s/unread" % tmp_path)
    metric = name + "_log_lines_lost_total"
    port = s.admin if name == "activator" else s.scaler_admin
    try:
        s.start()
        wake_all(s)
        wait_until(lambda: s.metrics(port)[metric] > 0, what="lines that do not fit")

        text = os.read(reader, 65536)
        (s.autoscaler if name == "activator" else s.activator).kill()  # this is logged

        def is_reported():
            nonlocal text
            try:
                text += os.read(reader, 65536)
            except BlockingIOError:
                pass
            return b"log lines lost" in text
        wait_until(is_reported, what="a line with the number of lost lines")
    finally:
        s.stop()
        os.close(reader)


@pytest.mark.parametrize("name", ["autoscaler", "activator"])
def test_closed_standard_descriptors_become_dev_null(tmp_path, name):
    s = Redirected(tmp_path, name, "<&- >&- 2>&-")
    try:
        s.start()
        wake_all(s)
        pid = getattr(s, name).pid
        assert {os.readlink("/proc/%d/fd/%d" % (pid, fd)) for fd in range(3)} == {"/dev/null"}
    finally:
        s.stop()
