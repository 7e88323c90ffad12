"""Open watches: which events each of them gets, and how these are written."""
import asyncio
import collections
import time

import kinds
import store as store_
from http1 import chunk


def event(what, obj_bytes):
    return b'{"type":"%s","object":%s}\n' % (what.encode(), obj_bytes)


def bookmark(kind, rv, is_initial_end=False):
    """A BOOKMARK line; its object is almost empty, as a real server's is."""
    obj = {"kind": kind.kind, "apiVersion": kinds.api_version(kind),
           "metadata": {"resourceVersion": str(rv), "creationTimestamp": None}}
    if is_initial_end:
        obj["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
    if kind is kinds.POD:
        obj.update(spec={"containers": None}, status={})
    if kind in kinds.LABEL_SELECTOR:
        obj.update(spec={"selector": None, "template": {"metadata": {}, "spec": {
            "containers": None}}}, status={})
    return event("BOOKMARK", store_.encode(obj))


class Watch:
    def __init__(self, watches, connection, kind, namespace, selector, bookmarks, seconds, note):
        self.watches, self.connection = watches, connection
        self.kind, self.namespace, self.selector = kind, namespace, selector
        self.bookmarks, self.note = bookmarks, note
        self.mode, self.waiting = {}, []
        self.pieces = None  # a task that sends in pieces
        self.timer = asyncio.get_running_loop().call_later(seconds, self.end)
        connection.on_lost = self.forget

    def facts(self):
        return {"resource": self.kind.plural, "group": self.kind.group, "namespace": self.namespace,
                "user": self.note.get("user"), "selector": self.note["query"].get("labelSelector"),
                "fields": self.note["query"].get("fieldSelector")}

    def send(self, line):
        self.note["events"] = self.note.get("events", 0) + 1
        if self.mode.get("stall"):
            self.waiting.append(line)
        elif "half" in self.mode:
            self.connection.write(chunk(line[:int(len(line) * self.mode["half"])]))
            self.end(cut=True)
        elif "split" in self.mode:
            self.waiting.append(line)
            if self.pieces is None:
                self.pieces = asyncio.ensure_future(self._split())
        else:
            self.connection.write(chunk(line))

    async def _split(self):
        """Write the waiting lines in pieces that split lines and characters."""
        while self.waiting:
            line, n = self.waiting.pop(0), self.mode.get("split", 7)
            for i in range(0, len(line), n):
                self.connection.write(chunk(line[i:i + n]))
                await asyncio.sleep(self.mode.get("every", 0.0005))
        self.pieces = None

    def set(self, do):
        """A fault of the control endpoint's method watch."""
        if do.get("gone"):
            self.send(error(store_.expired(1, 2)))
            self.end()
        elif "error" in do:
            self.send(error(store_.Refused(do["error"], do.get("reason", "InternalError"),
                                           do.get("message", "a fault was asked for"))))
            self.end()
        elif do.get("end"):
            self.end()
        elif do.get("cut"):
            self.end(cut=True)
        elif do.get("reset"):
            self.connection.reset()
        elif "raw" in do:
            self.connection.write(chunk(do["raw"].encode()))
        elif do.get("go_on"):
            self.mode, waiting = {}, self.waiting
            self.waiting = []
            for line in waiting:
                self.send(line)
        else:
            self.mode = do

    def end(self, cut=False):
        """End the answer; cut: close the connection within it."""
        connection = self.connection
        self.forget()
        if cut:
            connection.close()
        else:
            connection.write(b"0\r\n\r\n")
            connection.done()

    def forget(self):
        self.timer.cancel()
        self.connection.on_lost = None
        self.watches.remove(self)


def error(refused):
    return event("ERROR", store_.encode(refused.status()))


class Watches:
    def __init__(self, store):
        self.store, self.all = store, {}
        self.by_kind = collections.defaultdict(dict)     # those without an index
        self.by_index = collections.defaultdict(dict)    # (kind, name, value) -> watches
        self.addressed = {}  # pod -> when its address was sent to watches (monotonic ns)
        store.listeners.append(self.on_change)

    def add(self, watch):
        index = watch.selector.index()
        where = self.by_kind[watch.kind] if index is None else \
            self.by_index[(watch.kind,) + index]
        where[watch] = True
        self.all[watch] = where

    def remove(self, watch):
        where = self.all.pop(watch, None)
        if where is not None:
            where.pop(watch, None)

    def _candidates(self, kind, new, old):
        found = dict(self.by_kind[kind])
        for entry in (new, old):
            if entry is None:
                continue
            for pair in list(entry.labels.items()) + [("metadata.name", entry.key[1]),
                                                      ("metadata.namespace", entry.key[0])]:
                found.update(self.by_index.get((kind,) + pair, ()))
        return found

    def on_change(self, what, kind, new, old):
        lines = {}
        if kind is kinds.POD and (new.data.get("status") or {}).get("podIP"):
            self.addressed.setdefault(new.key[1], time.monotonic_ns())
        for watch in self._candidates(kind, new, old):
            seen = seen_as(what, new, old, watch.namespace, watch.selector)
            if seen is not None:
                if seen not in lines:
                    lines[seen] = event(seen, new.raw())
                watch.send(lines[seen])

    def bookmarks(self):
        for watch in list(self.all):
            if watch.bookmarks:
                watch.send(bookmark(watch.kind, self.store.rv))

    def matching(self, match):
        return [w for w in list(self.all)
                if all(w.facts().get(k) == v for k, v in match.items())]


def seen_as(what, new, old, namespace, selector):
    """The type of the event that a watch on these objects gets for a change; None: it gets none."""
    if namespace and new.key[0] != namespace:
        return None
    is_in = what != "DELETED" and selector.matches(new)
    was_in = old is not None and selector.matches(old)
    if is_in:
        return "MODIFIED" if was_in else "ADDED"
    return "DELETED" if was_in else None
