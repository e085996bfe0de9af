"""Containers of a Docker engine, which no runtime lists as pods."""

import unittest

import fleet
from bare_namespace import PROC_PRIVILEGES, events
from engine import IMAGE, Engine

setUpModule = fleet.need_root


def with_sockets(sockets):
    """Prefix of a command that has a /run of its own, with these: {name in it: path here}."""
    links = " && ".join(f"ln -s {path} /run/{name}" for name, path in sockets.items()) or "true"
    return ["unshare", "--mount", "sh", "-c",
            f'mount -t tmpfs podtap-test /run && {links} && exec "$@"', "sh"]


def served(agent):
    """The server's end of each event of its own tap."""
    return [event["destination"] for event in events(agent) if fleet.reporter(event) == "server"]


class Docker(unittest.TestCase):
    def test_a_container_is_named_by_its_id_and_as_the_engine_calls_it(self):
        with fleet.Fleet() as watched, Engine(watched) as engine:
            watched.add_pod("client")
            agents = [watched.start_agent(
                "--stdout", "-o", "json", name=name, discovery="proc", wait_for_pods=False,
                privileges=[*with_sockets(sockets), *PROC_PRIVILEGES])
                for name, sockets in (("asks", {"docker.sock": engine.socket}), ("alone", {}))]
            full_id, address = engine.start_server("shop-web")
            for agent in agents:
                agent.wait_for_err(f"for pod {full_id[:12]}")
            agents[0].wait_for_err("names of containers come from /run/docker.sock")

            def request():
                """One more; true when the first agent's event has the container's name."""
                before = len(served(agents[0]))
                watched.in_pod("client", "curl", "-sS", "--max-time", "10", "-o", "/dev/null",
                               f"http://{address}/index.html")
                for agent in agents:
                    fleet.wait_for(lambda a=agent: len(served(a)) > before, "the event")
                return "containerName" in served(agents[0])[-1]
            fleet.wait_for(request, "the container's name")
            for end in (end for agent in agents for end in served(agent)):
                self.assertEqual((end["namespace"], end["podName"]), ("docker", full_id[:12]))
                self.assertNotIn("workload", end)
                self.assertNotIn("serviceName", end)
            self.assertEqual((served(agents[0])[-1]["containerName"],
                              served(agents[0])[-1]["containerImage"]), ("shop-web", IMAGE))
            for end in served(agents[1]):
                self.assertNotIn("containerName", end)
                self.assertNotIn("containerImage", end)
            engine.docker("rm", "-f", full_id)
            for agent in agents:
                agent.wait_for_err(f"for pod {full_id[:12]}")
                fleet.wait_for(lambda a=agent: "closed tap of" in a.err(), "the tap to be closed")
                self.assertEqual(agent.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
