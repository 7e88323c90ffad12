"""A machine of its own whose process 1 is systemd: a Debian in a folder, started in new namespaces
(processes, mounts, network, control groups).  Needs root."""
import contextlib
import ctypes
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess

from helpers import BUILD, ROOT, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(ROOT, "build/systemd")
UNSHARE = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork",
           "--kill-child", "--propagation", "private"]
TOOLS = ["debootstrap", "unshare", "nsenter", "pivot_root", "tar", "ip"]
PACKAGES = ["systemd", "dbus"]
PROGRAMS = ["activator", "autoscaler", "activatorctl"]
CLONE_NEWNET = 0x40000000


def cgroup2():
    """Where the hierarchy of control groups version 2 is mounted; None: nowhere."""
    with open("/proc/self/mounts") as f:
        return next((line.split()[1] for line in f if line.split()[2] == "cgroup2"), None)


def reason_to_skip():
    """Why there can be no such machine here; None: there can."""
    if os.getuid() != 0:
        return "it needs root"
    missing = [t for t in TOOLS if shutil.which(t) is None]
    if missing:
        return "it needs %s: apt-get install debootstrap util-linux tar iproute2" % ", ".join(missing)
    done = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        return "there are no namespaces here: " + done.stderr.strip()
    at = cgroup2()
    if at is None or not os.access(at, os.W_OK):
        return "there are no control groups of version 2 that root may write to"
    return None


# --- what it is made of

def libraries():
    """The packages of the libraries that the programs need."""
    names = set()
    for program in PROGRAMS:
        out = subprocess.run(["ldd", os.path.join(BUILD, program)], capture_output=True, text=True,
                             check=True).stdout
        names |= set(re.findall(r"=> (/\S+)", out))
    packages = set()
    for name in names:
        for path in (name, os.path.realpath(name), "/usr" + name):
            done = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True)
            if done.returncode == 0:
                packages.add(done.stdout.split(":")[0])
                break
        else:
            raise SystemExit("%s is of no package" % name)
    return sorted(packages)


def release():
    """This machine's: its libraries are those that the programs were linked with."""
    with open("/etc/os-release") as f:
        return re.search(r"VERSION_CODENAME=(\w+)", f.read())[1]


def archive():
    """The address from which this machine gets its packages."""
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")) + ["/etc/apt/sources.list"]:
        with contextlib.suppress(OSError), open(path) as f:
            found = re.search(r"^(?:URIs:|deb(?: \[.*?\])?) *(https?://\S+)", f.read(), re.M)
            if found:
                return found[1]
    return "http://deb.debian.org/debian"


def base():
    """An archive of the system without our programs, made by the first call."""
    packages = PACKAGES + libraries()
    name = hashlib.sha256(" ".join([release(), *packages]).encode()).hexdigest()[:12]
    path = os.path.join(FOLDER, "base-%s.tar" % name)
    if os.path.exists(path):
        return path
    root, log = os.path.join(FOLDER, "base"), os.path.join(FOLDER, "debootstrap.log")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    print("making a system with debootstrap (once), log: %s" % log, flush=True)
    with open(log, "w") as f:
        done = subprocess.run(["debootstrap", "--variant=minbase", "--include=" + ",".join(packages),
                               release(), root, archive()], stdin=subprocess.DEVNULL, stdout=f,
                              stderr=f)
    if done.returncode != 0:
        raise SystemExit("debootstrap has failed: see " + log)
    subprocess.run(["chroot", root, "apt-get", "clean"], check=True)
    subprocess.run(["tar", "-C", root, "-cf", path + ".new", "."], check=True)
    os.replace(path + ".new", path)
    shutil.rmtree(root)
    return path


