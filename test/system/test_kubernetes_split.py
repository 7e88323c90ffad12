"""Several annotated Deployments that make one service: blue and green, a tag, and what happens where
their percents do not sum to 100."""
from cluster import cluster
from helpers import wait_until
from test_audit import changes, log_of, wait_for
from test_ctl import ctl
from test_kubernetes_annotations import annotate, notes, refusals, watching

HOST = "shop.example.com"


def service(s, kube):
    services = ctl(s, "list", "-o", "json").json["services"]
    return next((x for x in services if x["name"] == kube.namespace + ".shop"), None)


def percents(s, kube):
    found = service(s, kube)
    return found and {r["revision"]: r["percent"] for r in found["revisions"]}


def wait_percents(s, kube, **wanted):
    wait_until(lambda: percents(s, kube) == wanted, what=str(wanted))


def test_blue_and_green(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("blue", annotations=notes(host=HOST, service="shop", port="http"))
        kube.workload("green", annotations=notes(service="shop", tag="next", port="http"))
        with watching(tmp_path, kube) as s:
            name = kube.namespace + ".shop"
            wait_percents(s, kube, blue=100, green=0)
            assert s.get(HOST)[::2] == (200, b"hello\n")
            assert (kube.replicas("blue"), kube.replicas("green")) == (1, 0)
            assert s.get("next-" + HOST)[0] == 200
            assert kube.replicas("green") == 1
            # All to green: blue goes to sleep, and stays to go back to.
            annotate(kube, "blue", percent="0")
            wait_percents(s, kube, blue=0, green=100)
            wait_until(lambda: s.get(HOST)[0] == 200 and kube.replicas("blue") == 0,
                       what="blue to be stopped")
            # One after the other: until the percents sum to 100, the split before stays.
            annotate(kube, "green", percent="70")
            wait_until(lambda: any("sum to 70" in m for m in refusals(kube, "blue")), what="an Event")
            assert percents(s, kube) == {"blue": 0, "green": 100}
            annotate(kube, "blue", percent="30")
            wait_percents(s, kube, blue=30, green=70)
            page = ctl(s, "describe", name).out
            assert "/blue  30%" in page and "/green  70%, tags: next" in page
            done = ctl(s, "traffic", name, "blue=50", "green=50")
            assert done.status == 1, done
            assert "annotate --overwrite deployment/blue activator.dev/percent=50" in done.err
            # A mistake of one of them keeps the service as it was.
            annotate(kube, "green", percent="many")
            wait_until(lambda: any('got "many"' in m for m in refusals(kube, "green")),
                       what="an Event")
            assert percents(s, kube) == {"blue": 30, "green": 70}
            annotate(kube, "green", percent="70")
            # One is deleted: the other one has all.
            kube.delete("deployments", "green")
            wait_percents(s, kube, blue=100)
            assert s.get(HOST)[0] == 200


def test_each_change_of_a_route_is_in_the_audit(tmp_path):
    """With the name of who has changed the object, where the server says it."""
    with cluster(tmp_path) as kube:
        kube.workload("blue", annotations=notes(host=HOST, service="shop", port="http"))
        kube.workload("green", annotations=notes(service="shop", tag="next", port="http"))
        with watching(tmp_path, kube) as s:
            wait_percents(s, kube, blue=100, green=0)
            assert not changes(log_of(s), kind="route")  # it was so before
            annotate(kube, "green", percent="30", manager="somebody")
            one = wait_for(lambda: log_of(s), kind="route")[0]
            assert one.intent["service"] == kube.namespace + ".shop"
            assert (one.intent["from"], one.intent["to"], one.result) == (
                "blue 100%, green 0% (next)", "blue 70%, green 30% (next)", "done")
            assert one.by == {"kind": "foreign", "name": "somebody"}
            annotate(kube, "blue", host="other." + HOST, manager="else")
            two = wait_for(lambda: log_of(s), n=2, kind="route")[1]
            assert two.by["name"] == "else" and two.intent["what"] == "hosts other." + HOST
            # Nothing says who has deleted it.
            kube.delete("deployments", "green")
            three = wait_for(lambda: log_of(s), n=3, kind="route")[2]
            assert (three.intent["to"], three.by) == ("blue 100%", {"kind": "foreign"})
            kube.delete("deployments", "blue")
            gone = wait_for(lambda: log_of(s), kind="delete")[0]
            assert (gone.intent["from"], gone.intent["to"], gone.result) == (
                "blue 100%", None, "done")


def carry_out(kube, done):
    """What the answer says to do next."""
    assert done.status == 1, done
    for line in done.json["next"].split(" && "):
        words = line.split()
        assert words[:4] == ["kubectl", "-n", kube.namespace, "annotate"], line
        changes = [w.removeprefix("activator.dev/") for w in words[4:] if "activator.dev" in w]
        for target in (w for w in words if w.startswith("deployment/")):
            annotate(kube, target.removeprefix("deployment/"),
                     **{c.rstrip("-").split("=")[0]: c.split("=")[1] if "=" in c else None
                        for c in changes})


def tags(s, kube):
    return {r["revision"]: r.get("tags", []) for r in service(s, kube)["revisions"]}


def test_commands_say_what_to_annotate(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("blue", annotations=notes(host=HOST, service="shop", port="http"))
        kube.workload("green", annotations=notes(service="shop", tag="next", port="http"))
        kube.workload("red", annotations=notes(service="shop", port="http"))
        kube.workload("lone", annotations=notes(host="lone.example.com", port="http"))
        with watching(tmp_path, kube) as s:
            name = kube.namespace + ".shop"
            wait_percents(s, kube, blue=100, green=0, red=0)

            def ask(*words):
                return ctl(s, "-o", "json", *words)

            carry_out(kube, ask("traffic", name, "blue=70", "green=20", "red=10",
                                "--tag", "red=next"))
            wait_percents(s, kube, blue=70, green=20, red=10)
            wait_until(lambda: tags(s, kube) == {"blue": [], "green": [], "red": ["next"]},
                       what="the tag to move")
            # The next step; the others keep their proportions, and what rounds goes to the largest.
            carry_out(kube, ask("rollout", name, "--to", "red", "--over", "1m"))
            wait_percents(s, kube, blue=39, green=11, red=50)
            carry_out(kube, ask("rollout", name, "--to", "red", "--over", "1m", "--steps", "70,100"))
            wait_percents(s, kube, blue=24, green=6, red=70)
            carry_out(kube, ask("rollback", name, "--to", "blue"))
            wait_percents(s, kube, blue=100, green=0, red=0)
            assert ask("rollout", name, "--to", "blue", "--over", "1m").status == 0
            carry_out(kube, ask("traffic", name, "--untag", "next"))
            wait_until(lambda: tags(s, kube)["red"] == [], what="the tag to go")
            for words, what in ((("traffic", name, "blue=70"), "the percents sum to 70"),
                                (("traffic", name, "pink=100"), "pink"),
                                (("traffic", name + "p", "blue=100"), "no service"),
                                (("deploy", "new", "--host", "n.example.com", "--", "true"),
                                 "not for a cluster"),
                                (("traffic", name, "--tag", "blue=a;b"), "small letters"),
                                (("rollback", name), "--to"),
                                (("rollout", name, "--over", "1m"), "--to"),
                                (("rollout", "status", name), "no rollout"),
                                (("traffic", kube.namespace + ".lone", "v1=100"),
                                 "name one service on two of them")):
                done = ctl(s, *words)
                assert done.status in (1, 2, 3) and what in done.err, (words, done)
            # One leaves the service, and then all of it is gone.
            carry_out(kube, ask("delete", name + "/red"))
            wait_percents(s, kube, blue=100, green=0)
            carry_out(kube, ask("rollback", name))
            wait_percents(s, kube, blue=0, green=100)
            carry_out(kube, ask("delete", name))
            wait_until(lambda: service(s, kube) is None, what="the service to go")
