"""The proxies of the rows of TLS and HTTP/2: one worker each, with the same certificate, version of
TLS, cipher and group, and what stands behind them."""
import json
import os
import re
import shutil
import subprocess
import time

import contenders
import load
from contenders import Contender, write
from helpers import ROOT
from tls import Tls

SUITE, GROUP = "TLS_AES_128_GCM_SHA256", "X25519"
H2_ORIGIN_PORT, GRPC_ORIGIN_PORT = 18081, 18082
HANDSHAKES = os.path.join(ROOT, "build/test/bench/handshakes")

NGINX = """
user root; worker_processes 1; daemon off; master_process {master};
pid {dir}/nginx.pid; error_log {dir}/nginx.err crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; use epoll; multi_accept on; }}
http {{
  access_log off; keepalive_timeout 3600; keepalive_requests 1000000000;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {suite}; ssl_ecdh_curve {group};
  upstream origin {{
    server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000;
    keepalive_timeout 3600;
  }}
  server {{
    {server}
  }}
}}
"""
NGINX_TLS = """listen 127.0.0.1:{port} ssl http2 backlog=4096;
    ssl_certificate {chain}; ssl_certificate_key {key};
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_max_temp_file_size 0;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}"""
NGINX_GRPC = """listen 127.0.0.1:{port} http2 backlog=4096;
    location / {{ grpc_pass grpc://origin; grpc_set_header X-Forwarded-For $remote_addr; }}"""

HAPROXY = """
global
  nbthread 1
  maxconn 9000
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites {suite}
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
  bind 127.0.0.1:{port} backlog 4096 {bind}
  default_backend b
backend b
  server s 127.0.0.1:{origin} pool-max-conn -1 pool-purge-delay 1h {server}
"""
H2O = """
num-threads: 1
max-connections: 9000
user: root
error-log: {dir}/h2o.err
pid-file: {dir}/h2o.pid
http1-request-timeout: 3600
http2-idle-timeout: 3600
listen:
  host: 127.0.0.1
  port: {port}
  ssl:
    certificate-file: {chain}
    key-file: {key}
    minimum-version: TLSv1.3
    ocsp-update-interval: 0
    neverbleed: OFF
hosts:
  "*":
    paths:
      "/":
        proxy.reverse.url: "http://127.0.0.1:{origin}/"
        proxy.preserve-host: ON
        proxy.timeout.keepalive: 3600000
        proxy.timeout.io: 3600000
"""
OURS = """
socket = "{dir}/s"
state_dir = "{dir}/state"
log_level = error
activator {{
    listen = {{"127.0.0.1:{port}{words}"}} admin = "127.0.0.1:{admin}" workers = 1
    {tls}
}}
autoscaler {{ admin = "" }}
service "bench" {{
    hosts = {{"*"}}
    revision "v1" {{ addresses = {{"127.0.0.1:{origin}"}} {revision} }}
}}
"""
OURS_TLS = """tls_min_version = 1.3 tls_ciphers = "{suite}" tls_groups = "{group}"
    certificate "bench" {{ chain = "{chain}" key = "{key}" }}"""


class WireContender(Contender):
    """scheme: https or http; is_h1: asked by HTTP/1.1, else by HTTP/2; log: a file for what it
    says."""

    def __init__(self, name, port, commands, core, scheme, is_h1, log):
        super().__init__(name, port, commands, core)
        self.url, self.is_h1, self.log = "%s://127.0.0.1:%d" % (scheme, port), is_h1, log

    def start(self, under=()):
        with open(self.log, "a") as self.messages:
            return super().start(under)

    def wait(self):
        command = ["h2load", "-n1", "-c1", "-T10s"] + ["--h1"] * self.is_h1 + [self.url + "/"]
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if b" 1 succeeded" in subprocess.run(command, capture_output=True).stdout:
                return
            time.sleep(0.05)
        with open(self.log) as f:
            raise SystemExit("bench: %s does not answer at %s: %s" % (
                self.name, self.url, f.read()[-1000:]))


