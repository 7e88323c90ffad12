"""Versions: services that activatorctl makes, splits, rolls back and deletes; what is stored
survives; and no request notices."""
import collections
import os
import random
import re
import signal
import threading

import pytest

from helpers import HELLO, WAIT_S, wait_until
from stack import Gate, running
from test_ctl import ctl

CONF = 'service "file" { hosts = {"file.x"} revision "v1" { command = {"HELLO"} } }'


def change(stack, *arguments, status=0):
    done = ctl(stack, *arguments)
    assert done.status == status, done
    return done


def deploy(stack, name, *options, command=(), status=0):
    """The program says its number of milliseconds in no way that a client sees: the command is
    only to differ."""
    return change(stack, "deploy", name, "--env", "TEST_STACK=" + stack.path, *options, "--", HELLO,
                  *command, status=status)


def service(stack, name):
    return next(s for s in ctl(stack, "list", "-o", "json").json["services"] if s["name"] == name)


def percents(stack, name):
    return {r["revision"]: r["percent"] for r in service(stack, name)["revisions"]}


def routed(stack, host):
    """The activator routes the host by now."""
    wait_until(lambda: stack.get(host)[0] == 200, what=host + " to be routed")


def test_the_tour(tmp_path):
    with running(tmp_path, CONF) as s:
        assert "there is no service yet" not in ctl(s, "list").err
        done = deploy(s, "shop", "--host", "shop.x")
        assert "shop/shop-00001 is made and gets 100% of the traffic" in done.err
        routed(s, "shop.x")
        done = deploy(s, "shop", "--traffic", "10", "--tag", "next",
                      command=["--response", "1ms"])
        assert "shop/shop-00002 is made and gets 10%" in done.err
        assert percents(s, "shop") == {"shop-00001": 90, "shop-00002": 10}
        routed(s, "next-shop.x")
        assert service(s, "shop")["source"] == "store"
        change(s, "traffic", "shop", "latest=100")
        revisions = {r["revision"]: r for r in service(s, "shop")["revisions"]}
        assert revisions["shop-00001"]["state"] == "inactive"
        assert revisions["shop-00002"]["percent"] == 100
        change(s, "rollback", "shop")
        assert percents(s, "shop") == {"shop-00001": 100, "shop-00002": 0}
        assert "gets 100% of the traffic" in change(s, "delete", "shop/shop-00001", status=1).err
        assert 'has the tag "next"' in change(s, "delete", "shop/shop-00002", status=1).err
        change(s, "traffic", "shop", "--untag", "next")
        change(s, "delete", "shop/shop-00002")
        assert percents(s, "shop") == {"shop-00001": 100}
        assert "has this template already" in deploy(s, "shop").err
        change(s, "delete", "shop")
        wait_until(lambda: s.get("shop.x")[0] == 404, what="the route to go")
        wait_until(lambda: not s.instances(), what="its instances to end")
        assert not [f for f in os.listdir(s.state + "/services")]


@pytest.mark.parametrize("arguments, status, text", [
    (["deploy", "file", "--", "x"], 1, 'the service "file" is in the conf file'),
    (["deploy", "new", "--", "x"], 1, "expected a host, got none; add --host"),
    (["deploy", "new", "--host", "new.x"], 1, "expected a command behind --"),
    (["deploy", "new", "--host", "new.x", "--max-scale", "x", "--", "x"], 1, "got \"x\""),
    (["deploy", "new", "--host", "file.x", "--", "x"], 1, 'the service "file" has a host'),
    (["deploy", "new", "--host", "new.x", "--traffic", "101", "--", "x"], 2, "of 0 to 100"),
    (["deploy", "a/b", "--", "x"], 2, "got that of a revision"),
    (["deploy", "a b", "--host", "h", "--", "x"], 2, "expected a name"),
    (["deploy", "../x", "--host", "h", "--", "x"], 2, "got that of a revision"),
    (["traffic", "none", "a=100"], 3, 'there is no service "none"'),
    (["traffic", "file", "v1=100"], 1, "change it there, then: activatorctl reload"),
    (["traffic", "file"], 2, "expected REVISION=PERCENT"),
    (["rollback", "none"], 3, 'there is no service "none"'),
    (["delete", "none"], 3, 'there is no service "none"'),
    (["delete", "fil"], 3, 'did you mean "file"?'),
    (["export", "file"], 3, 'there is no stored service "file"'),
    (["apply"], 2, "expected -f FILE"),
    (["apply", "-f", "/nowhere"], 2, "/nowhere"),
    (["list", "--max-scale", "3"], 2, "list does not take options of deploy"),
])
def test_mistakes(shop, arguments, status, text):
    done = ctl(shop, *arguments)
    assert done.status == status and text in done.err, done
    assert ctl(shop, "list", "-o", "name").out == "file\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with running(tmp_path_factory.mktemp("versions"), CONF) as s:
        yield s


