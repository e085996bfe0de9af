#!/usr/bin/env python3
"""Fails on an include that the order of the stages does not allow.

A stage includes common/, itself and the value headers of what comes before it, never a later stage.
The folders' CMake links state the same edges. ALLOWED is the whole rule: a new edge is a decision.
"""
import re
import sys

import sources

# Per folder, what may be included of ours besides the folder itself. An entry that ends in "/" is a
# whole folder; others are single headers: the values one stage hands to the next.
ALLOWED = {
    # Only event_text, which agent and client share, knows the wire's types.
    "common": ["podtap/v1/event.pb.h"],
    "bpf": [],
    "agent/discovery": ["common/", "runtime/v1/"],
    "agent/capture": ["common/", "bpf/capture_abi.h", "bpf/capture.skel.h"],
    "agent/reassembly": ["common/", "agent/capture/segment.h"],
    "agent/http": ["common/", "agent/reassembly/piece.h"],
    "agent/tls": ["common/", "agent/capture/segment.h"],
    "agent/pairing": [
        "common/",
        "agent/http/message.h",
        "agent/reassembly/piece.h",
        "agent/capture/segment.h",
    ],
    "agent/enrichment": [
        "common/",
        "agent/pairing/exchange.h",
        "agent/tls/handshake.h",
        "agent/capture/segment.h",
        "agent/discovery/pod.h",
    ],
    "agent/exporter": ["common/", "agent/enrichment/event.h", "podtap/v1/"],
    # The composition root sees every stage.
    "agent": ["common/", "podtap/v1/"],
    "collector/store": ["common/", "podtap/v1/"],
    "collector/ingest": ["common/", "podtap/v1/", "collector/store/event_store.h"],
    "collector/query": ["common/", "podtap/v1/", "collector/store/event_store.h"],
    "collector": ["common/", "podtap/v1/", "grpc/health/v1/"],
    "cli": ["common/", "podtap/v1/"],
}
# Tests and benchmarks see what they test, whatever it is.
UNCHECKED = ("tests", "bench")

# Bytes and times in, values and counters out: no I/O, clock, thread or log.
PURE = ("agent/reassembly", "agent/http", "agent/tls", "agent/pairing")
PURE_FORBIDDEN = [
    re.compile(pattern)
    for pattern in (
        r"^(chrono|ctime|time\.h|thread|mutex|shared_mutex|condition_variable|future|semaphore)$",
        r"^(atomic|latch|barrier|stop_token|iostream|fstream|filesystem|unistd\.h|fcntl\.h)$",
        r"^(sys|net|netinet|linux|arpa|spdlog|grpcpp|google)/",
        r"^absl/(time|synchronization)/",
        r"^common/(admin_server|clock|event_text|grpc_target|http_answer|log|metrics_page)\.h$",
        r"^common/(openssl_ptr|own_metrics|stop_signal|tls_\w+|unique_fd)\.h$",
    )
]

# Libraries that one place alone translates to our types.
CONFINED = [
    (re.compile(r"^netlink/"), "agent/discovery", None),
    (re.compile(r"^nlohmann/"), "agent/discovery", 2),
    (re.compile(r"\.skel\.h$"), "agent/capture", 1),
    (re.compile(r"^bpf/(bpf|libbpf)\.h$"), "agent/capture", None),
    (re.compile(r"^sqlite3\.h$"), "collector/store", None),
    (re.compile(r"^yaml-cpp/"), "common", 1),
    (re.compile(r"^openssl/"), "common", None),
    (re.compile(r"^httplib\.h$"), "common", 1),
    (re.compile(r"^prometheus/"), "common", 1),
]

_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
_OURS = ("agent/", "bpf/", "common/", "collector/", "cli/", "podtap/", "runtime/v1/", "grpc/health/",
         "tests/")
# libbpf's headers share our folder's name.
_LIBBPF = re.compile(r"^bpf/(bpf|libbpf|bpf_helpers|bpf_endian|bpf_tracing|bpf_core_read|btf)\.h$")


def layer_of(path):
    """The folder of ALLOWED that `path` belongs to, or None.

    A folder with stages of its own (agent/) holds only the files directly in it: a new folder
    beside the stages has to be entered in the table.
    """
    folder = "/".join(path.parts[:-1])
    while folder and folder not in ALLOWED:
        folder = folder.rpartition("/")[0]
        if any(other.startswith(folder + "/") for other in ALLOWED):
            return None
    return folder or None


def includes(text):
    """(line number, "<" or '"', target) of every include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = _INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def is_allowed(layer, target):
    own = target.startswith(layer + "/")
    if own:
        return True
    return any(
        target.startswith(edge) if edge.endswith("/") else target == edge
        for edge in ALLOWED[layer]
    )


def check_file(path, text):
    """Complaints about one file, as "path:line: what"."""
    if path.parts[0] in UNCHECKED:
        return []
    layer = layer_of(path)
    if layer is None:
        return [f"{path}:1: this folder is not in the table of layers"]
    complaints = []
    for number, quote, target in includes(text):
        where = f"{path}:{number}"
        ours = target.startswith(_OURS) and not _LIBBPF.match(target)
        if quote == '"' and not ours and "/" not in target and layer != "bpf":
            # A generated skeleton has no folder.
            if not target.endswith(".skel.h"):
                complaints.append(f'{where}: "{target}": write the path from the root')
        if ours and not is_allowed(layer, target):
            complaints.append(f"{where}: {layer} may not include {target}")
        if layer in PURE and any(pattern.search(target) for pattern in PURE_FORBIDDEN):
            complaints.append(f"{where}: {layer} is pure and may not include {target}")
        for pattern, home, _ in CONFINED:
            if layer != home and layer != "bpf" and pattern.search(target):
                complaints.append(f"{where}: only {home} may include {target}")
    return complaints


def check_confined_counts(texts):
    """Complaints about a library that more files include than may."""
    complaints = []
    for pattern, home, limit in CONFINED:
        users = sorted(
            str(path)
            for path, text in texts
            if path.parts[0] not in UNCHECKED
            and any(pattern.search(target) for _, _, target in includes(text))
        )
        if limit is not None and len(users) > limit:
            complaints.append(f"{home}: {limit} file may include {pattern.pattern}, not {users}")
    return complaints


def check_tree(texts):
    """Complaints about all files: (path, text) pairs."""
    texts = list(texts)
    complaints = [complaint for path, text in texts for complaint in check_file(path, text)]
    return complaints + check_confined_counts(texts)


def main():
    texts = [
        (path, (sources.ROOT / path).read_text(encoding="utf-8")) for path in sources.c_family()
    ]
    complaints = check_tree(texts)
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints or not texts else 0


if __name__ == "__main__":
    sys.exit(main())
