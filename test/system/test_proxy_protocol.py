"""An address with the word proxy: the client that a PROXY protocol header names is the client for
rules, limits and header fields, behind real proxies and behind a test that sends byte by byte. Other
connections are not served."""
import glob
import os
import shutil
import socket
import struct
import subprocess

import pytest

from fakes.echo import Echo, fields_of
from helpers import WAIT_S, free_port, wait_until
from stack import Client, Stack
from tls import Tls, TlsConnection

SERVICE = 'service "s" { hosts = {"s.x"} revision "v1" { addresses = {"127.0.0.1:%d"} } %s }'
STREAM_MODULE = next(iter(glob.glob("/usr/lib/nginx/modules/ngx_stream_module.so")), None)

V1 = b"PROXY TCP4 192.0.2.1 10.0.0.1 54321 80\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(address, tlvs=b"", command=1):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ip = socket.inet_pton(family, address)
    body = ip + ip + struct.pack("!HH", 54321, 80) + tlvs
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, 0x21 if ":" in address else 0x11,
                                   len(body)) + body


class Listening(Stack):
    """An activator with an address for proxies, beside its port."""

    def __init__(self, path, app, service="", activator="", trusted='"127.0.0.1"', at=None,
                 words="proxy", workers=2):
        self.proxied = free_port()
        super().__init__(path, SERVICE % (app, service),
                         "trusted_proxies = {%s} %s" % (trusted, activator), workers=workers,
                         tls=False,
                         listen=', "%s %s"' % (at or "127.0.0.1:%d" % self.proxied, words))

    def headers(self, result):
        return self.metric('activator_proxy_headers_total{result="%s"}' % result)


@pytest.fixture
def app():
    port = free_port()
    with Echo("app", ("127.0.0.1", port)):
        yield port


@pytest.fixture
def listening(tmp_path, app):
    stacks = []

    def start(*args, **more):
        stacks.append(Listening(tmp_path, app, *args, **more))
        return stacks[0].start()

    yield start
    for s in stacks:
        s.stop()


def ask(c, fields=(), host="s.x"):
    c.request("GET", "/", host, None, list(fields) + [("Connection", "close")])
    return c.response()


def client(s, header):
    c = Client(s.proxied)
    c.sendall(header)
    return c


# --- what a header is good for

@pytest.mark.parametrize("header, address, node", [
    (V1, "192.0.2.1", "192.0.2.1"),
    (b"PROXY TCP6 2001:db8::1 ::1 54321 80\r\n", "2001:db8::1", '"[2001:db8::1]"'),
    (v2("192.0.2.1"), "192.0.2.1", "192.0.2.1"),
    (v2("2001:db8::1"), "2001:db8::1", '"[2001:db8::1]"'),
    (v2("::ffff:192.0.2.1", tlvs=b"\x04\0\x01-"), "192.0.2.1", "192.0.2.1"),
])
def test_the_instance_hears_of_the_client(listening, header, address, node):
    s = listening()
    with client(s, header) as c:
        sent = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7")]
        fields = fields_of(ask(c, sent))
    assert fields["x-forwarded-for"] == address  # the client itself is no trusted proxy
    assert fields["forwarded"] == 'for=%s;host="s.x";proto=http' % node
    assert s.headers("client") == 1


def test_a_client_that_is_a_trusted_proxy_itself_is_believed(listening):
    s = listening(trusted='"127.0.0.1", "192.0.2.0/24"')
    with client(s, V1) as c:
        fields = fields_of(ask(c, [("X-Forwarded-For", "203.0.113.7")]))
    assert fields["x-forwarded-for"] == "203.0.113.7, 192.0.2.1"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x21\0\0\0"])
def test_a_client_that_the_proxy_cannot_name(listening, header):
    s = listening(trusted='"127.0.0.1", "unix:"')
    with client(s, header) as c:
        fields = fields_of(ask(c, [("X-Forwarded-For", "203.0.113.7")]))
    assert "x-forwarded-for" not in fields
    assert fields["forwarded"] == 'for=unknown;host="s.x";proto=http'
    assert s.headers("anonymous") == 1


