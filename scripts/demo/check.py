#!/usr/bin/env python3
"""Compares what podtap shows with what the demo did: check.py EXPECTED < events.json

EXPECTED has a line "METHOD PATH STATUS MIN_SECONDS" per request that demo-client made. Each must be
there twice, as the client's pod and as the server's pod saw it; those under /api/ two more times,
since demo-web passes them on to demo-api. Nothing else may be there.
"""
import collections
import json
import sys

REPORTERS = ("REPORTER_CLIENT", "REPORTER_SERVER")
# How the demo finds out that both taps of each pod are open; not part of the show.
READY_PATHS = ("/ready", "/api/ready")


def seconds(duration):
    """A proto3-JSON duration; 0 when absent."""
    return float(duration.rstrip("s")) if duration else 0.0


def key_of(event):
    return (
        event["reporter"],
        event["source"].get("podName", "?"),
        event["destination"].get("podName", "?"),
        event["request"].get("method", "?"),
        event["request"].get("path", "?"),
        event.get("response", {}).get("statusCode", 0),
    )


def expected_keys(lines):
    """(key, least seconds) of every report that must be there."""
    for line in lines:
        method, path, status, least = line.split()
        hops = [("demo-client", "demo-web")]
        if path.startswith("/api/"):
            hops.append(("demo-web", "demo-api"))
        for source, destination in hops:
            for reporter in REPORTERS:
                yield (reporter, source, destination, method, path, int(status)), float(least)


def is_ready(events):
    """Whether every tap has reported: both ends of both hops."""
    seen = {key_of(event)[:3] for event in events if event["request"].get("path") in READY_PATHS}
    hops = (("demo-client", "demo-web"), ("demo-web", "demo-api"))
    return all((reporter, *hop) in seen for reporter in REPORTERS for hop in hops)


def complaints(events, lines):
    wanted = list(expected_keys(lines))
    shown = collections.defaultdict(list)
    for event in events:
        if event["request"].get("path") not in READY_PATHS:
            shown[key_of(event)].append(event)
    counts = collections.Counter(key for key, _ in wanted)
    for key in sorted(set(counts) | set(shown), key=str):
        if len(shown[key]) != counts[key]:
            yield f"{' '.join(map(str, key))}: shown {len(shown[key])} times, not {counts[key]}"
    for key, least in wanted:
        for event in shown[key]:
            if not seconds(event.get("duration")) > least:
                yield f"{' '.join(map(str, key))}: duration {event.get('duration')}"


def main(arguments):
    events = [json.loads(line) for line in sys.stdin]
    if arguments == ["--ready"]:
        return 0 if is_ready(events) else 1
    with open(arguments[0], encoding="utf-8") as file:
        lines = file.read().splitlines()
    found = list(complaints(events, lines))
    if found:
        print("\n".join(found))
        return 1
    reports = sum(1 for _ in expected_keys(lines))
    print(f"{len(lines)} requests made, {reports} reports due, all shown and nothing else")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
