"""Several autoscalers with one Lease (the key lease_name): one decides, the others stand by."""
import contextlib
import os
import signal
import time

import pytest

from cluster import IS_REAL, SLOW, Refusal, cluster
from helpers import wait_until
from kube_rights import account_config, apply_manifest
from kube_stack import driver, fake_only, service
from stack import Stack

LEASES = "/apis/coordination.k8s.io/v1/namespaces/%s/leases"
TAKEN_WITHIN = 6 * SLOW  # seconds


def lease(kube):
    """spec of the Lease; {}: there is none."""
    try:
        return kube.api.call("GET", LEASES % kube.namespace + "/a")["spec"]
    except Refusal as e:
        assert e.code == 404
        return {}


def is_leader(stack):
    try:
        return stack.metrics(stack.scaler_admin)["autoscaler_leader"] == 1
    except (OSError, KeyError):
        return False


@contextlib.contextmanager
def replicas(path, kube, n):
    """n stacks with the service d, not started.  Where the with block fails, the ends of their
    logs are printed."""
    kube.workload("d")
    stacks = []
    for i in range(n):
        os.mkdir("%s/%d" % (path, i))
        stacks.append(Stack("%s/%d" % (path, i), service("d", kube), autoscaler=driver(
            kube, more='lease_name = "%s/a"' % kube.namespace)))
    try:
        yield stacks
    except BaseException:
        for s in stacks:
            for p in (s.activator, s.autoscaler):
                if p is not None:
                    print("--- %s %s\n%s" % (s.path, p.name, p.text()[-5000:]))
        raise
    finally:
        for s in stacks:
            s.stop()


def start_standby(s):
    """Start both programs of a stack that is not to lead."""
    s.start_autoscaler()
    s.start_activator()
    wait_until(lambda: "standing=follower" in s.autoscaler.text(), what="a follower")
    wait_until(lambda: s.readyz() == 503, what="an activator that is not ready")


def opened(s):
    """Has its autoscaler opened what decides and writes?"""
    return "kubernetes driver started" in s.autoscaler.text()


def test_one_of_several_decides(tmp_path):
    with cluster(tmp_path) as kube, replicas(tmp_path, kube, 3) as (a, b, c):
        a.start()
        for s in b, c:
            start_standby(s)
        holder = lease(kube)["holderIdentity"]
        assert a.get("d")[0] == 200
        assert is_leader(a)
        for s in b, c:
            assert s.metrics(s.scaler_admin)["autoscaler_leader"] == 0
            assert not opened(s) and s.readyz() == 503
        assert lease(kube)["holderIdentity"] == holder


def test_an_orderly_stop_releases_the_lease(tmp_path):
    with cluster(tmp_path) as kube, replicas(tmp_path, kube, 2) as (a, b):
        a.start()
        start_standby(b)
        term = lease(kube)["leaseTransitions"]
        begun = time.monotonic()
        assert a.autoscaler.stop() == 0
        wait_until(lambda: is_leader(b), what="the next leader")
        assert time.monotonic() - begun < 4 * SLOW  # sooner than after the Lease's duration
        assert lease(kube)["leaseTransitions"] == term + 1
        b.wait_ready()
        assert b.get("d")[0] == 200


def test_a_killed_leader_is_followed_within_six_seconds(tmp_path):
    with cluster(tmp_path) as kube, replicas(tmp_path, kube, 3) as (a, b, c):
        a.start()
        assert a.get("d")[0] == 200
        for s in b, c:
            start_standby(s)
        begun = time.monotonic()
        a.autoscaler.kill()
        wait_until(lambda: is_leader(b) or is_leader(c), what="the next leader")
        assert time.monotonic() - begun < TAKEN_WITHIN
        b, c = (b, c) if is_leader(b) else (c, b)
        b.wait_ready()
        assert b.get("d")[0] == 200
        assert not is_leader(c) and not opened(c)


