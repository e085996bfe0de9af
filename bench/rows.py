"""The measurements. Each function makes its own pods and returns rows and what stands beside them."""

import dataclasses
import json
import os
import shutil
import statistics
import time

import bench_fleet
import fleet
from bench_fleet import BenchFleet, program
from result import Context, Row, ratios


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much is measured. The defaults are those of `make bench`."""
    runs: int = 5
    # Of one sample.
    seconds: int = 3
    taps: int = 250
    connections: int = 10_000
    idle_seconds: int = 20
    samples: int = 200
    rates: tuple = (10_000, 15_000, 20_000, 25_000, 30_000, 40_000)


RATE = 10_000


def throughput(settings):
    """wrk's rate with the agent and with others, over its rate with nothing."""
    with BenchFleet() as pods, pods.sink() as sink:
        web = pods.host_interface("web")
        def agent(*flags):
            return pods.agent(sink.port, *flags)
        cases = {
            "untapped": None,
            "empty filter on both veths": lambda: pods.running(
                "empty", [program("empty_filter"), *pods.interfaces()], "ready"),
            "both": agent,
            "server": lambda: agent("--reporters", "server"),
        }
        if shutil.which("httpry"):
            cases["httpry on one veth"] = lambda: pods.running(
                "httpry", ["httpry", "-i", web, "-o", os.path.join(pods.directory, "httpry.log")],
                "Starting capture")
        if shutil.which("tshark"):
            cases["tshark on one veth"] = lambda: pods.running(
                "tshark", ["tshark", "-n", "-i", web, "-Y", "http", "-T", "fields",
                           "-e", "http.request.method", "-e", "http.request.uri",
                           "-e", "http.response.code", "tcp port 80"], "Capturing on")
        rates = {case: [] for case in cases}
        pods.wrk("/index.html", 32, 1)  # warms up caches and the server's files
        for number in range(settings.runs):
            # Each round begins with another case, so that none is always first.
            order = list(cases)
            for case in order[number % len(order):] + order[:number % len(order)]:
                if cases[case] is None:
                    rates[case].append(pods.wrk("/index.html", 32, settings.seconds))
                else:
                    with cases[case]():
                        rates[case].append(pods.wrk("/index.html", 32, settings.seconds))
    share = {case: ratios(rates[case], rates["untapped"]) for case in cases}
    lost = ", ".join(f"{name} {count}" for name, count in sink.totals["losses"].items())
    rows = [
        Row("requests/s with the agent ÷ without, both ends reported", 0.70, 0.88, share["both"],
            more_is_better=True, note=f"lost in the last run: {lost}" if lost else ""),
        Row("the same with `--reporters server`", 0.82, 0.93, share["server"],
            more_is_better=True),
    ]
    others = [case for case in cases if case not in ("untapped", "both", "server")]
    return rows + [Context(f"requests/s with {case} ÷ without", f"{share[case]:.2f}")
                   for case in others]


def _stored(rate, seconds):
    """(exchanges made, exchanges stored, losses by name, seconds taken) of one run."""
    with BenchFleet() as pods:
        pods.start_collector()
        with pods.agent(pods.port):
            done = pods.load(rate, 64, seconds)
        status = pods.status()
        own = {entry["name"]: int(entry.get("count", 0)) for entry in status["ledger"]
               if entry.get("isLoss")}
        losses = {**pods.losses(), **{name: count for name, count in own.items() if count}}
        ledger = {entry["name"]: int(entry.get("count", 0)) for entry in status["ledger"]}
    # Two reports of each exchange.
    return done["answered"], ledger["events_stored"] / 2, losses, done["seconds"]


def stored(settings):
    """Whether all that is made is stored, at a fixed rate, with everything on this machine."""
    made = 0
    kept = 0
    lost = {}
    for _ in range(settings.runs):
        answered, stored_now, losses, _ = _stored(RATE, settings.seconds)
        made += answered
        kept += stored_now
        for name, count in losses.items():
            lost[name] = lost.get(name, 0) + count
    note = ", ".join(f"{name} {count}" for name, count in lost.items())
    highest = 0
    for rate in settings.rates:
        answered, stored_now, losses, seconds = _stored(rate, settings.seconds)
        # A load that took longer than planned was not the load that was asked for.
        if stored_now != answered or losses or seconds > settings.seconds * 1.05:
            break
        highest = rate
    # More than was made would be as wrong as less.
    return [
        Row("exchanges stored ÷ made at 10,000 requests/s", 1, 1,
            min(kept / made, made / kept) if made and kept else None, "{:.3f}",
            more_is_better=True, note=f"lost: {note}" if note else ""),
        Context("highest of the rates tried at which all is stored, requests/s", f"{highest:,}"),
    ]


def _bpf_ns(pods, name, path, connections, seconds):
    """Nanoseconds of BPF per packet under load."""
    runs_before, ns_before = bench_fleet.bpf_runs(name)
    pods.wrk(path, connections, seconds)
    runs, ns = bench_fleet.bpf_runs(name)
    return (ns - ns_before) / (runs - runs_before)


