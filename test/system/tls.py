"""Certificates that openssl(1) makes for a test, and a client that speaks TLS over any socket, with
every byte that it sends in the test's hands."""
import os
import socket
import ssl
import subprocess
import threading


def openssl(*words, **more):
    return subprocess.run(["openssl", *words], check=True, stdin=subprocess.DEVNULL,
                          capture_output=True, **more).stdout


class Tls:
    """An authority in a folder, and the certificates that it has issued."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = str(folder), name
        self.ca, self.ca_key = self.path(name + ".pem"), self.path(name + ".key")
        with open(self.path("openssl.cnf"), "w") as f:  # else extensions of its own are added
            f.write("[req]\ndistinguished_name = name\n[name]\n")
        openssl("req", "-x509", "-config", self.path("openssl.cnf"), "-newkey", "ec",
                "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.ca_key, "-out", self.ca, "-subj", "/CN=" + name, "-days", "2",
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign")

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, *hosts, days=2, key=None, rsa=False, subject=None):
        """Files NAME.pem and NAME.key of a certificate for these hosts; their paths."""
        chain, new_key = self.path(name + ".pem"), self.path(name + ".key")
        words = ["-key", key] if key else ["-nodes", "-keyout", new_key + ".new", "-newkey"] + (
            ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        with open(self.path("extensions"), "w") as f:
            f.write("basicConstraints=critical,CA:FALSE\n")
            if hosts:
                f.write("subjectAltName=" + ",".join("DNS:" + h for h in hosts) + "\n")
        openssl("req", "-new", "-config", self.path("openssl.cnf"), *words,
                "-out", self.path("request"), "-subj", subject or "/CN=" + name)
        openssl("x509", "-req", "-in", self.path("request"), "-CA", self.ca, "-CAkey", self.ca_key,
                "-days", str(days), "-extfile", self.path("extensions"), "-out", chain + ".new")
        os.replace(chain + ".new", chain)
        if key is None:
            os.replace(new_key + ".new", new_key)
        return chain, key or new_key

    def certificate(self, name, *hosts, more="", **how):
        """The section of the conf file for a new certificate."""
        return '\ncertificate "%s" { chain = "%s" key = "%s" %s }\n' % (
            name, *self.issue(name, *hosts, **how), more)

    def context(self, pair=None):
        """For a client that trusts this authority; pair: its own certificate and key."""
        c = ssl.create_default_context(cafile=self.ca)
        if pair is not None:
            c.load_cert_chain(*pair)
        return c


class TlsConnection:
    """TLS over a connected socket: as a socket, as far as tests need it.  One thread may send
    while another receives.  pace(data): sends ciphertext, in place of sendall() of the socket."""

    def __init__(self, sock, context, host="localhost", session=None, pace=None):
        self.sock, self.pace = sock, pace or sock.sendall
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host,
                                    session=session)
        self.state, self.order = threading.Lock(), threading.Lock()
        try:
            self.run(self.tls.do_handshake)
        except BaseException:
            sock.close()
            raise

    def flush(self):
        with self.order:
            with self.state:
                data = self.outgoing.read()
            if data:
                self.pace(data)

    def run(self, step, *arguments):
        """Call a step until it needs no more bytes of the peer."""
        while True:
            try:
                with self.state:
                    result = step(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
            data = self.sock.recv(65536)
            with self.state:
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def sendall(self, data):
        view = memoryview(data)
        for at in range(0, len(view), 16384):
            with self.order:
                with self.state:
                    self.tls.write(view[at:at + 16384])
                    sealed = self.outgoing.read()
                self.pace(sealed)

    send = sendall

    def recv(self, n):
        """b"": the peer has said that it sends no more.  A connection that ends otherwise counts
        as reset."""
        try:
            return self.run(self.tls.read, n)
        except ssl.SSLZeroReturnError:
            return b""
        except (ssl.SSLEOFError, ssl.SSLSyscallError) as e:
            raise ConnectionResetError("cut") from e
        except ssl.SSLError as e:
            if "EOF" in str(e).upper():
                raise ConnectionResetError("cut") from e
            raise

    def shutdown(self, how):
        """SHUT_WR: say that no more comes, then FIN."""
        assert how == socket.SHUT_WR
        try:
            with self.state:
                self.tls.unwrap()
        except ssl.SSLError:  # the peer has not said so
            pass
        self.flush()
        self.sock.shutdown(how)

    def close(self):
        self.sock.close()

    def __getattr__(self, name):  # settimeout(), fileno() and the like
        return getattr(self.sock, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