def is_installed(program):
    return shutil.which(program) or os.path.exists("/usr/sbin/" + program)


def mistake_in(build, conf):
    """What this build says against the conf file; "": nothing."""
    for program in "autoscaler", "activator":
        done = subprocess.run([os.path.join(build, program), "-t", "-c", conf],
                              capture_output=True, text=True)
        if done.returncode != 0:
            return done.stderr.strip().split("\n")[0]
    return ""


class Maker:
    """Makes the contenders of one kind.  kind: "tls" (TLS in front, HTTP/1.1 behind), "h2c"
    (HTTP/2 in the clear on both sides), "grpc" (likewise, with gRPC's trailers)."""

    def __init__(self, kind, folder, core, beside, say):
        self.kind, self.core, self.beside, self.say = kind, core, beside, say
        self.folder = os.path.join(folder, "wire-" + kind)
        self.is_tls = kind == "tls"
        self.scheme = "https" if self.is_tls else "http"
        self.values = {"suite": SUITE, "group": GROUP, "chain": "", "key": ""}
        self.values["origin"] = {"tls": contenders.ORIGIN_PORT, "h2c": H2_ORIGIN_PORT,
                                 "grpc": GRPC_ORIGIN_PORT}[kind]
        os.makedirs(self.folder, exist_ok=True)
        if self.is_tls:
            self.values["chain"], self.values["key"] = Tls(self.folder).issue("bench", "bench")
            self.values["pem"] = os.path.join(self.folder, "both.pem")
            with open(self.values["pem"], "w") as out:
                for name in "chain", "key":
                    with open(self.values[name]) as part:
                        out.write(part.read())

    def contender(self, name, port, *commands):
        return WireContender(name, port, list(commands), self.core, self.scheme, self.is_tls,
                             "%s/%s.log" % (self.folder, name))

    def write(self, name, text, port, **more):
        return write(os.path.join(self.folder, name), text, dir=self.folder, port=port,
                     **self.values, **more)

    def nginx(self, is_single=False):
        server = (NGINX_TLS if self.is_tls else NGINX_GRPC).format(port=18401, **self.values)
        conf = self.write("nginx.conf", NGINX, 18401, server=server,
                          master="off" if is_single else "on")
        return self.contender("nginx", 18401, ["nginx", "-c", conf, "-e", self.folder + "/e"])

    def haproxy(self, is_single=False):
        bind = "ssl crt {pem} curves {group} alpn h2,http/1.1".format(**self.values) \
            if self.is_tls else "proto h2"
        conf = self.write("haproxy.cfg", HAPROXY, 18402, bind=bind,
                          server="" if self.is_tls else "proto h2")
        return self.contender("haproxy", 18402, ["haproxy", "-db", "-q", "-f", conf])

    def nghttpx(self, is_single=False):
        words = ["--conf=/dev/null", "--workers=1", "--backlog=4096", "--no-ocsp",
                 "--add-x-forwarded-for", "--errorlog-file=%s/nghttpx.err" % self.folder,
                 "--frontend=127.0.0.1,18403" + ("" if self.is_tls else ";no-tls"),
                 "--backend=127.0.0.1,%d;;proto=%s" % (self.values["origin"],
                                                       "http/1.1" if self.is_tls else "h2")]
        words += ["--single-process"] * is_single
        if self.is_tls:
            words += ["--tls-min-proto-version=TLSv1.3", "--tls-max-proto-version=TLSv1.3",
                      "--tls13-ciphers=" + SUITE, "--ecdh-curves=" + GROUP, self.values["key"],
                      self.values["chain"]]
        return self.contender("nghttpx", 18403, ["nghttpx"] + words)

    def h2o(self, is_single=False):
        conf = self.write("h2o.yaml", H2O, 18404)
        return self.contender("h2o", 18404, ["h2o", "-c", conf])

    def ours(self, is_single=False, build=None, name="activator", port=18400):
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        values = dict(self.values, dir=folder, port=port, admin=port + 9,
                      words=" tls" if self.is_tls else "",
                      tls=OURS_TLS.format(**self.values) if self.is_tls else "",
                      revision="" if self.is_tls else "protocol = h2c")
        conf = write(folder + "/a.conf", OURS, **values)
        build = build or contenders.BUILD
        self.mistake = mistake_in(build, conf)
        return self.contender(name, port, [build + "/autoscaler", "-c", conf],
                              [build + "/activator", "-c", conf])

    def before(self, is_single=False):
        return self.ours(is_single, self.beside, "before", 18420)

    def has(self, name, make):
        make()
        if self.mistake:
            self.say("\n%s is left out of the rows of %s: it cannot do that yet (%s)." % (
                name, self.kind, self.mistake))
        return not self.mistake

    def all(self):
        """{name: a function that makes a Contender}; names and says what is left out."""
        made = {}
        if self.has("activator", self.ours):
            made["activator"] = self.ours
        if self.beside and self.has("before", self.before):
            made["before"] = self.before
        peers = {"tls": ("nginx", "haproxy", "nghttpx", "h2o"), "h2c": ("haproxy", "nghttpx"),
                 "grpc": ("nginx", "haproxy", "nghttpx")}[self.kind]
        for name in peers:
            if is_installed(name):
                made[name] = getattr(self, name)
            else:
                self.say("\n%s is not installed, and left out." % name)
        return made


