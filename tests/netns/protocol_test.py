"""Odd but real exchanges, live: each is one right event at each end."""

import os
import socket
import sys
import unittest

import fleet
import odd_server

setUpModule = fleet.need_root
HERE = os.path.dirname(os.path.abspath(__file__))


def talk(address, sent, until):
    """Sends bytes, and reads until that has come, or the server is done."""
    with socket.create_connection((address, 8080), timeout=20) as connection:
        connection.sendall(sent)
        received = b""
        while until not in received[-400:]:
            part = connection.recv(1 << 20)
            if not part:
                return received
            received += part
        return received


class Protocol(unittest.TestCase):
    # Path: status, outcome, response body size, 1xx codes.
    EXPECTED = {
        "/close": (200, "COMPLETE", 100_000, []),
        "/hints": (204, "COMPLETE", 0, [103]),
        "/trickle": (200, "COMPLETE", 3, []),
        "/chunks": (200, "COMPLETE", 26 * 100 + 17, []),
        "/chunked": (200, "COMPLETE", len(odd_server.ANSWERS["/chunked"]) - 47, []),
        "/upgrade": (101, "UPGRADED", 0, []),
        "/none": (None, "NO_RESPONSE", None, []),
        "/garbage": (None, "MALFORMED", None, []),
        "/cut": (200, "CONNECTION_CLOSED", 3, []),
    }

    def test_each_exchange_is_one_right_event_at_each_end(self):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start("server", ["python3", os.path.join(HERE, "odd_server.py")], "web")
            watched.wait_for_port("web", 8080)
            _, agent = watched.start_watching()
            address = watched.ip4("web")
            watched.in_pod("client", "python3", os.path.abspath(__file__), address)
            agent.stop()
            events = watched.events_of("web")
        for side in ("client", "server"):
            mine = [event for event in events if fleet.reporter(event) == side]
            self.check(mine)
        self.assertEqual(len(events), 2 * (len(self.EXPECTED) + 5 + 2))

    def check(self, events):
        by_path = {}
        for event in events:
            by_path.setdefault(event["request"].get("path", ""), []).append(event)
        for path, (status, outcome, size, informational) in self.EXPECTED.items():
            [event] = by_path[path]
            response = event.get("response")
            self.assertEqual(event["outcome"], "OUTCOME_" + outcome, path)
            self.assertEqual(response["statusCode"] if response else None, status, path)
            if response:
                self.assertEqual(int(response.get("bodySize", 0)), size, path)
                self.assertEqual(response.get("informationalStatusCodes", []), informational, path)
        pipelined = by_path["/p"]
        self.assertEqual([event["request"]["query"] for event in pipelined], ["n=REDACTED"] * 5)
        self.assertEqual([event["capture"].get("exchangeIndex", 0) for event in pipelined],
                         list(range(5)))
        self.assertEqual(["EXCHANGE_FLAG_PIPELINED" in event.get("flags", [])
                          for event in pipelined], [False] + [True] * 4)
        [brew] = by_path["/pot"]
        self.assertEqual(brew["request"]["method"], "BREW")
        # Bytes that are no text, and a terminal escape.
        [odd] = by_path["/%FF%1B[31m%00"]
        self.assertEqual(odd["request"]["host"], "h")
        self.assertEqual(odd["request"]["userAgent"], "%1B]0;x%07")


def make_requests(address):
    """Runs inside the client's pod."""
    for path in Protocol.EXPECTED:
        wanted = {"/trickle": b"abc", "/hints": b"204 No Content\r\n\r\n",
                  "/chunks": b"Trailer: t\r\n\r\n", "/chunked": b"\r\n0\r\n\r\n",
                  "/upgrade": b"upgrade\r\n\r\n"}.get(path, b"never")
        talk(address, f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode(), wanted)
    talk(address, b"".join(b"GET /p?n=%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(5)),
         b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * 5)
    talk(address, b"BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", b"ok")
    talk(address, b"GET /\xff\x1b[31m\x00 HTTP/1.1\r\nHost: h\r\nUser-Agent: \x1b]0;x\x07\r\n\r\n",
         b"ok")


if __name__ == "__main__":
    make_requests(sys.argv[1])
