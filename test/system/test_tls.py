"""TLS at the listener, by real clients: openssl(1), curl and Python's ssl.  What HTTP does over it
is tested in test_proxy.py, over TLS and without."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from fakes.instance import FakeInstance, read_head
from helpers import BUILD, WAIT_S, free_port, stopped, wait_until
from h2client import H2Client
from stack import Client, Gate, TlsClient, running
from tls import Tls, TlsConnection

HELLO = 'service "hello" { hosts = {"*"} revision "v1" { command = {"HELLO"} } }'


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running(tmp_path_factory.mktemp("tls"), HELLO, tls=True) as s:
        assert s.get("hello")[0] == 200
        yield s


def handshakes(stack, outcome, version=""):
    return stack.metric('activator_tls_handshakes_total{version="%s",outcome="%s"}' % (
        version, outcome))


def s_client(stack, *words, request=b""):
    """What openssl s_client prints; its exit status is 0 only where the handshake succeeded."""
    return subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % stack.port, "-servername",
         "localhost", "-CAfile", stack.tls.ca, "-verify_return_error", *words],
        input=request, capture_output=True, timeout=WAIT_S)


# --- versions, ciphers, protocols

@pytest.mark.parametrize("version, words, cipher", [
    ("1.3", ["-tls1_3"], b"TLS_AES_256_GCM_SHA384"),
    ("1.3", ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
     b"TLS_CHACHA20_POLY1305_SHA256"),
    ("1.2", ["-tls1_2"], b"ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("1.2", ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
     b"ECDHE-ECDSA-CHACHA20-POLY1305"),
])
def test_versions_and_ciphers(stack, version, words, cipher):
    before = handshakes(stack, "full", version)
    done = s_client(stack, *words)
    assert done.returncode == 0, done.stderr
    assert b"TLSv" + version.encode() in done.stdout and cipher in done.stdout
    wait_until(lambda: handshakes(stack, "full", version) > before, what="the metric")


@pytest.mark.parametrize("words", [
    ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],  # known to both, but not in the set
    ["-tls1_3", "-groups", "secp521r1"],
    ["-alpn", "spdy/3"],
])
def test_what_is_not_spoken(stack, words):
    before = handshakes(stack, "failed")
    assert s_client(stack, *words).returncode != 0
    wait_until(lambda: handshakes(stack, "failed") > before, what="the metric")


def test_curl(stack):
    url = "https://localhost:%d/" % stack.port
    done = subprocess.run(
        ["curl", "-sS", "--http1.1", "--cacert", stack.tls.ca, "--resolve",
         "localhost:%d:127.0.0.1" % stack.port, "-w", "%{http_code} %{num_connects}\n", url, url],
        capture_output=True, timeout=WAIT_S, text=True)
    assert done.stdout == "hello\n200 1\nhello\n200 0\n", done.stderr


def test_alpn(stack):
    context = stack.tls.context()
    context.set_alpn_protocols(["h2x", "http/1.1"])
    with TlsClient(stack.port, context) as c:
        assert c.tls.selected_alpn_protocol() == "http/1.1"


def test_http2(stack):
    context = stack.tls.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with H2Client(stack.port, context=context) as c:
        assert c.link.tls.selected_alpn_protocol() == "h2"
        body = os.urandom(1000000)
        stream = c.request("/echo", method="POST", end=False)
        threads = [c.request("/bytes/%d" % n) for n in range(0, 100000, 5000)]
        c.body(stream, body)
        assert c.response(stream).body == body
        assert [len(c.response(t).body) for t in threads] == list(range(0, 100000, 5000))
    done = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", stack.tls.ca, "--resolve",
         "localhost:%d:127.0.0.1" % stack.port, "-w", "%{http_version}",
         "https://localhost:%d/" % stack.port], capture_output=True, timeout=WAIT_S, text=True)
    assert done.stdout == "hello\n2", done.stderr


def test_http2_can_be_turned_off(tmp_path):
    with running(tmp_path, HELLO, tls=True, activator="http2 = no") as s:
        context = s.tls.context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with TlsClient(s.port, context) as c:
            assert c.tls.selected_alpn_protocol() == "http/1.1"


def test_renegotiation_is_refused(stack):
    ended = 'activator_tls_ended_total{reason="renegotiation"}'
    before = stack.metric(ended)
    done = s_client(stack, "-tls1_2", request=b"R\n")
    assert b"no renegotiation" in done.stderr
    wait_until(lambda: stack.metric(ended) == before + 1, what="the metric")


def test_settings(tmp_path):
    with running(tmp_path, HELLO, tls=True, activator='tls_min_version = "1.3" '
                 'tls_ciphers = "TLS_AES_128_GCM_SHA256" tls_groups = "prime256v1"') as s:
        assert s_client(s, "-tls1_2").returncode != 0
        done = s_client(s, "-tls1_3")
        assert done.returncode == 0 and b"TLS_AES_128_GCM_SHA256" in done.stdout
        assert b"ECDH, prime256v1" in done.stdout
        assert s_client(s, "-groups", "X25519").returncode != 0


# --- bytes

def test_bytes_one_at_a_time(stack):
    """Records of one byte, and one byte in each segment."""
    with stack.connect() as c:
        for byte in b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n":
            c.sendall(bytes([byte]))
        assert c.response()[2] == b"hello\n"
    with stack.connect() as c:
        c.pace = lambda data: [c.sock.sendall(data[i:i + 1]) for i in range(len(data))]
        c.request("GET", "/bytes/1000", "hello")
        assert len(c.response()[2]) == 1000


def test_a_handshake_in_small_pieces(stack):
    sock = Client(stack.port)
    with TlsConnection(sock, stack.tls.context(),
                       pace=lambda data: [sock.sendall(data[i:i + 1])
                                          for i in range(len(data))]) as c:
        assert c.tls.version() == "TLSv1.3"


def test_back_pressure(stack):
    """A client that does not read stops the instance; nothing is lost."""
    size, name = 32 << 20, 'activator_revision_response_bytes_total{revision="hello/v1"}'
    before = stack.metric(name)
    with stack.connect() as c:
        c.request("GET", "/bytes/%d" % size, "hello")
        c.head()
        assert stack.metric(name) - before < size
        got = len(c.rest)
        while got < size:
            got += len(c.recv(65536))
        assert got == size


def test_a_cut_request_does_not_look_whole(tmp_path):
    """Truncation: FIN without close_notify in a body."""
    origin = FakeOrigin()
    with running(tmp_path, 'service "o" { hosts = {"o"} revision "v1" { addresses = '
                 '{"127.0.0.1:%d"} } }' % origin.port, tls=True) as s:
        with s.connect() as c:
            c.sendall(b"POST / HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"4\r\nbody\r\n")
            wait_until(lambda: b"body" in origin.seen, what="the body")
            c.sock.shutdown(socket.SHUT_WR)
            assert c.is_closed()
        wait_until(lambda: s.metric('activator_requests_total{outcome="client_gone"}') == 1,
                   what="the outcome")
        assert b"0\r\n\r\n" not in origin.seen


class FakeOrigin(FakeInstance):
    """Keeps what it gets, and answers only what is whole."""

    def __init__(self):
        self.seen = b""
        super().__init__()

    def serve(self, connection):
        while True:
            data = connection.recv(65536)
            if not data:
                return
            self.seen += data
            if b"GET" in self.seen and self.seen.endswith(b"\r\n\r\n"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_close_notify_both_ways(stack):
    with stack.connect() as c:  # recv() takes an end without it for a reset
        c.request("GET", "/", "hello", fields=[("Connection", "close")])
        assert c.response()[0] == 200
        assert c.recv(1) == b""
    with stack.connect() as c:  # the client says it first
        c.request("GET", "/", "hello")
        assert c.response()[0] == 200
        c.shutdown(socket.SHUT_WR)
        assert c.recv(1) == b""


def test_the_slot_of_a_client_that_left_is_freed(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, 'service "one" { hosts = {"one"} revision "v1" { command = {"HELLO"} '
                 'container_concurrency = 1 max_scale = 1 } }', tls=True) as s:
        assert s.get("one")[0] == 200
        with s.connect() as c:
            c.request("GET", "/" + gate.query(), "one")
            wait_until(lambda: in_flight(s) == 1, what="the request in flight")
        assert s.get("one")[0] == 200
        gate.open()


def in_flight(s):
    return s.metric('activator_revision_in_flight{revision="one/v1"}')


def test_plain_http_gets_an_answer(stack):
    before = handshakes(stack, "plain_http")
    with Client(stack.port) as c:
        c.request("GET", "/", "hello")
        status, fields, body = c.response()
        assert status == 400 and b"https://" in body
        assert fields["x-activator-reason"] == "bad_request"
        assert c.is_closed()
    wait_until(lambda: handshakes(stack, "plain_http") == before + 1, what="the metric")


# --- sessions

def session_of(stack, context, session=None):
    with TlsClient(stack.port, context, session=session) as c:
        c.request("GET", "/", "hello")
        c.response()
        return c.tls.session, c.tls.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_all_workers_resume_a_session(stack, version):
    context = stack.tls.context()
    context.maximum_version = version
    number = "1.3" if version == ssl.TLSVersion.TLSv1_3 else "1.2"
    before = handshakes(stack, "resumed", number)
    for _ in range(8):  # with all likelihood, the two are not always with the same worker
        session, _ = session_of(stack, context)
        assert session_of(stack, context, session)[1]
    wait_until(lambda: handshakes(stack, "resumed", number) == before + 8, what="the metric")


def test_a_resumed_session_brings_a_new_ticket(stack):
    """RFC 8446 C.4: a client of TLS 1.3 uses each ticket once."""
    context = stack.tls.context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    session, ids = None, set()
    for i in range(4):
        session, is_resumed = session_of(stack, context, session)
        assert is_resumed == (i > 0)
        ids.add(session.id)
    assert len(ids) == 4


def test_tickets_end_with_their_keys(tmp_path):
    with running(tmp_path, HELLO, tls=True, activator="tls_ticket_rotation = 1s") as s:
        context = s.tls.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # one of TLS 1.3 is used once
        session, _ = session_of(s, context)
        wait_until(lambda: not session_of(s, context, session)[1], what="a full handshake")


# --- certificates by name

def certificate_of(stack, host, context=None):
    if context is None:
        context = stack.tls.context()
        context.check_hostname = False
    with TlsClient(stack.port, context, host=host) as c:
        return dict(pair[0] for pair in c.tls.getpeercert()["subject"])["commonName"]


def test_many_certificates(tmp_path):
    tls = Tls(tmp_path, "many")
    _, key = tls.issue("first", "first.example")
    sections = tls.certificate("first", "first.example", key=key)
    for i in range(60):
        sections += tls.certificate("c%d" % i, "h%d.example" % i, "*.w%d.example" % i, key=key)
    with running(tmp_path, HELLO, tls=tls, activator=sections) as s:
        for i in (0, 17, 59):
            assert certificate_of(s, "h%d.example" % i) == "c%d" % i
            assert certificate_of(s, "a.w%d.example" % i) == "c%d" % i
        assert certificate_of(s, "H3.Example") == "c3"
        for host in ("a.b.w3.example", "other.example", None):
            assert certificate_of(s, host) == "first"


def test_a_certificate_of_each_kind(tmp_path):
    tls = Tls(tmp_path, "kinds")
    sections = tls.certificate("ec", "localhost") + tls.certificate("rsa", "localhost", rsa=True)
    with running(tmp_path, HELLO, tls=tls, activator=sections) as s:
        for kind, cipher in (("ec", "ECDHE-ECDSA-AES128-GCM-SHA256"),
                             ("rsa", "ECDHE-RSA-AES128-GCM-SHA256")):
            context = s.tls.context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(cipher)
            assert certificate_of(s, "localhost", context) == kind


# --- reloading

def test_a_changed_certificate_is_used_under_load(tmp_path):
    with running(tmp_path, HELLO, tls=True, activator="certificate_check = 100ms") as s:
        assert s.get("hello")[0] == 200
        failed, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                try:
                    assert s.get("hello")[0] == 200
                except BaseException as e:  # also where the test's thread could not see it
                    failed.append(e)
                    return
        askers = [threading.Thread(target=ask) for _ in range(4)]
        for a in askers:
            a.start()
        try:
            kept = s.connect()
            s.tls.issue("test", "localhost", subject="/CN=second")
            wait_until(lambda: certificate_of(s, "localhost") == "second", what="the new one")
            kept.request("GET", "/", "hello")
            assert kept.response()[0] == 200
            kept.close()
        finally:
            stop.set()
            for a in askers:
                a.join()
        assert not failed, failed


def test_a_pair_that_does_not_fit_is_not_used(tmp_path):
    with running(tmp_path, HELLO, tls=True, activator="certificate_check = 100ms") as s:
        other = Tls(tmp_path, "other")
        other.issue("odd", "localhost")
        failures = "activator_certificate_reload_failures_total"
        shutil.copy(other.path("odd.key"), s.tls.path("new.key"))
        os.replace(s.tls.path("new.key"), s.tls.path("test.key"))
        wait_until(lambda: s.metric(failures) == 1, what="the failure")
        assert certificate_of(s, "localhost") == "test"
        s.tls.issue("test", "localhost", subject="/CN=third")  # both files
        wait_until(lambda: certificate_of(s, "localhost") == "third", what="the new pair")
        assert s.activator.text().count("the one before stays") == s.metric(failures)
        days = s.metric('activator_certificate_expiry_days{certificate="test"}')
        assert 1 < days < 3


def test_sighup_reads_them_again(tmp_path):
    with running(tmp_path, HELLO, tls=True, activator="certificate_check = 24h") as s:
        s.tls.issue("test", "localhost", subject="/CN=fourth")
        assert certificate_of(s, "localhost") == "test"
        s.activator.kill(1)
        wait_until(lambda: certificate_of(s, "localhost") == "fourth", what="the new one")


def check(path, text):
    """What `activator -t` says of a conf file: (status, lines)."""
    conf = os.path.join(str(path), "check.conf")
    with open(conf, "w") as f:
        f.write(text)
    done = subprocess.run([os.path.join(BUILD, "activator"), "-t", "-c", conf], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_S)
    return done.returncode, done.stderr.replace(conf, "FILE").splitlines()


def test_mistakes_have_their_line(tmp_path):
    tls, other = Tls(tmp_path), Tls(tmp_path, "other")
    chain, key = tls.issue("a", "a.example")
    _, odd = other.issue("b", "b.example")
    old, old_key = tls.issue("old", "old.example", days=-1)

    def conf(*lines):
        return "activator {\n" + "\n".join(lines) + "\n}\n"

    good = 'certificate "a" { chain = "%s" key = "%s" }' % (chain, key)
    listen = 'listen = {"127.0.0.1:%d tls"}' % free_port()
    assert check(tmp_path, conf(listen, good)) == (0, [])
    status, lines = check(tmp_path, conf(listen))
    assert status == 1 and re.match(r"FILE:2: listen: expected a certificate section for", lines[0]), lines
    for text, line in (
            ('certificate "a" { chain = "%s" key = "%s" }' % (chain, odd),
             r"FILE:2: key: the key in .* does not fit the certificate"),
            ('certificate "a" { chain = "/no/such" key = "%s" }' % key,
             r"FILE:2: chain: cannot read /no/such: No such file"),
            ('certificate "a" { chain = "%s" key = "%s" client_ca = "%s" }' % (chain, key, key),
             r"FILE:2: client_ca: cannot read a certificate in"),
            ('certificate "a" { key = "%s" }' % key,
             r'FILE:2: certificate "a": expected chain, got none'),
            ('tls_ciphers = "ECDHE-RSA-AES128-GCM-SHA256:NO"',
             r'FILE:2: tls_ciphers: expected ciphers that OpenSSL knows, got "NO"'),
            ('tls_groups = "P-1"',
             r'FILE:2: tls_groups: expected groups that OpenSSL knows, got "P-1"')):
        status, lines = check(tmp_path, conf(text))
        assert status == 1 and len(lines) == 1 and re.match(line, lines[0]), lines
    status, lines = check(tmp_path, conf(
        'certificate "old" { chain = "%s" key = "%s" }' % (old, old_key)))
    assert status == 0 and re.match(r'FILE:2: warning: certificate "old" has expired',
                                    lines[0]), lines
    assert check(tmp_path, conf(good)) == (
        0, ['FILE:2: warning: certificate "a" is not used: no address in listen has the word tls'])


def test_check_reads_what_instances_have_to_prove(tmp_path):
    tls, other = Tls(tmp_path), Tls(tmp_path, "other")
    chain, key = tls.issue("a", "a.example")
    _, odd = other.issue("b", "b.example")
    service = """service "s" {
hosts = {"s"}
upstream_tls = yes
%s
revision "v1" { addresses = {"127.0.0.1:1"} }
revision "v2" { addresses = {"127.0.0.1:2"} }
traffic "v1" { percent = 100 }
}
"""
    shown = 'upstream_certificate = "%s" upstream_key = "%s"'
    assert check(tmp_path, service % ('upstream_ca = "%s"' % tls.ca)) == (0, [])
    assert check(tmp_path, service % (shown % (chain, key))) == (0, [])
    for text, line in (
            ('upstream_ca = "/no/such"', r"FILE:4: upstream_ca: cannot read /no/such: No such file"),
            (shown % (chain, odd), r"FILE:4: upstream_key: the key in .* does not fit")):
        status, lines = check(tmp_path, service % text)
        assert status == 1 and len(lines) == 1 and re.match(line, lines[0]), lines


# --- client certificates

def test_client_certificates(tmp_path):
    origin = FakeOrigin()
    clients, strangers = Tls(tmp_path, "clients"), Tls(tmp_path, "strangers")
    alice = clients.issue("alice", subject="/O=Example/CN=alice")
    mallory = strangers.issue("mallory")
    tls = Tls(tmp_path, "servers")
    sections = tls.certificate("public", "public.example", "localhost") + tls.certificate(
        "private", "private.example", more='client_ca = "%s"' % clients.ca) + tls.certificate(
        "either", "either.example", more='client_ca = "%s" client_certificate = optional' %
        clients.ca)
    services = 'service "o" { hosts = {"*"} revision "v1" { addresses = {"127.0.0.1:%d"} } }'
    with running(tmp_path, services % origin.port, tls=tls, activator=sections) as s:
        def ask(host, pair=None, sni=None):
            origin.seen = b""
            with TlsClient(s.port, s.tls.context(pair), host=sni or host) as c:
                c.request("GET", "/", host, fields=[
                    ("X-Forwarded-Client-Subject", "CN=forged"),
                    ("X_Forwarded_Client_Subject", "CN=forged")])
                status, fields, _ = c.response()
            subject = re.findall(rb"(?i)x.forwarded.client.subject: (.*)\r\n", origin.seen)
            return status, subject, fields.get("x-activator-reason")

        assert ask("private.example", alice)[:2] == (200, [b"CN=alice,O=Example"])
        assert ask("either.example", alice)[:2] == (200, [b"CN=alice,O=Example"])
        assert ask("either.example")[:2] == (200, [])
        assert ask("public.example", alice)[:2] == (200, [])  # it is not asked for one
        for pair in (None, mallory):
            before = handshakes(s, "client_certificate")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                ask("private.example", pair)
            wait_until(lambda: handshakes(s, "client_certificate") == before + 1,
                       what="the metric")
        # A handshake for one host opens no other with another policy.
        assert ask("private.example", sni="public.example") == (421, [], "misdirected")
        assert ask("public.example", alice, sni="private.example") == (421, [], "misdirected")
        assert ask("localhost", sni="public.example")[0] == 200


def test_the_certificate_of_a_trusted_proxy_is_not_that_of_its_client(tmp_path):
    origin, clients, tls = FakeOrigin(), Tls(tmp_path, "clients"), Tls(tmp_path, "servers")
    proxy = clients.issue("proxy")
    sections = tls.certificate("all", "localhost", more='client_ca = "%s"' % clients.ca)
    services = 'service "o" { hosts = {"*"} revision "v1" { addresses = {"127.0.0.1:%d"} } }'
    with running(tmp_path, services % origin.port, tls=tls,
                 activator=sections + 'trusted_proxies = {"127.0.0.1/32"}') as s:
        with TlsClient(s.port, s.tls.context(proxy)) as c:
            c.request("GET", "/", "o")
            assert c.response()[0] == 200
            assert b"client-subject" not in origin.seen.lower()
            c.request("GET", "/", "o", fields=[("X-Forwarded-Client-Subject", "CN=alice")])
            assert c.response()[0] == 200
        assert re.findall(rb"(?i)client-subject: (.*)\r\n", origin.seen) == [b"CN=alice"]


def test_no_host_avoids_client_certificates(tmp_path):
    """Neither that of a tag, nor one that no certificate names."""
    clients, tls = Tls(tmp_path, "clients"), Tls(tmp_path, "servers")
    alice = clients.issue("alice")
    sections = tls.certificate("public", "*.example") + tls.certificate(
        "private", "private.example", more='client_ca = "%s"' % clients.ca)
    with running(tmp_path, """
