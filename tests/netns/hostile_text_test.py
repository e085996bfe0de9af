"""Secrets and hostile bytes on the wire: in what leaves the agent, in any form, there are none."""

import glob
import json
import os
import pty
import re
import socket
import sys
import threading
import time
import unittest

import fleet

setUpModule = fleet.need_root
HERE = os.path.abspath(__file__)

# Planted where secrets stand. In letters only, so that no escape hides it.
CANARY = "plantedsecret"
PERCENT = "".join(f"%{byte:02x}" for byte in CANARY.encode())
PATTERN = re.compile(f"{CANARY}|{re.escape(PERCENT)}".encode(), re.IGNORECASE)

HEADERS = [
    "Authorization: Bearer {0}", "aUTHORIZATION: Basic\r\n {0}", "Proxy-Authorization: {0}",
    "Cookie: session={0}; theme=dark", "X-Api-Key: {0}", "X-Auth-Token: {0}",
    "X-Client-Secret: {0}", "X-CSRF: {0}", "Password: {0}", "X-Not-Listed: {0}", "{0}: x",
    "Referer: http://user:{0}@h/?a={0}#{0}", "User-Agent: x\r\n Cookie: {0}",
    "Accept: text/plain\r\n\t{0}", "X-Request-Id: 1\r\n Authorization: {0}",
    "Traceparent: 00-x\r\n {0}", "X-Traceparent: 00-{0}-01", "Forwarded: for={0}",
]
TARGETS = [
    "/t?a={0}", "/t?a=b&{0}", "/t?a=b={0}", "/t?a%3D{0}", "/t?%74oken={0}", "/t?a={1}", "/t#{0}",
    "/t;jsessionid={0}", "/t%3Ftoken={0}", "//user:{0}@h/t", "/get/http://user:{0}@h/t",
    "http://user:{0}@h/t", "HTTP://User:{0}@h/t?b={0}", "http://h?a=b@c/&d={0}",
    "//user;token:{0}=a@h/t", "//a;@=b",
]
HOSTS = ["user:{0}@h", "h:80/{0}", "h\r\n {0}"]
RESPONSE = ("HTTP/1.1 200 OK\r\nSet-Cookie: a={0}; HttpOnly\r\nSet-Cookie: b={0}\r\n"
            "Location: /login?token={0}\r\nX-Auth-Token: {0}\r\nWWW-Authenticate: Basic {0}\r\n"
            "Content-Type: text/plain\r\n {0}\r\nContent-Length: {2}\r\n\r\n{0}")

# In paths, hosts and header values: no character of them may come through as itself.
HOSTILE = [
    bytes([byte]) for byte in (*range(0, 9), 11, 12, *range(14, 32), 127, *range(128, 256))
] + [
    b"\x1b]0;title\x07", b"\x1b[2J\x1b[31m", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", "\u202eevil\u2066".encode(),
    "\u2028\u200f\ufeff".encode(), "\x85\x9b31m".encode(), b'"\\},{"a":"', "\u00e9\u6f22".encode(),
]
# Where it is no secret: what is searched would be found.
MARKER = "visiblemarker"
# What compact lines may have in them beside printable characters: colours.
COLOUR = re.compile(r"\x1b\[\d{1,2}m")


def fill(text):
    return text.format(CANARY, PERCENT, len(CANARY)).encode()


def requests():
    """What the client sends, each on a connection of its own; "|" is where it is cut in two."""
    fields = "".join(field + "\r\n" for field in HEADERS)
    for target in ["/" + MARKER, *TARGETS]:
        yield fill(f"GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
    for host in HOSTS:
        yield fill(f"GET /t HTTP/1.1\r\nHost: {host}\r\n\r\n")
    yield fill("CONNECT user:{0}@h:443 HTTP/1.1\r\nHost: user:{0}@h:443\r\n\r\n")
    yield fill("GET /t HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n"
               "Upgrade: echo\r\n Cookie: {0}\r\n\r\n")
    yield fill("POST /t HTTP/1.1\r\nHost: h\r\nContent-Length: {2}\r\n\r\n{0}")
    yield fill("POST /t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               "d;a={0}\r\n{0}\r\n0\r\nX-Auth-Token: {0}\r\n\r\n")
    for whole in ("GET /t?token={0}&a={0} HTTP/1.1\r\nHost: h\r\n\r\n",
                  "GET /t HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {0}\r\n\r\n"):
        half = len(CANARY) // 2
        yield fill(whole.replace("{0}", CANARY[:half] + "|" + CANARY[half:]))
    for odd in HOSTILE:
        yield (b"GET /h" + odd + b"/p?k" + odd + b"=v HTTP/1.1\r\nHost: a" + odd + b"b\r\n"
               b"User-Agent: x" + odd + b"y\r\nX-Request-Id: " + odd + b"z\r\n\r\n")


def serve():
    """A server that gives away secrets too."""
    with socket.create_server(("0.0.0.0", 8080)) as listener:
        while True:
            connection = listener.accept()[0]
            with connection, connection.makefile("rb") as reader:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (line := reader.readline()):
                    head += line
                if b"\r\nUpgrade:" in head:
                    connection.sendall(fill("HTTP/1.1 101 Switching Protocols\r\n"
                                            "Upgrade: echo\r\n {0}\r\n\r\n{0}"))
                else:
                    connection.sendall(fill(RESPONSE))
                connection.shutdown(socket.SHUT_WR)
                reader.read()


def talk(address):
    """Runs inside the client's pod."""
    for request in requests():
        with socket.create_connection((address, 8080), timeout=20) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in request.split(b"|"):
                connection.sendall(part)
                time.sleep(0.001)  # each part a segment of its own
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass


class Relay:
    """Passes a TCP connection's bytes on, and keeps what the client sends."""

    def __init__(self, port):
        self.seen = bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = port
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.copy, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client, False), daemon=True).start()

    def copy(self, source, sink, keep):
        try:
            while part := source.recv(1 << 16):
                if keep:
                    self.seen += part
                sink.sendall(part)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