def test_a_health_check_of_the_proxy(listening):
    s = listening()
    with client(s, v2("192.0.2.1", command=0)) as c:
        fields = fields_of(ask(c))
    assert fields["x-forwarded-for"] == "127.0.0.1"
    assert s.headers("local") == 1
    Client(s.proxied).close()  # one that only connects
    wait_until(lambda: s.headers("ended") == 1)
    assert "connection closed" not in s.activator.text()


def test_rules_see_the_client(listening):
    s = listening('rule "r" { clients = {"192.0.2.0/24"} action = answer status = 403 }')
    with client(s, V1) as c:
        assert ask(c)[0] == 403
    with client(s, v2("198.51.100.1")) as c:
        assert ask(c)[0] == 200


def test_limits_are_those_of_the_client(listening):
    s = listening(activator="connections_per_client = 1", workers=1)
    with client(s, V1) as first, client(s, v2("192.0.2.2")) as second:
        for c in first, second:
            c.request("GET", "/", "s.x")
            assert c.response()[0] == 200
        with client(s, V1) as third:
            assert third.response()[0] == 503
        wait_until(lambda: s.metric("activator_connections") == 2)


def test_many_requests_follow_one_header(listening):
    s = listening()
    with client(s, V1 + b"GET / HTTP/1.1\r\nHost: s.x\r\n\r\n" * 20) as c:
        for _ in range(20):
            assert fields_of(c.response())["x-forwarded-for"] == "192.0.2.1"
    assert s.headers("client") == 1


def test_a_header_in_pieces(listening):
    s = listening()
    with Client(s.proxied) as c:
        for byte in v2("192.0.2.1"):
            c.sendall(bytes([byte]))
        assert fields_of(ask(c))["x-forwarded-for"] == "192.0.2.1"


def test_a_unix_socket(tmp_path, listening):
    s = listening(trusted='"unix:"', at="unix:%s/http" % tmp_path)
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(WAIT_S)
        c.connect("%s/http" % tmp_path)
        c.sendall(V1 + b"GET / HTTP/1.1\r\nHost: s.x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: c.recv(65536), b""))
    assert b"X-Forwarded-For: 192.0.2.1\r\n" in answer


# --- TLS behind it

@pytest.mark.parametrize("is_joined", [True, False])
def test_tls_follows_the_header(tmp_path, listening, is_joined):
    tls = Tls(tmp_path)
    s = listening(words="tls proxy", activator=tls.certificate("test", "s.x"))
    sock = Client(s.proxied)
    header = [V1]

    def pace(data):
        """The header is in one segment with the ClientHello."""
        sock.sendall((header.pop() if header else b"") + data)

    if not is_joined:
        sock.sendall(header.pop())
    with TlsConnection(sock, tls.context(), host="s.x", pace=pace) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: s.x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: c.recv(65536), b""))
    assert b"X-Forwarded-For: 192.0.2.1\r\n" in answer
    assert b"X-Forwarded-Proto: https\r\n" in answer
    assert s.headers("client") == 1


TLS_AT_PROXY = b"\x20\0\x05\x01\0\0\0\0"


@pytest.mark.parametrize("tlvs, proto", [(b"", "http"), (TLS_AT_PROXY, "https"),
                                         (b"\x20\0\x05\0\0\0\0\0", "http")])
def test_tls_that_the_proxy_ends(listening, tlvs, proto):
    s = listening("redirect_https = yes")
    with client(s, v2("192.0.2.1", tlvs)) as c:
        answer = ask(c)
    if proto == "https":
        assert fields_of(answer)["x-forwarded-proto"] == "https"
        assert fields_of(answer)["forwarded"] == 'for=192.0.2.1;host="s.x";proto=https'
    else:
        assert answer[0] == 308


