"""More instances are wanted than max_instances allows: idle ones of other revisions are stopped to
make room, and where none is idle, clients and users see why an instance does not start."""
from helpers import wait_until
from stack import Gate, running

SERVICE = """
service "%s" { hosts = {"%s"} stable_window = 60s activation_timeout = %s
    revision "v1" { command = {"HELLO"} } }
"""
REASON = "max_instances = %d is reached, and all instances of other revisions are in use"


def services(*names, activation_timeout="60s"):
    return "".join(SERVICE % (n, n, activation_timeout) for n in names)


def held_back_metric(s, name):
    return s.metrics(s.scaler_admin).get('autoscaler_held_back{revision="%s/v1"}' % name)


def held_back_status(s, name):
    """The reason in the activator's /status for which no instance starts; "": there is none."""
    found = s.revision_status(name + "/v1")
    assert "failure" not in found
    return found.get("held_back", "")


def test_an_idle_revision_makes_room(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    with running(tmp_path, services(*names), autoscaler="max_instances = 2") as s:
        for n in names * 2:
            assert s.get(n)[0] == 200  # long before any window is empty
        wait_until(lambda: len(s.instances()) <= 2, what="no more than two")
        assert s.why("a/v1")["wanted"] == 0


def test_the_waiting_page_says_why(tmp_path):
    page = SERVICE.replace("stable_window", 'waiting_page = "default" stable_window')
    navigation = [("Sec-Fetch-Mode", "navigate"), ("Accept", "text/html")]
    poll_of_the_page = [("Sec-Fetch-Mode", "same-origin"), ("X-Activator-Page", "words")]
    answers = Gate(tmp_path)
    with running(tmp_path, services("a") + page % ("b", "b", "60s"),
                 autoscaler="max_instances = 1") as s:
        with s.connect() as busy, s.connect() as waiting:
            busy.request("GET", "/" + answers.query(), "a")
            wait_until(lambda: s.instances(), what="the only instance")
            assert s.get("b", fields=navigation)[0] == 503
            waiting.request("HEAD", "/", "b")  # is parked, as the page's own is
            wait_until(lambda: held_back_status(s, "b"), what="the reason")
            assert REASON % 1 in held_back_status(s, "b")
            for fields in navigation, poll_of_the_page:
                status, got, body = s.get("b", fields=fields)
                assert (status, got["x-activator-reason"]) == (503, "waiting_page")
                assert b"It has to wait for its turn: " + (REASON % 1).encode() in body
            answers.open()
            assert busy.response()[0] == 200
            assert waiting.response(is_head=True)[0] == 200
        assert not held_back_status(s, "b")


def test_where_no_revision_is_idle_requests_wait_and_are_told_why(tmp_path):
    answers = Gate(tmp_path)
    with running(tmp_path, services("a", "b", "d") + services("c", activation_timeout="2s"),
                 autoscaler="max_instances = 2") as s:
        busy = [s.connect() for _ in range(2)]
        for c, host in zip(busy, ("a", "b")):
            c.request("GET", "/" + answers.query(), host)
        wait_until(lambda: len(s.instances()) == 2, what="both instances")
        with s.connect() as waiting:
            waiting.request("GET", "/", "d")
            wait_until(lambda: held_back_metric(s, "d") == 1, what="the metric")
            known = s.why("d/v1")
            assert "in use" in known["held_back"] and known["rule"] == "max_instances"
            assert "held back  requests wait, and max_instances = 2" in s.why_text("d/v1")
            status, fields, body = s.get("c")
            assert (status, fields["x-activator-reason"]) == (504, "activation_timeout")
            assert int(fields["retry-after"]) >= 1
            assert (REASON % 2).encode() in body
            assert s.autoscaler.text().count("held back: requests wait") == 2  # once for each
            answers.open()
            assert [b.response()[0] for b in busy] == [200, 200]
            assert waiting.response()[0] == 200
        wait_until(lambda: held_back_metric(s, "d") == 0, what="the metric")
        for c in busy:
            c.close()


OWNED = """
owner "web" { max_instances = 1 }
owner "nobody" { max_instances = 1 }
service "a" { hosts = {"a"} owner = "web" stable_window = 60s revision "v1" { command = {"HELLO"} } }
service "b" { hosts = {"b"} owner = "web" stable_window = 60s revision "v1" { command = {"HELLO"} } }
service "c" { hosts = {"c"} revision "v1" { command = {"HELLO"} } }
"""


def test_an_owner_has_a_bound_of_its_own(tmp_path):
    answers = Gate(tmp_path)
    with running(tmp_path, OWNED) as s:
        for n in "aba":
            assert s.get(n)[0] == 200  # what is idle makes room
        with s.connect() as busy, s.connect() as waiting:
            busy.request("GET", "/" + answers.query(), "a")
            wait_until(lambda: s.scaled_status("a/v1")["in_flight"] == 1, what="the report")
            waiting.request("GET", "/", "b")
            wait_until(lambda: held_back_metric(s, "b") == 1, what="the metric")
            known = s.why("b/v1")
            assert "max_instances = 1 of the owner web is reached" in known["held_back"]
            assert known["rule"] == "owner"
            assert "of the owner web" in held_back_status(s, "b")
            assert s.get("c")[0] == 200  # no owner's bound concerns it
            found = s.metrics(s.scaler_admin)
            assert found['autoscaler_owner_max_instances{owner="web"}'] == 1
            assert found['autoscaler_owner_instances{owner="web"}'] == 1
            assert found['autoscaler_owner_wanted_instances{owner="web"}'] == 2
            assert found['autoscaler_owner_instances{owner="nobody"}'] == 0
            assert "owner=web claimed=2 max_instances=1" in s.autoscaler.text()
            s.reload('"web" { max_instances = 1 }', '"web" { max_instances = 2 }')
            assert waiting.response()[0] == 200
            answers.open()
            assert busy.response()[0] == 200
        wait_until(lambda: held_back_metric(s, "b") == 0, what="the metric")