service "private" { hosts = {"private.example"}
    revision "v1" { command = {"HELLO"} } revision "v2" { command = {"HELLO"} }
    traffic "v1" { percent = 100 } traffic "v2" { percent = 0 tag = "next" } }
service "rest" { hosts = {"*"} revision "v1" { command = {"HELLO"} } }
""", tls=tls, activator=sections) as s:
        context = s.tls.context()
        context.check_hostname = False
        for host in ("private.example", "next-private.example", "other.test", "127.0.0.1"):
            with TlsClient(s.port, context, host="public.example") as c:
                c.request("GET", "/", host)
                status, fields, _ = c.response()
                assert (status, fields["connection"]) == (421, "close"), host
                assert c.recv(1) == b""
        with TlsClient(s.port, context, host="public.example") as c:
            c.request("GET", "/", "public.example")
            assert c.response()[0] == 200
        with TlsClient(s.port, s.tls.context(alice), host="private.example") as c:
            for host in ("private.example", "other.test"):
                c.request("GET", "/", host)
                assert c.response()[0] == 200
            c.request("GET", "/", "next-private.example")  # a name of the other certificate
            assert c.response()[0] == 421


def test_a_changed_client_ca_ends_connections_without_an_error(tmp_path):
    clients, others, tls = (Tls(tmp_path, name) for name in ("clients", "others", "servers"))
    alice, bob = clients.issue("alice"), others.issue("bob")
    bundle = tls.path("bundle.pem")
    shutil.copy(clients.ca, bundle)
    sections = tls.certificate("public", "public.example") + tls.certificate(
        "private", "private.example", more='client_ca = "%s"' % bundle)
    with running(tmp_path, HELLO, tls=tls, activator=sections + "certificate_check = 100ms") as s:
        def ask(c):
            c.request("GET", "/", "private.example")
            status, fields, _ = c.response()
            assert status == 200
            return fields.get("connection")

        with TlsClient(s.port, s.tls.context(alice), host="private.example") as kept:
            assert ask(kept) is None
            with open(bundle + ".new", "w") as f:
                for ca in (clients.ca, others.ca):
                    f.write(open(ca).read())
            os.replace(bundle + ".new", bundle)
            wait_until(lambda: ask(kept) == "close", what="the last response")
            assert kept.recv(1) == b""
        with TlsClient(s.port, s.tls.context(bob), host="private.example") as c:
            assert ask(c) is None


def test_a_changed_client_ca_ends_connections_of_http2(tmp_path):
    """GOAWAY twice: streams that are under way end, and no new one is refused without a word."""
    clients, others, tls = (Tls(tmp_path, name) for name in ("clients", "others", "servers"))
    alice, gate = clients.issue("alice"), Gate(tmp_path)
    bundle = tls.path("bundle.pem")
    shutil.copy(clients.ca, bundle)
    sections = tls.certificate("private", "private.example", more='client_ca = "%s"' % bundle)
    with running(tmp_path, HELLO, tls=tls, activator=sections + "certificate_check = 100ms") as s:
        context = s.tls.context(alice)
        context.set_alpn_protocols(["h2"])
        context.check_hostname = False
        link = TlsConnection(Client(s.port), context, host="private.example")
        with H2Client(s.port, link=link) as c:
            assert c.get(host="private.example").status == 200
            slow = c.request("/" + gate.query(), "private.example")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="hello/v1"}') == 1)
            shutil.copy(others.ca, bundle + ".new")
            os.replace(bundle + ".new", bundle)

            def is_told():
                assert c.goaways or c.get(host="private.example").status == 200
                return c.goaways
            wait_until(is_told, what="GOAWAY")
            gate.open()
            assert c.response(slow).status == 200
            assert c.end() == 0 and len(c.goaways) == 2
        with pytest.raises((ssl.SSLError, ConnectionError)):  # others are asked for a new proof
            with TlsConnection(Client(s.port), context, host="private.example") as c:
                c.recv(1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_subject_that_is_too_long_is_refused(tmp_path, version):
    clients, tls = Tls(tmp_path, "clients"), Tls(tmp_path, "servers")
    long = clients.issue("long", subject="/CN=long" + "".join(
        "/OU=%02d%s" % (i, "x" * 60) for i in range(16)))
    sections = tls.certificate("private", "localhost", more='client_ca = "%s"' % clients.ca)
    with running(tmp_path, HELLO, tls=tls, activator=sections) as s:
        context = s.tls.context(long)
        context.maximum_version = version
        with pytest.raises(ssl.SSLError, match="ALERT_HANDSHAKE_FAILURE"):
            with TlsClient(s.port, context) as c:
                c.request("GET", "/", "hello")
                c.response()
        wait_until(lambda: handshakes(s, "client_certificate") == 1, what="the metric")
        assert "its subject is too long to be passed on" in s.activator.text()


# --- redirects

@pytest.mark.parametrize("is_trusted", [False, True])
def test_redirect_https(tmp_path, is_trusted):
    port = free_port()
    trusted = 'trusted_proxies = {"127.0.0.1/32"}' if is_trusted else ""
    with running(tmp_path, """
