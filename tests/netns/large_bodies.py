"""Very large bodies between two pods, made of lines that look like messages.

`large_bodies.py serve` answers on port 8080. `large_bodies.py get HOST CHUNK` asks for one response in
chunks of CHUNK bytes; `large_bodies.py post HOST COUNT CHUNK` sends COUNT requests back to back and
reads the responses meanwhile; CHUNK 0 is a body of Content-Length. Both print what they did as JSON.

Blocks are made once, and bodies are counted, not looked at: the field X-Bytes says how many bytes
follow a head, chunk framing included.
"""

import json
import re
import socket
import sys
import threading
import time

PORT = 8080
TOTAL = 1 << 30
LINES = b"GET /trap HTTP/1.1\r\nHost: trap\r\n\r\nHTTP/1.1 200 OK\r\n\r\nPOST /trap HTTP/1.1\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def block(chunk):
    """About a MiB of a body."""
    if chunk == 0:
        return (LINES * (1 + (1 << 20) // len(LINES)))[:1 << 20]
    lines = LINES * (1 + chunk // len(LINES) + 1)
    parts = []
    size = 0
    while size < 1 << 20:
        begin = size % len(LINES)
        parts.append(b"%x\r\n%b\r\n" % (chunk, lines[begin:begin + chunk]))
        size += len(parts[-1])
    return b"".join(parts)


def framing(chunk, blocks, part):
    """(header lines, bytes of the body)"""
    size = blocks * len(part) + (len(LAST_CHUNK) if chunk else 0)
    coding = b"Transfer-Encoding: chunked" if chunk else b"Content-Length: %d" % size
    return b"%b\r\nX-Bytes: %d\r\n\r\n" % (coding, size), size


def send_body(connection, chunk, blocks, part, head):
    # The head and the first bytes of the body share a segment, as with most programs.
    connection.sendall(head + part)
    for _ in range(blocks - 1):
        connection.sendall(part)
    if chunk:
        connection.sendall(LAST_CHUNK)


class Reader:
    """Reads heads, and counts what is behind them."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = bytearray(1 << 20)
        self.rest = b""

    def head(self):
        """The next head, or nothing at the end of the stream."""
        while b"\r\n\r\n" not in self.rest:
            received = self.connection.recv(1 << 16)
            if not received:
                return b""
            self.rest += received
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        return head

    def skip_body(self, head):
        size = int((re.search(rb"X-Bytes: (\d+)", head) or [0, 0])[1])
        taken = min(size, len(self.rest))
        self.rest = self.rest[taken:]
        while taken < size:
            view = memoryview(self.buffer)[:size - taken]
            received = self.connection.recv_into(view)
            if not received:
                raise EOFError(f"{taken} of {size} bytes")
            taken += received
        return size


def serve_one(connection):
    reader = Reader(connection)
    with connection:
        while head := reader.head():
            reader.skip_body(head)
            method, path = head.split(b" ")[:2]
            if method == b"POST":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Bytes: 2\r\n\r\nok")
                continue
            chunk = int(path.rpartition(b"/")[2])
            part = block(chunk)
            blocks = TOTAL // len(part)
            lines, _ = framing(chunk, blocks, part)
            send_body(connection, chunk, blocks, part, b"HTTP/1.1 200 OK\r\n" + lines)


def serve():
    with socket.create_server(("0.0.0.0", PORT)) as listener:
        while True:
            threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()


def get(connection, chunk):
    connection.sendall(b"GET /chunks/%d HTTP/1.1\r\nHost: h\r\n\r\n" % chunk)
    reader = Reader(connection)
    return reader.skip_body(reader.head())


def post(connection, count, chunk):
    part = block(chunk)
    blocks = max(1, TOTAL // count // len(part))
    lines, size = framing(chunk, blocks, part)

    def send():
        for number in range(count):
            head = b"POST /upload/%d HTTP/1.1\r\nHost: h\r\n" % number + lines
            send_body(connection, chunk, blocks, part, head)
    sender = threading.Thread(target=send)
    sender.start()
    reader = Reader(connection)
    for _ in range(count):
        head = reader.head()
        assert head.startswith(b"HTTP/1.1 200 "), head
        reader.skip_body(head)
    sender.join()
    return size


def main():
    if sys.argv[1] == "serve":
        serve()
    numbers = [int(word) for word in sys.argv[3:]]
    with socket.create_connection((sys.argv[2], PORT), timeout=120) as connection:
        begin = time.monotonic()
        size = {"get": get, "post": post}[sys.argv[1]](connection, *numbers)
        print(json.dumps({"bodyBytes": size, "seconds": time.monotonic() - begin}))


if __name__ == "__main__":
    main()