def h2_origins(core, kinds, folder):
    """What stands behind the proxies of these kinds, started.  None of them can be reached by
    HTTP/1.1."""
    ports = {"h2c": H2_ORIGIN_PORT, "grpc": GRPC_ORIGIN_PORT}
    pages = os.path.join(folder, "pages")
    os.makedirs(pages, exist_ok=True)
    with open(pages + "/index.html", "w") as f:
        f.write("Hello, World!")
    started = []
    for kind in kinds:
        words = ["--trailer", "grpc-status: 0"] if kind == "grpc" else []
        started.append(WireContender("nghttpd", ports[kind], [
            ["nghttpd", "--no-tls", "-n1", "-d", pages] + words + [str(ports[kind])]], core,
            "http", False, folder + "/nghttpd.log").start())
    return started


def generator_environment(folder):
    """Of programs that make load by TLS: they offer one cipher, since h2o chooses what its client
    prefers."""
    with open(folder + "/generator.cnf", "w") as f:
        f.write("openssl_conf = main\n[main]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n"
                "[all]\nMinProtocol = TLSv1.3\nCiphersuites = %s\nGroups = %s\n" % (SUITE, GROUP))
    return dict(os.environ, OPENSSL_CONF=folder + "/generator.cnf")


def agreed(contender):
    """What a client and the contender agree on."""
    done = load.generate([HANDSHAKES, str(contender.port), "check"], None)
    found = re.search(r"RESULT (\{.*\})", done.stdout)
    return json.loads(found[1]) if found else {"version": "none: " + done.stderr.strip()}


def same(makers, say):
    """({name: maker} of those that agree on the same, {name: maker} of those of them that send as
    many tickets); prints what each has agreed on."""
    all_agreed = {}
    for name, make in makers.items():
        contender = make().start()
        try:
            all_agreed[name] = agreed(contender)
        finally:
            contender.stop()
    first = next(iter(all_agreed.values()))
    say("\nWhat a client has agreed on with each:\n")
    say("| | version | cipher | group | certificate | tickets | resumed | tickets then |")
    say("| --- " * 8 + "|")
    keys = "version", "cipher", "group", "certificate"
    counts = "tickets", "resumed", "resumed_tickets"
    for name, found in all_agreed.items():
        say("| %s | %s |" % (name, " | ".join(str(found.get(k, "")) for k in keys + counts)))

    def alike(chosen):
        return {name: makers[name] for name, found in all_agreed.items()
                if all(found.get(k) == first.get(k) for k in chosen)}

    load, handshakes = alike(keys), alike(keys + counts)
    for name in makers:
        if name not in load:
            say("\n%s is left out: it has not agreed on the same." % name)
        elif name not in handshakes:
            say("\n%s is left out of the handshakes: it sends another number of tickets." % name)
    return load, handshakes