def test_tls_without_the_header(tmp_path, listening):
    tls = Tls(tmp_path)
    s = listening(words="tls proxy", activator=tls.certificate("test", "s.x"))
    with pytest.raises(OSError):
        TlsConnection(Client(s.proxied), tls.context(), host="s.x")
    wait_until(lambda: s.headers("absent") == 1)


# --- connections that are not served

@pytest.mark.parametrize("header, result", [
    (b"GET / HTTP/1.1\r\nHost: s.x\r\n\r\n", "absent"),
    (b"PROXY TCP4 192.0.2.1 10.0.0.1 54321\r\n", "malformed"),
    (b"PROXY UNKNOWN " + b"x" * 100, "too_long"),
    (SIGNATURE + b"\x31\x11\0\x0c", "malformed"),
    (SIGNATURE + b"\x21\x11\xff\xff", "too_long"),
])
def test_a_connection_without_a_header(listening, header, result):
    s = listening()
    with client(s, header) as c:
        assert c.is_closed()
    wait_until(lambda: s.headers(result) == 1)
    line = [l for l in s.activator.text().splitlines() if "no valid PROXY protocol header" in l]
    assert len(line) == 1 and "proxy=127.0.0.1" in line[0]
    assert "listen=127.0.0.1:%d" % s.proxied in line[0] and "header=" + result in line[0]
    assert s.get("s.x")[0] == 200  # at the address without the word
    assert s.metric('activator_revision_requests_total{revision="s/v1"}') == 1


def test_only_trusted_proxies_may_connect(listening):
    s = listening(trusted='"127.0.0.2"')
    with Client(s.proxied) as c:
        assert c.is_closed()
    wait_until(lambda: s.headers("untrusted") == 1)
    assert "peer=127.0.0.1" in s.activator.text()
    with socket.create_connection(("127.0.0.1", s.proxied), WAIT_S, ("127.0.0.2", 0)) as c:
        c.sendall(V1 + b"GET / HTTP/1.1\r\nHost: s.x\r\nConnection: close\r\n\r\n")
        assert c.recv(12) == b"HTTP/1.1 200"


def test_a_header_at_another_address_is_no_request(listening):
    s = listening()
    with Client(s.port) as c:
        c.sendall(V1 + b"GET / HTTP/1.1\r\nHost: s.x\r\n\r\n")
        assert c.response()[0] == 400


def test_a_header_must_come_in_time(listening):
    s = listening(activator="head_timeout = 300ms")
    with client(s, V1[:10]) as c:
        assert c.is_closed()
    assert s.headers("timeout") == 1


def test_connections_that_wait_for_their_header_are_bounded(listening):
    s = listening(activator="max_connections = 3")
    waiting = [client(s, V1[:10]) for _ in range(3)]
    wait_until(lambda: s.metric("activator_connections") == 3)
    with Client(s.proxied) as c:
        assert c.response()[0] == 503
    for c in waiting:
        c.close()
    wait_until(lambda: s.metric("activator_connections") == 0)
    assert s.headers("ended") == 3


def test_clients_that_speak_tls_get_no_plain_text(tmp_path, listening):
    s = listening(words="tls", activator=Tls(tmp_path).certificate("test", "s.x") +
                  "max_connections = 1")
    with Client(s.proxied):
        wait_until(lambda: s.metric("activator_connections") == 1)
        with Client(s.proxied) as c:
            assert c.is_closed()
        with Client(s.port) as c:
            assert c.response()[0] == 503


def test_a_shutdown_does_not_wait_for_headers(listening):
    s = listening(activator="drain_timeout = 1h head_timeout = 1h")
    with Client(s.proxied) as silent:
        wait_until(lambda: s.metric("activator_connections") == 1)
        assert s.activator.stop() == 0
        assert silent.is_closed()


# --- real proxies

