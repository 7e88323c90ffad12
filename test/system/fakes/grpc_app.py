"""A server of gRPC, by grpcio, for tests: a program whose messages are plain bytes, so that it needs no
generated code.  It listens on $PORT.

Methods of the service test.Calls: Echo answers a message with itself; Count sends as many messages
as its request says; Join answers with all messages together; Talk answers each message with itself;
Who names this instance (port and process); Fail ends with PERMISSION_DENIED; Left answers with the seconds to the
client's deadline; Hold answers when its client has gone, and with x-tell in the metadata sends a head
at once; Held answers with how many Hold are under
way, and how many were cancelled.

arguments: --fail NAME: Echo ends with this status (INTERNAL).  --late MILLISECONDS: how long it takes until it listens.  --health FILE: it has the health
service; the file says the status (SERVING) of all services but "unknown"."""
import argparse
import os
import struct
import threading
import time
from concurrent import futures

import grpc

STATUS = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2}


class Calls:
    def __init__(self, fail):
        self.lock, self.held, self.cancelled = threading.Lock(), 0, 0
        self.failure = fail and grpc.StatusCode[fail]

    def echo(self, request, context):
        if self.failure is not None:
            context.abort(self.failure, "by the option --fail")
        for key, value in context.invocation_metadata():
            if key == "x-echo":
                context.send_initial_metadata((("x-echoed", value),))
                context.set_trailing_metadata((("x-trailer", value),))
        return request

    def count(self, request, _):
        for i in range(int(request)):
            yield b"%d" % i

    def join(self, requests, _):
        return b",".join(requests)

    def talk(self, requests, _):
        yield from requests

    def who(self, *_):
        return b"%s %d" % (os.environ["PORT"].encode(), os.getpid())

    def fail(self, _, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you: 100% f\xfcr andere\n")

    def left(self, _, context):
        left = context.time_remaining()
        return b"none" if left is None or left > 1e9 else b"%f" % left

    def hold(self, _, context):
        gone = threading.Event()
        with self.lock:
            self.held += 1
        if not context.add_callback(gone.set):
            gone.set()
        if "x-tell" in dict(context.invocation_metadata()):
            context.send_initial_metadata(())
        gone.wait(60)
        with self.lock:
            self.held -= 1
            self.cancelled += 1
        return b""

    def holds(self, *_):
        return b"%d %d" % (self.held, self.cancelled)


class Health:
    def __init__(self, path):
        self.path = path

    def check(self, request, context):
        if request[2:] == b"unknown":
            context.abort(grpc.StatusCode.NOT_FOUND, "")
        with open(self.path) as f:
            return b"\x08" + struct.pack("B", STATUS[f.read().strip()])


def handlers(calls, health):
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
    methods = {"Echo": unary(calls.echo), "Fail": unary(calls.fail), "Left": unary(calls.left),
               "Hold": unary(calls.hold), "Held": unary(calls.holds), "Who": unary(calls.who),
               "Count": grpc.unary_stream_rpc_method_handler(calls.count),
               "Join": grpc.stream_unary_rpc_method_handler(calls.join), "Talk": stream(calls.talk)}
    found = [grpc.method_handlers_generic_handler("test.Calls", methods)]
    if health is not None:
        found.append(grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": unary(Health(health).check)}))
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--fail")
    options.add_argument("--late", type=float, default=0)
    options.add_argument("--health")
    options = options.parse_args()
    time.sleep(options.late / 1000)
    server = grpc.server(futures.ThreadPoolExecutor(64), handlers=handlers(Calls(options.fail), options.health),
                         options=[("grpc.so_reuseport", 0)])
    assert server.add_insecure_port("127.0.0.1:" + os.environ["PORT"])
    server.start()
    server.wait_for_termination()


main()