service "moved" { hosts = {"moved"} redirect_https = yes revision "v1" { command = {"HELLO"} } }
service "stays" { hosts = {"stays"} revision "v1" { command = {"HELLO"} } }
""", tls=True, listen=', "127.0.0.1:%d"' % port, activator="https_port = 8443 " + trusted) as s:
        def get(host, path, method="GET", fields=()):
            with Client(port) as c:
                c.request(method, path, host, fields=fields)
                status, answer, _ = c.response()
                return status, answer.get("location")
        assert get("moved:80", "/a?b=c") == (308, "https://moved:8443/a?b=c")
        assert get("moved", "/", "POST") == (308, "https://moved:8443/")
        assert get("moved", "/.well-known/acme-challenge/x")[0] != 308
        assert get("moved", "/.well-known/acme-challenge/../x")[0] == 308
        assert get("moved", "/", fields=[("X-Forwarded-Proto", "https")])[0] == (
            200 if is_trusted else 308)
        assert get("stays", "/") == (200, None)
        assert s.get("moved")[0] == 200  # by TLS


# --- bounds

def test_a_handshake_that_takes_too_long(tmp_path):
    with running(tmp_path, HELLO, tls=True, activator="tls_handshake_timeout = 300ms") as s:
        with Client(s.port) as silent, Client(s.port) as slow:
            slow.sendall(b"\x16\x03\x01")
            assert s.get("hello")[0] == 200
            assert silent.is_closed() and slow.is_closed()
        wait_until(lambda: handshakes(s, "closed") >= 2, what="the metric")
        assert s.metric("activator_tls_handshakes_under_way") == 0


def test_a_client_that_leaves_early_costs_no_handshake(stack):
    """Its ClientHello is not answered, also where it comes together with its end."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        stack.tls.context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    before = handshakes(stack, "closed")
    with stopped(stack.activator.pid):
        gone, plain = Client(stack.port), Client(stack.port)
        for c, data in (gone, hello), (plain, b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n"):
            c.sendall(data)
            c.shutdown(socket.SHUT_WR)
    with gone, plain:
        assert gone.is_closed()
        assert plain.response()[0] == 400  # a client that has only ended its side is answered
    wait_until(lambda: handshakes(stack, "closed") == before + 1, what="the metric")


def test_a_flood_of_silent_handshakes(tmp_path):
    with running(tmp_path, HELLO, tls=True, workers=1,
                 activator="tls_handshakes = 20 tls_handshake_timeout = 10m") as s:
        kept = s.connect()
        kept.request("GET", "/", "hello")  # its handshake is over at both ends
        assert kept.response()[0] == 200
        flood = [Client(s.port) for _ in range(100)]
        for _ in range(5):
            assert s.get("hello")[0] == 200
            kept.request("GET", "/", "hello")
            assert kept.response()[0] == 200
        wait_until(lambda: handshakes(s, "crowded") >= 80, what="the metric")
        assert s.metric("activator_tls_handshakes_under_way") <= 20
        for c in (kept, *flood):
            c.close()


def test_handshakes_leave_time_for_established_connections(tmp_path):
    """Many clients connect at once: all get through, and those connected are served meanwhile."""
    with running(tmp_path, HELLO, tls=True, workers=1, activator="tls_handshake_budget = 0") as s:
        assert s.get("hello")[0] == 200
        kept, context, failed = s.connect(), s.tls.context(), []

        def connect():
            try:
                with TlsClient(s.port, context) as c:
                    c.request("GET", "/", "hello")
                    assert c.response()[0] == 200
            except BaseException as e:
                failed.append(e)
        threads = [threading.Thread(target=connect) for _ in range(60)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            kept.request("GET", "/", "hello")
            assert kept.response()[0] == 200
        for t in threads:
            t.join()
        kept.close()
        assert not failed, failed


def test_sigterm(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, HELLO, tls=True) as s:
        assert s.get("hello")[0] == 200
        with s.connect() as busy, s.connect() as idle:
            busy.request("GET", "/" + gate.query(), "hello")
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="hello/v1"}') == 1,
                       what="the request")
            s.activator.process.terminate()
            assert idle.is_closed()
            gate.open()
            status, fields, _ = busy.response()
            assert (status, fields["connection"]) == (200, "close")
            assert busy.recv(1) == b""


