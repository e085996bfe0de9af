"""What is in the container image, and that it runs."""

import os
import re
import stat
import subprocess
import tempfile
import unittest

import build_image
import fleet
from archive import Archive
from runtime import Runtime

setUpModule = fleet.need_root

PROGRAMS = ["podtap", "podtap-agent", "podtap-collector"]
# Of 15 MB as it is.
MAX_COMPRESSED_BYTES = 30_000_000
STATUS = "var/lib/dpkg/status.d/"
PACKAGES = "usr/share/doc/podtap/packages.txt"


def image_path():
    return os.environ["PODTAP_IMAGE"]


def packages_by_kind(text):
    """The two lists of packages.txt: whose files are in the image, whose code was compiled in."""
    lists = []
    for line in text.splitlines():
        if line.startswith("#"):
            lists.append({})
        else:
            name, version, _, _ = line.split()
            lists[-1][name] = version
    return lists


class Contents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.archive = Archive(image_path())
        cls.files = cls.archive.files

    def libraries(self):
        return sorted(name for name, entry in self.files.items()
                      if entry.isreg() and re.search(r"/[^/]*\.so(\.[0-9.]+)?$", name))

    def test_it_is_small(self):
        """Prints what is in it."""
        for name, entry in sorted(self.files.items()):
            print(f"{stat.filemode(entry.mode)} {entry.uid:5} {entry.size:10} /{name}")
        size = self.archive.compressed_bytes
        print(f"compressed: {size / 1e6:.1f} MB; {len(self.files)} files and directories, "
              f"{sum(entry.size for entry in self.files.values()) / 1e6:.1f} MB")
        self.assertLess(size, MAX_COMPRESSED_BYTES)

    def test_nothing_in_it_gives_rights_or_helps_an_intruder(self):
        for name, entry in self.files.items():
            self.assertFalse(entry.mode & (stat.S_ISUID | stat.S_ISGID), name)
            self.assertFalse(entry.isdev() or entry.isfifo(), name)
            if not entry.issym() and name != "tmp":
                self.assertFalse(entry.mode & stat.S_IWOTH, name)
            # Root's, but for the place of the collector's store.
            self.assertEqual(entry.uid, 65532 if name == "var/lib/podtap" else 0, name)
        # No shell, no package manager: what can be run are the programs, and the loader.
        folders = ("usr/bin", "usr/sbin", "bin", "sbin", "usr/local", "usr/libexec")
        self.assertEqual([name for name in sorted(self.files)
                          if name.startswith(tuple(folder + "/" for folder in folders))],
                         ["usr/bin/" + program for program in PROGRAMS])
        self.assertEqual([name for name in self.libraries()
                          if not name.startswith(("usr/lib/", "usr/lib64/"))], [])

    def test_it_says_what_it_is(self):
        config = self.archive.config
        self.assertEqual(config["User"], "65532:65532")
        self.assertNotIn("Entrypoint", config)
        labels = config["Labels"]
        said = subprocess.run([os.path.join(fleet.BIN, "podtap"), "--version"], check=True,
                              capture_output=True, text=True).stdout
        self.assertIn(labels["org.opencontainers.image.version"], said.split())
        self.assertEqual(labels["org.opencontainers.image.revision"], build_image.REVISION)
        self.assertIn("Apache-2.0", labels["org.opencontainers.image.licenses"])
        self.assertEqual({entry.mtime for entry in self.files.values()}, {int(build_image.EPOCH)})
        self.assertEqual(self.archive.whole["created"], "2023-11-14T22:13:20Z")

    def test_licences_and_packages_are_listed(self):
        with open(os.path.join(build_image.SOURCE, "LICENSE"), encoding="utf-8") as file:
            self.assertEqual(self.archive.text("usr/share/doc/podtap/LICENSE"), file.read())
        self.assertIn("usr/share/doc/podtap/LICENSES/GPL-2.0-only.txt", self.files)
        present, compiled_in = packages_by_kind(self.archive.text(PACKAGES))
        stanzas = {name.removeprefix(STATUS): self.archive.text(name)
                   for name, entry in self.files.items()
                   if name.startswith(STATUS) and entry.isreg()}
        self.assertEqual(set(stanzas), set(present))
        for name, version in present.items():
            self.assertIn(f"Package: {name}\n", stanzas[name])
            self.assertIn(f"\nVersion: {version}\n", stanzas[name])
            self.assertIn(f"usr/share/doc/{name}/copyright", self.files)
        for name in ("libabsl-dev", "libbpf-dev", "libcli11-dev", "nlohmann-json3-dev"):
            self.assertIn(name, compiled_in)
        # This machine's own dpkg says whose the libraries are, not the maker of the list.
        owners = {}
        for library in self.libraries():
            found = subprocess.run(["dpkg", "-S", "*/" + os.path.basename(library)], check=False,
                                   capture_output=True, text=True).stdout
            owners[library] = {line.split(":")[0] for line in found.splitlines()} & set(present)
            self.assertTrue(owners[library], f"no package of the list owns {library}: {found}")
        self.assertEqual(set().union(*owners.values()), set(present))


class Runs(unittest.TestCase):
    def test_programs_find_their_libraries(self):
        with tempfile.TemporaryDirectory(prefix="podtap-") as root:
            Archive(image_path()).extract(root)
            os.chmod(root, 0o755)
            for program in PROGRAMS:
                found = subprocess.run(
                    ["chroot", "--userspec=65532:65532", root, "/usr/bin/" + program, "--version"],
                    check=False, capture_output=True, text=True)
                self.assertEqual(found.returncode, 0, found.stderr)
                self.assertTrue(found.stdout.startswith(program + " "), found.stdout)

    def test_containerd_runs_it_as_nobody(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            runtime.import_image(image_path())
            pod = runtime.add_pod(
                "version", containers=[("version", ["podtap-agent", "--version"])],
                settings={"image": {"image": build_image.IMAGE}})
            said = fleet.wait_for(lambda: runtime.log(pod, "version"), "its version")
            self.assertIn(" stdout F podtap-agent 0.1.0", said)


if __name__ == "__main__":
    unittest.main()
