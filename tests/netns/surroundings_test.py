"""Bad surroundings: each gives one line that says what is wrong, and the right exit code."""

import contextlib
import ctypes
import os
import platform
import struct
import subprocess
import unittest

import fleet

setUpModule = fleet.need_root

COLLECTOR = os.path.join(fleet.BIN, "podtap-collector")
CLIENT = os.path.join(fleet.BIN, "podtap")
AGENT = os.path.join(fleet.BIN, "podtap-agent")


@contextlib.contextmanager
def small_disk(directory, options="size=4m"):
    """A file system of its own, which can be full or read-only."""
    path = os.path.join(directory, "disk")
    os.makedirs(path, exist_ok=True)
    fleet.run("mount", "-t", "tmpfs", "-o", options, "podtap-test", path)
    try:
        yield path
    finally:
        fleet.run("umount", "-l", path)


def fill(path):
    """Writes until there is no room."""
    with open(os.path.join(path, "filler"), "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))


def block_bpf():
    """Makes bpf() fail with EPERM in this process, as a seccomp profile does."""
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    steps = [(0x20, 0, 0, 0),  # load the number of the call
             (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001),  # bpf: errno EPERM
             (0x06, 0, 0, 0x7fff0000)]  # all else: allow
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class OneLine(unittest.TestCase):
    """Programs that can't start."""

    def check(self, command, exit_code, *words, **options):
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False,
                                stdin=subprocess.DEVNULL, **options)
        self.assertEqual(result.returncode, exit_code, (command, result.stderr))
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def collector(self, store, exit_code, *words, port=0, prefix=()):
        self.check([*prefix, COLLECTOR, "--admin-listen", "", "--listen", f"127.0.0.1:{port}",
                    "--store", "sqlite:" + store], exit_code, *words)

    def test_the_agent_names_what_the_kernel_refuses(self):
        for kept, missing in (("+net_raw", "CAP_BPF"), ("+bpf", "CAP_NET_RAW")):
            with self.subTest(missing=missing):
                self.check(["setpriv", "--bounding-set", f"-all,{kept}", "--inh-caps",
                            f"-all,{kept}", AGENT, "--admin-listen", "", "--stdout"],
                           1, f"{missing} is missing", "grant")
        for flags in (["--pod-netns", "fallback"], ["--pod-netns", "always"], ["--pod-loopback"]):
            with self.subTest(flags):
                self.check([*fleet.SMALL_PRIVILEGES, AGENT, "--admin-listen", "", "--stdout",
                            *flags], 1, "CAP_SYS_ADMIN is missing", flags[0], "grant")
        with self.subTest("seccomp"):
            self.check([AGENT, "--admin-listen", "", "--stdout"], 1,
                       "seccomp profile blocks bpf()", "allow it", preexec_fn=block_bpf)

    def test_the_collector_names_what_it_can_not_use(self):
        with fleet.Fleet() as watched:
            store = os.path.join(watched.directory, "store")
            with self.subTest("in use"):
                watched.start_collector()
                self.collector(store, 1, store, "in use", "--store")
            with self.subTest("port taken"):
                self.collector(os.path.join(watched.directory, "other"), 1,
                               f"127.0.0.1:{watched.port}", "in use", port=watched.port)
            with self.subTest("not a directory"):
                file = os.path.join(watched.directory, "file")
                with open(file, "wb"):
                    pass
                self.collector(file, 1, file, "Not a directory")
                self.collector(file + "/below", 1, file, "Not a directory")
            with self.subTest("not writable"):
                locked = os.path.join(watched.directory, "locked")
                os.mkdir(locked, 0o555)
                # Even root needs this one to pass over permissions.
                self.collector(locked, 1, locked, "Permission denied",
                               prefix=("setpriv", "--bounding-set", "-all", "--inh-caps", "-all"))
            with small_disk(watched.directory, "size=4m,ro") as disk, self.subTest("read-only"):
                self.collector(disk, 1, disk, "Read-only file system")
            with small_disk(watched.directory) as disk, self.subTest("full"):
                fill(disk)
                self.collector(disk, 1, disk, "full", "room")

    def test_the_client_says_why_it_can_not_write(self):
        with fleet.Fleet() as watched:
            start_pods(watched)
            watched.start_watching()
            request(watched, 1)
            fleet.wait_for(lambda: len(watched.events_of("web")) == 2, "the events")
            command = [CLIENT, "observe", "--server", f"127.0.0.1:{watched.port}"]
            with open("/dev/full", "wb") as full:
                result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True,
                                        timeout=30, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stderr, "podtap: write to standard output: "
                                            "No space left on device\n")
            # A reader that has seen enough is no failure.
            read, write = os.pipe()
            os.close(read)
            result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True,
                                    timeout=30, check=False)
            os.close(write)
            self.assertEqual((result.returncode, result.stderr), (0, ""))