def test_the_second_of_two_hears_who_was_faster(tmp_path):
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x")
        generation = str(service(s, "shop")["generation"])
        deploy(s, "shop", "--generation", generation, command=["--response", "1ms"])
        done = deploy(s, "shop", "--generation", generation, command=["--response", "2ms"],
                      status=1)
        assert "another command was faster" in done.err
        assert len(percents(s, "shop")) == 2


def test_export_and_apply(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(tmp_path / "a", CONF) as a:
        deploy(a, "shop", "--host", "shop.x", "--env", 'TEXT=a "quoted"\n\\text'
               )
        deploy(a, "shop", "--traffic", "25", "--tag", "next", "--max-scale", "2",
               command=["--response", "1ms"])
        deploy(a, "shop", "--no-traffic", "--revision", "third", command=["--response", "2ms"])
        text = change(a, "export").out
        file = tmp_path / "shop.conf"
        file.write_text(text)
        assert "is like that already" in change(a, "apply", "-f", str(file)).err
        with running(tmp_path / "b", CONF) as b:
            dry = change(b, "apply", "-f", str(file), "--dry-run").err
            assert "would be made: shop-00001 is new, " in dry and "from 0% to 75%" in dry
            assert change(b, "export").out == ""
            change(b, "apply", "-f", str(file))
            assert change(b, "export").out == text
            routed(b, "shop.x")
            file.write_text(text.replace("percent = 75", "percent = 74"))
            assert "sum to 99" in change(b, "apply", "-f", str(file), status=1).err
            file.write_text(text.replace('"2"', '"3"'))
            done = change(b, "apply", "-f", str(file), status=1)
            assert "a revision never changes" in done.err
            file.write_text('socket = "x"\n' + text)
            assert "expected services alone" in change(b, "apply", "-f", str(file), status=1).err
            other = text.replace('service "shop"', 'service "other"')
            file.write_text(text + other)
            done = change(b, "apply", "-f", str(file), status=1)
            assert "has a host" in done.err or "have the same host" in done.err
            file.write_text(text + text)
            assert change(b, "apply", "-f", str(file), status=1).err
            assert change(b, "export").out == text


def test_what_is_stored_survives_a_restart_and_a_reload(tmp_path):
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x")
        routed(s, "shop.x")
        change(s, "reload")
        assert s.get("shop.x")[0] == 200
        before = change(s, "export").out
        s.autoscaler.kill()
        with open(s.state + "/services/broken.conf", "w") as f:
            f.write('service "broken" {')
        s.start_autoscaler()
        wait_until(lambda: ctl(s, "list").status == 0, what="the autoscaler")
        assert change(s, "export").out == before
        assert "a stored service is broken and set aside" in s.autoscaler.text()
        assert os.path.exists(s.state + "/services/broken.conf.broken")
        assert s.get("shop.x")[0] == 200
        # The conf file comes first, whatever was there before.
        with open(s.conf, "a") as f:
            f.write('service "shop" { hosts = {"other.x"} revision "v1" { command = {"%s"} } }\n'
                    % HELLO)
        change(s, "reload")
        assert service(s, "shop")["source"] == "conf"
        assert "a stored service is not used: the conf file has its name" in s.autoscaler.text()
        with open(s.conf) as f:
            text = f.read()
        with open(s.conf, "w") as f:
            f.write(text.replace('service "shop"', 'service "thief"').replace("other.x", "shop.x"))
        change(s, "reload")
        assert "another one has a host and path of it service=shop" in s.autoscaler.text().replace(
            '"', "")
        assert ctl(s, "list", "-o", "name").out == "file\nthief\n"
        with open(s.conf, "w") as f:
            f.write(text.replace('service "shop"', 'service "thief"'))
        change(s, "reload")
        assert service(s, "shop")["source"] == "store"


def test_killed_while_commands_run(tmp_path):
    """Each read afterwards has the state before or after a command, never a mix."""
    rng = random.Random(7)
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x")
        for turn in range(6):
            done = []
            number = iter(range(1000))

            def many():
                while not done:
                    ctl(s, "deploy", "shop", "--traffic", str(rng.randrange(101)), "--", HELLO,
                        "--response", "%dms" % (turn * 1000 + next(number)))

            thread = threading.Thread(target=many)
            thread.start()
            count = s.autoscaler.text().count('msg="stored service changed"')
            wait_until(lambda: s.autoscaler.text().count('msg="stored service changed"') >
                       count + turn, what="commands")
            s.autoscaler.kill()
            done.append(True)
            thread.join()
            s.start_autoscaler()
            wait_until(lambda: ctl(s, "list").status == 0, what="the autoscaler")
            assert "broken" not in s.autoscaler.text()
            assert sum(percents(s, "shop").values()) == 100
            text = change(s, "export").out
            named = re.findall(r'traffic "([^"]+)"', text)
            assert named == re.findall(r'revision "([^"]+)"', text)
            files = {f for f in os.listdir(s.state + "/services")}
            assert files == {"shop.conf"} | {"shop@%s.conf" % n for n in named}


def test_no_request_notices(tmp_path):
    """Clients with kept connections, while versions come, share, and go back."""
    seen = collections.Counter()
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x")
        routed(s, "shop.x")
        is_over = threading.Event()

        def client():
            with s.connect() as c:
                while not is_over.is_set():
                    c.request("GET", "/", "shop.x")
                    seen[c.response()[0]] += 1

        threads = [threading.Thread(target=client) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for i in range(8):
                deploy(s, "shop", "--traffic", str(10 * i), command=["--response", "%dms" % i])
                change(s, "traffic", "shop", "latest=100")
                change(s, "rollback", "shop", "--to", "shop-00001")
                n = seen[200]
                wait_until(lambda: seen[200] > n + 20 or len(seen) > 1, what="requests")
        finally:
            is_over.set()
            for t in threads:
                t.join(WAIT_S)
        assert set(seen) == {200}, seen
        assert not any(t.is_alive() for t in threads)


def test_a_version_that_does_not_start_gets_no_traffic(tmp_path):
    with running(tmp_path, CONF) as s:
        done = deploy(s, "shop", "--host", "shop.x", "--wait", "30s")
        assert "shop/shop-00001 is made and gets 100% of the traffic" in done.err
        routed(s, "shop.x")
        done = ctl(s, "deploy", "shop", "--wait", "30s", "--", "no-such-program")
        assert done.status == 1
        assert "cannot start no-such-program: not found in PATH" in done.err
        assert "shop/shop-00002 gets no traffic; activatorctl delete shop/shop-00002" in done.err
        assert percents(s, "shop") == {"shop-00001": 100, "shop-00002": 0}
        assert s.get("shop.x")[0] == 200
        change(s, "delete", "shop/shop-00002")
        done = deploy(s, "shop", "--wait", "30s", "--traffic", "30", "--tag", "next",
                      command=["--response", "1ms"])
        assert "shop/shop-00003 is awake" in done.err
        assert "and gets 30% of the traffic, with the tag next" in done.err
        assert percents(s, "shop") == {"shop-00001": 70, "shop-00003": 30}
        done = ctl(s, "deploy", "shop", "--wait", "30s", "-o", "json", "--", "no-such-program")
        assert done.status == 1 and done.json["done"] is False, done
        assert "not found in PATH" in done.json["message"]
        change(s, "delete", "shop/shop-00004")
        done = deploy(s, "shop", "--wait", "30s", "--traffic", "30", "-o", "json",
                      command=["--response", "1ms"])
        made, = done.json["results"]
        assert (made["revision"], made["new"], made["new_service"], made["percent"]) == (
            "shop-00003", False, False, 30)
        # One that serves already keeps its traffic while it is tried.
        deploy(s, "shop", "--wait", "30s", "--traffic", "30", command=["--response", "1ms"])
        assert percents(s, "shop") == {"shop-00001": 70, "shop-00003": 30}
        done = ctl(s, "deploy", "shop", "--env", "TEST_STACK=" + s.path, "--wait", "1s", "--",
                   HELLO, "--startup", "3600s")
        assert done.status == 5
        assert percents(s, "shop")["shop-00005"] == 0


def test_a_first_version_that_does_not_start_makes_no_service(tmp_path):
    with running(tmp_path, CONF) as s:
        first = ["deploy", "shop", "--host", "shop.x", "--wait", "30s"]
        done = ctl(s, *first, "--", "sh", "-c", "echo no database; exit 3")
        assert done.status == 1, done
        assert "shop/shop-00001 cannot start" in done.err and "no database" in done.err
        assert "the service shop is not made: its first version does not start" in done.err
        assert ctl(s, "list", "-o", "name").out == "file\n"
        assert s.get("shop.x")[0] == 404
        done = ctl(s, *first, "-o", "json", "--", "no-such-program")
        assert done.status == 1 and "not found in PATH" in done.json["message"], done
        # It is slow, and another command changes the service meanwhile: that one is not undone.
        gate = Gate(tmp_path)
        late = threading.Thread(target=lambda: slow.append(ctl(
            s, *first[:-1], "3s", "--", "sh", "-c", "until [ -e %s ]; do sleep 0.1; done" %
            gate.path)))
        slow = []
        late.start()
        wait_until(lambda: "shop" in ctl(s, "list", "-o", "name").out, what="the service")
        change(s, "traffic", "shop", "--tag", "shop-00001=mine")
        late.join()
        gate.open()
        assert slow[0].status == 5 and "and stays: another command was faster" in slow[0].err, slow
        assert percents(s, "shop") == {"shop-00001": 100}
        assert "no database" not in slow[0].err  # that was another program of this name
        change(s, "delete", "shop", "--generation", "1", status=1)
        change(s, "delete", "shop")
        done = deploy(s, *first[1:2], *first[2:], "-o", "json")
        made, = done.json["results"]
        assert (made["new"], made["new_service"], made["percent"]) == (True, True, 100)
        routed(s, "shop.x")


def test_a_revision_is_drained_though_other_changes_follow(tmp_path):
    """Of the conf file: a request is in flight at v1 while a reload removes it, and more follow."""
    gate = Gate(tmp_path)
    conf = 'service "a" { hosts = {"a.x"} revision "%s" { command = {"HELLO"} } }'
    with running(tmp_path, conf % "v1") as s:
        with s.connect() as client:
            client.request("GET", "/" + gate.query(), "a.x")
            wait_until(lambda: service(s, "a")["revisions"][0]["in_flight"] == 1,
                       what="the request to be reported")
            for n in range(1, 6):
                with open(s.conf) as f:
                    text = f.read()
                with open(s.conf, "w") as f:
                    f.write(text.replace('revision "v%d"' % n, 'revision "v%d"' % (n + 1)))
                change(s, "reload")
                deploy(s, "shop", "--host", "shop.x", command=["--response", "%dms" % n])
                assert s.get("a.x")[0] == 200
            gate.open()
            assert client.response()[0] == 200
        wait_until(lambda: len(s.instances()) <= 1, what="the others to end")


def test_percents_hold(tmp_path):
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x")
        deploy(s, "shop", "--traffic", "20", "--tag", "next", command=["--response", "1ms"])
        routed(s, "shop.x")
        routed(s, "next-shop.x")

        def served(tag):
            return int(re.search(rb'"requests": ?(\d+)', s.get(tag, "/stats")[2])[1])

        before = served("next-shop.x")
        for _ in range(400):
            assert s.get("shop.x")[0] == 200
        new = served("next-shop.x") - before - 1
        assert 40 < new < 120  # the mean is 80, the standard deviation 8


def test_old_revisions_are_removed(tmp_path):
    keys = ("retain_since_create_time = 0 retain_since_last_active_time = 0 "
            "min_non_active_revisions = 1 max_non_active_revisions = 3")
    with running(tmp_path, CONF, autoscaler=keys) as s:
        deploy(s, "shop", "--host", "shop.x")
        change(s, "traffic", "shop", "--tag", "shop-00001=old")
        for n in range(6):
            deploy(s, "shop", command=["--response", "%dms" % n])
        assert list(percents(s, "shop")) == ["shop-00001", "shop-00007", "shop-00004", "shop-00005",
                                             "shop-00006"]
        s.edit("retain_since_create_time = 0", "retain_since_create_time = 1s")
        change(s, "reload")
        wait_until(lambda: deploy(s, "shop", "--traffic", "100", command=["--response", "9ms"]) and
                   len(percents(s, "shop")) == 3, what="the time of the others to be over")
        assert list(percents(s, "shop")) == ["shop-00001", "shop-00008", "shop-00007"]
        assert "old revisions removed" in s.autoscaler.text()


def test_an_old_revision_that_is_deployed_again_is_kept(tmp_path):
    with running(tmp_path, CONF, autoscaler="min_non_active_revisions = 0 "
                 "max_non_active_revisions = 3") as s:
        for n in range(3):
            deploy(s, "shop", "--host", "shop.x", command=["--response", "%dms" % n])
        s.edit("max_non_active_revisions = 3", "max_non_active_revisions = 0")
        change(s, "reload")
        done = deploy(s, "shop", "--no-traffic", command=["--response", "0ms"])
        assert "shop-00001 has this template already and gets 0%" in done.err
        assert percents(s, "shop") == {"shop-00001": 0, "shop-00003": 100}


def test_latest_follows_what_is_deployed(tmp_path):
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x")
        done = change(s, "traffic", "shop", "shop-00001=90", "@latest=10")
        assert "shop-00001 100% (@latest)" in done.err
        assert "and gets 10%" in deploy(s, "shop", command=["--response", "1ms"]).err
        assert percents(s, "shop") == {"shop-00001": 90, "shop-00002": 10}
        assert "@latest" in ctl(s, "revisions", "shop").out
        s.autoscaler.kill()
        s.start_autoscaler()
        wait_until(lambda: ctl(s, "list").status == 0, what="the autoscaler")
        deploy(s, "shop", command=["--response", "2ms"])
        assert percents(s, "shop") == {"shop-00001": 90, "shop-00003": 10, "shop-00002": 0}
        text = change(s, "export").out
        assert 'traffic "shop-00003" { percent = 10 latest = 10 }' in text
        file = tmp_path / "shop.conf"
        file.write_text(text)
        change(s, "delete", "shop")
        change(s, "apply", "-f", str(file))
        assert change(s, "export").out == text
        file.write_text(text.replace("latest = 10", "latest = 11"))
        assert "latest: expected" in change(s, "apply", "-f", str(file), status=1).err
        deploy(s, "shop", "--traffic", "50", command=["--response", "3ms"])
        deploy(s, "shop", command=["--response", "4ms"])
        assert percents(s, "shop")["shop-00005"] == 100
