"""Every kind of packet on a pod's interface: one right event at each end, or the named counter."""

import collections
import contextlib
import itertools
import unittest

import fleet
import frames
from frames import Conversation, Shape

setUpModule = fleet.need_root

HOP_BY_HOP = (0, bytes([0, 1, 4, 0, 0, 0, 0]))
DESTINATION = (60, bytes([1, 1, 12] + [0] * 12))
NO_OPERATIONS = b"\x01" * 8

# Seen as any other: the exchange is one event at each end.
SEEN = {
    "plain": Shape(),
    "v6": Shape(v6=True),
    "vlan": Shape(tags=(0x8100,)),
    "vlan-v6": Shape(v6=True, tags=(0x8100,)),
    "qinq": Shape(tags=(0x88a8, 0x8100)),
    "ip-options": Shape(ip_options=NO_OPERATIONS),
    "tcp-options": Shape(tcp_options=NO_OPERATIONS),
    "extensions": Shape(v6=True, extensions=(HOP_BY_HOP, DESTINATION)),
    "atomic-fragment": Shape(v6=True, extensions=((44, bytes([0, 0, 0, 0, 0, 0, 1])),)),
    "padding": Shape(padding=20),
    "v6-padding": Shape(v6=True, padding=20),
    # What BIG TCP looks like.
    "no-length": Shape(ip_length=0),
    "v6-no-length": Shape(v6=True, ip_length=0),
}
# Left alone, and counted under a name.
COUNTED = {
    "fragment": [Shape(fragment=0x2000), Shape(fragment=0x0010),
                 Shape(v6=True, extensions=((44, bytes([0, 0, 1, 0, 0, 0, 1])),))],
    "extensions": [Shape(v6=True, extensions=(DESTINATION,) * 7)],
    "malformed": [Shape(ip_length=900), Shape(ip_length=30), Shape(v6=True, ip_length=900),
                  Shape(v6=True, ip_length=10), Shape(data_offset=4), Shape(data_offset=15),
                  Shape(version=5), Shape(v6=True, version=7), Shape(cut=30), Shape(cut=40),
                  Shape(v6=True, extensions=((0, bytes([255] + [0] * 6)),))],
}
# (outgoing, tag beside the frame, ethertype in the frame) at a tap. The kernel takes the outer tag of
# what arrives into the packet's metadata; a bridge passes it on so; what is put on the host's side by
# hand nothing has touched.
FORMS = {
    ("client", "vlan"): {(False, True, 0x0800)},
    ("web", "vlan"): {(True, False, 0x8100)},
    ("client", "qinq"): {(False, True, 0x8100)},
    ("web", "qinq"): {(True, False, 0x88a8)},
    ("client", "bridged-vlan"): {(False, True, 0x0800)},
    ("web", "bridged-vlan"): {(True, True, 0x0800)},
    ("client", "bridged-qinq"): {(False, True, 0x8100)},
    ("web", "bridged-qinq"): {(True, True, 0x8100)},
}


def exchange(conversation, shape, path):
    """Handshake and ends are ordinary: what is looked at is the payload's way."""
    conversation.open()
    conversation.send(0, f"GET /{path} HTTP/1.1\r\n\r\n".encode(), shape)
    conversation.send(1, b"HTTP/1.1 204 \r\n\r\n", shape)
    conversation.close()


class Packets(unittest.TestCase):
    def test_each_kind_is_one_right_event_or_the_named_counter(self):
        with contextlib.ExitStack() as stack:
            watched = stack.enter_context(fleet.Fleet())
            watched.add_pod("client")
            watched.add_pod("web")
            _, agent = watched.start_watching()
            inside = {pod: stack.enter_context(frames.packet_socket("eth0", watched.netns(pod)))
                      for pod in watched.pods}
            outside = {pod: stack.enter_context(frames.packet_socket(watched.host_interface(pod)))
                       for pod in watched.pods}
            observers = {pod: stack.enter_context(contextlib.closing(
                frames.Observer(watched.host_interface(pod)))) for pod in watched.pods}
            ports = itertools.count(40000)
            for name in ("vlan", "qinq"):
                exchange(Conversation(watched.subnet, next(ports), (inside["client"], inside["web"])),
                         SEEN[name], "bridged-" + name)
            # A bridge may refuse what is odd: from here on each pod is alone, and what comes to it
            # is put on the host's side.
            for pod in watched.pods:
                fleet.run("ip", "link", "set", watched.host_interface(pod), "nomaster")
            odd = [(shape, "") for shape in itertools.chain.from_iterable(COUNTED.values())]
            for shape, path in [(shape, name) for name, shape in SEEN.items()] + odd:
                port = next(ports)
                for sockets in ((inside["client"], outside["client"]),
                                (outside["web"], inside["web"])):
                    exchange(Conversation(watched.subnet, port, sockets, shape.v6), shape, path)
            for (pod, name), forms in FORMS.items():
                self.assertEqual(observers[pod].forms(b"GET /" + name.encode() + b" "), forms,
                                 (pod, name))
            agent.stop()
            events = watched.observe("--namespace", "netns")
            ledger = watched.ledger()
            losses = watched.losses()
        self.check_events(watched, events)
        for name, shapes in COUNTED.items():
            # Request and response, at two taps.
            self.assertEqual(ledger[("KERNEL", name)][0], 4 * len(shapes), name)
        self.assertEqual(losses, {})

    def check_events(self, watched, events):
        seen = collections.Counter()
        for event in events:
            path = event["request"]["path"]
            seen[(path, fleet.reporter(event))] += 1
            self.assertEqual(event["outcome"], "OUTCOME_COMPLETE", path)
            self.assertEqual(event["response"]["statusCode"], 204, path)
            self.assertNotIn("flags", event, path)
            near, pod = {"client": ("source", "client"),
                         "server": ("destination", "web")}[fleet.reporter(event)]
            self.assertEqual(event[near]["podName"], watched.netns(pod), path)
        names = [*SEEN, "bridged-vlan", "bridged-qinq"]
        self.assertEqual(seen, {("/" + name, side): 1 for name in names
                                for side in ("client", "server")})


if __name__ == "__main__":
    unittest.main(verbosity=2)
