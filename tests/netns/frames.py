"""Ethernet frames by hand, put on interfaces of pods or looked at there, and connections of such."""

import ctypes
import socket
import struct
import threading

CLIENT_MAC = bytes.fromhex("020000000c01")
SERVER_MAC = bytes.fromhex("020000000501")
FIN, SYN, RST, ACK = 1, 2, 4, 16
_CLONE_NEWNET = 0x40000000
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_OUTGOING, _ETH_P_ALL = 263, 8, 4, 3
_VLAN_VALID = 1 << 4


class Shape:
    """How a TCP segment is wrapped; what is not given is ordinary. TCP's checksum is left 0."""

    def __init__(self, v6=False, tags=(), ip_options=b"", tcp_options=b"", extensions=(),
                 fragment=0, ip_length=None, data_offset=None, padding=0, version=None, cut=None):
        self.v6 = v6
        self.tags = tags  # ethertypes, outer first
        self.ip_options = ip_options
        self.tcp_options = tcp_options
        self.extensions = extensions  # (number, all but the next-header byte), IPv6
        self.fragment = fragment
        self.ip_length = ip_length
        self.data_offset = data_offset
        self.padding = padding
        self.version = version
        self.cut = cut  # length of the frame

    def frame(self, macs, addresses, ports, seq, flags, payload=b""):
        """Ends are (source, destination)."""
        words = self.data_offset or 5 + len(self.tcp_options) // 4
        tcp = struct.pack("!HHIIBBHHH", *ports, seq, 1, words << 4, flags, 65535, 0, 0)
        tcp += self.tcp_options + payload
        packet = self._ipv6(addresses, tcp) if self.v6 else self._ipv4(addresses, tcp)
        tags = b"".join(struct.pack("!HH", tag, 5 + number) for number, tag in enumerate(self.tags))
        ethertype = struct.pack("!H", 0x86dd if self.v6 else 0x0800)
        frame = macs[1] + macs[0] + tags + ethertype + packet + b"\xee" * self.padding
        return frame[:self.cut]

    def _ipv4(self, addresses, tcp):
        words = 5 + len(self.ip_options) // 4
        length = words * 4 + len(tcp) if self.ip_length is None else self.ip_length
        version = self.version or 4
        header = struct.pack("!BBHHHBBH", version << 4 | words, 0, length, 1, self.fragment, 64, 6, 0)
        header += b"".join(socket.inet_aton(a) for a in addresses) + self.ip_options
        # A bridge may refuse a wrong one.
        total = sum(struct.unpack(f"!{words * 2}H", header))
        total = (total & 0xffff) + (total >> 16)
        checksum = struct.pack("!H", ~(total + (total >> 16)) & 0xffff)
        return header[:10] + checksum + header[12:] + tcp

    def _ipv6(self, addresses, tcp):
        numbers = [number for number, _ in self.extensions] + [6]
        body = b"".join(bytes([following]) + rest for following, (_, rest)
                        in zip(numbers[1:], self.extensions)) + tcp
        length = len(body) if self.ip_length is None else self.ip_length
        header = struct.pack("!IHBB", (self.version or 6) << 28, length, numbers[0], 64)
        return header + b"".join(socket.inet_pton(socket.AF_INET6, a) for a in addresses) + body


def packet_socket(interface, netns=None, protocol=0):
    """A raw packet socket on an interface, in a named namespace or this one; by default deaf."""
    made = []

    def make():
        if netns:
            # The thread alone moves; it ends here.
            with open(f"/run/netns/{netns}", "rb") as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        made[0].bind((interface, socket.ntohs(protocol)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


class Conversation:
    """One connection between addresses that no stack owns, so that nobody else answers."""

    def __init__(self, subnet, port, sockets, v6=False):
        """The client's frames go to sockets[0], the server's to sockets[1]."""
        prefix = f"fd00:{subnet}:77::" if v6 else f"10.{subnet}.77."
        self.addresses = (prefix + "201", prefix + "202")
        self.ports = (port, 80)
        self.sockets = sockets
        self.ordinary = Shape(v6=v6)
        self.seqs = [1000, 5000]

    def open(self):
        self.send(0, b"", flags=SYN)
        self.send(1, b"", flags=SYN | ACK)

    def close(self):
        self.send(0, b"", flags=FIN | ACK)
        self.send(1, b"", flags=FIN | ACK)

    def send(self, sender, payload, shape=None, flags=ACK):
        """One segment; the sender is 0, the client, or 1, the server."""
        ends = slice(None, None, -1) if sender else slice(None)
        self.sockets[sender].send((shape or self.ordinary).frame(
            (CLIENT_MAC, SERVER_MAC)[ends], self.addresses[ends], self.ports[ends],
            self.seqs[sender], flags, payload))
        self.seqs[sender] += len(payload) + (1 if flags & (SYN | FIN) else 0)


class Observer:
    """Sees the frames of an interface as a tap's filter does."""

    def __init__(self, interface):
        self.socket = packet_socket(interface, protocol=socket.htons(_ETH_P_ALL))
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.frames = []

    def forms(self, marker):
        """{(outgoing, tag beside the frame, ethertype in the frame)} of frames that hold `marker`."""
        self._drain()
        return {form for form, data in self.frames if marker in data}

    def _drain(self):
        while True:
            try:
                data, extra, _, address = self.socket.recvmsg(2048, 256, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            [status] = [struct.unpack_from("=I", value)[0] for _, kind, value in extra
                        if kind == _PACKET_AUXDATA]
            self.frames.append(((address[2] == _PACKET_OUTGOING, bool(status & _VLAN_VALID),
                                 struct.unpack_from("!H", data, 12)[0]), data))

    def close(self):
        self.socket.close()
