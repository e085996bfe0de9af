"""The agent with pods of a real container runtime."""

import collections
import os
import signal
import unittest

import fleet
import metrics_text
from runtime import SERVER, Runtime

setUpModule = fleet.need_root

ENTERING_PRIVILEGES = ["setpriv", "--bounding-set", "-all,+bpf,+net_raw,+sys_admin",
                       "--inh-caps", "-all,+bpf,+net_raw,+sys_admin"]


def start_agent(watched, runtime, *flags, discovery="cri", name="agent"):
    return watched.start_agent("--cri-endpoint", runtime.endpoint, "--collector",
                               f"127.0.0.1:{watched.port}", *flags, discovery=discovery, name=name,
                               wait_for_pods=False)


def wait_for_taps(agent, *pods):
    """Each interface of each pod is tapped, for this pod."""
    for pod in pods:
        for interface in pod.host_interfaces():
            agent.wait_for_err(f"tapping {interface} for pod {pod.name}")


def get(client, address, path="/index.html"):
    host = f"[{address}]" if ":" in address else address
    client.run("curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://{host}{path}")


def ends(event):
    """Who asked whom, as (namespace, pod) each."""
    return tuple((event[end].get("namespace"), event[end].get("podName"))
                 for end in ("source", "destination"))


def tapped_interfaces(agent):
    """Every interface that was ever tapped."""
    return {line.split(" tapping ")[1].split()[0]
            for line in agent.err().splitlines() if " tapping " in line}


