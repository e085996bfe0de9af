"""Stored events asked for by filter, followed as they come, and kept over a restart."""

import collections
import json
import os
import signal
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
            trace = "0af7651916cd43dd8448eb211c80319c"
            for pod, method, path, status in requests:
                head = ["-I"] if method == "HEAD" else ["-X", method]
                if method == "DELETE":
                    head += ["-H", f"traceparent: 00-{trace}-b7ad6b7169203331-01"]
                seen = watched.in_pod(pod, "curl", "-sS", "-o", "/dev/null", "-w",
                                      "%{http_code}", *head, url + path)
                self.assertEqual(int(seen), status)

            def ask(*flags):
                events = watched.observe("--to-pod", watched.netns("web"), "--reporter", "server",
                                         "--not", "--path", "/probe", *flags)
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
                self.assertEqual(ask("--from-pod", watched.netns("web")), [])
                self.assertEqual(ask("--not", "--from-pod", watched.netns("other")), requests[:4])
                self.assertEqual(ask("--namespace", "netns"), requests)
                self.assertEqual(ask("--namespace", "elsewhere"), [])
                self.assertEqual(ask("--since", "10m"), requests)
                self.assertEqual(ask("--until", "10m"), [])
                other, web = watched.ip4("other"), watched.ip4("web")
                self.assertEqual(ask("--ip", other), requests[4:])
                self.assertEqual(ask("--ip", web + "/32"), requests)
                self.assertEqual(ask("--ip", "fd00::/8"), [])
                self.assertEqual(ask("--to-ip", other), [])
                self.assertEqual(ask("--from-ip", other, "--to-ip", web), requests[4:])
                self.assertEqual(ask("--port", "80"), requests)
                self.assertEqual(ask("--from-port", "80"), [])
                self.assertEqual(ask("--to-port", "80", "--to-port", "81"), requests)
                self.assertEqual(ask("--ip", other, "--port", "80"), [], "of one and the same end")
                self.assertEqual(ask("--node", os.uname().nodename), requests)
                self.assertEqual(ask("--node", "elsewhere"), [])
                self.assertEqual(ask("--host", web), requests)
                self.assertEqual(ask("--host", web + ":81"), [])
                self.assertEqual(ask("--outcome", "complete"), requests)
                self.assertEqual(ask("--not", "--outcome", "complete"), [])
                self.assertEqual(ask("--min-duration", "1us"), requests)
                self.assertEqual(ask("--min-duration", "1h"), [])
                self.assertEqual(ask("--trace-id", trace), requests[3:4])
                self.assertEqual(ask("--header", "Traceparent"), requests[3:4])
                self.assertEqual(ask("--header", "user-agent:curl/*"), requests)
                self.assertEqual(ask("--not", "--header", "user-agent"), [])
                self.assertEqual(ask("--header", "content-type: text/html", "--status", "200"),
                                 [requests[0], requests[5]])
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

    def test_a_follower_misses_and_repeats_nothing(self):
        """The collector is killed and restarted, and so is the follower, while requests go on."""
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            collector, _ = watched.start_watching()

            def follow(name):
                cursor = os.path.join(watched.directory, "cursor-" + name)
                process = watched.start(name, [
                    os.path.join(fleet.BIN, "podtap"), "observe", "--server",
                    f"127.0.0.1:{watched.port}", "--follow", "--cursor-file", cursor, "-o", "json",
                    "--pod", watched.netns("web"), "--reporter", "server"])
                # It follows from its first cursor on.
                fleet.wait_for(lambda: os.path.exists(cursor), "the first cursor")
                return process
            steady, resumed = follow("steady"), follow("resumed")
            load = watched.start("load", [
                "sh", "-c", "i=0; while [ ! -e \"$1\" ]; do i=$((i+1)); "
                "curl -sS -o /dev/null \"http://$0/[1-20]?run=$i\" || exit 1; done",
                watched.ip4("web"), os.path.join(watched.directory, "enough")], "client")

            def lines(process):
                return len(process.out().splitlines())

            for turn in range(3):
                seen = lines(steady)
                fleet.wait_for(lambda seen=seen: lines(steady) > seen + 20, "the load to be seen")
                collector.stop(signal.SIGKILL)
                self.assertEqual(resumed.stop(), 0, resumed.err())
                collector = watched.start_collector(port=watched.port, name=f"collector{turn}")
                resumed = follow("resumed")
            with open(os.path.join(watched.directory, "enough"), "wb"):
                pass
            self.assertEqual(load.popen.wait(60), 0, load.err())
            made = len(watched.access_lines("web"))
            self.assertGreater(made, 60)

            def stored():
                return watched.events_of("web", "--reporter", "server")
            fleet.wait_for(lambda: len(stored()) == made, "all to be stored", 60)
            wanted = sorted(event["id"] for event in stored())
            for follower in (steady, resumed):
                fleet.wait_for(lambda f=follower: lines(f) >= made, "the follower", 30)
                got = collections.Counter(json.loads(line)["id"]
                                          for line in follower.out().splitlines())
                self.assertEqual(set(wanted) - set(got), set(), "missing at " + follower.name)
                self.assertEqual([i for i in got if got[i] > 1], [], "twice at " + follower.name)
            self.assertIn("connected again", steady.err())

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
