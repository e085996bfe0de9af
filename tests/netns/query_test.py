"""Stored events asked for by filter, followed as they come, and kept over a restart."""

import json
import os
import subprocess
import unittest

import fleet

setUpModule = fleet.need_root


class Query(unittest.TestCase):
    def test_filters_restart_and_follow(self):
        with fleet.Fleet() as watched:
            for pod in ("client", "other", "web"):
                watched.add_pod(pod)
            watched.start_nginx("web", "location /teapot { return 418; } "
                                       "location /api/ { return 200 'ok'; }")
            collector, agent = watched.start_watching()
            url = f"http://{watched.ip4('web')}"
            follow = watched.start("follow", [
                os.path.join(fleet.BIN, "podtap"), "observe", "--server",
                f"127.0.0.1:{watched.port}", "--follow", "-o", "json", "--pod",
                watched.netns("web"), "--reporter", "client"])
            # Its first line is the proof that it follows.
            def following():
                watched.in_pod("client", "curl", "-sS", "-o", "/dev/null", url + "/probe")
                return "/probe" in follow.out()
            fleet.wait_for(following, "the follower to follow")
            requests = [("client", "GET", "/index.html", 200), ("client", "GET", "/none", 404),
                        ("client", "POST", "/api/a", 200), ("client", "DELETE", "/api/a/b", 200),
                        ("other", "GET", "/teapot", 418), ("other", "HEAD", "/index.html", 200)]
            for pod, method, path, status in requests:
                head = ["-I"] if method == "HEAD" else ["-X", method]
                seen = watched.in_pod(pod, "curl", "-sS", "-o", "/dev/null", "-w",
                                      "%{http_code}", *head, url + path)
                self.assertEqual(int(seen), status)

            def ask(*flags):
                events = watched.events_of("web", "--reporter", "server", "--not", "--path",
                                           "/probe", *flags)
                return [(event["source"]["podName"].removeprefix(watched.tag + "-"),
                         event["request"]["method"], event["request"]["path"],
                         event["response"]["statusCode"]) for event in events]

            fleet.wait_for(lambda: len(ask()) == len(requests), "all requests to be stored")

            def check():
                self.assertEqual(ask(), requests)
                self.assertEqual(ask("--method", "POST"), requests[2:3])
                self.assertEqual(ask("--method", "GET", "--method", "HEAD"),
                                 [r for r in requests if r[1] in ("GET", "HEAD")])
                self.assertEqual(ask("--path", "/api/*"), requests[2:4])
                self.assertEqual(ask("--path", "~^/api/.*b$"), requests[3:4])
                self.assertEqual(ask("--path", "/none"), requests[1:2])
                self.assertEqual(ask("--status", "4xx"), [requests[1], requests[4]])
                self.assertEqual(ask("--status", "418"), requests[4:5])
                self.assertEqual(ask("--status", "400-410"), requests[1:2])
                self.assertEqual(ask("--from-pod", watched.netns("other")), requests[4:])
                self.assertEqual(ask("--to-pod", watched.netns("other")), [])
                self.assertEqual(ask("--not", "--from-pod", watched.netns("other")), requests[:4])
                self.assertEqual(ask("--namespace", "netns"), requests)
                self.assertEqual(ask("--namespace", "elsewhere"), [])
                self.assertEqual(ask("--since", "10m"), requests)
                self.assertEqual(ask("--until", "10m"), [])
            check()
            self.assertEqual(len(watched.events_of("web", "--not", "--path", "/probe")),
                             2 * len(requests))
            newest = watched.events_of("web", "--reporter", "server", last=2)
            self.assertEqual([event["request"]["method"] for event in newest], ["GET", "HEAD"])

            fleet.wait_for(lambda: len([1 for line in follow.out().splitlines()
                                        if "/probe" not in line]) == len(requests),
                           "the follower to print all")
            paths = [json.loads(line)["request"]["path"] for line in follow.out().splitlines()]
            self.assertEqual([path for path in paths if path != "/probe"],
                             [path for _, _, path, _ in requests])
            self.assertEqual(follow.stop(), 0)
            agent.stop()
            self.assertEqual(collector.stop(), 0)
            watched.start_collector(port=watched.port, name="collector-again")
            check()

    def test_bad_usage(self):
        for flags in (["observe", "--no-such-flag"], ["observe", "--status", "abc"],
                      ["observe", "--reporter", "both"], ["observe", "--last", "-1"], ["nonsense"],
                      ["observe", "--since", "yesterday-ish"]):
            with fleet.Fleet() as watched:
                watched.start_collector()
                server = (["--server", f"127.0.0.1:{watched.port}"] if flags[0] == "observe"
                          else [])
                result = subprocess.run([os.path.join(fleet.BIN, "podtap"), *flags, *server],
                                        capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(result.returncode, 2, (flags, result.stderr))
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_unreachable_collector(self):
        result = subprocess.run(
            [os.path.join(fleet.BIN, "podtap"), "observe", "--server",
             f"127.0.0.1:{fleet.free_port()}"],
            capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
