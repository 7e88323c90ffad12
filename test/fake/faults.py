"""Faults on demand.

A fault is {"match": {…}, "do": {…}, "times": N, "skip": N}.  match: verb, resource
("deployments/scale"), group, namespace, name, user, is_write: all that are given must be equal.
times: for how many requests (absent: until the fault is removed); skip: after the first N.

do, for requests: one of
  {"status": 429, "retry_after": 1, "message": …}   refuse
  {"delay": seconds}                                answer later
  {"late": seconds}                                 make the answer now, and send it later
  {"hang": true}                                    never answer
  {"reset": true} {"close": true}                   end the connection without an answer
  {"kill": process}                                 send SIGKILL to this process, and never answer
  {"cut": N}                                        N bytes of the answer, then the end
  {"slow": N, "every": seconds}                     the answer in pieces of N bytes
  {"raw": "text"}                                   these bytes in place of an answer
for watches also
  {"ignore_initial": true}                          as if sendInitialEvents were not there
with "perform": true the request is carried out all the same, and only its answer is lost.
"""
import asyncio
import contextlib
import os
import signal

import store as store_


class Faults:
    def __init__(self):
        self.all = {}
        self.last = 0

    def add(self, fault):
        self.last += 1
        self.all[self.last] = {"match": fault.get("match") or {}, "do": fault["do"],
                               "times": fault.get("times"), "skip": fault.get("skip", 0)}
        return self.last

    def remove(self, fault_id=None):
        if fault_id is None:
            self.all.clear()
        else:
            self.all.pop(fault_id, None)

    def find(self, facts):
        """The fault (its "do") for a request with these facts; None: none."""
        for fault_id, f in list(self.all.items()):
            if any(facts.get(k) != v for k, v in f["match"].items()):
                continue
            if f["skip"] > 0:
                f["skip"] -= 1
                continue
            if f["times"] is not None:
                f["times"] -= 1
                if f["times"] <= 0:
                    del self.all[fault_id]
            return f["do"]
        return None


async def play(do, connection, answer):
    """answer(): performs the request and returns its whole answer as bytes."""
    if "delay" in do:
        await asyncio.sleep(do["delay"])
    data = b""
    if do.get("perform") or not {"status", "hang", "reset", "close", "raw", "kill"} & set(do):
        data = answer()
    if "late" in do:
        await asyncio.sleep(do["late"])
    if "kill" in do:
        with contextlib.suppress(ProcessLookupError):
            os.kill(do["kill"], signal.SIGKILL)
        return
    if do.get("hang"):
        return  # the connection stays open
    if do.get("reset"):
        connection.reset()
    elif do.get("close"):
        connection.close()
    elif "raw" in do:
        connection.write(do["raw"].encode())
        connection.close()
    elif "cut" in do:
        connection.write(data[:do["cut"]])
        await asyncio.sleep(0.02)
        connection.close()
    elif "slow" in do:
        for i in range(0, len(data), do["slow"]):
            connection.write(data[i:i + do["slow"]])
            await asyncio.sleep(do.get("every", 0.01))
        connection.done()
    else:
        connection.write(data)
        connection.done()


def refusal(do):
    """The Status that {"status": …} asks for."""
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
               429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable",
               504: "Timeout"}
    messages = {429: "Too many requests, please try again later.",
                503: "the server is currently unable to handle the request"}
    code = do["status"]
    return store_.Refused(code, do.get("reason") or reasons.get(code, "Unknown"),
                          do.get("message") or messages.get(code, "a fault was asked for"),
                          retry_after=do.get("retry_after"))