class Running(unittest.TestCase):
    """Programs whose surroundings turn bad, and good again, while they run."""

    def test_a_full_disk_at_the_collector(self):
        with fleet.Fleet() as watched, small_disk(watched.directory, "size=16m") as disk:
            start_pods(watched)
            collector = watched.start_collector(store=disk)
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}")
            request(watched, 1)
            fleet.wait_for(lambda: len(watched.events_of("web")) == 2, "the first events")
            fill(disk)
            request(watched, 200)
            fleet.wait_for(lambda: watched.status().get("storeError"), "the status to say so")
            agent.wait_for_err("takes no events")
            self.assertIn("disk", agent.err())
            # Kept, not lost; and what is stored can be asked for.
            self.assertGreaterEqual(len(watched.events_of("web")), 2)
            request(watched, 50)
            os.unlink(os.path.join(disk, "filler"))
            fleet.wait_for(lambda: len(watched.events_of("web")) == 2 * 251, "all events", 60)
            self.assertNotIn("storeError", watched.status())
            agent.wait_for_err("is back")
            # However often it was tried.
            self.assertEqual(agent.err().count("takes no events"), 1, agent.err())
            self.assertEqual(collector.err().count("can't write to"), 1, collector.err())
            self.assertEqual(collector.err().count("takes writes again"), 1, collector.err())
            self.assertEqual(watched.losses(), {})

    def test_a_full_disk_under_the_agents_output(self):
        with fleet.Fleet() as watched, small_disk(watched.directory, "size=64k") as disk:
            start_pods(watched)
            command = [*fleet.SMALL_PRIVILEGES, AGENT, "--admin-listen", "", "--stdout",
                       "--discovery", "netns"]
            with open(os.path.join(disk, "out"), "wb") as out, \
                    open(os.path.join(watched.directory, "agent.err"), "wb") as err:
                agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            try:
                def said():
                    with open(os.path.join(watched.directory, "agent.err"),
                              encoding="utf-8") as file:
                        return file.read()
                fleet.wait_for(lambda: said().count("tapping " + watched.tag) == 2, "the taps")
                fill(disk)
                request(watched, 200)
                self.assertEqual(agent.wait(20), 1)
                self.assertEqual(said().splitlines()[-1], "podtap-agent: write to standard output: "
                                                          "No space left on device")
            finally:
                agent.kill()
                agent.wait()

    def test_pods_are_waited_for(self):
        with fleet.Fleet() as watched:
            # A /run of its own: there is no /run/netns.
            agent = watched.start_agent("--stdout", wait_for_pods=False, privileges=[
                "unshare", "--mount", "sh", "-c", "mount -t tmpfs podtap-test /run && exec \"$@\"",
                "sh", *fleet.SMALL_PRIVILEGES])
            agent.wait_for_err("no pod interface found yet; waiting for one")
            # An interface that comes makes it look again.
            watched.add_pod("web")
            self.assertIsNone(agent.popen.poll())
            self.assertEqual(agent.stop(), 0)
            self.assertEqual(agent.err().count("no pod interface found"), 1, agent.err())
            self.assertNotIn("warn", agent.err())

    def test_a_low_limit_of_open_files_is_raised_as_far_as_may_be(self):
        limits = ["prlimit", "--nofile=32:5000"]
        with fleet.Fleet() as watched:
            watched.port = fleet.free_port()
            collector = watched.start("collector", [
                *limits, COLLECTOR, "--listen", f"127.0.0.1:{watched.port}", "--admin-listen",
                "127.0.0.1:0", "--store", f"sqlite:{watched.directory}/store"])
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}",
                                        privileges=[*limits, *fleet.SMALL_PRIVILEGES])
            for process in (collector, agent):
                self.assertIn("process_max_fds 5000\n", process.admin("/metrics")[1])

    def test_an_absent_collector_is_reported_once(self):
        with fleet.Fleet() as watched:
            start_pods(watched)
            port = fleet.free_port()
            agent = watched.start_agent("--collector", f"127.0.0.1:{port}")
            agent.wait_for_err("can't be reached")
            request(watched, 3)
            # Tried again and again meanwhile, as its ledger tells later.
            watched.start_collector(port=port)
            agent.wait_for_err("is back", 60)
            fleet.wait_for(lambda: len(watched.events_of("web")) == 6, "all events")
            self.assertEqual(agent.err().count("can't be reached"), 1, agent.err())
            self.assertEqual(agent.err().count("is back"), 1, agent.err())
            self.assertEqual(agent.popen.poll(), None)


def start_pods(watched):
    watched.add_pod("client")
    watched.add_pod("web")
    watched.start_nginx("web")


def request(watched, count):
    watched.in_pod("client", "curl", "-sS", "-o", "/dev/null",
                   f"http://{watched.ip4('web')}/index.html?[1-{count}]")


if __name__ == "__main__":
    unittest.main(verbosity=2)
