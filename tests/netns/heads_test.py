"""Heads of every size, wherever segments cut them, are whole in the events of both ends."""

import contextlib
import itertools
import unittest

import fleet
import frames
from frames import Conversation

setUpModule = fleet.need_root

HEAD_BYTES = 12 * 1024
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
# RFC 9110, RFC 5789, QUERY, one of WebDAV's that is longer than those, and two that nobody knows.
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
           "PROPFIND", "x-brew", "0")


def head(path, method="GET", size=HEAD_BYTES, fields=b""):
    """A request's head of that many bytes; CONNECT has an authority in place of the path."""
    target = "far:443" if method == "CONNECT" else "/" + path
    start = f"{method} {target} HTTP/1.1\r\nHost: {path}\r\n".encode() + fields + b"X: "
    end = b"\r\nUser-Agent: behind the long field\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


def cut(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)]


def turns():
    """Name -> segments in order, (sender, payload), and how many requests they hold."""
    body = b"b" * 30_000
    length = f"Content-Length: {len(body)}\r\n".encode()
    response_head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + b"x" * HEAD_BYTES + b"\r\n\r\n"
    super_segment = (head("super", "POST", 200, length) + body + head("super")
                     + head("super", "PUT", 300, b"Content-Length: 9\r\n") + b"123456789")
    found = {
        "one-byte-less": ([(0, head("one-byte-less", size=16 * 1024)), (1, NO_CONTENT)], 1),
        "pieces": ([(0, part) for part in cut(head("pieces"), 100)] + [(1, NO_CONTENT)], 1),
        "bytes": ([(0, part) for part in cut(head("bytes", size=300), 1)] + [(1, NO_CONTENT)], 1),
        # A body, a whole head behind it, and the next message, all in one segment.
        "super": ([(0, super_segment)] + [(1, NO_CONTENT)] * 3, 3),
        "two-supers": ([(0, head("two-supers", "POST", 200, length)), (0, body + head("two-supers")),
                        (1, NO_CONTENT), (1, NO_CONTENT)], 2),
        "status-cut": ([(0, head("status-cut")), (1, b"HTT"), (1, b"P/1.1 20"),
                        (1, b"4 No Content\r\n\r"), (1, b"\n")], 1),
        "response-head": ([(0, head("response-head", size=200)),
                           (1, response_head), (1, b"ok")], 1),
        "response-pieces": ([(0, head("response-pieces", size=200))]
                            + [(1, part) for part in cut(response_head + b"ok", 100)], 1),
        # On one connection: the first request says nothing about those behind it.
        "second": ([(0, head("second", size=100)), (1, NO_CONTENT),
                    (0, head("second", "PROPFIND")), (1, NO_CONTENT),
                    (0, head("second", "x-brew")), (1, NO_CONTENT)], 3),
    }
    for method in METHODS:
        name = "method-" + method
        answer = b"HTTP/1.1 405 \r\nContent-Length: 0\r\n\r\n"
        found[name] = ([(0, head(name, method)), (1, answer)], 1)
        found[name + "-pieces"] = ([(0, part) for part in cut(head(name + "-pieces", method), 100)]
                                   + [(1, answer)], 1)
    return found


class Heads(unittest.TestCase):
    def test_heads_are_whole_wherever_segments_cut_them(self):
        with contextlib.ExitStack() as stack:
            watched = stack.enter_context(fleet.Fleet())
            watched.add_pod("client")
            watched.add_pod("web")
            for pod in watched.pods:
                # No bridge between; large frames, as segmentation offload makes them.
                interface = watched.host_interface(pod)
                fleet.run("ip", "link", "set", interface, "nomaster", "mtu", "65535")
                watched.in_pod(pod, "ip", "link", "set", "eth0", "mtu", "65535")
            _, agent = watched.start_watching()
            inside = {pod: stack.enter_context(frames.packet_socket("eth0", watched.netns(pod)))
                      for pod in watched.pods}
            outside = {pod: stack.enter_context(frames.packet_socket(watched.host_interface(pod)))
                       for pod in watched.pods}
            ports = itertools.count(41000)
            wanted = turns()
            for segments, _ in wanted.values():
                port = next(ports)
                for sockets in ((inside["client"], outside["client"]),
                                (outside["web"], inside["web"])):
                    conversation = Conversation(watched.subnet, port, sockets)
                    conversation.open()
                    for sender, payload in segments:
                        conversation.send(sender, payload)
                    conversation.close()
            agent.stop()
            events = watched.observe("--namespace", "netns")
            self.assertEqual(watched.losses(), {})
        self.check(wanted, events)

    def check(self, wanted, events):
        found = {}
        for event in events:
            request = event["request"]
            name = request["host"]
            found.setdefault((name, fleet.reporter(event)), []).append(event)
            self.assertEqual(event["outcome"], "OUTCOME_COMPLETE", name)
            self.assertEqual(set(event.get("flags", [])) - {"EXCHANGE_FLAG_PIPELINED"}, set(), name)
            self.assertEqual(request["userAgent"], "behind the long field", name)
        self.assertEqual({key: len(group) for key, group in found.items()},
                         {(name, side): count for name, (_, count) in wanted.items()
                          for side in ("client", "server")})
        for side in ("client", "server"):
            sizes = [int(event["request"]["headerSize"]) for event in found[("super", side)]]
            self.assertEqual(sorted(sizes), [200, 300, HEAD_BYTES])
            for method in METHODS:
                for name in ("method-" + method, "method-" + method + "-pieces"):
                    [event] = found[(name, side)]
                    self.assertEqual(event["request"]["method"], method)
                    self.assertEqual(int(event["request"]["headerSize"]), HEAD_BYTES)


if __name__ == "__main__":
    unittest.main(verbosity=2)