def from_address(port, source):
    """Send a request from this address of the loopback network; what the instance received."""
    c = Client.__new__(Client)
    socket.socket.__init__(c, socket.AF_INET, socket.SOCK_STREAM)
    c.settimeout(WAIT_S)
    c.rest = b""
    with c:
        c.bind((source, 0))
        c.connect(("127.0.0.1", port))
        return fields_of(ask(c))


def accepts(port):
    with socket.socket() as c:
        return c.connect_ex(("127.0.0.1", port)) == 0


class Proxy:
    def __init__(self, port, *words):
        self.port = port
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL)

    def __enter__(self):
        wait_until(lambda: accepts(self.port), what="the proxy to listen")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(WAIT_S)
        finally:
            self.process.kill()


def check_clients(s, port):
    for source in "127.0.0.7", "127.0.0.8":
        fields = from_address(port, source)
        assert fields["x-forwarded-for"] == source
        assert fields["forwarded"] == 'for=%s;host="s.x";proto=http' % source


@pytest.mark.skipif(not shutil.which("haproxy"), reason="no haproxy")
@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2",
                                   "send-proxy-v2 proxy-v2-options crc32c,authority"])
def test_haproxy(tmp_path, listening, words):
    s = listening()
    port = free_port()
    conf = tmp_path / "haproxy.cfg"
    conf.write_text("""defaults
    mode tcp
    timeout connect 60s
    timeout client 60s
    timeout server 60s
listen all
    bind 127.0.0.1:%d
    server activator 127.0.0.1:%d %s check inter 100ms
""" % (port, s.proxied, words))
    with Proxy(port, "haproxy", "-db", "-q", "-f", str(conf)):
        check_clients(s, port)
        # Its health checks have a header, too.
        wait_until(lambda: s.headers("client") + s.headers("local") > 2)
    for result in "untrusted", "absent", "malformed", "too_long", "timeout":
        assert s.headers(result) == 0


@pytest.mark.skipif(not shutil.which("haproxy"), reason="no haproxy")
def test_haproxy_that_ends_tls(tmp_path, listening):
    s = listening()
    port = free_port()
    tls = Tls(tmp_path)
    pair = tmp_path / "pair.pem"
    pair.write_text("".join(open(path).read() for path in tls.issue("test", "s.x")))
    conf = tmp_path / "haproxy.cfg"
    conf.write_text("""defaults
    mode tcp
    timeout connect 60s
    timeout client 60s
    timeout server 60s
listen all
    bind 127.0.0.1:%d ssl crt %s
    server activator 127.0.0.1:%d send-proxy-v2-ssl
""" % (port, pair, s.proxied))
    with Proxy(port, "haproxy", "-db", "-q", "-f", str(conf)):
        with TlsConnection(Client(port), tls.context(), host="s.x") as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: s.x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: c.recv(65536), b""))
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in answer
    assert b"X-Forwarded-Proto: https\r\n" in answer


@pytest.mark.skipif(not shutil.which("nginx") or not STREAM_MODULE, reason="no nginx with stream")
def test_nginx(tmp_path, listening):
    s = listening()
    port = free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text("""load_module %s;
daemon off; master_process off; pid %s/nginx.pid; error_log %s/nginx.log;
events { }
stream { server { listen 127.0.0.1:%d; proxy_pass 127.0.0.1:%d; proxy_protocol on; } }
""" % (STREAM_MODULE, tmp_path, tmp_path, port, s.proxied))
    with Proxy(port, "nginx", "-c", str(conf), "-p", str(tmp_path), "-e",
               str(tmp_path / "nginx.log")):
        check_clients(s, port)


def test_curl(listening):
    s = listening()
    done = subprocess.run(
        ["curl", "-sS", "--haproxy-protocol", "--interface", "127.0.0.1", "-H", "Host: s.x",
         "http://127.0.0.1:%d/" % s.proxied],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=WAIT_S, check=True,
        env={k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")})
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in done.stdout
    assert s.headers("client") == 1