def test_sigterm_during_a_handshake(tmp_path):
    """A client whose handshake has begun gets the answer to its request."""
    with running(tmp_path, HELLO, tls=True) as s:
        assert s.get("hello")[0] == 200
        begun = Client(s.port)
        pieces = []

        def pace(data):
            if not pieces:
                begun.sendall(data[:10])
                s.activator.process.terminate()
                assert idle.is_closed() and silent.is_closed()
                data = data[10:]
            pieces.append(data)
            begun.sendall(data)

        with s.connect() as idle, Client(s.port) as silent, TlsConnection(
                begun, s.tls.context(), pace=pace) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n")
            answer = b""
            while not answer.endswith(b"hello\n"):
                data = c.recv(65536)
                assert data, answer
                answer += data
            assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower()
            assert c.recv(1) == b""


# --- instances that speak TLS

class TlsOrigin(FakeInstance):
    """Answers each request by TLS, and keeps the subjects of the clients' certificates."""

    def __init__(self, context):
        self.context, self.subjects, self.connections = context, [], 0
        super().__init__()

    def serve(self, connection):
        with self.context.wrap_socket(connection, server_side=True) as c:
            self.connections += 1
            self.subjects.append(c.getpeercert())
            head, rest = read_head(c)
            while head is not None:
                n = int(re.search(rb"(?i)content-length: (\d+)", head + b"Content-Length: 0")[1])
                while len(rest) < n:
                    rest += c.recv(65536)
                body, rest = rest[:n], rest[n:]
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (n, body))
                head, rest = read_head(c, rest)


