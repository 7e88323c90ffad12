"""A service leaves the conf file while no autoscaler reads it.  The next autoscaler takes over its
instances: they finish their requests before they are stopped."""
import contextlib
import json
import urllib.request

import pytest

from helpers import WAIT_S, wait_until
from stack import Gate, running
from test_upgrade import autoscaler_upgrading, upgrade_autoscaler

KEPT = 'service "kept" { hosts = {"kept"} revision "v1" { command = {"HELLO"} min_scale = 1 } }\n'
V1 = 'revision "v1" { command = {"HELLO"} stop_timeout = 100ms }'
GONE = 'service "gone" { hosts = {"gone"} %s }\n' % V1
TWO = """service "gone" { hosts = {"gone"}
%s
traffic "v1" { percent = 100 }
revision "v2" { command = {"HELLO"} min_scale = 1 }
}
""" % V1


def remove(s, *begins):
    """Remove the lines that begin so from the conf file."""
    with open(s.conf) as f:
        lines = f.readlines()
    kept = [line for line in lines if not line.startswith(begins)]
    assert len(kept) == len(lines) - len(begins)
    with open(s.conf, "w") as f:
        f.writelines(kept)


@contextlib.contextmanager
def in_flight(s, gate):
    """A POST to gone/v1, which is answered once the gate is open."""
    with s.connect() as c:
        c.request("POST", "/" + gate.query(), "gone", b"body")
        wait_until(lambda: s.metric('activator_revision_in_flight{revision="gone/v1"}') == 1,
                   what="the request")
        yield c


def revisions(s):
    """{name: revision} of the autoscaler's /status."""
    with urllib.request.urlopen("http://127.0.0.1:%d/status" % s.scaler_admin,
                                timeout=WAIT_S) as answer:
        return {r["name"]: r for r in json.loads(answer.read())["revisions"]}


def has_seen_it(s, n):
    """Knows the autoscaler that the revision is leaving and used?  Or has an instance gone?"""
    if len(s.instances()) < n:
        return True
    with contextlib.suppress(OSError):
        gone = revisions(s).get("gone/v1")
        return gone is not None and gone["leaving"] and gone["in_flight"] == 1
    return False


def ends_in_order(s, c, gate, n):
    wait_until(lambda: has_seen_it(s, n), what="the autoscaler")
    gate.open()
    assert c.response()[0] == 200
    wait_until(lambda: len(s.instances()) == n - 1, what="the instance to go")
    wait_until(lambda: "gone/v1" not in revisions(s), what="the revision to go")
    assert s.get("kept")[0] == 200


def test_a_service(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, KEPT + GONE) as s, in_flight(s, gate) as c:
        wait_until(lambda: len(s.instances()) == 2, what="the instances")
        s.autoscaler.kill()
        remove(s, 'service "gone"')
        s.start_autoscaler()
        ends_in_order(s, c, gate, 2)
        assert s.get("gone")[0] == 404


def test_a_revision(tmp_path):
    """Its service stays."""
    gate = Gate(tmp_path)
    with running(tmp_path, KEPT + TWO) as s, in_flight(s, gate) as c:
        wait_until(lambda: len(s.instances()) == 3, what="the instances")
        s.autoscaler.kill()
        remove(s, 'revision "v1"', 'traffic "v1"')
        s.start_autoscaler()
        ends_in_order(s, c, gate, 3)
        assert s.get("gone")[0] == 200


def test_an_upgrade(tmp_path):
    gate = Gate(tmp_path)
    with autoscaler_upgrading(tmp_path, services=KEPT + GONE) as s, in_flight(s, gate) as c:
        wait_until(lambda: len(s.instances()) == 2, what="the instances")
        remove(s, 'service "gone"')
        upgrade_autoscaler(s)
        ends_in_order(s, c, gate, 2)


def test_it_comes_back(tmp_path):
    """A reload names it again before its request has ended: the instance stays."""
    gate = Gate(tmp_path)
    with running(tmp_path, KEPT + GONE) as s, in_flight(s, gate) as c:
        wait_until(lambda: len(s.instances()) == 2, what="the instances")
        before = sorted(s.instances())
        with open(s.conf) as f:
            text = f.read()
        s.autoscaler.kill()
        remove(s, 'service "gone"')
        s.start_autoscaler()
        wait_until(lambda: has_seen_it(s, 2), what="the autoscaler")
        with open(s.conf, "w") as f:
            f.write(text)
        assert s.hangup(s.autoscaler)
        wait_until(lambda: not revisions(s)["gone/v1"]["leaving"], what="the new description")
        assert sorted(s.instances()) == before
        gate.open()
        assert c.response()[0] == 200
        assert s.get("gone")[0] == 200


def test_drain_timeout_of_one_revision(tmp_path):
    """It comes before that of the autoscaler."""
    own = GONE.replace("gone", "own").replace("stop_timeout", "drain_timeout = 1h stop_timeout")
    with running(tmp_path, KEPT + GONE + own, autoscaler="drain_timeout = 500ms") as s:
        gate = Gate(tmp_path)
        with in_flight(s, gate), s.connect() as c:
            c.request("POST", "/" + gate.query(), "own", b"body")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="own/v1"}') == 1,
                       what="the other request")
            remove(s, 'service "gone"', 'service "own"')
            assert s.hangup(s.autoscaler)
            wait_until(lambda: len(s.instances()) == 2, what="one instance to go")
            wait_until(lambda: "gone/v1" not in revisions(s), what="its revision to go")
            assert "own/v1" in revisions(s)
            gate.open()
            assert c.response()[0] == 200
        wait_until(lambda: len(s.instances()) == 1, what="the other instance to go")


@pytest.mark.parametrize("is_connected", (True, False))
def test_drain_timeout(tmp_path, is_connected):
    """The request does not end; and no activator comes back."""
    with running(tmp_path, KEPT + GONE, autoscaler="drain_timeout = 1s") as s:
        with in_flight(s, Gate(tmp_path)):
            wait_until(lambda: len(s.instances()) == 2, what="the instances")
            s.autoscaler.kill()
            if not is_connected:
                s.activator.kill()
            remove(s, 'service "gone"')
            s.start_autoscaler()
            wait_until(lambda: len(s.instances()) == 1, what="the instance to go")
            wait_until(lambda: "gone/v1" not in revisions(s), what="the revision to go")
