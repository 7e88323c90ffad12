#!/usr/bin/env python3
"""A kubelet: runs the pods of one node as processes of this machine, and reports their status to
the control plane that the kubeconfig names, a real one or the fake.

  kubelet.py --kubeconfig FILE --node NAME --namespace NAME [--app PROGRAM] [--log FILE]

A container is a process (`command` and `args`, or PROGRAM).  Its environment has ADDRESS, an
address of 127/8 that only this pod has, in place of a network namespace, and PORT.  On SIGTERM,
or at the end of its standard input, the kubelet ends all processes and then itself; the pods
stay in the API.

Annotations of a pod change what it does: kubelet.test/start (seconds until the containers
start), /report (seconds until that is reported), /address (the pod's address), /addresses
(several, with commas), /backoff (seconds of the first crash back-off)."""
import argparse
import asyncio
import base64
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import podstatus
from client import Answer, Client, Kubeconfig

START_S, BACKOFF_S, PULL_S = 0.02, 10, 10
MERGE = "application/merge-patch+json"


class Network:
    """127.A.B.0/24.  A UDP port bound there reserves the network for this process."""

    def __init__(self):
        self.claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            a, b = os.urandom(2)
            self.base = "127.%d.%d." % (16 + a % 48, b)
            try:
                self.claim.bind((self.base + "254", 1971))
                break
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise
        self.last, self.used = 0, set()

    def take(self):
        for _ in range(250):
            self.last = self.last % 250 + 1
            if self.last not in self.used:
                self.used.add(self.last)
                return self.base + str(self.last)
        raise SystemExit("kubelet: no address is left in %s0/24" % self.base)

    def give_back(self, address):
        if address.startswith(self.base):
            self.used.discard(int(address.rpartition(".")[2]))


class Tail:
    """The last of what a container writes, which also goes to the kubelet's output."""

    MOST = 2048

    def __init__(self, output):
        self.output, self.last = output, b""
        self.fd, self.write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        asyncio.get_running_loop().add_reader(self.fd, self.read)

    def read(self):
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
            return False
        if self.output is not subprocess.DEVNULL:
            os.write(self.output.fileno(), data)
        self.last = (self.last + data)[-self.MOST:]
        return True

    def text(self):
        while self.fd >= 0 and self.read():
            pass
        return self.last.decode(errors="replace")


