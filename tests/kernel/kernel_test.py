#!/usr/bin/env python3
"""Runs the agent on a stock Debian kernel in QEMU (no KVM) and checks the events it prints.

The guest is an initramfs with busybox, kernel modules, the agent and the libraries it links; the
kernel is downloaded as a package, not installed. guest_init.sh is what happens inside. Exit code 77: this
machine can't run it.
"""
import argparse
import gzip
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BOOT_TIMEOUT_SECONDS = 60
# CAP_BPF (39) and CAP_NET_RAW (13), nothing else.
CAPABILITIES = (1 << 39) | (1 << 13)
BUSYBOX = "/bin/busybox"
# In the order of their dependencies.
MODULES = ("drivers/net/veth", "net/llc/llc", "net/802/stp", "net/802/garp", "net/802/mrp",
           "net/8021q/8021q", "drivers/net/dummy", "drivers/net/ipvlan/ipvlan")


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def image_version(image):
    """Name of the newest image package that the meta package `image` stands for."""
    depends = run("apt-cache", "depends", image)
    match = re.search(r"Depends: (linux-image-\d\S+)", depends)
    if not match:
        raise RuntimeError(f"{image} depends on no kernel image:\n{depends}")
    return match.group(1)


def download(image, cache):
    """Path of the image's package; asks the network only for what is not in the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    for attempt in range(2):
        try:
            package = image_version(image)
            cached = sorted(cache.glob(f"{package}_*.deb"))
            if not cached:
                # The download's own user can't write into our folder.
                run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package,
                    cwd=cache)
                cached = sorted(cache.glob(f"{package}_*.deb"))
            return cached[-1]
        except (subprocess.CalledProcessError, RuntimeError) as error:
            if attempt == 1:
                raise
            print(f"package lists are missing or old ({error}); updating", flush=True)
            run("apt-get", "update", "-q")
    raise AssertionError("unreachable")


def unpack(package, cache):
    """(kernel, modules) of an image package."""
    root = cache / package.stem
    if not root.exists():
        partial = cache / (package.stem + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        run("dpkg", "-x", str(package), str(partial))
        partial.rename(root)
    kernel = next(root.glob("boot/vmlinuz-*"))
    modules = [next(root.glob(f"lib/modules/*/kernel/{module}.ko*")) for module in MODULES]
    return kernel, modules


def libraries(program):
    """Files that the dynamic loader maps for `program`, the loader included."""
    output = run("ldd", str(program))
    missing = re.findall(r"(\S+) => not found", output)
    if missing:
        raise RuntimeError(f"{program} needs {missing}")
    return re.findall(r"(/\S+) \(0x", output)


def pack(root, programs, modules):
    """Fills `root` with the guest's files."""
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("bin", "proc", "sys", "dev", "run", "tmp", "modules"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    shutil.copy(HERE / "guest_init.sh", root / "init")
    (root / "init").chmod(0o755)
    for number, module in enumerate(modules):
        code = module.read_bytes()
        if module.suffix == ".xz":
            code = subprocess.run(["xz", "-dc", module], check=True, capture_output=True).stdout
        (root / f"modules/{number}-{module.name.removesuffix('.xz')}").write_bytes(code)
    for source, target in programs:
        shutil.copy(source, root / target)
        run("strip", "--strip-debug", str(root / target))
        for library in libraries(source):
            copy = root / library.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, copy)


def make_initramfs(root, path):
    names = "\n".join(str(file.relative_to(root)) for file in sorted(root.rglob("*")))
    archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(),
                             cwd=root, check=True, capture_output=True).stdout
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(archive)


def boot(kernel, initramfs):
    """The guest's console, whether it ended by itself or by the time-out."""
    command = [
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "768", "-nographic",
        "-nodefaults", "-serial", "stdio", "-monitor", "none", "-no-reboot",
        "-kernel", str(kernel), "-initrd", str(initramfs),
        "-append", "console=ttyS0 quiet panic=-1",
    ]
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                timeout=BOOT_TIMEOUT_SECONDS, check=False)
        output = result.stdout + result.stderr
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"") + b"\nguest: ended by the time-out\n"
    return output.decode("utf-8", "replace").replace("\r", "")


def find(events, reporter, path, ip):
    return [
        event
        for event in events
        if event.get("reporter") == reporter
        and event.get("request", {}).get("path") == path
        and event["destination"]["ip"] == ip
    ]


def check_event(event, method, status, pod, client="client", mode="HOST_VETH"):
    """Complaints about one event."""
    wanted = {
        "method": (event["request"].get("method"), method),
        "status": (event.get("response", {}).get("statusCode"), status),
        "outcome": (event.get("outcome"), "OUTCOME_COMPLETE"),
        "source pod": (event["source"].get("podName"), client),
        "mode": (event["capture"].get("mode"), "CAPTURE_MODE_" + mode),
        "destination pod": (event["destination"].get("podName"), pod),
        "destination namespace": (event["destination"].get("namespace"), "netns"),
        "destination port": (event["destination"].get("port"), 8080),
        "node": (event.get("nodeName"), "guest"),
    }
    complaints = [
        f"{what} is {is_!r}, not {should!r}"
        for what, (is_, should) in wanted.items()
        if is_ != should
    ]
    if not re.fullmatch(r"[0-9.]+s", event.get("duration", "")):
        complaints.append("no duration")
    return complaints


