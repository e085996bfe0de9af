#include "agent/tls/hello.h"

#include <string_view>
#include <utility>

#include "common/text.h"

namespace podtap::tls {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint16_t kServerNameExtension = 0;
constexpr uint16_t kProtocolsExtension = 16;
constexpr uint16_t kVersionsExtension = 43;
constexpr uint8_t kHostName = 0;
constexpr size_t kRandomBytes = 32;

// Takes from the front of bytes. Each call returns false, and takes nothing, when too few are left.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  bool Take(size_t size, Bytes* bytes) {
    if (rest_.size() < size) {
      return false;
    }
    *bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return true;
  }
  bool Skip(size_t size) {
    Bytes skipped;
    return Take(size, &skipped);
  }
  // A big-endian number.
  template <typename Number>
  bool TakeNumber(Number* number) {
    Bytes bytes;
    if (!Take(sizeof(Number), &bytes)) {
      return false;
    }
    *number = 0;
    for (const uint8_t byte : bytes) {
      *number = static_cast<Number>(*number << 8 | byte);
    }
    return true;
  }
  // A vector with its length before it, a number of type Length.
  template <typename Length>
  bool TakeVector(Bytes* bytes) {
    Cursor ahead = *this;
    Length length = 0;
    if (!ahead.TakeNumber(&length) || !ahead.Take(length, bytes)) {
      return false;
    }
    *this = ahead;
    return true;
  }

 private:
  Bytes rest_;
};

std::string_view View(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string HostText(Bytes name) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string text;
  for (const uint8_t byte : name) {
    const char c = static_cast<char>(byte);
    const bool upper = c >= 'A' && c <= 'Z';
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                       c == '_' || upper;
    if (text.size() + (plain ? 1 : 3) > kMaxServerNameBytes) {
      break;
    }
    if (plain) {
      text += upper ? static_cast<char>(c + ('a' - 'A')) : c;
    } else {
      text += '%';
      text += kHex[byte >> 4];
      text += kHex[byte & 0xf];
    }
  }
  return text;
}

// Reserved values that clients add so that servers learn to pass over what they don't know.
bool IsGrease(Bytes protocol) {
  return protocol.size() == 2 && protocol[0] == protocol[1] && (protocol[0] & 0x0f) == 0x0a;
}

bool ReadServerName(Bytes extension, std::string* name) {
  Cursor cursor(extension);
  Bytes list;
  if (!cursor.TakeVector<uint16_t>(&list) || !cursor.empty()) {
    return false;
  }
  Cursor names(list);
  while (!names.empty()) {
    uint8_t type = 0;
    Bytes bytes;
    if (!names.TakeNumber(&type) || !names.TakeVector<uint16_t>(&bytes)) {
      return false;
    }
    if (type == kHostName && name->empty()) {
      *name = HostText(bytes);
    }
  }
  return true;
}

bool ReadProtocols(Bytes extension, std::vector<std::string>* protocols) {
  Cursor cursor(extension);
  Bytes list;
  if (!cursor.TakeVector<uint16_t>(&list) || !cursor.empty()) {
    return false;
  }
  Cursor entries(list);
  while (!entries.empty()) {
    Bytes protocol;
    if (!entries.TakeVector<uint8_t>(&protocol)) {
      return false;
    }
    if (!protocol.empty() && !IsGrease(protocol) && protocols->size() < kMaxProtocols) {
      protocols->push_back(SafeTarget(View(protocol), kMaxProtocolBytes));
    }
  }
  return true;
}

Version VersionOf(uint16_t number) {
  switch (number) {
    case 0x0301:
      return Version::kTls10;
    case 0x0302:
      return Version::kTls11;
    case 0x0303:
      return Version::kTls12;
    case 0x0304:
      return Version::kTls13;
    default:
      return Version::kUnknown;
  }
}

// Calls `read(type, bytes)` for each extension of what is left of a hello; none may be there.
template <typename Read>
bool ReadExtensions(Cursor* hello, Read read) {
  if (hello->empty()) {
    return true;
  }
  Bytes all;
  if (!hello->TakeVector<uint16_t>(&all) || !hello->empty()) {
    return false;
  }
  Cursor extensions(all);
  while (!extensions.empty()) {
    uint16_t type = 0;
    Bytes bytes;
    if (!extensions.TakeNumber(&type) || !extensions.TakeVector<uint16_t>(&bytes) ||
        !read(type, bytes)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string_view VersionName(Version version) {
  switch (version) {
    case Version::kUnknown:
      return "";
    case Version::kTls10:
      return "1.0";
    case Version::kTls11:
      return "1.1";
    case Version::kTls12:
      return "1.2";
    case Version::kTls13:
      return "1.3";
  }
  return "";
}

std::optional<ClientHello> ParseClientHello(std::span<const uint8_t> body) {
  Cursor cursor(body);
  Bytes passed_over;
  uint16_t version = 0;
  if (!cursor.TakeNumber(&version) || !cursor.Skip(kRandomBytes) ||
      !cursor.TakeVector<uint8_t>(&passed_over) ||   // session
      !cursor.TakeVector<uint16_t>(&passed_over) ||  // cipher suites
      !cursor.TakeVector<uint8_t>(&passed_over)) {   // compression methods
    return std::nullopt;
  }
  ClientHello hello;
  const bool sound = ReadExtensions(&cursor, [&hello](uint16_t type, Bytes bytes) {
    switch (type) {
      case kServerNameExtension:
        return ReadServerName(bytes, &hello.server_name);
      case kProtocolsExtension:
        return ReadProtocols(bytes, &hello.protocols);
      default:
        return true;
    }
  });
  return sound ? std::optional(std::move(hello)) : std::nullopt;
}

std::optional<ServerHello> ParseServerHello(std::span<const uint8_t> body) {
  Cursor cursor(body);
  Bytes passed_over;
  uint16_t version = 0;
  if (!cursor.TakeNumber(&version) || !cursor.Skip(kRandomBytes) ||
      !cursor.TakeVector<uint8_t>(&passed_over) ||  // session
      !cursor.Skip(3)) {                            // cipher suite, compression method
    return std::nullopt;
  }
  ServerHello hello;
  const bool sound = ReadExtensions(&cursor, [&](uint16_t type, Bytes bytes) {
    switch (type) {
      case kVersionsExtension: {
        Cursor chosen(bytes);
        return chosen.TakeNumber(&version) && chosen.empty();
      }
      case kProtocolsExtension: {
        std::vector<std::string> chosen;
        if (!ReadProtocols(bytes, &chosen)) {
          return false;
        }
        hello.protocol = chosen.empty() ? "" : std::move(chosen.front());
        return true;
      }
      default:
        return true;
    }
  });
  hello.version = VersionOf(version);
  return sound ? std::optional(std::move(hello)) : std::nullopt;
}

bool LooksLikeClientHello(std::span<const uint8_t> bytes) {
  // Record type, version 3.0 to 3.4, length; then message type and the first byte of its length.
  return bytes.size() >= 8 && bytes[0] == kHandshakeRecord && bytes[1] == 3 && bytes[2] <= 4 &&
         bytes[5] == static_cast<uint8_t>(HelloKind::kClient) && bytes[6] == 0;
}

}  // namespace podtap::tls