class Pod:
    """One pod, from its first event to its end."""

    def __init__(self, kubelet, pod):
        self.kubelet, self.pod = kubelet, pod
        meta = pod["metadata"]
        self.path = "/api/v1/namespaces/%s/pods/%s" % (meta["namespace"], meta["name"])
        self.name, self.uid = meta["name"], meta["uid"]
        self.specs = pod["spec"]["containers"]
        self.containers = [podstatus.Container(c["name"], c["image"]) for c in self.specs]
        self.processes, self.addresses, self.is_ending = {}, [], False
        self.lock, self.reported = asyncio.Lock(), None
        kubelet.all.add(self)
        self.tasks = [asyncio.ensure_future(self.run())]

    # ---- its status
    async def report(self):
        """Write the newest status; a state that has been replaced meanwhile is not written."""
        async with self.lock:
            value = podstatus.status(self.pod, self.containers, self.addresses)
            if value != self.reported:
                self.reported = value
                try:
                    pod = await self.kubelet.client.insist("PATCH", self.path + "/status", {
                        "metadata": {"uid": self.uid}, "status": value}, MERGE)
                except Answer as e:
                    if e.code != 422:  # another pod has the name
                        raise
                    pod = None
                if pod:
                    self.pod = {**self.pod, "status": pod["status"]}

    # ---- its life
    async def run(self):
        await self.report()
        await asyncio.sleep(podstatus.setting(self.pod, "start", START_S))
        for i, spec in enumerate(self.specs):
            await self.await_no_problem(i, spec)
        asked = podstatus.setting_text(self.pod, "addresses") or \
            podstatus.setting_text(self.pod, "address")
        addresses = asked.split(",") if asked else [self.kubelet.network.take()]
        self.own = addresses
        for i in range(len(self.specs)):
            self.start(i, addresses)
        await asyncio.sleep(podstatus.setting(self.pod, "report", 0))
        self.addresses = addresses
        for i, spec in enumerate(self.specs):
            if "livenessProbe" in spec:
                self.tasks.append(asyncio.ensure_future(self.look_alive(i, spec)))
            if "readinessProbe" in spec or "startupProbe" in spec:
                self.tasks.append(asyncio.ensure_future(self.probe(i, spec)))
            elif i in self.processes:
                self.containers[i].is_ready = True
        await self.report()
        self.kubelet.note("reported", self.name, address=addresses[0])

    def start_problem(self, spec):
        return podstatus.start_problem(self.pod, spec, self.known)

    def known(self, kind, name):
        return self.kubelet.known.get((self.pod["metadata"]["namespace"], kind, name))

    async def await_no_problem(self, i, spec):
        while True:
            for kind, name, _ in podstatus.references(spec):
                await self.kubelet.look_up(self.pod["metadata"]["namespace"], kind, name)
            found = self.start_problem(spec)
            if found is None:
                return
            self.containers[i].wait(*found)
            await self.report()
            later = podstatus.after_back_off(found[0], spec["image"])
            await asyncio.sleep(min(podstatus.setting(self.pod, "backoff", PULL_S), PULL_S) / 4)
            if later:
                self.containers[i].wait(*later)
                await self.report()
                await asyncio.sleep(podstatus.setting(self.pod, "backoff", PULL_S))

    def environment(self, spec, addresses):
        env = dict(os.environ, ADDRESS=addresses[0], HOSTNAME=self.name)
        ports = spec.get("ports") or []
        if ports:
            env["PORT"] = str(ports[0]["containerPort"])
        for source in spec.get("envFrom") or []:
            for field, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
                if field in source:
                    env.update({source.get("prefix", "") + k: v for k, v in self.values(
                        kind, source[field]["name"]).items()})
        for e in spec.get("env") or []:
            value = self.value(e, addresses)
            if value is not None:
                env[e["name"]] = value
        return env

    def values(self, kind, name):
        """The values of a ConfigMap or Secret."""
        data = (self.known(kind, name) or {}).get("data") or {}
        if kind == "configmap":
            return data
        return {k: base64.b64decode(v).decode() for k, v in data.items()}

    def value(self, e, addresses):
        """Of a variable of the environment; None: there is none, and it is optional."""
        source = e.get("valueFrom") or {}
        for field, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
            if field in source:
                return self.values(kind, source[field]["name"]).get(source[field]["key"])
        return {"status.podIP": addresses[0], "metadata.name": self.name}.get(
            (source.get("fieldRef") or {}).get("fieldPath"), e.get("value", ""))

    def start(self, i, addresses):
        if self.is_ending:  # wait_for() may have swallowed the cancellation of this task
            return
        spec, container = self.specs[i], self.containers[i]
        env = self.environment(spec, addresses)
        argv = [re.sub(r"\$\((\w+)\)", lambda m: env.get(m[1], m[0]), a) for a in
                (spec.get("command") or [self.kubelet.app]) + (spec.get("args") or [])]
        tail = None
        if spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            tail = Tail(self.kubelet.output)
        out = tail.write_fd if tail else self.kubelet.output
        try:
            p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        except OSError as e:
            container.wait("RunContainerError", "failed to start container: exec: %s: %s"
                           % (argv[0], e.strerror))
            return
        finally:
            if tail:
                os.close(tail.write_fd)
        self.processes[i] = p
        container.run("containerd://%d-%s" % (p.pid, os.urandom(8).hex()),
                      "startupProbe" not in spec)
        self.kubelet.note("runs", self.name, address=addresses[0], process=p.pid)
        fd = os.pidfd_open(p.pid)
        asyncio.get_running_loop().add_reader(fd, self.on_end, i, p, fd, tail)

    def on_end(self, i, p, fd, tail):
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)
        code = p.wait()
        self.containers[i].end(code if code >= 0 else 128 - code,
                               tail.text() if tail and code != 0 else "")
        del self.processes[i]
        if self.is_ending:
            return
        self.tasks.append(asyncio.ensure_future(self.restart(i)))

    async def restart(self, i):
        """At once after the first time, then with a back-off that doubles."""
        c = self.containers[i]
        await self.report()
        c.last = c.state
        if c.restarts > 0:
            base = podstatus.setting(self.pod, "backoff", BACKOFF_S)
            wait_s = min(base * 2 ** (c.restarts - 1), 300)
            c.wait("CrashLoopBackOff", "back-off %ds restarting failed container=%s pod=%s"
                   % (wait_s, c.name, self.name))
            await self.report()
            await asyncio.sleep(wait_s)
        c.restarts += 1
        self.start(i, self.own)
        c.is_ready = i in self.processes and not {"readinessProbe", "startupProbe"} & set(
            self.specs[i])
        await self.report()

    # ---- probes
    async def await_start(self, i, spec):
        """Until the startupProbe has succeeded.  Its failureThreshold, at which a kubelet ends the
        container, is without effect."""
        c, probe = self.containers[i], spec.get("startupProbe")
        while "running" not in c.state or not c.has_started:
            if i in self.processes and await self.probe_once(spec, probe):
                c.has_started = "running" in c.state
                c.is_ready = c.has_started and "readinessProbe" not in spec
                await self.report()
            else:
                await asyncio.sleep(probe.get("periodSeconds", 10) if probe else 0.05)

    async def probe(self, i, spec):
        good, bad = 0, 0
        await asyncio.sleep((spec.get("startupProbe") or spec["readinessProbe"]).get(
            "initialDelaySeconds", 0))
        while True:
            await self.await_start(i, spec)
            probe = spec.get("readinessProbe")
            if probe is None:
                await asyncio.sleep(0.05)
                continue
            is_good = i in self.processes and await self.probe_once(spec, probe)
            good, bad = (good + 1, 0) if is_good else (0, bad + 1)
            c = self.containers[i]
            was_ready = c.is_ready
            if good >= probe.get("successThreshold", 1):
                c.is_ready = "running" in c.state
            elif bad >= probe.get("failureThreshold", 3):
                c.is_ready = False
            if c.is_ready != was_ready:
                await self.report()
            await asyncio.sleep(probe.get("periodSeconds", 10))

    async def look_alive(self, i, spec):
        """End the container when its livenessProbe has failed so often."""
        probe, bad, process = spec["livenessProbe"], 0, None
        while True:
            await asyncio.sleep(probe.get("periodSeconds", 10) if process else
                                probe.get("initialDelaySeconds", 0) or 0.05)
            now = self.processes.get(i) if self.containers[i].has_started else None
            if now is None or now is not process:
                process, bad = now, 0
                continue
            bad = 0 if await self.probe_once(spec, probe) else bad + 1
            if bad >= probe.get("failureThreshold", 3) and self.processes.get(i) is process:
                self.kubelet.note("unhealthy", self.name)
                process.kill()

    async def probe_once(self, spec, probe):
        if "exec" in probe:
            p = await asyncio.create_subprocess_exec(*probe["exec"]["command"],
                                                     env=self.environment(spec, self.own))
            return await p.wait() == 0
        how = probe.get("httpGet") or probe.get("tcpSocket")
        port = how["port"]
        if isinstance(port, str) and not port.isdigit():
            port = next(p["containerPort"] for p in spec["ports"] if p.get("name") == port)
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(self.own[0], int(port)), probe.get("timeoutSeconds", 1))
        except (OSError, asyncio.TimeoutError):
            return False
        try:
            if "httpGet" not in probe:
                return True
            fields = "".join("%s: %s\r\n" % (f["name"], f["value"])
                             for f in how.get("httpHeaders") or [])
            writer.write(("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kube-probe/1.36\r\n%s"
                          "Connection: close\r\n\r\n" % (how.get("path", "/"), self.own[0], fields)
                          ).encode())
            line = await asyncio.wait_for(reader.readline(), probe.get("timeoutSeconds", 1))
            return line.split()[1:2] and 200 <= int(line.split()[1]) < 400
        except (OSError, asyncio.TimeoutError):
            return False
        finally:
            writer.close()

    # ---- its end
    def end(self, grace_s):
        if not self.is_ending:
            self.is_ending = True
            asyncio.ensure_future(self.stop(grace_s))

    async def stop(self, grace_s):
        self.kubelet.note("term", self.name)
        for task in self.tasks:
            task.cancel()
        begun = time.monotonic()
        await asyncio.gather(*(self.before_stop(i, spec, grace_s)
                               for i, spec in enumerate(self.specs) if i in self.processes))
        await self.end_processes(max(grace_s - (time.monotonic() - begun), min(grace_s, 2)))
        await self.kubelet.client.insist("DELETE", self.path, {
            "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.uid}})
        self.kubelet.all.discard(self)
        self.kubelet.note("gone", self.name)

    async def before_stop(self, i, spec, grace_s):
        """The container's preStop: sleep or exec."""
        hook = (spec.get("lifecycle") or {}).get("preStop") or {}
        if "sleep" in hook:
            await asyncio.sleep(min(hook["sleep"]["seconds"], grace_s))
        elif "exec" in hook:
            p = await asyncio.create_subprocess_exec(*hook["exec"]["command"],
                                                     env=self.environment(spec, self.own))
            try:
                await asyncio.wait_for(p.wait(), grace_s)
            except asyncio.TimeoutError:
                p.kill()
                await p.wait()

    async def end_processes(self, grace_s):
        for p in self.processes.values():
            p.terminate()
        until = time.monotonic() + grace_s
        while self.processes and time.monotonic() < until:
            await asyncio.sleep(0.005)
        for p in list(self.processes.values()):
            p.kill()
        while self.processes:
            await asyncio.sleep(0.005)
        for address in getattr(self, "own", ()):
            self.kubelet.network.give_back(address)


class Kubelet:
    def __init__(self, args):
        self.node, self.namespace, self.app = args.node, args.namespace, args.app
        self.client = Client(Kubeconfig(args.kubeconfig))
        self.network, self.pods, self.known = Network(), {}, {}
        self.all = set()  # with those that are being ended
        self.log = open(args.log, "a", buffering=1) if args.log else None
        self.output = open(args.output, "ab") if args.output else subprocess.DEVNULL

    def note(self, what, pod, **more):
        if self.log:
            self.log.write(json.dumps({"t": time.monotonic_ns(), "what": what, "pod": pod,
                                       **more}) + "\n")

    async def look_up(self, namespace, kind, name):
        path = "/api/v1/namespaces/%s/%ss/%s" % (namespace, kind, name)
        self.known[(namespace, kind, name)] = await self.client.insist("GET", path)

    def take(self, what, pod):
        uid = pod["metadata"]["uid"]
        mine = self.pods.get(uid)
        if what == "DELETED":
            if mine is not None:
                mine.end(0)
                del self.pods[uid]
        elif "deletionTimestamp" in pod["metadata"]:
            if mine is None:
                mine = self.pods[uid] = Pod(self, pod)
            mine.end(pod["metadata"].get("deletionGracePeriodSeconds", 30))
        elif mine is None:
            self.pods[uid] = Pod(self, pod)

    async def follow(self):
        base = "/api/v1%s/pods?fieldSelector=spec.nodeName%%3D%s" % (
            "/namespaces/" + self.namespace if self.namespace else "", self.node)
        while True:
            try:
                found = await self.client.call("GET", base)
                for gone in set(self.pods) - {p["metadata"]["uid"] for p in found["items"]}:
                    self.take("DELETED", self.pods[gone].pod)
                for pod in found["items"]:
                    self.take("ADDED", pod)
                self.note("listed", "", n=len(found["items"]))
                rv = found["metadata"]["resourceVersion"]
                async for event in self.client.watch("%s&watch=1&resourceVersion=%s" % (base, rv)):
                    if event["type"] == "ERROR":
                        break
                    self.take(event["type"], event["object"])
            except (OSError, EOFError, ValueError, asyncio.TimeoutError, Answer):
                pass
            await asyncio.sleep(0.05)

    async def ready_node(self):
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node}}
        await self.client.insist("POST", "/api/v1/nodes", node)
        await self.client.insist("PATCH", "/api/v1/nodes/%s/status" % self.node, {"status": {
            "capacity": {"cpu": "64", "memory": "64Gi", "pods": "1000"},
            "allocatable": {"cpu": "64", "memory": "64Gi", "pods": "1000"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                            "message": "kubelet is posting ready status"}]}}, MERGE)
        # A new node has the taint not-ready, which the node lifecycle controller would remove.
        await self.client.insist("PATCH", "/api/v1/nodes/" + self.node,
                                 {"spec": {"taints": None}}, MERGE)

    async def run(self):
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        for signo in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signo, over.set)
        loop.add_reader(0, lambda: os.read(0, 4096) or over.set())
        await self.ready_node()
        follower = asyncio.ensure_future(self.follow())
        await over.wait()
        follower.cancel()
        for pod in self.all:
            pod.is_ending = True
            for task in pod.tasks:
                task.cancel()
        await asyncio.gather(*(p.end_processes(1) for p in self.all))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True, help="in JSON")
    parser.add_argument("--node", default="n1")
    parser.add_argument("--namespace", default="default", help="\"\": all of them")
    parser.add_argument("--app", help="what a container without a command runs")
    parser.add_argument("--log", help="what happened and when, a JSON object a line")
    parser.add_argument("--output", help="where the containers' output goes")
    asyncio.run(Kubelet(parser.parse_args()).run())


if __name__ == "__main__":
    main()