def prepare(root):
    """Unpack the system, install our programs as a package would, and keep out what a container has
    no use for."""
    os.makedirs(root)
    subprocess.run(["tar", "-C", root, "-xf", base()], check=True)
    with open(root + "/install.log", "w") as f:
        subprocess.run(["make", "--no-print-directory", "install", "DESTDIR=" + root], check=True,
                       cwd=ROOT, stdin=subprocess.DEVNULL, stdout=f)
    os.makedirs(root + "/srv", exist_ok=True)
    shutil.copy(os.path.join(ROOT, "build/test/apps/hello"), root + "/srv/hello")
    for unit in ("console-getty.service", "getty.target", "systemd-logind.service", "apt-daily.timer",
                 "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer",
                 "systemd-networkd.service", "systemd-resolved.service", "remote-fs.target"):
        os.makedirs(root + "/etc/systemd/system", exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink("/dev/null", root + "/etc/systemd/system/" + unit)
    for name in ("/etc/machine-id", "/etc/fstab"):
        open(root + name, "w").close()


class Machine:
    """started: with Machine(path) as m; m.run("systemctl", …)"""

    def __init__(self, root):
        self.root = root
        self.group = os.path.join(cgroup2(), "activator-test-%d" % os.getpid())
        self.process = self.pid = None

    def __enter__(self):
        os.mkdir(self.group)
        self.process = subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.group, *UNSHARE,
             os.path.join(HERE, "boot"), self.root], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.pid = wait_until(self.first, what="process 1")
            wait_until(lambda: self.name() == "systemd", what="systemd")
            wait_until(lambda: self.state() in ("running", "degraded"), what="the machine")
        except BaseException:
            self.__exit__()
            raise
        return self

    def first(self):
        if self.process.poll() is not None:
            raise SystemExit("the machine has ended with %d" % self.process.returncode)
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            pids = f.read().split()
        return int(pids[0]) if pids else None

    def name(self):
        if self.process.poll() is not None:
            raise SystemExit("the machine has ended with %d" % self.process.returncode)
        with open("/proc/%d/comm" % self.pid) as f:
            return f.read().strip()

    def state(self):
        return self.run("systemctl", "is-system-running", check=False).strip()

    def __exit__(self, *_):
        """All processes end with process 1 of their namespace."""
        if self.process.poll() is None:
            if self.pid is not None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                self.process.kill()
            self.process.wait()

        def is_removed():
            for folder, _, _ in os.walk(self.group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            return not os.path.exists(self.group)
        wait_until(is_removed, what="the control group to be empty")

    # --- in it

    def command(self, *words):
        return ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--pid", "--net",
                "--cgroup", "--root", "env", "--chdir=/", "-i", "LANG=C.UTF-8", "SYSTEMD_COLORS=0",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *words]

    def ask(self, *words):
        """The ended command: returncode, stdout, stderr."""
        return subprocess.run(self.command(*words), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)

    def run(self, *words, check=True):
        """What the command prints."""
        done = self.ask(*words)
        if check and done.returncode != 0:
            raise AssertionError("%s: status %d\n%s%s" % (" ".join(words), done.returncode,
                                                         done.stdout, done.stderr))
        return done.stdout

    def show(self, unit, name):
        return self.run("systemctl", "show", unit, "--value", "-p", name).strip()

    def main_pid(self, unit):
        """As the machine numbers it; 0: none."""
        return int(self.show(unit, "MainPID"))

    def outside(self, pid):
        """The pid here of a process there; None: it has ended."""
        for path in glob.glob("/proc/[0-9]*/status"):
            with contextlib.suppress(OSError), open(path) as f:
                ids = re.search(r"^NSpid:\t(.*)$", f.read(), re.M)
                words = ids[1].split() if ids else []
                here = int(path.split("/")[2])
                if len(words) > 1 and int(words[-1]) == pid and \
                        os.readlink("/proc/%d/ns/pid" % here) == \
                        os.readlink("/proc/%d/ns/pid" % self.pid):
                    return here
        return None

    def journal(self, unit, *more):
        return self.run("journalctl", "--no-pager", "-u", unit, *more)

    def path(self, name):
        return self.root + name

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.chmod(path + ".new", mode)
        os.replace(path + ".new", path)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def enter_network(self):
        """This thread, and those that it starts from now on, connect and listen there."""
        fd = os.open("/proc/%d/ns/net" % self.pid, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)
