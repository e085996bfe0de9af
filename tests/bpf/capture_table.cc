#include "tests/bpf/capture_table.h"

#include "bpf/capture_abi.h"

namespace podtap::testing {
namespace {

using capture::Direction;

constexpr Direction kOut = Direction::kFromPod;
constexpr Direction kIn = Direction::kToPod;
constexpr char kGet[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr uint32_t kIsn = 1000;

// What begins a TLS record with a hello of this type in it.
std::string HelloRecord(char type) {
  return std::string({'\x16', '\3', '\1', '\0', '\x2a', type, '\0', '\0', '\x26'}) + " and so on";
}

// The pod at 192.0.2.1 port 40000 talks to 192.0.2.2 port 80.
Packet FromPod() { return Packet().V4("192.0.2.1", "192.0.2.2").Tcp(40000, 80).Seq(kIsn + 1); }
Packet ToPod() { return Packet().V4("192.0.2.2", "192.0.2.1").Tcp(80, 40000).Seq(5001); }
Packet FromPodV6() { return FromPod().V6("2001:db8::1", "2001:db8::2"); }
TableFrame Syn() { return {kOut, FromPod().Flags(kSyn).Seq(kIsn)}; }
TableFrame SynV6() { return {kOut, FromPodV6().Flags(kSyn).Seq(kIsn)}; }

// The first payload after a handshake is copied whole.
CaptureRow Copied(std::string name, TableFrame syn, Packet packet, std::string head,
                  int reason = PT_COUNT_COPIED) {
  return {.name = std::move(name),
          .frames = {std::move(syn), {kOut, std::move(packet)}},
          .reason = reason,
          .records = 1,
          .head = std::move(head),
          .seq = kIsn + 1,
          .client = kOut};
}

// A lone packet that leaves no record.
CaptureRow Refused(std::string name, Packet packet, int reason) {
  return {.name = std::move(name), .frames = {{kOut, std::move(packet)}}, .reason = reason};
}

// A first payload without a handshake.
CaptureRow Midstream(std::string name, Direction direction, const std::string& payload,
                     bool believed) {
  Packet packet = direction == kOut ? FromPod() : ToPod();
  CaptureRow row{.name = std::move(name), .frames = {{direction, packet.Payload(payload)}}};
  row.reason = believed ? PT_COUNT_COPIED : PT_COUNT_MIDSTREAM;
  if (believed) {
    row.records = 1;
    row.head = payload;
    row.seq = direction == kOut ? kIsn + 1 : 5001;
  }
  return row;
}

void AddHeaderRows(std::vector<CaptureRow>& rows) {
  const Bytes no_operations(8, 1);
  const Bytes hop_by_hop = {0, 1, 4, 0, 0, 0, 0};                            // 8 bytes
  const Bytes destination = {1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};  // 16 bytes
  const Bytes atomic_fragment = {0, 0, 0, 0, 0, 0, 1};
  const Bytes fragment = {0, 0, 1, 0, 0, 0, 1};
  rows.push_back(Copied("v4", Syn(), FromPod().Payload(kGet), kGet));
  rows.push_back(Copied("v6", SynV6(), FromPodV6().Payload(kGet), kGet));
  rows.push_back(
      Copied("v4_options", Syn(), FromPod().IpOptions(no_operations).Payload(kGet), kGet));
  rows.push_back(
      Copied("tcp_options", Syn(), FromPod().TcpOptions(no_operations).Payload(kGet), kGet));
  rows.push_back(
      Copied("tcp_options_longest", Syn(), FromPod().TcpOptions(Bytes(40, 1)).Payload(kGet), kGet));
  rows.push_back(
      Copied("v6_extensions", SynV6(),
             FromPodV6().Extension(0, hop_by_hop).Extension(60, destination).Payload(kGet), kGet));
  rows.push_back(Copied("v6_atomic_fragment", SynV6(),
                        FromPodV6().Extension(44, atomic_fragment).Payload(kGet), kGet));
  rows.push_back(Copied("vlan", Syn(), FromPod().Vlan(7).Payload(kGet), kGet));
  rows.push_back(Copied("qinq", SynV6(), FromPodV6().Vlan(7, 0x88a8).Vlan(8).Payload(kGet), kGet));
  rows.push_back(
      Copied("padding", Syn(), FromPod().Payload("G").Padding(5), "G", PT_COUNT_EXAMINED));
  rows.push_back(Copied("length_zero", Syn(), FromPod().IpLength(0).Payload(kGet), kGet));
  rows.push_back(Copied("v6_length_zero", SynV6(), FromPodV6().IpLength(0).Payload(kGet), kGet));

  rows.push_back(Refused("arp", Packet().EtherType(0x0806), PT_COUNT_NOT_IP));
  rows.push_back(Refused("udp", FromPod().Protocol(17), PT_COUNT_NOT_TCP));
  rows.push_back(Refused("v6_udp", FromPodV6().Protocol(17), PT_COUNT_NOT_TCP));
  rows.push_back(
      Refused("first_fragment", FromPod().Fragment(0x2000).Payload(kGet), PT_COUNT_FRAGMENT));
  rows.push_back(
      Refused("later_fragment", FromPod().Fragment(0x0010).Payload(kGet), PT_COUNT_FRAGMENT));
  rows.push_back(
      Refused("v6_fragment", FromPodV6().Extension(44, fragment).Payload(kGet), PT_COUNT_FRAGMENT));
  Packet many = FromPodV6().Payload(kGet);
  for (int i = 0; i < 7; ++i) {
    many.Extension(60, hop_by_hop);
  }
  rows.push_back(Refused("v6_many_extensions", many, PT_COUNT_EXTENSIONS));
  rows.push_back(
      Refused("length_too_long", FromPod().IpLength(900).Payload(kGet), PT_COUNT_MALFORMED));
  rows.push_back(
      Refused("length_too_short", FromPod().IpLength(30).Payload(kGet), PT_COUNT_MALFORMED));
  rows.push_back(
      Refused("data_offset_too_small", FromPod().DataOffset(4).Payload(kGet), PT_COUNT_MALFORMED));
  rows.push_back(Refused("data_offset_too_large", FromPod().DataOffset(15).Payload("GET / "),
                         PT_COUNT_MALFORMED));
  rows.push_back(Refused("ack", FromPod(), PT_COUNT_NO_PAYLOAD));
  rows.push_back(Refused("fin_of_unknown", FromPod().Flags(kFin | kAck), PT_COUNT_NO_PAYLOAD));
}

void AddConnectionRows(std::vector<CaptureRow>& rows) {
  rows.push_back(Copied("unknown_method", Syn(), FromPod().Payload("x-brew / HTTP/1.1\r\n\r\n"),
                        "x-brew / HTTP/1.1\r\n\r\n"));
  rows.push_back(Copied("crlf_first", Syn(), FromPod().Payload("\r\nGET / HTTP/1.1\r\n\r\n"),
                        "\r\nGET / HTTP/1.1\r\n\r\n", PT_COUNT_EXAMINED));
  rows.push_back(Copied("one_byte", Syn(), FromPod().Payload("G"), "G", PT_COUNT_EXAMINED));
  rows.push_back(Copied("http2", Syn(), FromPod().Payload(kPreface), kPreface, PT_COUNT_HTTP2));
  rows.push_back({.name = "served_by_pod",
                  .frames = {{kIn, ToPod().Flags(kSyn).Seq(5000)}, {kIn, ToPod().Payload(kGet)}},
                  .reason = PT_COUNT_COPIED,
                  .records = 1,
                  .head = kGet,
                  .seq = 5001,
                  .client = kIn});
  rows.push_back(
      {.name = "syn_missed_syn_ack_seen",
       .frames = {{kIn, ToPod().Flags(kSyn | kAck).Seq(5000)}, {kOut, FromPod().Payload(kGet)}},
       .reason = PT_COUNT_COPIED,
       .records = 1,
       .head = kGet,
       .seq = kIsn + 1,
       .client = kOut});
  rows.push_back({.name = "data_in_syn",
                  .frames = {{kOut, FromPod().Flags(kSyn).Seq(kIsn).Payload(kGet)}},
                  .reason = PT_COUNT_COPIED,
                  .records = 1,
                  .head = kGet,
                  .seq = kIsn + 1,
                  .client = kOut});
  rows.push_back({.name = "server_first",
                  .frames = {Syn(), {kIn, ToPod().Payload("220 mail ready\r\n")}},
                  .reason = PT_COUNT_OPAQUE});
  rows.push_back({.name = "opaque_stays",
                  .frames = {Syn(),
                             {kIn, ToPod().Payload("220 mail ready\r\n")},
                             {kOut, FromPod().Payload(kGet)}},
                  .reason = PT_COUNT_OPAQUE});
  rows.push_back(
      Copied("tls", Syn(), FromPod().Payload(HelloRecord(1)), HelloRecord(1), PT_COUNT_TLS));
  rows.push_back(Copied("tls_one_byte", Syn(), FromPod().Payload("\x16"), "\x16", PT_COUNT_TLS));
  rows.push_back({.name = "tls_server_first",
                  .frames = {Syn(), {kIn, ToPod().Payload(HelloRecord(2))}},
                  .reason = PT_COUNT_OPAQUE});
  rows.push_back({.name = "new_syn_ends_opaque",
                  .frames = {Syn(),
                             {kIn, ToPod().Payload("220 mail ready\r\n")},
                             {kOut, FromPod().Flags(kSyn).Seq(77)},
                             {kOut, FromPod().Seq(78).Payload(kGet)}},
                  .reason = PT_COUNT_COPIED,
                  .records = 1,
                  .head = kGet,
                  .seq = 78,
                  .client = kOut});
  rows.push_back({.name = "response",
                  .frames = {Syn(), {kOut, FromPod().Payload(kGet)}, {kIn, ToPod().Payload(kOk)}},
                  .reason = PT_COUNT_COPIED,
                  .records = 2,
                  .head = kOk,
                  .seq = 5001,
                  .client = kOut});
  rows.push_back({.name = "fin",
                  .frames = {Syn(),
                             {kOut, FromPod().Payload(kGet)},
                             {kOut, FromPod().Seq(1030).Flags(kFin | kAck)}},
                  .reason = PT_COUNT_CLOSING,
                  .records = 2,
                  .seq = 1030,
                  .client = kOut});
  rows.push_back({.name = "rst",
                  .frames = {Syn(), {kOut, FromPod().Payload(kGet)}, {kIn, ToPod().Flags(kRst)}},
                  .reason = PT_COUNT_CLOSING,
                  .records = 2,
                  .seq = 5001,
                  .client = kOut});
  rows.push_back(Midstream("midstream_request", kOut, kGet, true));
  rows.push_back(Midstream("midstream_query", kOut, "QUERY /x HTTP/1.1\r\n\r\n", true));
  rows.push_back(Midstream("midstream_options", kOut, "OPTIONS * HTTP/1.1\r\n\r\n", true));
  rows.push_back(Midstream("midstream_response", kIn, kOk, true));
  rows.push_back(Midstream("midstream_client_hello", kOut, HelloRecord(1), true));
  rows.back().reason = PT_COUNT_TLS;
  rows.push_back(Midstream("midstream_server_hello", kIn, HelloRecord(2), false));
  rows.push_back(Midstream("midstream_tls_data", kOut, "\x17\x03\x03\x01\x01\x01\x01\x01", false));
  rows.push_back(Midstream("midstream_text", kOut, "some body text", false));
  rows.push_back(Midstream("midstream_getx", kOut, "GETX\r\nmore and more", false));
  rows.push_back(Midstream("midstream_putrid", kOut, "PUTrid things", false));
  rows.push_back(Midstream("midstream_short", kOut, "GET", false));
}

}  // namespace

std::vector<CaptureRow> CaptureTable() {
  std::vector<CaptureRow> rows;
  AddHeaderRows(rows);
  AddConnectionRows(rows);
  return rows;
}

}  // namespace podtap::testing
