"""What the CRDs and policies of conf/kubernetes/knative refuse.  With KUBE_REAL a real server must be
1.30 or newer (for the mutating policies 1.36)."""
import os

import pytest

from cluster import Refusal, cluster
from helpers import wait_until
from kube_knative import HERE, KINDS, Objects, documents, install, post
from knative_refusals import ROWS, service

pytestmark = pytest.mark.xdist_group("knative_refusals")  # they share one cluster
PLURALS = {kind: plural for plural, kind in KINDS.items()}


@pytest.fixture(scope="module")
def kube(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("kube"), has_kubelet=False) as c:
        install(c)
        for name in ("namespace.yaml", "configmaps.yaml", "policies.yaml"):
            for doc in documents(os.path.join(HERE, name)):
                post(c, doc)
        mine = Objects(c)
        # A server knows of a policy some time after it was created.
        wait_until(lambda: refusal_of(mine, "Service", service(traffic=[{"percent": 1}]), None) and
                   refusal_of(mine, "Service", service({"affinity": {}}), None) and
                   refusal_of(mine, "Service", service({"timeoutSeconds": 601}), None),
                   what="the policies")
        yield c


def changed(made, before, after):
    """What a client writes who has read the object: all that is there, but for its change."""
    spec = {k: v for k, v in after["spec"].items() if v != before["spec"].get(k)}
    meta = {k: {**(made["metadata"].get(k) or {}), **after["metadata"].get(k, {})}
            for k in ("labels", "annotations")}
    return {**made, "metadata": {**made["metadata"], **meta}, "spec": {**made["spec"], **spec}}


def refusal_of(objects, kind, obj, before):
    """The message of the refusal; None: it was taken."""
    plural = PLURALS[kind]
    try:
        if before is None:
            objects.create(plural, obj)
        else:
            objects.replace(plural, changed(objects.create(plural, before), before, obj))
    except Refusal as e:
        assert e.code in (403, 422), e
        return e.message
    finally:
        try:
            objects.delete(plural, obj["metadata"]["name"])
        except Refusal as e:
            assert e.code == 404
    return None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_refusals(kube, row):
    _, kind, obj, before, texts = row
    message = refusal_of(Objects(kube), kind, obj, before)
    assert (message is None) == (not texts), message
    for text in texts:
        assert text in message


def test_what_the_mutating_policies_write(kube):
    for doc in documents(os.path.join(HERE, "mutating.yaml")):
        post(kube, doc)
    mine = Objects(kube)
    creator, modifier = "serving.knative.dev/creator", "serving.knative.dev/lastModifier"

    def made():
        obj = mine.create("services", service(traffic=[
            {"percent": 90}, {"revisionName": "a-1", "percent": 10}]))
        if creator in (obj["metadata"].get("annotations") or {}) and \
                "timeoutSeconds" in obj["spec"]["template"]["spec"] and \
                "latestRevision" in obj["spec"]["traffic"][0]:
            return obj
        mine.delete("services", "a")
        return None
    obj = wait_until(made, what="the policies")
    try:
        names = obj["metadata"]["annotations"]
        assert names[creator] and names[modifier] == names[creator]
        assert [t["latestRevision"] for t in obj["spec"]["traffic"]] == [True, False]
        pod = obj["spec"]["template"]["spec"]
        assert (pod["timeoutSeconds"], pod["containerConcurrency"], pod["enableServiceLinks"]) == (
            300, 0, False)
        assert pod["containers"][0]["name"] == "user-container"
        obj["metadata"]["annotations"][creator] = "me"
        with pytest.raises(Refusal) as e:
            mine.replace("services", obj)
        assert "annotation value is immutable: metadata.annotations." + creator in e.value.message
        obj = mine.get("services", "a")
        assert mine.replace("services", obj)["metadata"]["generation"] == 1
    finally:
        mine.delete("services", "a")
