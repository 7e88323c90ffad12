"""What users do with the programs before any request comes: ask for help, check a conf file, start
a program twice, install, run the demo."""
import os
import re
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from helpers import BUILD, ROOT, WAIT_S, free_port, wait_until
from stack import Stack

PROGRAMS = ["activator", "autoscaler"]
needs_reference = pytest.mark.skipif(not os.path.exists(os.path.join(ROOT, "conf/activator.conf")),
                                     reason="there is no conf/activator.conf")


def run(name, *args):
    return subprocess.run([os.path.join(BUILD, name), *args], capture_output=True, text=True,
                          cwd=ROOT, timeout=WAIT_S, stdin=subprocess.DEVNULL)


@pytest.fixture
def stack(tmp_path):
    s = Stack(tmp_path, 'service "a" { hosts = {"a"} revision "v1" { command = {"HELLO"} } }')
    s.start()
    yield s
    s.stop()


@pytest.mark.parametrize("name", PROGRAMS)
def test_version_help_and_wrong_options(name):
    done = run(name, "-V")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(name + r" \d+\.\d+\.\d+\n", done.stdout)
    assert run(name, "--version").stdout == done.stdout
    done = run(name, "-h")
    assert done.returncode == 0 and done.stdout.startswith("usage: " + name)
    assert "--dump" in done.stdout and max(map(len, done.stdout.splitlines())) < 80
    for wrong in ["-x"], ["--nothing"], ["-c"], ["-t", "conf/demo.conf"]:
        done = run(name, *wrong)
        assert done.returncode == 2
        assert "usage: " + name in done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("file", [
    "conf/demo.conf", pytest.param("conf/activator.conf", marks=needs_reference)])
def test_our_conf_files_have_no_mistake(name, file):
    done = run(name, "-t", "-c", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_dump_is_a_conf_file(name, tmp_path):
    done = run(name, "-T", "-c", "conf/demo.conf")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^    stable_window = 10s +# line \d+, in autoscaler$", done.stdout, re.M)
    (tmp_path / "dumped.conf").write_text(done.stdout)
    assert run(name, "-t", "-c", str(tmp_path / "dumped.conf")).returncode == 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_missing_conf_file(name):
    done = run(name, "-c", "/no/such.conf")
    assert done.returncode == 1
    assert "/no/such.conf" in done.stderr


def test_a_second_program_names_the_first(stack):
    done = run("activator", "-c", stack.conf)
    assert done.returncode == 1
    assert "127.0.0.1:%d" % stack.port in done.stderr
    assert "process %d (activator)" % stack.activator.pid in done.stderr
    done = run("autoscaler", "-c", stack.conf)
    assert done.returncode == 1
    assert "held by process %d (autoscaler)" % stack.autoscaler.pid in done.stderr
    assert stack.readyz() == 200


def test_the_process_at_the_admin_address_is_named(stack, tmp_path):
    with open(stack.conf) as f:
        text = f.read()
    text = text.replace("127.0.0.1:%d" % stack.port, "127.0.0.1:%d" % free_port())
    other = tmp_path / "other.conf"
    other.write_text(text)
    done = run("activator", "-c", str(other))
    assert done.returncode == 1
    assert "cannot listen at 127.0.0.1:%d" % stack.admin in done.stderr
    assert "process %d (activator)" % stack.activator.pid in done.stderr


@needs_reference
def test_install(tmp_path):
    san = os.path.relpath(BUILD, os.path.join(ROOT, "build"))
    # The variables that were given to the make that runs the tests: with others it would build all
    # anew.
    variables = os.environ.get("MAKEFLAGS", "").partition("-- ")[2]
    done = subprocess.run(
        ["make", "--no-print-directory", "install", "DESTDIR=%s" % tmp_path, "PREFIX=/usr",
         "SAN=" + (san if san != "." else "")],
        cwd=ROOT, capture_output=True, text=True, timeout=5 * WAIT_S, stdin=subprocess.DEVNULL,
        env=dict(os.environ, MAKEFLAGS="-- " + variables))
    assert done.returncode == 0, done.stderr
    for path in ("usr/sbin/activator", "usr/sbin/autoscaler", "usr/sbin/activatorctl",
                 "usr/share/man/man1/activatorctl.1",
                 "usr/share/bash-completion/completions/activatorctl",
                 "usr/share/zsh/site-functions/_activatorctl",
                 "usr/share/fish/vendor_completions.d/activatorctl.fish", "etc/activator/activator.conf",
                 "usr/share/man/man8/activator.8", "usr/share/man/man8/autoscaler.8",
                 "usr/share/man/man5/activator.conf.5",
                 "usr/share/man/man7/activator-protocol.7",
                 "usr/share/activator/autoscaler-kubernetes.conf",
                 "usr/lib/systemd/system/activator.socket"):
        assert (tmp_path / path).stat().st_size > 0
    for name in PROGRAMS:
        unit = (tmp_path / ("usr/lib/systemd/system/%s.service" % name)).read_text()
        assert "ExecStart=/usr/sbin/%s -c /etc/activator/activator.conf" % name in unit
        page = (tmp_path / ("usr/share/man/man8/%s.8" % name)).read_text()
        assert "\n@" not in page and name + "_info" in page


def test_the_output_of_a_check_in_the_readme(tmp_path):
    """The README shows what -t prints for a file with mistakes."""
    with open(os.path.join(ROOT, "README.md")) as f:
        block = re.search(r"```\n\$ (sed .*?)\n\$ \S+ (.*?)\n(.*?)```", f.read(), re.S)
    mistakes = str(tmp_path / "mistakes.conf")
    shown = "/tmp/mistakes.conf"
    subprocess.run(block[1].replace(shown, mistakes), shell=True, check=True, cwd=ROOT)
    for name in PROGRAMS:
        done = run(name, *block[2].replace(shown, mistakes).split())
        assert done.returncode == 1
        assert done.stderr.replace(mistakes, shown) == block[3]


def ask(port, host):
    request = urllib.request.Request("http://127.0.0.1:%d/" % port, headers={"host": host})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def demo_conf(path):
    """conf/demo.conf with free ports and a folder of its own; returns the ports for clients: plain, TLS."""
    with open(os.path.join(ROOT, "conf/demo.conf")) as f:
        text = f.read()
    ports = {str(n): str(free_port()) for n in (8080, 8081, 8082, 8443)}
    text = re.sub(r"127\.0\.0\.1:(808\d|8443)", lambda m: "127.0.0.1:" + ports[m[1]], text)
    text = text.replace("build/demo", str(path)).replace("= 10s", "= 2s").replace("= 5s", "= 1s")
    (path / "demo.conf").write_text(text)
    return int(ports["8080"]), int(ports["8443"])


def ask_by_tls(port, host, authority):
    """As `curl --cacert` does: the certificate has to be for that host."""
    context = ssl.create_default_context(cafile=authority)
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as plain, \
            context.wrap_socket(plain, server_hostname=host) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host.encode())
        with c.makefile("rb") as answer:
            return int(answer.read().split()[1])


