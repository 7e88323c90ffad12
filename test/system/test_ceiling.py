"""More services are asked than max_instances lets run: whoever is idle gives way, and where
nobody is, those that wait hear why."""
import json
import urllib.request

from helpers import wait_until
from stack import running

SERVICE = """
service "%s" { hosts = {"%s"} stable_window = 60s activation_timeout = %s
    revision "v1" { command = {"HELLO"} } }
"""


def services(*names, patience="20s"):
    return "".join(SERVICE % (n, n, patience) for n in names)


def why(s, name, form="json"):
    with urllib.request.urlopen("http://127.0.0.1:%d/why?revision=%s/v1&format=%s"
                                % (s.scaler_admin, name, form), timeout=5) as answer:
        text = answer.read().decode()
        return json.loads(text) if form == "json" else text


def held_back(s, name):
    return s.metrics(s.scaler_admin).get('autoscaler_held_back{revision="%s/v1"}' % name)


def test_who_is_idle_gives_way(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    with running(tmp_path, services(*names), autoscaler="max_instances = 2") as s:
        for n in names * 2:
            assert s.get(n)[0] == 200  # long before any window is empty
        wait_until(lambda: len(s.instances()) <= 2, what="no more than two")
        assert why(s, "a")["wanted"] == 0


def held_back_status(s, name):
    """What the activator's /status says keeps it from being started."""
    url = "http://127.0.0.1:%d/status?revision=%s/v1" % (s.admin, name)
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = json.loads(answer.read())["revisions"][0]
    assert "failure" not in found
    return found.get("held_back", "")


def test_a_browser_is_told(tmp_path):
    page = SERVICE.replace("stable_window", 'waiting_page = "default" stable_window')
    navigation = [("Sec-Fetch-Mode", "navigate"), ("Accept", "text/html")]
    itself = [("Sec-Fetch-Mode", "same-origin"), ("X-Activator-Page", "words")]
    words = b"max_instances = 1 is reached, and all instances of other revisions are in use"
    with running(tmp_path, services("a") + page % ("b", "b", "20s"),
                 autoscaler="max_instances = 1") as s:
        with s.connect() as busy, s.connect() as poll:
            busy.request("GET", "/?ms=4000", "a")
            wait_until(lambda: s.instances(), what="the only one")
            assert s.get("b", fields=navigation)[0] == 503
            poll.request("HEAD", "/", "b")  # as the page does: parked
            wait_until(lambda: held_back_status(s, "b"), what="held back")
            assert words.decode() in held_back_status(s, "b")
            for fields in navigation, itself:
                status, got, body = s.get("b", fields=fields)
                assert (status, got["x-activator-reason"]) == (503, "waiting_page")
                assert b"It has to wait for its turn: " + words in body
            assert busy.response()[0] == 200
            assert poll.response(is_head=True)[0] == 200
        assert not held_back_status(s, "b")


def test_where_nobody_is_idle(tmp_path):
    with running(tmp_path, services("a", "b", "d") + services("c", patience="2s"),
                 autoscaler="max_instances = 2") as s:
        busy = [s.connect() for _ in range(2)]
        for c, host in zip(busy, ("a", "b")):
            c.request("GET", "/?ms=4000", host)
        wait_until(lambda: len(s.instances()) == 2, what="both")
        with s.connect() as c:
            c.request("GET", "/", "c")
            wait_until(lambda: held_back(s, "c") == 1, what="the metric")
            assert "in use" in why(s, "c")["held_back"]
            assert why(s, "c")["rule"] == "max_instances"
            assert "held back  requests wait, and max_instances = 2" in why(s, "c", "text")
            status, fields, body = c.response()
        assert (status, fields["x-activator-reason"]) == (504, "activation_timeout")
        assert int(fields["retry-after"]) >= 1
        assert b"max_instances = 2 is reached, and all instances of other revisions are in use" \
            in body
        assert s.autoscaler.text().count("held back: requests wait") == 1
        with s.connect() as c:  # once the others are done it is served
            c.request("GET", "/", "d")
            assert [b.response()[0] for b in busy] == [200, 200]
            assert c.response()[0] == 200
        wait_until(lambda: held_back(s, "c") == 0, what="the metric")
        for c in busy:
            c.close()
