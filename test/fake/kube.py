#!/usr/bin/env python3
"""A Kubernetes control plane to test against: API server over TLS and controllers, in one
process, with nothing but Python's standard library and the openssl command.

  kube.py FOLDER [--port N] [--version 1.36] [--speed 1.0] [--paper-kubelet]

FOLDER has the certificates and objects, which a second start finds again.  Once the server
accepts connections, FOLDER/ready has {"port", "control"}.  FOLDER/kubeconfig is the
administrator's.  It ends at the end of its standard input.  README.md says how far it behaves
like a real one, and with which versions that was observed."""
import argparse
import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import control
import customs
import kinds
from api import Api
from controllers import Controllers
from http1 import Connection
from paper import PaperKubelet
from store import Store


def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit("kube: openssl %s: %s" % (args[0], done.stderr))


def certificates(folder):
    """ca, server and admin: .crt and .key."""
    at = os.path.join(folder, "pki")
    if os.path.exists(at + "/done"):
        return at
    os.makedirs(at, exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-days", "3650", "-subj", "/CN=fake-ca", "-keyout",
            at + "/ca.key", "-out", at + "/ca.crt")
    for name, subject in (("server", "/CN=kube-apiserver"),
                          ("admin", "/O=system:masters/CN=admin")):
        with open("%s/%s.ext" % (at, name), "w") as f:
            f.write("extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:localhost,"
                    "DNS:kubernetes.default.svc,IP:127.0.0.1,IP:::1\n")
        openssl("req", "-new", *key, "-subj", subject, "-keyout", "%s/%s.key" % (at, name),
                "-out", "%s/%s.csr" % (at, name))
        openssl("x509", "-req", "-in", "%s/%s.csr" % (at, name), "-CA", at + "/ca.crt", "-CAkey",
                at + "/ca.key", "-CAcreateserial", "-days", "3650", "-extfile",
                "%s/%s.ext" % (at, name), "-out", "%s/%s.crt" % (at, name))
    open(at + "/done", "w").close()
    return at


def kubeconfig(pki, port, user):
    return {"apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake",
                                                      "namespace": "default"}}],
            "clusters": [{"name": "fake", "cluster": {
                "server": "https://127.0.0.1:%d" % port, "certificate-authority":
                pki + "/ca.crt"}}],
            "users": [{"name": "fake", "user": user}]}


def write(path, value):
    with open(path + ".new", "w") as f:
        json.dump(value, f)
    os.rename(path + ".new", path)


class Server:
    def __init__(self, args):
        self.folder = os.path.abspath(args.folder)
        self.pki = certificates(self.folder)
        self.store = Store(self.folder + "/objects", customs.kind_of)
        self.api = Api(self.store, tuple(int(v) for v in args.version.split(".")[:2]))
        for name in ("default", "kube-system"):
            if not self.store.find(kinds.NAMESPACE, "", name):
                self.store.create(kinds.NAMESPACE, "", {"metadata": {"name": name, "labels": {
                    "kubernetes.io/metadata.name": name}}, "status": {"phase": "Active"}})
        self.controllers = Controllers(self.store, args.speed, self.api.version)
        self.kubelet = PaperKubelet(self.store, args.speed) if args.paper_kubelet else None
        self.control = control.Control(self)
        self.port = args.port

    def tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pki + "/server.crt", self.pki + "/server.key")
        context.load_verify_locations(self.pki + "/ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def listen(self):
        loop = asyncio.get_running_loop()
        self.listener = await loop.create_server(
            lambda: Connection(self.api.handle, self.api.connections), "127.0.0.1", self.port,
            ssl=self.tls(), backlog=1024, reuse_address=True)
        self.port = self.listener.sockets[0].getsockname()[1]

    async def run(self):
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        await self.listen()
        control_connections = set()
        control_server = await loop.create_server(
            lambda: Connection(self.control.handle, control_connections), "127.0.0.1", 0)
        for signo in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signo, over.set)
        loop.add_reader(0, lambda: os.read(0, 4096) or over.set())
        write(self.folder + "/kubeconfig", kubeconfig(self.pki, self.port, {
            "client-certificate": self.pki + "/admin.crt",
            "client-key": self.pki + "/admin.key"}))
        write(self.folder + "/ready", {"port": self.port, "pid": os.getpid(), "control":
                                       control_server.sockets[0].getsockname()[1]})
        self.controllers.start()
        if self.kubelet:
            self.kubelet.start()
        asyncio.ensure_future(self._bookmarks())
        await over.wait()

    async def _bookmarks(self):
        while True:
            await asyncio.sleep(self.control.bookmark_s)
            self.api.watches.bookmarks()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--version", default="1.36", help="of Kubernetes, to behave like")
    parser.add_argument("--speed", type=float, default=1.0,
                        help="controllers' delays are divided by it")
    parser.add_argument("--paper-kubelet", action="store_true",
                        help="pods get addresses, but no processes")
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    asyncio.run(Server(args).run())


if __name__ == "__main__":
    main()
