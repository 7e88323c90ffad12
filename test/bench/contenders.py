"""The proxies that are compared: one worker each, keep-alive on both sides, no access log, and an
origin behind them that does next to nothing."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from helpers import ROOT, stat_fields

ORIGIN_PORT = 18080
COLLECTOR_PORT = 18090
BUILD = os.path.join(ROOT, "build")  # run sets it to measure another build of ours

NGINX = """
user root; worker_processes 1; daemon off; master_process {master};
pid {dir}/nginx.pid; error_log {dir}/nginx.err crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; use epoll; multi_accept on; }}
http {{
  access_log {log}; keepalive_timeout 3600; keepalive_requests 1000000000;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  upstream origin {{
    server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000;
    keepalive_timeout 3600;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_max_temp_file_size 0;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  maxconn 9000
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  option http-keep-alive
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  default_backend b
backend b
  server s 127.0.0.1:{origin} pool-max-conn -1 pool-purge-delay 1h
"""
OURS = """
socket = "{dir}/s"
state_dir = "{dir}/state"
log_level = error
activator {{ listen = {{"127.0.0.1:{port}"}} admin = "127.0.0.1:{admin}" workers = {workers} {more} }}
autoscaler {{ admin = "" }}
service "bench" {{
    hosts = {{"*"}}
    revision "v1" {{ addresses = {{"127.0.0.1:{origin}"}} }}
}}
"""


def all_sessions():
    """{process id: session}"""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found[int(pid)] = int(stat_fields("/proc/%s/stat" % pid)[3])
        except (OSError, ValueError):
            pass
    return found


class Contender:
    """One of the proxies.  All processes in the sessions of its commands are measured together."""

    def __init__(self, name, port, commands, core=None):
        self.name, self.port, self.commands, self.core = name, port, commands, core
        self.url = "http://127.0.0.1:%d" % port
        self.started = []
        self.messages = None  # a file for what it says; None: standard error

    def start(self, under=()):
        """under: words before the command of the proxy itself, which is the last command."""
        for command in self.commands:
            is_proxy = command is self.commands[-1]
            self.started.append(subprocess.Popen(
                (list(under) if is_proxy else []) + command, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=self.messages, cwd=ROOT, start_new_session=True,
                preexec_fn=self.core and (lambda: os.sched_setaffinity(0, self.core))))
        self.wait()
        return self

    @property
    def pid(self):
        return self.started[-1].pid

    def wait(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                    s.settimeout(5)
                    s.sendall(b"GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
                    if s.recv(4096).startswith(b"HTTP/1.1 200"):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit("bench: %s does not answer at port %d" % (self.name, self.port))

    def pids(self):
        sessions = {p.pid for p in self.started}
        return sorted(pid for pid, session in all_sessions().items() if session in sessions)

    def cpu_s(self):
        total = 0
        for pid in self.pids():
            try:
                for tid in os.listdir("/proc/%d/task" % pid):
                    with open("/proc/%d/task/%s/schedstat" % (pid, tid)) as f:
                        total += int(f.read().split()[0])
            except OSError:
                pass
        return total / 1e9

    def rss_bytes(self):
        total = 0
        for pid in self.pids():
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += int(re.search(r"Rss:\s+(\d+)", f.read())[1]) * 1024
        return total

    def stop(self):
        for p in reversed(self.started):
            p.send_signal(signal.SIGTERM)
        for p in self.started:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.started = []


def write(path, text, **values):
    with open(path, "w") as f:
        f.write(text.format(**values))
    return path


def make_all(folder, core, beside=None):
    """{name: a function that makes a Contender} of all that are installed.  beside: the folder of
    another build of ours, which is measured as "before"."""
    build = os.path.join(ROOT, "build")

    def nginx(is_single=False):
        conf = write(folder + "/nginx.conf", NGINX, dir=folder, port=18201, origin=ORIGIN_PORT,
                     master="off" if is_single else "on", log="off")
        return Contender("nginx", 18201, [["nginx", "-c", conf, "-e", folder + "/e"]], core)

    def haproxy(is_single=False):
        conf = write(folder + "/haproxy.cfg", HAPROXY, port=18202, origin=ORIGIN_PORT)
        return Contender("haproxy", 18202, [["haproxy", "-db", "-q", "-f", conf]], core)

    def floor(is_single=False):
        return Contender("floor", 18203, [[build + "/test/bench/floor", "18203",
                                           str(ORIGIN_PORT)]], core)

    def ours(is_single=False):
        return activator(folder, core, 1)

    def before(is_single=False):
        return activator(folder, core, 1, beside, "before", 18210)

    made = {"activator": ours}
    if beside:
        made["before"] = before
    made.update({name: make for name, make in (("nginx", nginx), ("haproxy", haproxy))
                 if shutil.which(name) or os.path.exists("/usr/sbin/" + name)})
    made["floor"] = floor
    return made


def make_logging(folder, core):
    """As make_all(): the activator with each form of its access log, and nginx with its own."""
    def activator_with(name, port, log, more=""):
        more += ' access_log = %s access_log_file = "%s/%s.log" access_log_max_bytes = 256MiB' % (
            log, folder, name.replace(" ", "-"))
        return lambda is_single=False: activator(folder, core, 1, None, name.replace(" ", "-"),
                                                 port, more)

    def nginx_with(name, port, log):
        def make(is_single=False):
            conf = write("%s/nginx-%d.conf" % (folder, port), NGINX, dir=folder, port=port,
                         origin=ORIGIN_PORT, log=log, master="off" if is_single else "on")
            return Contender(name, port, [["nginx", "-c", conf, "-e", folder + "/e"]], core)
        return make

    made = {"activator %s" % log: activator_with("activator %s" % log, port, log)
            for log, port in (("off", 18200), ("combined", 18220), ("json", 18240))}
    made["activator json, traces"] = activator_with(
        "activator traces", 18260, "json",
        'trace_sample = 1 trace_collector = "http://127.0.0.1:%d"' % COLLECTOR_PORT)
    if shutil.which("nginx") or os.path.exists("/usr/sbin/nginx"):
        made["nginx off"] = nginx_with("nginx off", 18201, "off")
        made["nginx combined"] = nginx_with(
            "nginx combined", 18221, folder + "/nginx.log combined buffer=64k flush=1s")
    return made


def activator(folder, core, workers, build=None, name="activator", port=18200, more=""):
    build = build or BUILD
    folder = os.path.join(folder, name)
    os.makedirs(folder, exist_ok=True)
    conf = write(folder + "/a.conf", OURS, dir=folder, port=port, admin=port + 9,
                 origin=ORIGIN_PORT, workers=workers, more=more)
    return Contender(name, port, [[build + "/autoscaler", "-c", conf],
                                  [build + "/activator", "-c", conf]], core)


def collector(core):
    """Of spans."""
    return Contender("collector", COLLECTOR_PORT, [
        [sys.executable, os.path.join(ROOT, "test/bench/collector.py"), str(COLLECTOR_PORT)]], core)


def origin(core):
    return Contender("origin", ORIGIN_PORT, [
        [os.path.join(ROOT, "build/test/bench/origin"), str(ORIGIN_PORT)]], core)