def origin_context(tls, name, *hosts, client_ca=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(*tls.issue(name, *hosts))
    if client_ca:
        c.load_verify_locations(client_ca)
        c.verify_mode = ssl.CERT_REQUIRED
    return c


def test_instances_that_speak_tls(tmp_path):
    tls, clients, other = (Tls(tmp_path, n) for n in ("ours", "clients", "other"))
    origin = TlsOrigin(origin_context(tls, "app", "app.internal", client_ca=clients.ca))
    services = "".join("""
service "%s" { hosts = {"%s"} revision "v1" { addresses = {"127.0.0.1:%d"} upstream_tls = yes
    upstream_ca = "%s" upstream_name = "%s" %s activation_timeout = 20s } }""" % (
        name, name, origin.port, ca, upstream_name, more) for name, ca, upstream_name, more in (
            ("good", tls.ca, "app.internal",
             'upstream_certificate = "%s" upstream_key = "%s"' % clients.issue("activator")),
            ("misnamed", tls.ca, "other.internal", ""),
            ("untrusted", other.ca, "app.internal", ""),
            ("unreadable", "/no/such", "app.internal", "")))
    with running(tmp_path, services) as s:
        body = os.urandom(1 << 20)
        for _ in range(3):
            assert s.get("good", method="POST", body=body)[2] == body
        assert origin.connections <= 2 * 2  # they are kept, in each worker
        subject = dict(pair[0] for pair in origin.subjects[-1]["subject"])
        assert subject["commonName"] == "activator"
        for name in ("misnamed", "untrusted", "unreadable"):
            status, fields, _ = s.get(name)
            assert (status, fields["x-activator-reason"]) == (502, "upstream_failed")
        assert s.metric("activator_upstream_tls_handshakes_total") >= 1
        assert s.metric("activator_upstream_tls_handshake_failures_total") >= 2
        text = s.activator.text()
        assert "hostname mismatch" in text and "/no/such" in text


def test_sessions_of_instances_are_resumed(tmp_path):
    """Each request has a connection of its own: all but the first one of a worker resume."""
    tls = Tls(tmp_path, "ours")
    origin = TlsOrigin(origin_context(tls, "app", "app.internal"))
    with running(tmp_path, """service "s" { hosts = {"s"} revision "v1" {
        addresses = {"127.0.0.1:%d"} upstream_tls = yes upstream_ca = "%s"
        upstream_name = "app.internal" upstream_idle_timeout = 0 } }""" % (
            origin.port, tls.ca), workers=1) as s:
        for i in range(4):
            assert s.get("s", method="POST", body=b"%d" % i)[2] == b"%d" % i
        assert s.metric("activator_upstream_tls_handshakes_total") == 4
        assert s.metric("activator_upstream_tls_resumptions_total") == 3


def test_requests_that_wait_for_room_for_a_handshake(tmp_path):
    """They go on when there is room; meanwhile idle connections to other instances stay open."""
    tls = Tls(tmp_path, "ours")
    good = TlsOrigin(origin_context(tls, "app", "app.internal"))
    with socket.create_server(("127.0.0.1", 0)) as silent, running(
            tmp_path, HELLO.replace("*", "hello") + "".join("""
service "%s" { hosts = {"%s"} revision "v1" { addresses = {"127.0.0.1:%d"} upstream_tls = yes
    upstream_ca = "%s" upstream_name = "app.internal" connect_timeout = 60s } }""" % (
                name, name, port, tls.ca) for name, port in (
                    ("silent", silent.getsockname()[1]), ("good", good.port))),
            activator="tls_handshakes = 1", workers=1) as s, s.connect() as holder:
        assert s.get("hello")[0] == 200
        connects = s.metric("activator_upstream_connects_total")
        holder.request("GET", "/", "silent")
        wait_until(lambda: s.metric("activator_upstream_connects_total") == connects + 1,
                   what="the handshake that does not end")
        with s.connect() as first, s.connect() as second:
            for c, body in ((first, b"first"), (second, b"second")):
                c.request("POST", "/", "good", body)
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="good/v1"}') == 2,
                       what="the requests that wait")
            for _ in range(4):
                assert s.get("hello")[0] == 200
            assert s.metric("activator_upstream_connects_total") == connects + 1
            holder.close()
            assert first.response()[2] == b"first"
            assert second.response()[2] == b"second"


