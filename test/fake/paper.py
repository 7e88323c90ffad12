"""A kubelet that runs no processes: pods get addresses and become ready.  For tests with thousands
of pods."""
import asyncio

import kinds
import podstatus

NODE = "paper"


class PaperKubelet:
    def __init__(self, store, speed):
        self.store = store
        self.delays = {"start": 0.5 / speed, "ready": 0.0, "stop": 0.1 / speed}
        self.last = 0
        self.scheduled = set()

    def start(self):
        if not self.store.find(kinds.NODE, "", NODE):
            self.store.create(kinds.NODE, "", {"metadata": {"name": NODE}, "status": {
                "allocatable": {"cpu": "100000", "memory": "100Ti", "pods": "1000000"},
                "conditions": [{"type": "Ready", "status": "True"}]}})
        self.store.listeners.append(self.on_change)
        for entry in self.store.all(kinds.POD):
            self.on_change("ADDED", kinds.POD, entry, None)

    def later(self, what, seconds, entry):
        """Schedule a step, once for each pod."""
        key = (what, entry.meta["uid"])
        if key not in self.scheduled:
            self.scheduled.add(key)
            asyncio.get_running_loop().call_later(seconds, self.step, what, entry.key,
                                                  entry.meta["uid"])

    def on_change(self, what, kind, new, old):
        if kind is not kinds.POD or new.data["spec"].get("nodeName") != NODE:
            return
        if what == "DELETED":
            self.scheduled -= {(w, new.meta["uid"]) for w in ("run", "ready", "stop")}
        elif "deletionTimestamp" in new.meta:
            self.later("stop", self.delays["stop"], new)
        elif not (new.data.get("status") or {}).get("podIP"):
            self.later("run", podstatus.setting(new.data, "start", self.delays["start"]), new)
        elif not podstatus.is_ready(new.data):
            self.later("ready", self.delays["ready"], new)

    def step(self, what, key, uid):
        entry = self.store.find(kinds.POD, *key)
        if entry is None or entry.meta["uid"] != uid:
            return
        if what == "stop":
            self.store.delete(entry, 0)
            return
        pod = entry.data
        if "deletionTimestamp" in entry.meta:
            return
        containers = [podstatus.Container(c["name"], c["image"])
                      for c in pod["spec"]["containers"]]
        for c in containers:
            c.run("containerd://" + uid)
            c.is_ready = what == "ready" or not any(
                "readinessProbe" in s for s in pod["spec"]["containers"])
        address = (pod.get("status") or {}).get("podIP")
        if address is None:
            self.last += 1
            address = podstatus.setting_text(pod, "address") or "127.%d.%d.%d" % (
                64 + (self.last >> 16 & 63), self.last >> 8 & 255, self.last & 255)
        self.store.set_status(entry, podstatus.status(pod, containers, [address]))
