#include "tests/support/packet_builder.h"

#include <arpa/inet.h>

#include <utility>

#include "common/ip_address.h"
#include "common/status.h"

namespace podtap::testing {
namespace {

void Put16(Bytes& out, uint32_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}

void Put32(Bytes& out, uint32_t value) {
  Put16(out, value >> 16);
  Put16(out, value & 0xffff);
}

void PutAll(Bytes& out, const Bytes& more) { out.insert(out.end(), more.begin(), more.end()); }

void PutAddress(Bytes& out, const std::string& text, bool v6) {
  const std::optional<IpAddress> address = IpAddress::Parse(text);
  PODTAP_CHECK(address && address->is_v4() != v6);
  out.insert(out.end(), address->bytes().begin() + (v6 ? 0 : 12), address->bytes().end());
}

}  // namespace

Packet& Packet::V4(std::string_view source, std::string_view destination) {
  v6_ = false, source_ = source, destination_ = destination;
  return *this;
}
Packet& Packet::V6(std::string_view source, std::string_view destination) {
  v6_ = true, source_ = source, destination_ = destination;
  return *this;
}
Packet& Packet::IpOptions(Bytes options) {
  ip_options_ = std::move(options);
  return *this;
}
Packet& Packet::Extension(uint8_t number, Bytes rest) {
  extensions_.emplace_back(number, std::move(rest));
  return *this;
}
Packet& Packet::Vlan(uint16_t id, uint16_t ethertype) {
  vlans_.emplace_back(id, ethertype);
  return *this;
}
Packet& Packet::Tcp(uint16_t source_port, uint16_t destination_port) {
  source_port_ = source_port, destination_port_ = destination_port;
  return *this;
}
Packet& Packet::Protocol(uint8_t number) {
  protocol_ = number;
  return *this;
}
Packet& Packet::EtherType(uint16_t ethertype) {
  ethertype_ = ethertype;
  return *this;
}
Packet& Packet::Seq(uint32_t seq) {
  seq_ = seq;
  return *this;
}
Packet& Packet::Flags(uint8_t flags) {
  flags_ = flags;
  return *this;
}
Packet& Packet::TcpOptions(Bytes options) {
  tcp_options_ = std::move(options);
  return *this;
}
Packet& Packet::Payload(std::string_view payload) {
  payload_ = payload;
  return *this;
}
Packet& Packet::Padding(size_t bytes) {
  padding_ = bytes;
  return *this;
}
Packet& Packet::Fragment(uint16_t field) {
  fragment_ = field;
  return *this;
}
Packet& Packet::IpLength(uint16_t length) {
  ip_length_ = length;
  return *this;
}
Packet& Packet::DataOffset(uint8_t words) {
  data_offset_ = words;
  return *this;
}

Bytes Packet::Transport() const {
  Bytes out;
  if (protocol_ != 6) {
    out.assign(8, 0);
    return out;
  }
  Put16(out, source_port_);
  Put16(out, destination_port_);
  Put32(out, seq_);
  Put32(out, 1);
  const size_t words =
      data_offset_ >= 0 ? static_cast<size_t>(data_offset_) : 5 + tcp_options_.size() / 4;
  out.push_back(static_cast<uint8_t>(words << 4));
  out.push_back(flags_);
  Put16(out, 65535);
  Put32(out, 0);
  PutAll(out, tcp_options_);
  out.insert(out.end(), payload_.begin(), payload_.end());
  return out;
}

Bytes Packet::Frame() const {
  // To a unicast address that nobody has, so that no stack answers.
  Bytes out = {0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1};
  for (const auto& [id, ethertype] : vlans_) {
    Put16(out, ethertype);
    Put16(out, id);
  }
  Put16(out, ethertype_ >= 0 ? static_cast<uint32_t>(ethertype_) : v6_ ? 0x86dd : 0x0800);
  const Bytes transport = Transport();
  Bytes extensions;
  for (size_t i = 0; i < extensions_.size(); ++i) {
    extensions.push_back(i + 1 < extensions_.size() ? extensions_[i + 1].first
                                                    : static_cast<uint8_t>(protocol_));
    PutAll(extensions, extensions_[i].second);
  }
  if (v6_) {
    Put32(out, 0x60000000);
    Put16(out, ip_length_ >= 0 ? static_cast<uint32_t>(ip_length_)
                               : static_cast<uint32_t>(extensions.size() + transport.size()));
    out.push_back(extensions_.empty() ? static_cast<uint8_t>(protocol_) : extensions_[0].first);
    out.push_back(64);
  } else {
    const size_t header = 20 + ip_options_.size();
    out.push_back(static_cast<uint8_t>(0x40 | header / 4));
    out.push_back(0);
    Put16(out, ip_length_ >= 0 ? static_cast<uint32_t>(ip_length_)
                               : static_cast<uint32_t>(header + transport.size()));
    Put16(out, 1);
    Put16(out, fragment_);
    out.push_back(64);
    out.push_back(static_cast<uint8_t>(protocol_));
    Put16(out, 0);
  }
  PutAddress(out, source_, v6_);
  PutAddress(out, destination_, v6_);
  PutAll(out, ip_options_);
  PutAll(out, extensions);
  PutAll(out, transport);
  out.insert(out.end(), padding_, 0xee);
  return out;
}

}  // namespace podtap::testing
