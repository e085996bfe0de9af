"""The cluster's name service: DNS over UDP, of addresses of version 4 alone."""

import socket
import struct
import threading

ZONE = "cluster.local"
_IP_FREEBIND = 15
_A, _IN = 1, 1
_ANSWER = 0x8580  # Authoritative, and recursion would be there.
_NO_SUCH_NAME = 3


def settings(address, namespace):
    """What a kubelet writes into resolv.conf for a pod of this namespace."""
    return {"servers": [address],
            "searches": [f"{namespace}.svc.{ZONE}", f"svc.{ZONE}", ZONE],
            "options": ["ndots:5"]}


class NameServer:
    """Answers from `addresses`, {name within the zone: address}, while its context lasts."""

    def __init__(self, address):
        self.address = address
        self.addresses = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self):
        # The bridge with this address is made with the first pod.
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        self._socket.bind((self.address, 53))
        self._socket.settimeout(0.1)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while not self._is_over.is_set():
            try:
                query, client = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind, = struct.unpack_from("!H", query, at + 1)
        found = self.addresses.get(".".join(labels).lower().removesuffix("." + ZONE))
        records = []
        if found and kind == _A:
            # Of the name at byte 12, for five seconds.
            records.append(struct.pack("!HHHIH", 0xC00C, _A, _IN, 5, 4) + socket.inet_aton(found))
        head = query[:2] + struct.pack(
            "!HHHHH", _ANSWER | (0 if found else _NO_SUCH_NAME), 1, len(records), 0, 0)
        return b"".join([head, query[12:at + 5], *records])