class Networks(unittest.TestCase):
    def test_each_kind_of_network_is_named_or_left_alone(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            client = runtime.add_pod("client", namespace="office")
            web = runtime.add_pod("web")
            early = start_agent(watched, runtime)
            wait_for_taps(early, client, web)
            # These come while the agent runs.
            point = runtime.add_pod("point", "ptp")
            dual = runtime.add_pod("dual", "dual")
            macvlan = runtime.add_pod("macvlan", "macvlan")
            runtime.add_pod("host", "host", containers=())
            wait_for_taps(early, point, dual)
            self.assertEqual(len(dual.host_interfaces()), 2)
            self.assertEqual(macvlan.host_interfaces(), set())

            self.assertEqual(len(web.addresses), 2)
            for address in web.addresses:
                get(client, address)
            get(client, point.addresses[0])
            get(client, dual.addresses[0])

            def reports():
                return watched.observe("--namespace", "office", "--path", "/index.html")
            fleet.wait_for(lambda: len(reports()) == 8, "two reports of each request")
            named = sorted((fleet.reporter(event), *ends(event)) for event in reports())
            self.assertEqual(named, sorted(
                (side, ("office", "client"), ("shop", server))
                for side in ("client", "server") for server in ("web", "web", "point", "dual")))

            # The runtime does not tell the address in the pod's second network. The host is in it.
            second = dual.run("ip", "-4", "-o", "addr", "show", "eth1").split()[3].split("/")[0]
            fleet.run("curl", "-sS", "-f", f"http://{second}/index.html")
            event, = fleet.wait_for(lambda: watched.observe("--to-ip", second), "its report")
            self.assertEqual(ends(event)[1], ("shop", "dual"))
            self.assertEqual(event["destination"]["ip"], second)
            self.assert_untapped(early, [client, web, point, dual])
            self.assert_coverage(watched)

    def test_a_pod_without_an_interface_of_the_host_is_tapped_inside_where_that_is_allowed(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            client = runtime.add_pod("client", "macvlan", namespace="office")
            agent = watched.start_agent(
                "--cri-endpoint", runtime.endpoint, "--collector", f"127.0.0.1:{watched.port}",
                "--pod-netns", "fallback", discovery="cri", wait_for_pods=False,
                privileges=ENTERING_PRIVILEGES)
            agent.wait_for_err("tapping eth0 inside pod client")
            # And one that comes while the agent runs.
            web = runtime.add_pod("web", "macvlan")
            agent.wait_for_err("tapping eth0 inside pod web")
            plain = runtime.add_pod("plain")
            wait_for_taps(agent, plain)
            get(client, web.addresses[0])
            events = fleet.wait_for(
                lambda: (lambda found: found if len(found) == 2 else None)(
                    watched.observe("--path", "/index.html")), "both reports")
            for event in events:
                self.assertEqual(ends(event), (("office", "client"), ("shop", "web")))
                self.assertEqual(event["capture"]["mode"], "CAPTURE_MODE_POD_NETNS")
                self.assertEqual(event["destination"]["podUid"], web.uid)
            self.assertEqual({fleet.reporter(event) for event in events}, {"client", "server"})
            runtime.remove_pod(web)
            agent.wait_for_err("closed tap of eth0 inside pod web", 5)
            self.assertNotIn("inside pod plain", agent.err())

    def assert_untapped(self, agent, tapped):
        """Nothing but the pods' own interfaces is tapped, and what is left out is counted."""
        self.assertEqual(tapped_interfaces(agent),
                         {name for pod in tapped for name in pod.host_interfaces()})

        def current(name):
            page = metrics_text.parse(agent.admin("/metrics")[1])
            return page["podtap_ledger_current"].total(name=name)
        # Nothing but the look that comes every few seconds finds a pod without an interface.
        for name in ("pods_host_network", "pods_without_interface"):
            fleet.wait_for(lambda name=name: current(name) == 1, name)

    def assert_coverage(self, watched):
        """Each pod's state at the collector, which hears of it every ten seconds."""
        def states():
            return {name: pod["coverage"]["state"].removeprefix("COVERAGE_STATE_")
                    for name in ("client", "web", "point", "dual", "macvlan", "host")
                    if (pod := watched.coverage(name))}
        expected = {"client": "TAPPED", "web": "TAPPED", "point": "TAPPED", "dual": "TAPPED",
                    "macvlan": "NO_HOST_INTERFACE", "host": "HOST_NETWORK"}
        fleet.wait_for(lambda: states() == expected, "the states")
        dual = watched.coverage("dual")["coverage"]
        self.assertEqual(len(dual["interfaces"]), 2)
        self.assertIn("macvlan", watched.coverage("macvlan")["coverage"]["reason"])
        self.assertTrue(dual["podUid"])
        # It came while the agent ran; client was there before.
        self.assertIn("attachDelay", dual["interfaces"][0])
        self.assertNotIn("attachDelay", watched.coverage("client")["coverage"]["interfaces"][0])

    def test_pairs_that_look_like_another_pods_interface(self):
        """Inside a pod a pair whose indexes are those of another pod's host end, and a pair between
        two pods: neither leads to a tap, and each pod keeps its own."""
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            agent = start_agent(watched, runtime)
            victim = runtime.add_pod("victim")
            inner = runtime.add_pod("inner", namespace="office")
            other = runtime.add_pod("other", "ptp")
            wait_for_taps(agent, victim, inner, other)
            interface, = victim.host_interfaces()
            with open(f"/sys/class/net/{interface}/ifindex", encoding="ascii") as file:
                index = int(file.read())
            inner.run("ip", "link", "add", "name", "in0", "index", str(index + 1), "type", "veth",
                      "peer", "name", "in1", "index", str(index))
            inner.run("ip", "link", "add", "direct", "type", "veth", "peer", "name", "direct",
                      "netns", "/run/netns/" + other.netns)
            late = runtime.add_pod("late")
            wait_for_taps(agent, late)
            get(inner, victim.addresses[0])
            events = fleet.wait_for(
                lambda: (lambda found: found if len(found) == 2 else None)(
                    watched.observe("--path", "/index.html")), "both reports")
            self.assertEqual({ends(event) for event in events},
                             {(("office", "inner"), ("shop", "victim"))})
            self.assertEqual(tapped_interfaces(agent), {
                name for pod in (victim, late) for name in pod.host_interfaces()} | {
                name for pod in (inner, other) for name in pod.host_interfaces()})


class Containers(unittest.TestCase):
    def test_a_container_that_starts_after_its_pod_is_named(self):
        """An image is pulled between the two, and no interface tells of the second."""
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            client = runtime.add_pod("client", namespace="office")
            web = runtime.add_pod("web", containers=())
            agent = start_agent(watched, runtime)
            wait_for_taps(agent, client, web)
            runtime.add_container(web, "late", SERVER)
            web.wait_for_server()

            def container():
                get(client, web.addresses[0])
                events = watched.observe("--to-pod", "web", "--reporter", "server", last=1)
                return events and events[0]["destination"].get("containerName")
            fleet.wait_for(lambda: container() == "late", "the container's name")
            self.assertEqual(agent.err().count(" tapping "), 2)


class Churn(unittest.TestCase):
    def test_pods_that_come_and_go_while_the_agent_runs(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            client = runtime.add_pod("client", namespace="office")
            agent = start_agent(watched, runtime)
            wait_for_taps(agent, client)
            expected = []
            for number in range(4):
                # The same names again and again, in turn on two kinds of network.
                pods = [runtime.add_pod(f"job-{index}", ("bridge", "ptp")[number % 2])
                        for index in range(3)]
                wait_for_taps(agent, *pods)
                for pod in pods:
                    get(client, pod.addresses[0], f"/{number}-{pod.name}")
                    expected.append((f"/{number}-{pod.name}", ("shop", pod.name)))
                for pod in pods:
                    interface, = pod.host_interfaces()
                    runtime.remove_pod(pod)
                    agent.wait_for_err(f"closed tap of {interface} for pod {pod.name}")
            self.assertEqual(agent.stop(), 0)
            found = watched.observe("--namespace", "shop")
            for side in ("client", "server"):
                self.assertEqual(sorted((event["request"]["path"], ends(event)[1])
                                        for event in found if fleet.reporter(event) == side),
                                 sorted(expected))
            self.assertEqual({ends(event)[0] for event in found}, {("office", "client")})
            self.assertEqual(watched.losses(), {})


class Away(unittest.TestCase):
    def test_containerd_is_killed_and_restarted_during_traffic(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            client = runtime.add_pod("client", namespace="office")
            web = runtime.add_pod("web")
            agent = start_agent(watched, runtime)
            wait_for_taps(agent, client, web)
            stop = os.path.join(watched.directory, "stop")
            load = watched.start("load", [*fleet.inside(client.netns), "sh", "-c", f"""
                while [ ! -e {stop} ]; do
                  curl -sS -f -o /dev/null --max-time 10 http://{web.addresses[0]}/index.html || exit 1
                  echo done
                done"""])

            def wait_for_requests(number):
                wanted = load.out().count("done") + number
                fleet.wait_for(lambda: load.out().count("done") >= wanted, "requests")
            wait_for_requests(10)
            runtime.kill()
            agent.wait_for_err("its pods stay as they were")
            wait_for_requests(20)
            runtime.start()
            agent.wait_for_err("answers again")
            wait_for_requests(20)
            # It goes on: pods come and go as before.
            after = runtime.add_pod("after")
            wait_for_taps(agent, after)
            get(client, after.addresses[0], "/after")
            with open(stop, "w", encoding="ascii"):
                pass
            self.assertEqual(load.popen.wait(20), 0, load.err())
            made = load.out().count("done")
            self.assertEqual(agent.stop(), 0)
            named = collections.Counter(
                (fleet.reporter(event), *ends(event))
                for event in watched.observe("--path", "/index.html"))
            self.assertEqual(named, {(side, ("office", "client"), ("shop", "web")): made
                                     for side in ("client", "server")})
            self.assertEqual(watched.losses(), {})
            # No tap was closed or opened for it.
            self.assertEqual(len(tapped_interfaces(agent)), 3)
            self.assertEqual(agent.err().count(" tapping "), 3)
            self.assertEqual(agent.err().count("its pods stay as they were"), 1)

    def test_containerd_hangs_during_traffic(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            client = runtime.add_pod("client", namespace="office")
            web = runtime.add_pod("web")
            agent = start_agent(watched, runtime)
            wait_for_taps(agent, client, web)
            runtime.process.popen.send_signal(signal.SIGSTOP)
            try:
                agent.wait_for_err("does not answer in time; its pods stay as they were")
                get(client, web.addresses[0], "/while-it-hangs")
                self.assertEqual(agent.admin("/healthz")[0], 200)
            finally:
                runtime.process.popen.send_signal(signal.SIGCONT)
            agent.wait_for_err("answers again")
            found = fleet.wait_for(lambda: watched.observe("--path", "/while-it-hangs"), "a report")
            self.assertEqual({ends(event) for event in found},
                             {(("office", "client"), ("shop", "web"))})
            self.assertEqual(agent.err().count(" tapping "), 2)

    def test_a_pod_whose_sandbox_has_died_is_let_go(self):
        """Its network is still there until somebody stops it."""
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            web, other = runtime.add_pod("web"), runtime.add_pod("other")
            agent = start_agent(watched, runtime)
            wait_for_taps(agent, web, other)
            interface, = web.host_interfaces()
            os.kill(runtime.first_process(web), signal.SIGKILL)
            agent.wait_for_err(f"closed tap of {interface} for pod web")
            self.assertEqual(web.host_interfaces(), {interface})
            self.assertNotIn("for pod other", agent.err().split("closed tap", 1)[1])

    def test_the_runtime_is_waited_for(self):
        with fleet.Fleet() as watched, Runtime(watched, start=False) as runtime:
            watched.start_collector()
            agent = start_agent(watched, runtime)
            agent.wait_for_err("no such socket); waiting for one")
            runtime.start()
            pod = runtime.add_pod("web")
            wait_for_taps(agent, pod)
            self.assertEqual(agent.err().count("no container runtime answers"), 1)

    def test_auto_takes_named_namespaces_until_the_runtime_answers(self):
        with fleet.Fleet() as watched, Runtime(watched, start=False) as runtime:
            watched.start_collector()
            watched.add_pod("plain")
            agent = start_agent(watched, runtime, discovery="auto")
            agent.wait_for_err("pods are the network namespaces until one does")
            watched.wait_for_taps(agent)
            runtime.start()
            agent.wait_for_err("pods come from the container runtime at " + runtime.socket)
            agent.wait_for_err(f"closed tap of {watched.host_interface('plain')}")
            pod = runtime.add_pod("web")
            wait_for_taps(agent, pod)
            # Under one name, and never under that of its namespace.
            self.assertNotIn(pod.netns, agent.err())


if __name__ == "__main__":
    unittest.main()