def test_a_connection_of_the_prober_waits_for_room_for_its_handshake(tmp_path):
    tls = Tls(tmp_path, "ours")
    late = TlsOrigin(origin_context(tls, "app", "app.internal"))
    late.close()
    with socket.create_server(("127.0.0.1", 0)) as silent, running(
            tmp_path, "".join("""
service "%s" { hosts = {"%s"} revision "v1" { addresses = {"127.0.0.1:%d"} upstream_tls = yes
    upstream_ca = "%s" upstream_name = "app.internal" connect_timeout = 60s %s } }""" % (
                name, name, port, tls.ca, more) for name, port, more in (
                    ("silent", silent.getsockname()[1], ""),
                    ("late", late.port, "container_concurrency = 1"))),
            activator="tls_handshakes = 1", workers=1) as s, s.connect() as holder:
        holder.request("GET", "/", "silent")
        wait_until(lambda: s.metric('activator_revision_in_flight{revision="silent/v1"}') == 1,
                   what="the handshake that does not end")
        with s.connect() as c:
            c.request("POST", "/", "late", b"body")
            wait_until(lambda: s.metric('activator_revision_parked{revision="late/v1"}') == 1,
                       what="the parked request")
            late.listen()
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="late/v1"}') == 1,
                       what="its slot")
            assert s.get("nobody")[0] == 404
            assert s.metric("activator_upstream_tls_handshakes_total") == 0
            holder.close()
            assert c.response()[2] == b"body"