def check_console(console, kernel, has_netkit):
    """Complaints about what the guest printed."""
    if f"guest: kernel {kernel}." not in console or "guest: done" not in console:
        return ["the guest did not come to its end"]
    complaints = []
    capabilities = re.search(r"guest: CapEff:\s*([0-9a-f]+)", console)
    if not capabilities or int(capabilities.group(1), 16) != CAPABILITIES:
        complaints.append(f"the agent did not run with CAP_BPF and CAP_NET_RAW: {capabilities}")
    if "guest: agent exit code 0" not in console:
        complaints.append("the agent's exit code is not 0")
    lines = re.findall(r"^event: (.*)$", console, re.MULTILINE)
    try:
        events = [json.loads(line) for line in lines]
    except json.JSONDecodeError as error:
        return complaints + [f"a line is not JSON: {error.doc!r}: {error}"]
    wanted = [
        ("GET", "/index.html", 200, "web", "10.99.1.2"),
        ("GET", "/missing", 404, "web", "10.99.1.2"),
        ("GET", "/index.html", 200, "web", "fd00:99:1::2"),
        ("POST", "/orders", 501, "web", "10.99.1.2"),
        ("GET", "/index.html", 200, "tagged", "10.99.3.2"),
    ]
    if has_netkit:
        wanted.append(("GET", "/index.html", 200, "netkit", "10.99.4.2"))
    for method, path, status, pod, ip in wanted:
        for reporter in ("REPORTER_CLIENT", "REPORTER_SERVER"):
            what = f"{method} {path} at {ip} by {reporter}"
            found = find(events, reporter, path, ip)
            if len(found) != 1:
                complaints.append(f"{what}: {len(found)} events, not 1")
            for event in found:
                complaints += [f"{what}: {c}" for c in check_event(event, method, status, pod)]
    if "secret=1" in "".join(lines):
        complaints.append("a query's value left the agent")
    return complaints + check_inside(console)


def check_inside(console):
    """Complaints about the pods without a host interface, which the second agent enters."""
    complaints = []
    if "guest: second agent exit code 0" not in console:
        complaints.append("the second agent's exit code is not 0")
    lines = re.findall(r"^inside: (.*)$", console, re.MULTILINE)
    events = [json.loads(line) for line in lines]
    for reporter in ("REPORTER_CLIENT", "REPORTER_SERVER"):
        what = f"GET /inside by {reporter}"
        found = find(events, reporter, "/inside", "10.99.5.2")
        if len(found) != 1:
            complaints.append(f"{what}: {len(found)} events, not 1")
        for event in found:
            complaints += [f"{what}: {c}" for c in check_event(event, "GET", 404, "below", "beside",
                                                               "POD_NETNS")]
    for ip in ("127.0.0.1", "::1"):
        what = f"GET /loopback at {ip}"
        found = [event for event in events if event["request"].get("path") == "/loopback"
                 and event["destination"]["ip"] == ip]
        if len(found) != 1:
            complaints.append(f"{what}: {len(found)} events, not 1")
        for event in found:
            complaints += [f"{what}: {c}" for c in check_event(event, "GET", 404, "below", "below",
                                                               "POD_LOOPBACK")]
            if event.get("reporter") != "REPORTER_SERVER":
                complaints.append(f"{what}: the reporter is {event.get('reporter')}")
    return complaints


def missing_tools():
    if platform.machine() != "x86_64":
        return [f"a guest for {platform.machine()}"]
    tools = ("qemu-system-x86_64", BUSYBOX, "apt-get", "apt-cache", "cpio", "xz", "setpriv", "strip")
    return [tool for tool in tools if not shutil.which(tool)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", required=True, type=pathlib.Path)
    parser.add_argument("--image", required=True, help="meta package of the kernel image")
    parser.add_argument("--kernel", required=True, help="version the guest must report, e.g. 6.1")
    parser.add_argument("--netkit", action="store_true", help="the kernel must have netkit")
    parser.add_argument("--work-dir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    if missing_tools():
        print(f"skipped: this machine lacks {', '.join(missing_tools())}")
        return 77
    cache = arguments.work_dir / "cache"
    kernel, modules = unpack(download(arguments.image, cache), cache)
    root = arguments.work_dir / "root"
    programs = [(arguments.agent, "podtap-agent"), (shutil.which("setpriv"), "setpriv")]
    pack(root, programs, modules)
    initramfs = arguments.work_dir / "initramfs.gz"
    make_initramfs(root, initramfs)
    print(f"booting {kernel.name}, initramfs {initramfs.stat().st_size >> 20} MiB", flush=True)
    console = boot(kernel, initramfs)
    complaints = check_console(console, arguments.kernel, arguments.netkit)
    if complaints:
        print(console)
        print("\n".join(f"FAILED: {complaint}" for complaint in complaints))
        return 1
    print(f"the agent's events on {kernel.name} are as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
