#include "agent/tls/hello.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/tls_hellos/hello_builder.h"

namespace podtap::tls {
namespace {

using testing::ClientHelloBody;
using ::testing::ElementsAre;
using testing::Extension;
using ::testing::IsEmpty;
using testing::Number;
using testing::Protocols;
using testing::ServerHelloBody;
using testing::ServerName;
using testing::Vector;

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::optional<ClientHello> Client(std::string_view extensions) {
  return ParseClientHello(Bytes(ClientHelloBody(Vector(2, extensions))));
}
std::optional<ServerHello> Server(uint16_t version, std::string_view extensions) {
  return ParseServerHello(Bytes(ServerHelloBody(version, Vector(2, extensions))));
}

TEST(ClientHelloTest, TellsNameAndProtocols) {
  const auto hello = Client(ServerName("a.example") + Protocols({"h2", "http/1.1"}));
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->server_name, "a.example");
  EXPECT_THAT(hello->protocols, ElementsAre("h2", "http/1.1"));
}

TEST(ClientHelloTest, MissingExtensionsAreNoError) {
  const auto none = ParseClientHello(Bytes(ClientHelloBody("")));
  ASSERT_TRUE(none.has_value()) << "as SSL 3.0 and TLS 1.0 clients may send";
  EXPECT_EQ(none->server_name, "");
  const auto empty = Client("");
  ASSERT_TRUE(empty.has_value());
  EXPECT_THAT(empty->protocols, IsEmpty());
}

TEST(ClientHelloTest, GreaseIsPassedOver) {
  const auto hello = Client(Extension(0x0a0a, "") + Extension(0xfafa, std::string(1, '\0')) +
                            Protocols({"\x2a\x2a", "h2", "\xfa\xfa"}) + ServerName("a") +
                            Extension(43, Vector(1, Number(2, 0x7a7a) + Number(2, 0x0304))));
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->server_name, "a");
  EXPECT_THAT(hello->protocols, ElementsAre("h2"));
}

TEST(ClientHelloTest, HostileNamesBecomeHarmlessText) {
  EXPECT_EQ(Client(ServerName("UPPER.Example"))->server_name, "upper.example");
  EXPECT_EQ(Client(ServerName(std::string_view("a\0\x1b[31m\xff\n%", 10)))->server_name,
            "a%00%1B%5B31m%FF%0A%25");
  EXPECT_EQ(Client(ServerName("b\xc3\xbc"))->server_name, "b%C3%BC");
  EXPECT_EQ(Client(ServerName(std::string(5000, 'n')))->server_name, std::string(253, 'n'));
  // A cut leaves no part of an escape.
  const std::string cut = Client(ServerName("n" + std::string(5000, '/')))->server_name;
  EXPECT_EQ(cut.size(), 253u);
  EXPECT_EQ(Client(ServerName("nn" + std::string(5000, '/')))->server_name.size(), 251u);
  EXPECT_THAT(Client(Protocols({"\x1b\xff h2"}))->protocols, ElementsAre("%1B%FF%20h2"));
  EXPECT_THAT(Client(Protocols({std::string(255, 'p')}))->protocols,
              ElementsAre(std::string(kMaxProtocolBytes, 'p')));
}