def test_changed_files_for_instances_are_used(tmp_path):
    tls, other = Tls(tmp_path, "ours"), Tls(tmp_path, "other")
    origin = TlsOrigin(origin_context(tls, "app", "app.internal"))
    trusted = str(tmp_path / "trusted.pem")
    shutil.copy(other.ca, trusted)
    with running(tmp_path, """service "s" { hosts = {"s"} revision "v1" {
        addresses = {"127.0.0.1:%d"} upstream_tls = yes upstream_ca = "%s"
        upstream_name = "app.internal" upstream_idle_timeout = 0 } }""" % (
            origin.port, trusted), activator="certificate_check = 100ms", workers=1) as s:
        assert s.get("s", method="POST", body=b"a")[0] == 502
        shutil.copy(tls.ca, trusted + ".new")
        os.replace(trusted + ".new", trusted)
        wait_until(lambda: s.get("s", method="POST", body=b"b")[0] == 200, what="the new authority")
        with open(trusted, "w") as f:
            f.write("no certificate\n")
        wait_until(lambda: "those before stay in use" in s.activator.text(), what="the log line")
        assert s.get("s", method="POST", body=b"c")[2] == b"c"


def test_an_instance_that_answers_late_is_asked_by_tls(tmp_path):
    """The connection of the prober carries the parked request, once its handshake is over."""
    tls = Tls(tmp_path, "ours")
    origin = TlsOrigin(origin_context(tls, "app", "app.internal"))
    origin.close()
    with running(tmp_path, """service "late" { hosts = {"late"} revision "v1" {
        addresses = {"127.0.0.1:%d"} upstream_tls = yes upstream_ca = "%s"
        upstream_name = "app.internal" container_concurrency = 1 } }""" % (
            origin.port, tls.ca)) as s, s.connect() as c:
        c.request("POST", "/", "late", b"body")
        wait_until(lambda: s.metric('activator_revision_parked{revision="late/v1"}') == 1,
                   what="the parked request")
        origin.listen()
        assert c.response()[2] == b"body"
        c.request("POST", "/", "late", b"again")
        assert c.response()[2] == b"again"
        assert origin.connections == 1
