"""Several activators on one autoscaler: container_concurrency holds at each instance, counted there,
whatever activator the requests come by, and while activators or the autoscaler end, stop or come
back.  (Promises 3, 5 and 6.)"""
import json
import os
import shutil
import subprocess
import sys
import urllib.request

import pytest

from fakes.activator import FakeActivator
from fleet import ENOUGH, Activator, fleet, services
from helpers import BUILD, ROOT, WAIT_S, stopped, wait_until
from stack import Program, Stack


@pytest.mark.parametrize("cc, instances, n", [(1, 2, 2), (1, 3, 3), (10, 1, 2), (10, 2, 3)])
def test_demand_shifts(tmp_path, cc, instances, n):
    """Slots follow the requests, from one activator to the next; and all have some where all
    have requests."""
    with fleet(tmp_path, cc, instances, n) as (_, activators):
        for a in activators + activators:
            a.load(cc * instances + 2)
            a.wait_served()
            a.calm()
        for a in activators:
            a.load(cc * instances)
        for _ in range(3):
            for a in activators:
                a.wait_served()
        for a in activators:
            a.calm()
            assert a.failed == 0


@pytest.mark.parametrize("cc, instances", [(1, 2), (10, 1)])
def test_killed(tmp_path, cc, instances):
    """The slots of an activator that was killed serve the others after abort_timeout."""
    with fleet(tmp_path, cc, instances, 2) as (_, (a, b)):
        a.load(cc * instances + 2)
        b.load(cc * instances + 2)
        a.wait_served()
        b.wait_served()
        a.kill()
        b.wait_served(3 * ENOUGH)
        a.calm()
        a.failed = 0
        b.calm()
        b.load(cc * instances, ms=300)  # as many as there are slots: b gets all of them
        wait_until(lambda: b.status()["in_flight"] == cc * instances, what="all slots")
        a.start()
        a.load(2)
        a.wait_served()
        b.calm()
        assert b.failed == 0


def test_stopped_in_order(tmp_path):
    """An activator that ends in order leaves all slots to the next one: nothing waits for
    abort_timeout, whether the other one was there before or comes later."""
    with fleet(tmp_path, 1, 2, 2, abort_timeout="24h") as (_, (a, b)):
        for one, other in (a, b), (b, a):
            one.load(4)
            one.wait_served()
            one.calm()  # it has all slots
            one.stop()
            other.load(4)
            other.wait_served()
            other.calm()
            if one is a:
                a.start()
        a.stop()
        b.start()
        b.load(2)
        b.wait_served()
        b.calm()
        assert a.failed == b.failed == 0


def test_frozen(tmp_path):
    """What an activator holds that does not answer stays its own; the rest serves the others."""
    with fleet(tmp_path, 1, 4, 2) as (_, (a, b)):
        a.load(4)
        b.load(4)
        a.wait_served()
        b.wait_served()
        has_served = False
        while not has_served:  # a may hold all of them at that moment
            with stopped(a.program.pid):
                before = b.served
                wait_until(lambda: b.served >= before + 3 * ENOUGH or b.share() == 0)
                has_served = b.served >= before + 3 * ENOUGH
        a.wait_served()
        b.wait_served()


def test_who_holds_what(tmp_path):
    """/status and activatorctl show the slots of each activator, and what its state is."""
    def shares():
        url = "http://127.0.0.1:%d/status?revision=s/v1" % stack.scaler_admin
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return json.loads(answer.read())["revisions"][0]["shares"]

    def holders():
        return {h["id"]: h for h in shares()["activators"]}

    def is_settled():
        found = holders().values()
        return len(found) == 2 and all(
            h["state"] == "connected" and h["held"] == h["share"] for h in found) and sum(
                h["share"] for h in found) == 8 and found

    with fleet(tmp_path, 4, 2, 2) as (stack, (a, b)):
        a.load(9)
        b.load(9)
        a.wait_served()
        b.wait_served()
        b.calm()
        a.calm()
        found = wait_until(is_settled, what="all slots to be shared")
        assert shares()["limit"] == 4
        for h in found:
            assert h["share"] == sum(i["share"] for i in h["instances"])
            assert h["wants"] == 0
        with stopped(a.program.pid):
            silent = wait_until(lambda: [h["id"] for h in holders().values()
                                         if h["state"] == "silent"], what="silence to be seen")
            assert len(silent) == 1
            page = subprocess.run(
                [os.path.join(BUILD, "activatorctl"), "-c", stack.conf, "describe", "s"],
                capture_output=True, text=True, timeout=WAIT_S).stdout
            rows = [line.split() for line in page.splitlines()]
            assert ["ACTIVATOR", "STATE", "SHARE", "HELD", "RECALLED", "WANTS"] in rows, page
            assert [r for r in rows if r[:2] == [silent[0], "silent"]], page
        a.kill()
        wait_until(lambda: silent[0] not in holders(), what="its slots to be free")
        wait_until(lambda: [h["share"] for h in holders().values()] == [8], what="one to have all")
        a.start()