TEST(ClientHelloTest, ManyProtocolsAreBounded) {
  const auto hello =
      Client(Protocols({"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}));
  EXPECT_THAT(hello->protocols, ElementsAre("0", "1", "2", "3", "4", "5", "6", "7"));
}

TEST(ClientHelloTest, FirstHostNameCounts) {
  const std::string names = Number(1, 7) + Vector(2, "other kind") + Number(1, 0) +
                            Vector(2, "first") + Number(1, 0) + Vector(2, "second");
  EXPECT_EQ(Client(Extension(0, Vector(2, names)))->server_name, "first");
}

TEST(ClientHelloTest, LengthsThatContradictEachOtherAreRefused) {
  // Each claims one byte more or less than there is.
  EXPECT_FALSE(Client(Number(2, 0) + Number(2, 1)).has_value());
  EXPECT_FALSE(Client(Extension(0, Number(2, 4) + "abc")).has_value());
  EXPECT_FALSE(Client(Extension(0, Vector(2, "ab") + "c")).has_value());
  EXPECT_FALSE(Client(Extension(0, Vector(2, Number(1, 0) + Number(2, 9) + "a"))).has_value());
  EXPECT_FALSE(Client(Extension(16, Vector(2, Number(1, 200) + "h2"))).has_value());
  EXPECT_FALSE(Client(Extension(16, "")).has_value());
  EXPECT_FALSE(Client("\x01").has_value());
  EXPECT_FALSE(ParseClientHello(Bytes(ClientHelloBody(Vector(2, "") + "more"))).has_value());
  EXPECT_FALSE(ParseClientHello(Bytes(ClientHelloBody(Number(2, 0xffff)))).has_value());
}

TEST(ClientHelloTest, CutAnywhereItIsRefusedAndNothingIsReadBehindItsEnd) {
  const std::string whole = ClientHelloBody(Vector(2, ServerName("a.example") + Protocols({"h2"})));
  for (size_t size = 0; size < whole.size(); ++size) {
    // A copy of that very size, so that a sanitizer sees a read behind it.
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    // Without the extensions' length it is a hello without extensions.
    const bool without_extensions = size == ClientHelloBody("").size();
    EXPECT_EQ(ParseClientHello(cut).has_value(), without_extensions) << size;
  }
}

TEST(ServerHelloTest, VersionIsTheOneOfTheExtensionWhereThereIsOne) {
  EXPECT_EQ(Server(0x0301, "")->version, Version::kTls10);
  EXPECT_EQ(Server(0x0302, "")->version, Version::kTls11);
  EXPECT_EQ(ParseServerHello(Bytes(ServerHelloBody(0x0303, "")))->version, Version::kTls12);
  EXPECT_EQ(Server(0x0303, Extension(43, Number(2, 0x0304)))->version, Version::kTls13);
  EXPECT_EQ(Server(0x0303, Extension(43, Number(2, 0x7f1c)))->version, Version::kUnknown);
  EXPECT_EQ(Server(0x0300, "")->version, Version::kUnknown);
  EXPECT_FALSE(Server(0x0303, Extension(43, "\x03")).has_value());
  EXPECT_FALSE(Server(0x0303, Extension(43, "123")).has_value());
}

TEST(ServerHelloTest, TellsTheProtocol) {
  EXPECT_EQ(Server(0x0303, Protocols({"h2"}))->protocol, "h2");
  EXPECT_EQ(Server(0x0303, Protocols({}))->protocol, "");
  EXPECT_FALSE(Server(0x0303, Extension(16, "h2")).has_value());
}

TEST(ServerHelloTest, CutAnywhereItIsRefused) {
  const std::string whole =
      ServerHelloBody(0x0303, Vector(2, Extension(43, Number(2, 0x0304)) + Protocols({"h2"})));
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(ParseServerHello(cut).has_value(), size == ServerHelloBody(0x0303, "").size())
        << size;
  }
}

TEST(LooksLikeClientHelloTest, WantsMoreThanOneByte) {
  const std::string record = testing::Record(testing::Message(1, ClientHelloBody("")));
  EXPECT_TRUE(LooksLikeClientHello(Bytes(record)));
  EXPECT_FALSE(LooksLikeClientHello(Bytes(record.substr(0, 7))));
  EXPECT_FALSE(LooksLikeClientHello(
      Bytes(testing::Record(testing::Message(2, ServerHelloBody(0x0303, ""))))));
  // An encrypted handshake record in the middle of TLS 1.2; application data.
  EXPECT_FALSE(LooksLikeClientHello(Bytes("\x16\x03\x03\x01\x01\x9d\x77\x12\x45")));
  EXPECT_FALSE(LooksLikeClientHello(Bytes("\x17\x03\x03\x01\x01\x01\x01\x01\x01")));
}

}  // namespace
}  // namespace podtap::tls