def stop_demo(demo):
    """It ends all that it has started, but not where SIGKILL ends it."""
    if demo.poll() is None:
        demo.send_signal(signal.SIGINT)
        try:
            demo.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            demo.kill()


def test_the_demo(tmp_path):
    port, tls_port = demo_conf(tmp_path)
    output = tmp_path / "output"
    with output.open("wb") as out:
        demo = subprocess.Popen(["conf/demo.sh"], cwd=ROOT, stdout=out, stderr=out,
                                stdin=subprocess.DEVNULL,
                                # A shell that runs the tests in the background has SIGINT ignored.
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                env=dict(os.environ, DEMO_CONF=str(tmp_path / "demo.conf")))
    try:
        wait_until(lambda: "Ctrl-C stops everything" in output.read_text())
        assert ask(port, "hello.localhost") == (200, "hello\n")
        for host in "hello.localhost", "files.localhost":
            assert ask_by_tls(tls_port, host, tmp_path / "localhost.pem") == 200
        status, text = ask(port, "files.localhost")
        assert status == 200 and "demo.conf" in text
        status, text = ask(port, "broken.localhost")
        assert status == 503 and "no-such-program" in text
        wait_until(lambda: "hello/v1  back to zero" in output.read_text())
        assert ask(port, "hello.localhost") == (200, "hello\n")
        subprocess.run([BUILD + "/activatorctl", "-c", str(tmp_path / "demo.conf"), "upgrade"],
                       cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=WAIT_S)
        wait_until(lambda: "an older activator has ended" in (tmp_path / "log").read_text())
        assert ask(port, "hello.localhost") == (200, "hello\n")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(WAIT_S) == 0
    finally:
        stop_demo(demo)
    with pytest.raises(ConnectionRefusedError):  # nor is the new activator left
        socket.create_connection(("127.0.0.1", port)).close()
    text = output.read_text()
    assert re.search(r"hello/v1  woken: 1 parked\n", text)
    assert re.search(r"hello/v1  scaled from 0 to 1\n", text)
    assert re.search(r"hello/v1  ready in \d+ ms\n", text)
    assert re.search(r"hello/v1  first answer after [\d.]+ ms\n", text)
    assert re.search(r"broken/v1  cannot start no-such-program: not found in PATH\n", text)
    # The demo's pipe may still hold lines about the last request when it stops.
    assert re.search(r"\nstopping\n(.*  .*\n)*stopped\n", text)
