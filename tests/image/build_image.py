#!/usr/bin/env python3
"""Builds the container image of this source tree without a registry: build_image.py WORK_DIR OUT

The base is a Debian that debootstrap makes from the mirror of this machine. All of the Dockerfile
is built as it is, from source. What the compiler made before for this tree, the build finds in this
machine's ccache; without that it takes minutes more. buildah keeps what it needs in WORK_DIR, which
is gone afterwards. OUT is an archive.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BASE = "localhost/podtap-base:1"
# What the chart names when nobody says where images come from, as container runtimes read it.
IMAGE = "docker.io/library/podtap:0.1.0"
REVISION = "0123456789abcdef0123456789abcdef01234567"
# 2023-11-14; every file of the image carries it.
EPOCH = "1700000000"


def run(*command):
    """Asks the program to end when this one has to: it has processes and mounts of its own."""
    print("+", " ".join(command), flush=True)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code != 0:
        raise RuntimeError(f"{command[0]} ended with {code}")


def sources_of_debian():
    """(mirror, suite, component) of what this machine installs Debian's packages from."""
    lines = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)",
         "Created-By: Packages", "Origin: Debian"],
        check=True, capture_output=True, text=True).stdout.splitlines()
    found = sorted({tuple(line.split()) for line in lines})
    if not found:
        raise RuntimeError("apt knows no mirror of Debian; apt-get update?")
    return found


def make_base(directory):
    """The smallest Debian that has apt, with the updates that this machine gets."""
    with open("/etc/os-release", encoding="utf-8") as file:
        codename = dict(line.strip().split("=", 1) for line in file if "=" in line)[
            "VERSION_CODENAME"]
    sources = sources_of_debian()
    mirror = next(site for site, suite, _ in sources if suite == codename)
    run("debootstrap", "--variant=minbase", codename, directory, mirror)
    with open(os.path.join(directory, "etc/apt/sources.list"), "w", encoding="ascii") as file:
        file.writelines(f"deb {' '.join(source)}\n" for source in sources)


def unmount_below(directory):
    """A build that was killed may leave mounts, through which nothing must be removed."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        points = [line.split()[1] for line in file]
    for point in reversed(points):
        if point.startswith(directory + "/"):
            subprocess.run(["umount", "--lazy", point], check=True)


def build(work_dir, out):
    base_dir = os.path.join(work_dir, "base")
    make_base(base_dir)
    buildah = ["buildah", "--root", os.path.join(work_dir, "storage"),
               "--runroot", os.path.join(work_dir, "run"), "--storage-driver", "vfs"]
    container = subprocess.run([*buildah, "from", "scratch"], check=True, capture_output=True,
                               text=True).stdout.strip()
    run(*buildah, "add", "--quiet", container, base_dir, "/")
    run(*buildah, "commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(base_dir)
    cache = subprocess.run(["ccache", "--get-config", "cache_dir"], check=True,
                           capture_output=True, text=True).stdout.strip()
    os.makedirs(cache, exist_ok=True)
    # Part of what ccache looks up by.
    language = ["--build-arg", "LANG=" + os.environ["LANG"]] if "LANG" in os.environ else []
    run(*buildah, "bud", "--isolation", "chroot", "--timestamp", EPOCH,
        "--volume", cache + ":/ccache", "--build-arg", "CCACHE_DIR=/ccache",
        "--build-arg", "BASE=" + BASE, "--build-arg", "SOURCE_DIR=" + SOURCE, *language,
        "--build-arg", f"JOBS={len(os.sched_getaffinity(0))}",
        "--build-arg", "SOURCE_DATE_EPOCH=" + EPOCH, "--build-arg", "REVISION=" + REVISION,
        "--tag", IMAGE, SOURCE)
    run(*buildah, "push", "--quiet", IMAGE, f"oci-archive:{out}:{IMAGE}")


def main():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    work_dir, out = (os.path.abspath(path) for path in sys.argv[1:])
    with contextlib.suppress(FileNotFoundError):
        os.remove(out)
    unmount_below(work_dir)
    shutil.rmtree(work_dir, ignore_errors=True)
    os.makedirs(os.path.join(work_dir, "tmp"))
    os.environ["TMPDIR"] = os.path.join(work_dir, "tmp")
    try:
        build(work_dir, out)
    finally:
        unmount_below(work_dir)
        shutil.rmtree(work_dir)


if __name__ == "__main__":
    main()
