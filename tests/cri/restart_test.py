"""An agent that starts again amid pods of a real container runtime, and amid their connections."""

import os
import time
import unittest

import fleet
from pods_test import ends, start_agent, wait_for_taps
from runtime import Runtime

setUpModule = fleet.need_root

PODS = 50
AT_A_TIME = 8
# Of the pods, so many keep a connection open.
KEEPERS = 5
# Keeps connections open as busybox's server does not.
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\\n")
http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""
# One request on its one connection for each file that appears.
KEEPER = """
import http.client, os, sys, time
connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=60)
for number in range(3):
    while not os.path.exists(sys.argv[2] + str(number)):
        time.sleep(0.01)
    connection.request("GET", f"/{sys.argv[3]}-{number}")
    connection.getresponse().read()
    print(number, connection.sock.getsockname()[1], flush=True)
"""


class Restart(unittest.TestCase):
    def test_fifty_pods_are_named_within_a_second_and_connections_picked_up(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            pods = runtime.add_pods([f"pod-{number}" for number in range(PODS)], AT_A_TIME,
                                    containers=())
            web, keepers = pods[0], pods[1:KEEPERS + 1]
            watched.start("server", [*fleet.inside(web.netns), "python3", "-c", SERVER])
            web.wait_for_server()
            go = os.path.join(watched.directory, "go-")
            clients = [watched.start(f"keeper-{pod.name}", [
                *fleet.inside(pod.netns), "python3", "-c", KEEPER, web.addresses[0], go, pod.name])
                for pod in keepers]

            def ask(number):
                with open(go + str(number), "w", encoding="ascii"):
                    pass
                for client in clients:
                    fleet.wait_for(lambda client=client: client.out().count("\n") > number,
                                   "answers")
            first = start_agent(watched, runtime)
            wait_for_taps(first, *pods)
            ask(0)
            fleet.wait_for(lambda: len(watched.observe()) == 2 * KEEPERS, "reports")
            self.assertEqual(first.stop(), 0)
            # Nobody sees these.
            ask(1)

            begin = time.monotonic()
            second = start_agent(watched, runtime, name="second")
            fleet.wait_for(lambda: second.err().count(" for pod pod-") == PODS, "all pods' names")
            took = time.monotonic() - begin
            print(f"{PODS} pods named in {took:.3f} s", flush=True)
            self.assertLess(took, 1.0)
            ask(2)
            reports = fleet.wait_for(
                lambda: (lambda found: found if len(found) == 2 * KEEPERS else None)(
                    [event for event in watched.observe()
                     if event["request"]["path"].endswith("-2")]), "reports")
            self.assertEqual(
                sorted((fleet.reporter(event), ends(event), event["request"]["path"])
                       for event in reports),
                sorted((side, (("shop", pod.name), ("shop", web.name)), f"/{pod.name}-2")
                       for side in ("client", "server") for pod in keepers))
            for event in reports:
                self.assertIn("EXCHANGE_FLAG_MIDSTREAM", event["flags"])
            for client in clients:
                # One connection through it all.
                self.assertEqual(len({line.split()[1] for line in client.out().splitlines()}), 1)
            self.assertEqual(second.stop(), 0)
            self.assertEqual(watched.losses(), {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
