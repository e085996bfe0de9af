"""What `make install` installs: programs, their settings, and units of systemd, as they are."""

import json
import os
import re
import tempfile
import unittest

import fleet
import guest

UNITS = ("podtap-agent.service", "podtap-collector.service")
# Of `systemd-analyze security`, times ten: 100 is a service that may do anything.
HIGHEST_EXPOSURE = {"podtap-agent.service": 26, "podtap-collector.service": 13}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


class Tree(unittest.TestCase):
    def test_files_go_where_they_are_told_and_settings_are_kept(self):
        with tempfile.TemporaryDirectory() as destination:
            guest.install(destination, prefix="/opt/podtap")
            found = {os.path.relpath(os.path.join(directory, name), destination)
                     for directory, _, names in os.walk(destination) for name in names}
            self.assertEqual(found, {
                "etc/podtap/agent.yaml", "etc/podtap/collector.yaml",
                "opt/podtap/bin/podtap", "opt/podtap/bin/podtap-agent",
                "opt/podtap/bin/podtap-collector",
                "opt/podtap/lib/systemd/system/podtap-agent.service",
                "opt/podtap/lib/systemd/system/podtap-collector.service"})
            for unit in UNITS:
                text = read(destination, "opt/podtap/lib/systemd/system", unit)
                self.assertIn("ExecStart=/opt/podtap/bin/podtap-", text)
                self.assertNotIn("@", re.sub("@system-service|@privileged|@resources", "", text))
            with open(os.path.join(destination, "etc/podtap/agent.yaml"), "a",
                      encoding="utf-8") as file:
                file.write("node-name: mine\n")
            os.remove(os.path.join(destination, "etc/podtap/collector.yaml"))
            guest.install(destination, prefix="/opt/podtap")
            self.assertIn("node-name: mine", read(destination, "etc/podtap/agent.yaml"))
            self.assertIn("retention", read(destination, "etc/podtap/collector.yaml"))

    def test_units_are_sound_and_expose_little(self):
        with tempfile.TemporaryDirectory() as destination:
            guest.install(destination)
            units = os.path.join(destination, "usr/local/lib/systemd/system")
            for unit in UNITS:
                with self.subTest(unit=unit):
                    print(fleet.run("systemd-analyze", "security", "--offline=yes", "--no-pager",
                                    f"--threshold={HIGHEST_EXPOSURE[unit]}",
                                    os.path.join(units, unit)).splitlines()[-1])


class Running(unittest.TestCase):
    def setUp(self):
        fleet.need_root()
        self.destination = tempfile.TemporaryDirectory()
        self.addCleanup(self.destination.cleanup)
        guest.install(self.destination.name)

    def configure(self, line):
        with open(os.path.join(self.destination.name, "etc/podtap/agent.yaml"), "a",
                  encoding="utf-8") as file:
            file.write(line + "\n")

    def start(self, machine):
        machine.run("systemctl", "start", *UNITS)
        machine.start_service("web", "busybox", "httpd", "-f", "-h", "/etc/podtap")
        machine.start_service("client", "sleep", "600")

    def status(self, machine, unit):
        """The lines of /proc/PID/status of a unit's process."""
        text = machine.run("cat", f"/proc/{machine.property(unit, 'MainPID')}/status")
        return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.MULTILINE))

    def wait_for_taps(self, machine, *texts):
        def all_said():
            log = machine.ask("journalctl", "--no-pager", "--unit=podtap-agent")
            return all(text in log for text in texts)
        fleet.wait_for(all_said, f"the agent to say {texts}")

    def request(self, machine, path):
        machine.in_service("client", "busybox", "wget", "-q", "-O", "/dev/null",
                           f"http://10.4.2.1/{path}")

    def events(self, machine, path, count):
        """Both reports of a request, as the client shows them."""
        def look():
            out = machine.ask("podtap", "observe", "--path", f"/{path}", "-o", "json")
            events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            return events if len(events) >= count else None
        return fleet.wait_for(look, f"{count} events of /{path}")

    def test_the_units_show_requests_between_services_with_few_privileges(self):
        with guest.Guest(self.destination.name) as machine:
            self.assertEqual(machine.ask("systemd-analyze", "verify", *UNITS), "")
            self.start(machine)
            machine.run("ip", "link", "add", "br0", "up", "type", "bridge")
            machine.connect(1, "web")
            machine.connect(2, "client")
            self.wait_for_taps(machine, "tapping veth1 for pod web.service",
                               "tapping veth2 for pod client.service")

            agent = self.status(machine, UNITS[0])
            # BPF (39), SYS_PTRACE (19), NET_RAW (13).
            powers = 1 << 39 | 1 << 19 | 1 << 13
            for kind in ("CapEff", "CapPrm", "CapBnd"):
                self.assertEqual(int(agent[kind], 16), powers, kind)
            collector = self.status(machine, UNITS[1])
            self.assertEqual(int(collector["CapBnd"], 16), 0)
            self.assertNotIn("0", collector["Uid"].split())
            for unit in (agent, collector):
                self.assertEqual((unit["NoNewPrivs"], unit["Seccomp"]), ("1", "2"))

            self.request(machine, "agent.yaml")
            events = self.events(machine, "agent.yaml", 2)
            self.assertEqual({(event["reporter"], event["source"]["namespace"],
                               event["source"]["podName"], event["destination"]["podName"])
                              for event in events},
                             {("REPORTER_CLIENT", "systemd", "client.service", "web.service"),
                              ("REPORTER_SERVER", "systemd", "client.service", "web.service")})

            # Another user may be given; what is kept is kept.
            machine.run("systemctl", "restart", UNITS[1])
            self.events(machine, "agent.yaml", 2)
            self.request(machine, "collector.yaml")
            self.events(machine, "collector.yaml", 2)

            machine.run("systemctl", "stop", *UNITS)
            for unit in UNITS:
                self.assertEqual(machine.property(unit, "Result"), "success", unit)

    def test_pods_are_entered_with_the_drop_in(self):
        self.configure("pod-netns: fallback")
        with guest.Guest(self.destination.name) as machine:
            # The unit alone does not let it.
            machine.ask("systemctl", "start", UNITS[0])
            fleet.wait_for(lambda: "CAP_SYS_ADMIN is missing" in machine.ask(
                "journalctl", "--no-pager", f"--unit={UNITS[0]}"), "a word about the capability")
            machine.run("systemctl", "stop", UNITS[0])
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                  "../../deploy/systemd/pod-netns.conf")
            drop_in = f"/run/systemd/system/{UNITS[0]}.d"
            machine.run("mkdir", "-p", drop_in)
            machine.run("sh", "-c", f"echo '{read(source)}' >{drop_in}/pod-netns.conf")
            machine.run("systemctl", "daemon-reload")

            self.start(machine)
            machine.run("ip", "link", "add", "parent0", "up", "type", "veth", "peer", "other0")
            machine.run("ip", "link", "set", "other0", "up")
            for number, name in ((1, "web"), (2, "client")):
                machine.run("ip", "link", "add", "link", "parent0", "name", "eth0", "netns",
                            machine.property(name, "MainPID"), "type", "macvlan", "mode", "bridge")
                machine.address(name, number)
            self.wait_for_taps(machine, "inside pod web.service", "inside pod client.service")
            self.request(machine, "agent.yaml")
            self.assertEqual({event["capture"]["mode"]
                              for event in self.events(machine, "agent.yaml", 2)},
                             {"CAPTURE_MODE_POD_NETNS"})


if __name__ == "__main__":
    unittest.main()
