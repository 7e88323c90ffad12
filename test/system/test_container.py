"""The image's root file system, made by the script that the Dockerfile runs: it is small and holds
nothing set-uid.  Both programs start in it as in a pod: not as root, and only the volumes are
writable."""
import os
import shutil
import stat
import subprocess

import pytest

from helpers import BUILD, IS_SANITISED, ROOT, WAIT_S, wait_until
from stack import Stack

USER = 65532  # runAsUser in deployment.yaml
ENTER = """
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --bind "$2" "$1/etc/activator"
mount --bind "$3" "$1/run/activator"
mount --bind "$4" "$1/var/lib/activator"
mount -t tmpfs -o ro none "$1/tmp"
root=$1; shift 4
exec chroot --userspec=%d:%d --groups= "$root" "$@"
""" % (USER, USER)

pytestmark = [
    pytest.mark.skipif(IS_SANITISED, reason="the image holds the release build"),
    pytest.mark.skipif(not os.path.exists("/etc/ssl/certs/ca-certificates.crt") or
                       not os.path.isdir("/usr/share/zoneinfo"),
                       reason="no ca-certificates, or no tzdata"),
    pytest.mark.xdist_group("container"),
]


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("image") / "root")
    subprocess.run(["conf/container/rootfs", BUILD, path], cwd=ROOT, check=True, timeout=WAIT_S)
    yield path
    shutil.rmtree(path)


def all_paths(path):
    for folder, folders, names in os.walk(path):
        for name in folders + names:
            yield os.path.join(folder, name)


def test_it_is_small_and_holds_nothing_set_uid(rootfs):
    size = sum(os.lstat(p).st_size for p in all_paths(rootfs))
    assert size < 30 << 20
    for p in all_paths(rootfs):
        mode = os.lstat(p).st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID), p
        assert stat.S_ISLNK(mode) or not mode & 0o002 or p == rootfs + "/tmp", p
    assert sorted(os.listdir(rootfs + "/usr/sbin")) == ["activator", "activatorctl", "autoscaler"]
    assert os.listdir(rootfs + "/bin") == ["sleep"]
    assert os.path.exists(rootfs + "/usr/share/zoneinfo/Europe/Berlin")


class ContainerStack(Stack):
    """Both programs, each inside the image with the volumes of its container."""

    def __init__(self, path, rootfs):
        super().__init__(path, 'service "a" { hosts = {"a"} revision "v1" '
                               '{ addresses = {"127.0.0.1:9"} response_timeout = 1s } }')
        self.rootfs = rootfs
        for folder in "conf", "run", "var":
            os.mkdir(os.path.join(self.path, folder))
            os.chown(os.path.join(self.path, folder), USER, USER)
        with open(self.conf) as f:
            text = f.read()
        text = text.replace(self.path + "/s", "/run/activator/s")
        text = text.replace(self.state, "/var/lib/activator")
        with open(os.path.join(self.path, "conf/activator.conf"), "w") as f:
            f.write(text)

    def run(self, name, *args):
        log = open(os.path.join(self.path, name + ".log"), "ab")
        return subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", ENTER, "sh", self.rootfs,
             *(os.path.join(self.path, f) for f in ("conf", "run", "var")), *args],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def may_mount():
    return os.geteuid() == 0 and shutil.which("unshare") and subprocess.run(
        ["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="not allowed to mount and chroot")
def test_both_programs_start_unprivileged_in_a_read_only_image(rootfs, tmp_path):
    s = ContainerStack(tmp_path, rootfs)
    assert s.run("sleep", "/bin/sleep", "0").wait(20) == 0
    started = []
    try:
        for name in "autoscaler", "activator":
            check = s.run(name, "/usr/sbin/" + name, "-t", "-c", "/etc/activator/activator.conf")
            assert check.wait(20) == 0
            started.append(s.run(name, "/usr/sbin/" + name, "-c",
                                 "/etc/activator/activator.conf"))
        s.wait_ready()
        for p in started:
            status = open("/proc/%d/status" % p.pid).read()
            assert "Uid:\t%d\t%d" % (USER, USER) in status
            assert "CapEff:\t0000000000000000" in status
        assert s.get("unknown")[0] == 404
    finally:
        for p in reversed(started):
            p.terminate()
            wait_until(lambda: p.poll() is not None, what="the end of a program")
    for name, p in zip(("autoscaler", "activator"), started):
        assert p.returncode == 0, open(os.path.join(s.path, name + ".log")).read()[-3000:]
