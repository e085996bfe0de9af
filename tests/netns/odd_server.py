"""A server on port 8080 that answers each path in a way of its own, by raw bytes."""

import socket
import threading
import time

TRAP = (b"GET / HTTP/1.1\r\n\r\n" * 911)[:16384]

ANSWERS = {
    "/close": b"HTTP/1.0 200 OK\r\n\r\n" + b"z" * 100_000,
    "/hints": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "/garbage": b"SMTP ready\r\n",
    "/upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + (b"4000\r\n" + TRAP + b"\r\n") * 2048 + b"0\r\n\r\n",
    "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               + (b"14\r\n" + b"y" * 20 + b"\r\n") * 100 + b"0\r\nTrailer: t\r\n\r\n",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
}
CLOSING = {"/close", "/garbage", "/none", "/cut"}


def answer(connection, path):
    """False when the connection ends here."""
    if path == "/trickle":
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc":
            connection.sendall(bytes([byte]))
            time.sleep(0.001)  # each byte a segment of its own
    elif path != "/none":
        connection.sendall(ANSWERS.get(path, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    return path not in CLOSING


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as reader:
        while line := reader.readline():
            length = 0
            while (field := reader.readline()) not in (b"\r\n", b""):
                if field.lower().startswith(b"content-length:"):
                    length = int(field.split(b":")[1])
            reader.read(length)
            if not answer(connection, line.decode("latin-1").split(" ")[1]):
                return


def main():
    with socket.create_server(("0.0.0.0", 8080)) as listener:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
