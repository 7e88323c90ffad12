"""`activatorctl import`: files, standard input, exit statuses, and that the programs take what it
writes.  What each field becomes is in test/unit/t_import.c."""
import os
import subprocess

import pytest

from helpers import BUILD, ROOT, WAIT_S

CTL = os.path.join(BUILD, "activatorctl")
KEDA = """apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: app, namespace: shop}
spec:
  hosts: [shop.example.com]
  scaleTargetRef: {name: app, kind: Deployment, service: app, port: 80}
  replicas: {max: 10}
  coldStartTimeoutFailoverRef: {service: other, port: 80}
"""
COMPOSE = """services:
  web:
    image: example/web
    ports: ["8080:80"]
    labels: [sablier.enable=true, "sablier.running-hours=09:00-18:00"]
"""


def ctl(*arguments, text=""):
    return subprocess.run([CTL, "import", *arguments], input=text, capture_output=True, text=True,
                          timeout=WAIT_S)


@pytest.fixture
def keda(tmp_path):
    path = tmp_path / "keda.yaml"
    path.write_text(KEDA)
    return str(path)


def test_a_file_and_standard_input_become_the_same(keda):
    done = ctl(keda)
    assert done.returncode == 0, done.stderr
    assert "kubectl -n shop annotate --overwrite deployment/app" in done.stdout
    assert "%s:8: spec.coldStartTimeoutFailoverRef: no equal" % keda in done.stderr
    for arguments in [], ["-"]:
        other = ctl(*arguments, text=KEDA)
        assert other.stdout.replace("stdin:", keda + ":") == done.stdout
        assert "stdin:8: spec.coldStartTimeoutFailoverRef" in other.stderr
    assert ctl("-q", keda).stderr == ""


@pytest.mark.parametrize("text, driver", [(KEDA, "kubernetes"), (COMPOSE, "process")])
def test_the_programs_take_the_conf_file(tmp_path, text, driver):
    done = ctl("--as", "conf", text=text)
    assert done.returncode == 0, done.stderr
    conf = tmp_path / "import.conf"
    conf.write_text('autoscaler { driver = "%s" }\n' % driver + done.stdout)
    for program in "activator", "autoscaler":
        checked = subprocess.run([os.path.join(BUILD, program), "-t", "-c", str(conf)],
                                 capture_output=True, text=True, timeout=WAIT_S, cwd=ROOT)
        assert checked.returncode == 0, checked.stderr


def test_the_shell_runs_what_is_written(keda, tmp_path):
    """Each annotation reaches kubectl as one word."""
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    kubectl.chmod(0o755)
    done = subprocess.run(["sh"], input=ctl(keda).stdout, capture_output=True, text=True,
                          timeout=WAIT_S,
                          env={**os.environ, "PATH": "%s:/usr/bin:/bin" % kubectl.parent})
    words = done.stdout.splitlines()
    assert words[:5] == ["-n", "shop", "annotate", "--overwrite", "deployment/app"]
    assert "activator.dev/host=shop.example.com" in words
    assert all(word.startswith("activator.dev/") for word in words[5:])


def test_exit_statuses(keda, tmp_path):
    for text, message in [("a: [\n", "stdin:2: "), ("a: b", "stdin:1: expected an object"),
                          ("kind: Pod\napiVersion: v1\n", "nothing to import"),
                          ("", "nothing to import"),
                          (KEDA.replace("max: 10", "max: ten"), "stdin:7: spec.replicas.max: ")]:
        done = ctl(text=text)
        assert done.returncode == 1, (text, done)
        assert message in done.stderr
    assert ctl("--as", "helm", keda).returncode == 2
    done = ctl(keda, str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (2, "") and "none" in done.stderr
