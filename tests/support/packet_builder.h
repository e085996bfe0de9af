// Builds Ethernet frames with TCP segments for tests, as bytes, part by part.
//
//   Packet().V4("10.0.0.1", "10.0.0.2").Tcp(4000, 80).Seq(1000).Flags(kAck).Payload("GET ...")
//
// Lengths and data offsets are right unless a test sets them otherwise. Checksums are left 0: a
// passive tap never looks at them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace podtap::testing {

constexpr uint8_t kFin = 0x01;
constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kRst = 0x04;
constexpr uint8_t kPsh = 0x08;
constexpr uint8_t kAck = 0x10;

using Bytes = std::vector<uint8_t>;

// A frame under construction. A value: copy it to vary it.
class Packet {
 public:
  Packet& V4(std::string_view source, std::string_view destination);
  Packet& V6(std::string_view source, std::string_view destination);
  // IPv4 options; size a multiple of 4.
  Packet& IpOptions(Bytes options);
  // IPv6 extension headers, in order: {number, whole header but for its next-header byte}.
  Packet& Extension(uint8_t number, Bytes rest);
  // 802.1Q tag in the frame; call twice for QinQ (outer first).
  Packet& Vlan(uint16_t id, uint16_t ethertype = 0x8100);
  Packet& Tcp(uint16_t source_port, uint16_t destination_port);
  // Another protocol than TCP, with a body of 8 zero bytes.
  Packet& Protocol(uint8_t number);
  Packet& EtherType(uint16_t ethertype);
  Packet& Seq(uint32_t seq);
  Packet& Flags(uint8_t flags);
  // Size a multiple of 4.
  Packet& TcpOptions(Bytes options);
  Packet& Payload(std::string_view payload);
  // Bytes after the IP packet, as short frames have.
  Packet& Padding(size_t bytes);
  // IPv4 fragment field, host order (0x2000: more fragments).
  Packet& Fragment(uint16_t field);
  // Instead of the right IP length.
  Packet& IpLength(uint16_t length);
  // Instead of the right TCP data offset, in words.
  Packet& DataOffset(uint8_t words);

  // The whole frame, Ethernet header first.
  Bytes Frame() const;

 private:
  Bytes Transport() const;

  bool v6_ = false;
  std::string source_ = "192.0.2.1";
  std::string destination_ = "192.0.2.2";
  Bytes ip_options_;
  std::vector<std::pair<uint8_t, Bytes>> extensions_;
  std::vector<std::pair<uint16_t, uint16_t>> vlans_;
  uint16_t source_port_ = 40000;
  uint16_t destination_port_ = 80;
  int protocol_ = 6;
  int ethertype_ = -1;
  uint32_t seq_ = 1;
  uint8_t flags_ = kAck;
  Bytes tcp_options_;
  std::string payload_;
  size_t padding_ = 0;
  uint16_t fragment_ = 0;
  int ip_length_ = -1;
  int data_offset_ = -1;
};

}  // namespace podtap::testing