def test_autoscaler_restarts(tmp_path):
    """While there is no autoscaler each activator keeps its share.  The next one learns what they
    hold before it gives out anything."""
    with fleet(tmp_path, 1, 4, 2) as (stack, (a, b)):
        a.load(4)
        b.load(4)
        a.wait_served()
        b.wait_served()
        for _ in range(3):
            stack.autoscaler.kill()
            for x in a, b:
                if x.share() > 0:
                    x.wait_served()
            stack.start_autoscaler()
            a.wait_served()
            b.wait_served()
        a.calm()
        b.wait_served()
        b.calm()
        a.load(6)
        a.wait_served()
        a.calm()
        assert a.failed == b.failed == 0


def test_autoscaler_restarts_without_one(tmp_path):
    """An activator is killed while there is no autoscaler: the next one sees that it has ended."""
    with fleet(tmp_path, 1, 2, 2) as (stack, (a, b)):
        a.load(2)
        a.wait_served()  # a has all slots
        stack.autoscaler.kill()
        a.kill()
        a.calm()
        stack.start_autoscaler()
        b.load(2)
        b.wait_served()
        b.calm()
        assert b.failed == 0


def test_limit_changes(tmp_path):
    """A reload changes container_concurrency, also from and to none, under load."""
    with fleet(tmp_path, 4, 1, 2) as (stack, (a, b)):
        a.load(6)
        b.load(6)
        limit = 4
        for new in 1, 0, 2, 3:
            a.wait_served()
            b.wait_served()
            stack.reload("container_concurrency = %d " % limit, "container_concurrency = %d " % new)
            limit = new
            if limit > 0:  # and not for the moment in which a slot moves
                wait_until(lambda: 0 < a.share() + b.share() <= limit, what="the limit")
        a.wait_served()
        b.wait_served()
        a.calm()
        b.calm()
        assert a.failed == b.failed == 0
        stack.is_counted = False  # without a limit there were more


def test_cold_starts(tmp_path):
    """A revision wakes for whichever activator has the request, and its slot moves."""
    with fleet(tmp_path, 1, 0, 2) as (stack, (a, b)):
        for one, other in (a, b), (b, a), (b, a):
            for x in one, other, one:
                x.load(1)
                x.wait_served(3)
                x.calm()
            wait_until(lambda: not stack.instances(), what="scale to zero")
        assert a.failed == b.failed == 0


# --- in another container

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def may_unshare():
    return shutil.which("unshare") and subprocess.run(
        UNSHARE + ["true"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="there is no name space of processes here")
@pytest.mark.parametrize("autoscaler_is", ["there", "away"])
def test_an_autoscaler_that_does_not_see_the_activators(tmp_path, autoscaler_is):
    """It knows when the process of an activator has ended, though not by its number."""
    def start_autoscaler():
        stack.autoscaler = Program("autoscaler", stack.conf, stack.path + "/autoscaler.log",
                                   behind=UNSHARE)

    stack = Stack(tmp_path, services(1, 2, "500ms"))
    activators = [Activator(stack, "activator%d" % i) for i in range(2)]
    a, b = activators
    try:
        start_autoscaler()
        for x in activators:
            x.start()
            x.load(3)
        for x in activators:
            x.wait_served()
        assert stack.autoscaler.text().count("activator connected") == 2
        assert "pid=0 " in stack.autoscaler.text()
        if autoscaler_is == "away":
            stack.autoscaler.kill()  # the name space ends with it, and the instances
        a.kill()
        a.calm()
        if autoscaler_is == "away":
            start_autoscaler()
        wait_until(lambda: b.share() == 2, what="b to have all slots")
        b.wait_served()
        assert "its process counts as ended" not in stack.autoscaler.text()
    finally:
        for x in activators:
            x.is_over.set()
            if x.program is not None:
                x.program.kill()
        stack.autoscaler.kill()
        stack.stop()


# --- one that does not know shares

def test_older_one_beside_others(tmp_path):
    """It gets no instances while another activator may use them."""
    with fleet(tmp_path, 1, 1, 1) as (stack, (a,)):
        a.load(2)
        a.wait_served()
        older = FakeActivator(stack.path + "/s")
        older.wait_described()
        older.serve_for(1)
        assert older.states("s/v1") is None
        a.wait_served()
        older.close()


OLDER = """
import sys
sys.path.insert(0, %r)
from fakes.activator import FakeActivator
fake = FakeActivator(sys.argv[1])
fake.wait_described()
fake.wait_states("s/v1", len)
print("has all", flush=True)
fake.serve_for(3600)
""" % os.path.join(ROOT, "test/system")


def test_older_one_first(tmp_path):
    """It has all slots until its process has ended."""
    with fleet(tmp_path, 1, 1, 0) as (stack, _):
        older = subprocess.Popen([sys.executable, "-c", OLDER, stack.path + "/s"],
                                 stdout=subprocess.PIPE)
        try:
            assert older.stdout.readline() == b"has all\n"
            a = Activator(stack, "activator").start()
            try:
                a.load(2)
                wait_until(lambda: a.status()["queued"] == 2, what="requests to be parked")
                assert a.served == 0
                older.kill()
                a.wait_served()
            finally:
                a.is_over.set()
                a.stop()
        finally:
            older.kill()
            older.wait()
            older.stdout.close()
