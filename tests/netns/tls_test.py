"""The three programs over mutual TLS: certificates that change, and what is refused."""

import os
import subprocess
import unittest

import fleet

setUpModule = fleet.need_root


class Secret:
    """Files as a Kubernetes secret volume has them: links through "..data", which is swapped."""

    def __init__(self, directory, files):
        self.directory = directory
        self.versions = 0
        os.mkdir(directory)
        self.replace(files)

    def path(self, name):
        return os.path.join(self.directory, name)

    def replace(self, files):
        self.versions += 1
        version = f"..version{self.versions}"
        os.mkdir(self.path(version))
        for name, content in files.items():
            with open(os.path.join(self.path(version), name), "w", encoding="ascii") as file:
                file.write(content)
            if not os.path.islink(self.path(name)):
                os.symlink(os.path.join("..data", name), self.path(name))
        os.symlink(version, self.path("..data_tmp"))
        os.rename(self.path("..data_tmp"), self.path("..data"))

    def flags(self):
        return ["--tls-ca", self.path("ca.crt"), "--tls-cert", self.path("tls.crt"),
                "--tls-key", self.path("tls.key")]


class Authority:
    """Makes certificates by the commands of docs/tls.md."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory)
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-days", "3650", "-subj", "/CN=podtap CA", "-keyout", "ca.key",
                      "-out", "ca.crt")

    def _openssl(self, *arguments):
        fleet.run("openssl", *arguments, cwd=self.directory)

    def _read(self, name):
        with open(os.path.join(self.directory, name), encoding="ascii") as file:
            return file.read()

    @property
    def certificate(self):
        return self._read("ca.crt")

    def issue(self, name, trusted):
        """The files of one program, which trusts the given authorities."""
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-days", "365", "-subj", f"/CN={name}", "-CA", "ca.crt", "-CAkey",
                      "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext",
                      "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "tls.key", "-out",
                      "tls.crt")
        return {"ca.crt": "".join(one.certificate for one in trusted),
                "tls.crt": self._read("tls.crt"), "tls.key": self._read("tls.key")}


def serial(pem):
    """Serial number of a certificate, upper-case hex."""
    shown = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, text=True,
                           capture_output=True, check=True).stdout
    return shown.strip().removeprefix("serial=")


class Tls(unittest.TestCase):
    def test_certificates_and_authority_change_while_events_stream(self):
        with fleet.Fleet() as watched:
            first = Authority(os.path.join(watched.directory, "ca1"))
            second = Authority(os.path.join(watched.directory, "ca2"))
            secrets = {name: Secret(os.path.join(watched.directory, name),
                                    first.issue(name, [first]))
                       for name in ("collector", "agent", "client")}
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            collector = watched.start_collector(*secrets["collector"].flags())
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}",
                                        *secrets["agent"].flags())
            collector.wait_for_err("certificate of CN=agent")
            url = f"http://{watched.ip4('web')}/index.html"
            made = 0

            def make_requests():
                nonlocal made
                watched.in_pod("client", "curl", "-sS", "-o", "/dev/null", *[url] * 20)
                made += 20

            def stored():
                return len(watched.events_of("web", *secrets["client"].flags()))

            make_requests()
            fleet.wait_for(lambda: stored() == 2 * made, "the events before")
            # First both authorities, then certificates of the second, which then is alone.
            for issuer, trusted in ((first, [first, second]), (second, [first, second]),
                                    (second, [second])):
                for name, secret in secrets.items():
                    files = issuer.issue(name, trusted)
                    secret.replace(files)
                    process = {"collector": collector, "agent": agent}.get(name)
                    if process:
                        process.wait_for_err(
                            f"next connections use certificate {serial(files['tls.crt'])}")
                make_requests()
                fleet.wait_for(lambda: stored() == 2 * made, "the events after a change")
            self.assertEqual(agent.stop(), 0)
            self.assertEqual(stored(), 2 * made)
            self.assertNotIn("can't be reached", agent.err())
            again = watched.start_agent("--collector", f"127.0.0.1:{watched.port}",
                                        *secrets["agent"].flags(), name="agent-again")
            again.wait_for_err("connected to collector")
            self.assertEqual(collector.stop(), 0)

    def test_what_is_refused_is_said_in_one_line(self):
        with fleet.Fleet() as watched:
            authority = Authority(os.path.join(watched.directory, "ca"))
            secret = Secret(os.path.join(watched.directory, "secret"),
                            authority.issue("all", [authority]))
            collector = watched.start_collector(*secret.flags())
            server = ["--server", f"127.0.0.1:{watched.port}"]
            ca = ["--tls-ca", secret.path("ca.crt")]
            for flags, says in ((ca, "requires a client certificate"), ([], "it speaks TLS")):
                for follow in ([], ["--follow"]):
                    self.check_line("podtap", ["observe", *server, *flags, *follow], 1, says)
            collector.wait_for_err("a TLS handshake failed: peer did not return a certificate")
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}", *ca)
            agent.wait_for_err("it requires a client certificate")
            agent.stop()
            self.assertEqual(agent.err().count("can't be reached"), 1, agent.err())

            cert = ["--tls-cert", secret.path("tls.crt")]
            for program in ("podtap-collector", "podtap-agent", "podtap"):
                lead = {"podtap-agent": ["--collector", "10.0.0.1:1"],
                        "podtap": ["observe", "--server", "10.0.0.1:1"]}.get(program, [])
                for flags, says in (
                        ([*ca, *cert], "--tls-cert: needs --tls-key"),
                        ([*secret.flags(), "--insecure"], "--insecure: "),
                        ([*ca, *cert, "--tls-key", "/absent"], "--tls-key: /absent: No such file"),
                        ([*ca, *cert, "--tls-key", secret.path("ca.crt")],
                         "holds no private key")):
                    self.check_line(program, [*lead, *flags], 2, says)

    def check_line(self, program, flags, exit_code, says):
        result = subprocess.run([os.path.join(fleet.BIN, program), *flags], capture_output=True,
                                text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertIn(says, result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
