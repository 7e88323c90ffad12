"""A client of a real or a fake API server, for asyncio: keep-alive, chunked answers, watches.
It reads kubeconfigs as kube.py and the tests write them: JSON, with files."""
import asyncio
import json
import os
import ssl
import urllib.parse


class Answer(Exception):
    """The server answered with a status of 300 or more."""

    def __init__(self, code, body):
        super().__init__("%d %s" % (code, body[:300]))
        self.code = code


class Kubeconfig:
    def __init__(self, path):
        with open(path) as f:
            conf = json.load(f)
        context = next(c["context"] for c in conf["contexts"]
                       if c["name"] == conf["current-context"])
        cluster = next(c["cluster"] for c in conf["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in conf["users"] if u["name"] == context["user"])
        at = urllib.parse.urlparse(cluster["server"])
        self.host, self.port, self.token = at.hostname, at.port or 443, user.get("token")
        self.tls = ssl.create_default_context(cafile=os.path.join(
            os.path.dirname(path), cluster["certificate-authority"]))
        if "client-certificate" in user:
            self.tls.load_cert_chain(user["client-certificate"], user["client-key"])


class Client:
    def __init__(self, conf):
        self.conf, self.idle = conf, []

    async def _open(self):
        return await asyncio.open_connection(self.conf.host, self.conf.port, ssl=self.conf.tls,
                                             limit=1 << 24)

    def _head(self, method, path, body, content_type):
        text = "%s %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: application/json\r\n" % (
            method, path, self.conf.host, self.conf.port)
        if self.conf.token:
            text += "Authorization: Bearer %s\r\n" % self.conf.token
        if body is not None:
            text += "Content-Type: %s\r\nContent-Length: %d\r\n" % (content_type, len(body))
        return text.encode() + b"\r\n" + (body or b"")

    async def _answer_head(self, reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return int(head[0].split()[1]), fields

    @staticmethod
    async def _chunks(reader):
        while True:
            n = int((await reader.readline()).split(b";")[0], 16)
            data = await reader.readexactly(n + 2)
            if n == 0:
                return
            yield data[:-2]

    async def call(self, method, path, body=None, content_type="application/json"):
        data = None if body is None else json.dumps(body).encode()
        while True:
            is_old = bool(self.idle)
            reader, writer = self.idle.pop() if is_old else await self._open()
            try:
                writer.write(self._head(method, path, data, content_type))
                code, fields = await asyncio.wait_for(self._answer_head(reader), 10)
                if fields.get("transfer-encoding") == "chunked":
                    got = b"".join([c async for c in self._chunks(reader)])
                else:
                    got = await reader.readexactly(int(fields.get("content-length") or 0))
            except (OSError, EOFError, asyncio.TimeoutError):
                writer.close()
                if not is_old:
                    raise
                continue  # the server had closed an idle connection
            except asyncio.CancelledError:
                writer.close()
                raise
            self.idle.append((reader, writer))
            if code >= 300:
                raise Answer(code, got.decode())
            return json.loads(got) if got[:1] == b"{" else got

    async def watch(self, path):
        """Events until the stream ends."""
        reader, writer = await self._open()
        try:
            writer.write(self._head("GET", path, None, None))
            code, _ = await self._answer_head(reader)
            if code != 200:
                raise Answer(code, "")
            rest = b""
            async for data in self._chunks(reader):
                rest += data
                lines = rest.split(b"\n")
                rest = lines.pop()
                for line in lines:
                    yield json.loads(line)
        finally:
            writer.close()

    async def insist(self, method, path, body=None, content_type="application/json"):
        """Call until the server answers other than with 5xx or 429; None: 404 or 409."""
        while True:
            try:
                return await self.call(method, path, body, content_type)
            except Answer as e:
                if e.code in (404, 409):
                    return None
                if e.code < 500 and e.code != 429:
                    raise
            except (OSError, EOFError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(0.1)