def test_a_leader_that_was_stopped_leaves_without_a_write(tmp_path):
    with cluster(tmp_path) as kube, replicas(tmp_path, kube, 2) as (a, b):
        a.start()
        start_standby(b)
        a.autoscaler.kill(signal.SIGSTOP)
        # When it goes on, it reads of a parked request before it hears of the other leader.
        client = a.connect()
        try:
            client.request("GET", "/", "d")
            wait_until(lambda: a.metric("activator_parked") == 1, what="a parked request")
            wait_until(lambda: is_leader(b), what="the next leader")
            b.wait_ready()
        finally:
            a.autoscaler.kill(signal.SIGCONT)
        assert a.autoscaler.process.wait(10 * SLOW) == 0
        client.close()
        assert "the Lease was lost: exiting" in a.autoscaler.text()
        if not IS_REAL:
            assert kube.scalings("d") == []
        assert is_leader(b)
        assert b.get("d")[0] == 200
        # Started anew, it stands by.
        a.start_autoscaler()
        wait_until(lambda: a.autoscaler.text().count("standing=follower") > 0, what="a follower")
        assert is_leader(b)


@fake_only
def test_an_api_server_that_is_away_changes_no_leader(tmp_path):
    with cluster(tmp_path) as kube, replicas(tmp_path, kube, 2) as (a, b):
        a.start()
        start_standby(b)
        assert a.get("d")[0] == 200
        before = lease(kube)
        kube.kill(signal.SIGSTOP)
        try:
            wait_until(lambda: not is_leader(a), what="a leader that has not renewed in time")
            wait_until(lambda: "cannot reach the Lease" in b.autoscaler.text(),
                       what="a follower that tries to take it")
            assert not is_leader(b)
            assert a.readyz() == 200 and a.get("d")[0] == 200
        finally:
            kube.kill(signal.SIGCONT)
        wait_until(lambda: is_leader(a) or is_leader(b), what="a leader")
        after = lease(kube)
        leader = a if is_leader(a) else b
        assert after["leaseTransitions"] == before["leaseTransitions"] + (leader is b)
        leader.wait_ready()
        assert leader.get("d")[0] == 200


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_a_follower_stops_at_once(tmp_path, signo):
    with cluster(tmp_path) as kube, replicas(tmp_path, kube, 2) as (a, b):
        a.start()
        start_standby(b)
        b.autoscaler.kill(signal.SIGHUP)
        wait_until(lambda: "has not started yet" in b.autoscaler.text(), what="a refusal")
        b.autoscaler.kill(signo)
        assert b.autoscaler.process.wait(2 * SLOW) == 0
        assert is_leader(a)


@fake_only
def test_a_deleted_lease_is_created_anew(tmp_path):
    with cluster(tmp_path) as kube, replicas(tmp_path, kube, 2) as (a, b):
        a.start()
        start_standby(b)
        term = lease(kube)["leaseTransitions"]
        kube.api.call("DELETE", LEASES % kube.namespace + "/a")
        wait_until(lambda: lease(kube).get("leaseTransitions", 0) > term, what="a higher term")
        # Either b has created it, or a has, which then leaves, as its term is another.
        wait_until(lambda: is_leader(b), what="a leader that begins anew")
        b.wait_ready()
        assert a.autoscaler.process.wait(10 * SLOW) == 0


@fake_only
@pytest.mark.parametrize("verb", ["get", "watch", "create", "patch"])
def test_a_right_for_the_lease_that_is_missing_is_named(tmp_path, verb):
    with cluster(tmp_path, has_kubelet=False) as kube:
        apply_manifest(kube, missing=("coordination.k8s.io", "leases", verb))
        s = Stack(tmp_path, service("d", kube), autoscaler=driver(
            kube, account_config(kube), 'lease_name = "%s/a"' % kube.namespace))
        try:
            s.start_autoscaler()
            wait_until(lambda: any("missing right" in line and verb in line and "leases" in line
                                   for line in s.autoscaler.text().splitlines()),
                       what="the missing right: " + verb)
        except BaseException:
            print(s.autoscaler.text()[-5000:])
            raise
        finally:
            s.stop()