class Terminal:
    """A terminal whose output is kept."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.output = bytearray()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        try:
            while part := os.read(self.master, 1 << 16):
                self.output += part
        except OSError:
            pass  # nobody writes any more

    def close(self):
        os.close(self.slave)
        self.thread.join()
        os.close(self.master)
        return bytes(self.output)


class HostileText(unittest.TestCase):
    def test_no_secret_and_no_hostile_byte_comes_through(self):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start("server", [sys.executable, HERE, "serve"], "web")
            watched.wait_for_port("web", 8080)
            self.through_the_collector(watched)
            self.as_json(watched)
            self.on_a_terminal(watched)
            self.check_logs(watched)

    def make_requests(self, watched):
        watched.in_pod("client", sys.executable, HERE, "talk", watched.ip4("web"))

    def through_the_collector(self, watched):
        collector = watched.start_collector("--log-level", "debug")
        relay = Relay(watched.port)
        agent = watched.start_agent("--collector", f"127.0.0.1:{relay.port}",
                                    "--log-level", "debug")
        self.make_requests(watched)
        self.assertEqual(agent.stop(), 0)
        relay.close()
        self.check_bytes("the stream", bytes(relay.seen))
        self.check_json("observe -o json", self.observe(watched, "-o", "json"), watched)
        terminal = Terminal()
        self.observe(watched, stdout=terminal.slave)
        self.check_lines("observe on a terminal", terminal.close(), watched)
        self.assertEqual(collector.stop(), 0)
        stored = b""
        for path in glob.glob(os.path.join(watched.directory, "store", "**"), recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    stored += file.read()
        self.check_bytes("the store", stored)

    def observe(self, watched, *flags, stdout=None):
        process = watched.start(
            "observe", [os.path.join(fleet.BIN, "podtap"), "observe", "--last", "100000",
                        "--server", f"127.0.0.1:{watched.port}", *flags], stdout=stdout)
        self.assertEqual(process.popen.wait(30), 0)
        return self.contents(process.out_path)

    def as_json(self, watched):
        agent = watched.start_agent("--stdout", "-o", "json",
                                    "--log-level", "debug", name="agent-json")
        self.make_requests(watched)
        self.assertEqual(agent.stop(), 0)
        self.check_json("agent --stdout -o json", self.contents(agent.out_path), watched)

    def on_a_terminal(self, watched):
        terminal = Terminal()
        agent = watched.start_agent("--stdout", "--log-level", "debug",
                                    name="agent-compact", stdout=terminal.slave)
        self.make_requests(watched)
        self.assertEqual(agent.stop(), 0)
        self.check_lines("agent --stdout on a terminal", terminal.close(), watched)

    @staticmethod
    def contents(path):
        with open(path, "rb") as file:
            return file.read()

    def check_bytes(self, what, content):
        self.assertIn(MARKER.encode(), content, f"{what} is not what was looked for")
        found = PATTERN.search(content)
        if found:
            self.fail(f"{what}: {content[max(found.start() - 80, 0):found.end() + 40]!r}")

    def check_json(self, what, content, watched):
        self.check_bytes(what, content)
        events = [json.loads(line) for line in content.decode("utf-8").splitlines()]
        mine = [event for event in events
                if event["source"].get("podName") == watched.netns("client")]
        # Both ends.
        self.assertEqual(len(mine), 2 * len(list(requests())), what)
        for event in mine:
            self.check_printable(what, event)

    def check_printable(self, what, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                self.check_printable(what, key)
                self.check_printable(what, inner)
        elif isinstance(value, list):
            for inner in value:
                self.check_printable(what, inner)
        elif isinstance(value, str):
            self.assertTrue(value.isprintable(), f"{what}: {value!r}")

    def check_lines(self, what, content, watched):
        self.check_bytes(what, content)
        text = content.decode("utf-8")
        # Colours are there, and nothing else that a terminal acts upon.
        self.assertTrue(COLOUR.search(text), what)
        lines = COLOUR.sub("", text).split("\r\n")
        for line in lines:
            self.assertTrue(line.isprintable(), f"{what}: {line!r}")
        mine = [line for line in lines if watched.netns("client") in line]
        self.assertEqual(len(mine), 2 * len(list(requests())), what)

    def check_logs(self, watched):
        for process in watched.processes:
            log = self.contents(process.err_path)
            self.assertIsNone(PATTERN.search(log), process.name)
            for line in log.decode("utf-8").split("\n"):
                self.assertTrue(line.isprintable(), f"{process.name}: {line!r}")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        talk(sys.argv[2])