def bpf(settings):
    """The program's time per packet over that of one that only returns."""
    heads = "all packets carry heads"
    bulk = "64 KiB segments of long bodies"
    # No bound, since each of these is a mixture of both: a head, a body, acknowledgements.
    mixed = "responses of 64 KiB"
    loads = {heads: ("/index.html", 32), bulk: ("/bulk", 4), mixed: ("/64k", 8)}
    ours = {name: [] for name in loads}
    empty = {name: [] for name in loads}
    with BenchFleet() as pods, pods.sink() as sink, bench_fleet.bpf_stats():
        for _ in range(settings.runs):
            for name, (path, connections) in loads.items():
                with pods.running("empty", [program("empty_filter"), *pods.interfaces()], "ready"):
                    empty[name].append(
                        _bpf_ns(pods, "bench_empty", path, connections, settings.seconds))
                with pods.agent(sink.port):
                    ours[name].append(
                        _bpf_ns(pods, "pt_dispatch", path, connections, settings.seconds))
    what = "BPF time per packet ÷ an empty program's"
    share = {name: ratios(ours[name], empty[name]) for name in loads}
    return [
        Row(f"{what}: {heads}", 8, 5, share[heads], "{:.1f}"),
        Row(f"{what}: {bulk}", 3, 2, share[bulk], "{:.1f}"),
        Context(f"{what}: {mixed}", f"{share[mixed]:.1f}"),
    ] + [Context(f"nanoseconds per packet, podtap and empty: {name}",
                 f"{statistics.median(ours[name]):.0f}, {statistics.median(empty[name]):.0f}")
         for name in loads]


def cpu(settings):
    """The agent's own time per event. The taps run in the senders' time and are not in it."""
    costs = []
    for _ in range(settings.runs):
        with BenchFleet() as pods:
            with pods.sink() as sink, pods.agent(sink.port) as agent:
                before = bench_fleet.cpu_seconds(agent.pid)
                pods.load(RATE, 64, settings.seconds)
                # The last batch leaves after 200 ms.
                time.sleep(0.5)
                spent = bench_fleet.cpu_seconds(agent.pid) - before
            costs.append(spent / sink.totals["events"] * 1e6)
    return [Row("agent CPU per event, without BPF", 2, 0.7, statistics.median(costs),
                "{:.2f} µs")]


def scale(settings):
    """Memory and idle time of an agent with many pods."""
    shares = []
    with BenchFleet() as pods:
        pods.add_idle_pods(settings.taps - len(pods.pods))
        with pods.sink() as sink, pods.agent(sink.port) as agent:
            for _ in range(settings.runs):
                before = bench_fleet.cpu_seconds(agent.pid)
                start = time.monotonic()
                time.sleep(settings.idle_seconds / settings.runs)
                spent = bench_fleet.cpu_seconds(agent.pid) - before
                shares.append(spent / (time.monotonic() - start) * 100)
            # Every connection has had a request, and stays.
            rate = 4000
            holder = pods.start("holder", [
                *pods.load_command(rate, settings.connections, settings.connections / rate),
                "--hold"], "client")
            fleet.wait_for(lambda: "answered" in holder.out(), "the connections", 60)
            done = json.loads(holder.out())
            if done["failed"]:
                raise AssertionError(f"requests failed: {done}")
            resident = bench_fleet.resident_mib(agent.pid)
            holder.stop()
    return [
        Row(f"agent RSS with {settings.taps} taps and {settings.connections:,} connections",
            128, 64, resident, "{:.0f} MiB"),
        Row(f"idle CPU with {settings.taps} taps", 0.5, 0.1, statistics.median(shares),
            "{:.2f} % of a core"),
    ]


def delay(settings):
    """How long an exchange takes to be answerable, on an otherwise quiet machine."""
    p50 = []
    p99 = []
    missing = 0
    with BenchFleet() as pods:
        # Asked from the node, which so needs an address on the bridge.
        fleet.run("ip", "addr", "add", f"10.{pods.subnet}.77.254/24", "dev", pods.bridge)
        for _ in range(settings.runs):
            collector = pods.start_collector()
            with pods.agent(pods.port):
                said = json.loads(fleet.run(
                    program("query_delay"), "--target", pods.target,
                    "--server", f"127.0.0.1:{pods.port}", "--samples", str(settings.samples)))
            collector.stop()
            shutil.rmtree(os.path.join(pods.directory, "store"))
            missing += said["missing"]
            p50.append(said["p50_ms"] / 1000)
            p99.append(said["p99_ms"] / 1000)
    return [
        Row("response's last byte → event answerable by a query, p99", 2, 0.5,
            None if missing else statistics.median(p99), "{:.2f} s",
            note=f"{missing} events never came" if missing else ""),
        Context("response's last byte → event answerable by a query, p50", f"{statistics.median(p50):.2f} s"),
    ]


def ingest(settings):
    """Events that a collector takes from two agents that have always more."""
    rates = []
    costs = []
    for _ in range(settings.runs):
        with fleet.Fleet() as machine:
            collector = machine.start_collector()
            before = bench_fleet.cpu_seconds(collector.pid)
            said = json.loads(fleet.run(program("ingest_load"), "--collector",
                                        f"127.0.0.1:{machine.port}",
                                        "--seconds", str(settings.seconds)))
            costs.append((bench_fleet.cpu_seconds(collector.pid) - before) / said["events"] * 1e6)
            rates.append(said["events"] / said["seconds"])
    return [
        Row("collector ingest into SQLite, events/s", 60_000, 150_000, statistics.median(rates),
            "{:,.0f}", more_is_better=True),
        Context("collector CPU per event", f"{statistics.median(costs):.1f} µs"),
    ]


ALL = {function.__name__: function
       for function in (throughput, stored, bpf, cpu, scale, delay, ingest)}
