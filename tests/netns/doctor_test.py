"""podtap-agent doctor: what it finds, what it says is to be mended, and its exit code."""

import os
import re
import socket
import subprocess
import unittest

import fleet

setUpModule = fleet.need_root

ENTERING = ["setpriv", "--bounding-set", "-all,+bpf,+net_raw,+sys_admin",
            "--inh-caps", "-all,+bpf,+net_raw,+sys_admin"]
ONLY_NET_RAW = ["setpriv", "--bounding-set", "-all,+net_raw", "--inh-caps", "-all,+net_raw"]


def doctor(*flags, privileges=fleet.SMALL_PRIVILEGES):
    """Exit code, findings as (level, what, text), and what is on standard error."""
    result = subprocess.run(
        [*privileges, os.path.join(fleet.BIN, "podtap-agent"), "doctor", "--admin-listen",
         "127.0.0.1:0", *flags], capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL)
    lines = result.stdout.splitlines()
    matches = [re.fullmatch(r"(ok|warn|fail) +(\w[\w ]*?)  +(.*)", line) for line in lines]
    if None in matches:
        raise AssertionError(f"not a finding: {lines[matches.index(None)]!r}")
    return result.returncode, [match.groups() for match in matches], result.stderr


def texts(findings, level, what):
    return [text for at, about, text in findings if (at, about) == (level, what)]


def levels(findings):
    return {level for level, _, _ in findings}


class Doctor(unittest.TestCase):
    def test_it_says_what_would_be_tapped_and_leaves_nothing(self):
        with fleet.Fleet() as watched:
            for pod in ("client", "web"):
                watched.add_pod(pod)
            watched.start_collector()
            web = f"netns/{watched.netns('web')}"
            exit_code, findings, err = doctor(
                "--discovery", "netns", "--collector", f"127.0.0.1:{watched.port}",
                "--exclude-pod", watched.netns("client"))
            self.assertEqual((exit_code, err), (0, ""), findings)
            self.assertNotIn("fail", levels(findings))
            for what in ("kernel", "capabilities", "program", "tap", "names", "collector"):
                self.assertEqual(len(texts(findings, "ok", what)), 1, what)
            self.assertIn(f"{watched.host_interface('web')} is tapped for pod {web}",
                          texts(findings, "ok", "interface"))
            self.assertFalse([text for text in texts(findings, "ok", "interface")
                              if watched.netns("client") in text])
            left_out, = [text for text in texts(findings, "ok", "pod")
                         if watched.netns("client") in text]
            self.assertIn("--exclude-pod", left_out)
            self.assertEqual(texts(findings, "ok", "loopback"), [])
            exit_code, findings, err = doctor("--discovery", "netns", "--pod-loopback",
                                              "--include-pod", watched.netns("web"),
                                              privileges=ENTERING)
            self.assertEqual((exit_code, err), (0, ""), findings)
            self.assertIn("CAP_SYS_ADMIN", texts(findings, "ok", "capabilities")[0])
            self.assertEqual(texts(findings, "ok", "loopback"),
                             ["pods that are tapped on it: 1"])
            exit_code, findings, err = doctor("--discovery", "netns", "--pod-netns", "always",
                                              "--include-pod", watched.netns("web"),
                                              privileges=ENTERING)
            self.assertEqual((exit_code, err), (0, ""), findings)
            self.assertIn(f"{web} is tapped inside its network namespace",
                          texts(findings, "ok", "pod"))
            # What leads to the pods is not tapped, nor missed.
            self.assertEqual([text for level in ("ok", "warn")
                              for text in texts(findings, level, "interface")], [])
            # Programs of an agent go with it; the doctor's tap went with the doctor.
            with open("/proc/net/packet", encoding="ascii") as file:
                lo = socket.if_nametoindex("lo")
                self.assertFalse([line for line in file.read().splitlines()[1:]
                                  if int(line.split()[4]) == lo])

    def test_what_is_missing_is_named_with_what_to_mend(self):
        exit_code, findings, _ = doctor("--discovery", "netns", privileges=ONLY_NET_RAW)
        self.assertEqual(exit_code, 1)
        self.assertIn("CAP_BPF", texts(findings, "fail", "capabilities")[0])
        for flags in (["--pod-netns", "fallback"], ["--pod-loopback"]):
            exit_code, findings, _ = doctor("--discovery", "netns", *flags)
            self.assertEqual(exit_code, 1)
            self.assertIn("CAP_SYS_ADMIN", texts(findings, "fail", "capabilities")[0])
        exit_code, findings, _ = doctor("--discovery", "cri", "--cri-endpoint",
                                        "unix:///nowhere/podtap-test.sock")
        self.assertEqual(exit_code, 1)
        self.assertIn("/nowhere/podtap-test.sock", texts(findings, "fail", "runtime")[0])
        exit_code, findings, _ = doctor("--discovery", "proc")
        self.assertEqual(exit_code, 1)
        self.assertIn("CAP_SYS_PTRACE", texts(findings, "fail", "processes")[0])

    def test_a_collector_that_is_away_is_waited_for_and_one_that_refuses_is_not(self):
        with fleet.Fleet() as watched:
            exit_code, findings, _ = doctor("--discovery", "netns", "--collector",
                                            f"127.0.0.1:{fleet.free_port()}")
            self.assertEqual(exit_code, 0, findings)
            self.assertIn("can't be reached", texts(findings, "warn", "collector")[0])
            certificate = os.path.join(watched.directory, "ca.pem")
            fleet.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "/dev/null", "-out",
                      certificate, "-days", "2", "-subj", "/CN=podtap")
            watched.start_collector()
            exit_code, findings, _ = doctor("--discovery", "netns", "--tls-ca", certificate,
                                            "--collector", f"localhost:{watched.port}")
            self.assertEqual(exit_code, 1, findings)
            self.assertIn("does not speak TLS", texts(findings, "fail", "collector")[0])

    def test_bad_usage(self):
        for flags in (["--discovery", "guess"], ["--bogus"], ["more"]):
            exit_code, findings, err = doctor(*flags)
            self.assertEqual((exit_code, findings), (2, []), flags)
            self.assertEqual(err.count("\n"), 1, err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
