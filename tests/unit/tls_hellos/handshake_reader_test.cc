#include "agent/tls/handshake_reader.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/tls_hellos/captured_hellos.h"
#include "tests/unit/tls_hellos/hello_builder.h"

namespace podtap::tls {
namespace {

using testing::ClientHelloBody;
using ::testing::ElementsAre;
using testing::FromHex;
using testing::Message;
using testing::Number;
using testing::Record;
using testing::Records;
using testing::ServerHelloBody;
using testing::ServerName;
using testing::Vector;
using State = HelloReader::State;

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

State ReadAll(std::string_view stream, HelloKind kind = HelloKind::kClient) {
  HelloReader reader(kind);
  reader.Read(Bytes(stream));
  return reader.state();
}

std::string Hello(std::string_view name = "a.example") {
  return Message(1, ClientHelloBody(Vector(2, ServerName(name))));
}

class HandshakeReaderTest : public ::testing::Test {
 protected:
  HandshakeCounters counters_;
};

TEST_F(HandshakeReaderTest, CapturedHellosCutAtEveryByte) {
  const struct {
    const char* client;
    const char* server;
    Version version;
    const char* protocol;
  } captured[] = {
      {testing::kClientHello10, testing::kServerHello10, Version::kTls10, "http/1.1"},
      {testing::kClientHello12, testing::kServerHello12, Version::kTls12, "http/1.1"},
      // TLS 1.3 encrypts the choice.
      {testing::kClientHello13, testing::kServerHello13, Version::kTls13, ""},
  };
  for (const auto& one : captured) {
    const std::string client = FromHex(one.client);
    const std::string server = FromHex(one.server);
    for (size_t cut = 0; cut <= client.size(); ++cut) {
      HandshakeReader reader(counters_);
      reader.Read(HelloKind::kClient, Bytes(client).first(cut));
      reader.Read(HelloKind::kClient, Bytes(client).subspan(cut));
      EXPECT_FALSE(reader.done());
      const size_t server_cut = std::min(cut, server.size());
      reader.Read(HelloKind::kServer, Bytes(server).first(server_cut));
      reader.Read(HelloKind::kServer, Bytes(server).subspan(server_cut));
      ASSERT_TRUE(reader.done()) << cut;
      const auto handshake = reader.Finish();
      ASSERT_TRUE(handshake.has_value());
      EXPECT_EQ(handshake->server_name, "web.example");
      EXPECT_EQ(handshake->version, one.version);
      EXPECT_THAT(handshake->offered_protocols, ElementsAre("h2", "http/1.1"));
      EXPECT_EQ(handshake->protocol, one.protocol);
    }
  }
  EXPECT_EQ(counters_.malformed_hellos, 0u);
  EXPECT_EQ(counters_.incomplete_hellos, 0u);
  uint64_t versions = 0;
  for (const uint64_t count : counters_.versions) {
    versions += count;
  }
  EXPECT_EQ(counters_.begun, versions);
}

TEST(HelloReaderTest, HelloInManyRecordsByteByByte) {
  for (size_t size = 1; size < Hello().size() + 2; ++size) {
    const std::string stream = Records(Hello(), size);
    if (stream.size() > kMaxHandshakeBytes) {
      continue;
    }
    HelloReader reader(HelloKind::kClient);
    for (const char c : stream) {
      EXPECT_EQ(reader.state(), State::kReading);
      reader.Read(Bytes({&c, 1}));
    }
    ASSERT_EQ(reader.state(), State::kRead) << size;
    EXPECT_EQ(ParseClientHello(reader.body())->server_name, "a.example");
  }
}

TEST(HelloReaderTest, WhatFollowsTheHelloIsLeftAlone) {
  HelloReader reader(HelloKind::kServer);
  const std::string body = ServerHelloBody(0x0303, "");
  reader.Read(Bytes(Record(Message(2, body) + Message(11, "certificate")) + "and more"));
  ASSERT_EQ(reader.state(), State::kRead);
  EXPECT_EQ(reader.body().size(), body.size());
  reader.Read(Bytes("still more"));
  EXPECT_EQ(reader.body().size(), body.size());
}

TEST(HelloReaderTest, WhatIsNoTlsIsMalformed) {
  EXPECT_EQ(ReadAll("\x17"), State::kMalformed);
  EXPECT_EQ(ReadAll("\x16\x02"), State::kMalformed);
  EXPECT_EQ(ReadAll("\x15"), State::kMalformed) << "a client does not begin with an alert";
  EXPECT_EQ(ReadAll(Record("")), State::kMalformed);
  EXPECT_EQ(ReadAll(Number(1, 22) + Number(2, 0x0303) + Number(2, (1 << 14) + 1)),
            State::kMalformed);
  EXPECT_EQ(ReadAll(Record(Message(2, "x"))), State::kMalformed) << "the other hello";
  EXPECT_EQ(ReadAll(Record("\x01") + "GET"), State::kMalformed) << "the second record is none";
}

TEST(HelloReaderTest, AnAlertInPlaceOfTheServersHelloIsAnEnd) {
  EXPECT_EQ(ReadAll("\x15\x03\x03", HelloKind::kServer), State::kIncomplete);
}

TEST(HelloReaderTest, LengthsThatClaimMuchAreNotBelieved) {
  EXPECT_EQ(ReadAll(Record("\x01\xff\xff\xff")), State::kIncomplete);
  EXPECT_EQ(ReadAll(Record(Number(1, 1) + Number(3, kMaxHandshakeBytes - 3))), State::kIncomplete);
  // Fits itself, but not with the headers of its records.
  const std::string message = Message(1, std::string(kMaxHandshakeBytes - 9, 'x'));
  EXPECT_EQ(ReadAll(Record(message)), State::kRead);
  EXPECT_EQ(ReadAll(Record(message + "x")), State::kRead);
  EXPECT_EQ(ReadAll(Records(message, message.size() - 1)), State::kIncomplete);
}

TEST(HelloReaderTest, ResultDoesNotDependOnWhatComesBehindTheBound) {
  const std::string stream = Records(Message(1, std::string(4000, 'x')), 100);
  ASSERT_GT(stream.size(), kMaxHandshakeBytes);
  HelloReader reader(HelloKind::kClient);
  reader.Read(Bytes(stream).first(kMaxHandshakeBytes - 1));
  EXPECT_EQ(reader.state(), State::kReading);
  reader.Read(Bytes(stream).subspan(kMaxHandshakeBytes - 1, 1));
  EXPECT_EQ(reader.state(), State::kIncomplete);
  EXPECT_EQ(ReadAll(stream), State::kIncomplete);
}

TEST_F(HandshakeReaderTest, AlertLeavesTheClientsWish) {
  HandshakeReader reader(counters_);
  reader.Read(HelloKind::kClient, Bytes(Record(Hello())));
  reader.Read(HelloKind::kServer, Bytes("\x15\x03\x03"));
  ASSERT_TRUE(reader.done());
  const auto handshake = reader.Finish();
  ASSERT_TRUE(handshake.has_value());
  EXPECT_EQ(handshake->server_name, "a.example");
  EXPECT_EQ(handshake->version, Version::kUnknown);
  EXPECT_EQ(counters_.versions[static_cast<size_t>(Version::kUnknown)], 1u);
  EXPECT_EQ(counters_.incomplete_hellos, 1u);
}

TEST_F(HandshakeReaderTest, OneSideLostLeavesTheOther) {
  HandshakeReader reader(counters_);
  reader.Read(HelloKind::kClient, Bytes(Record(Hello())).first(30));
  reader.GiveUp(HelloKind::kClient);
  EXPECT_FALSE(reader.done());
  reader.Read(HelloKind::kServer, Bytes(Record(Message(2, ServerHelloBody(0x0303, "")))));
  ASSERT_TRUE(reader.done());
  const auto handshake = reader.Finish();
  ASSERT_TRUE(handshake.has_value());
  EXPECT_EQ(handshake->server_name, "");
  EXPECT_EQ(handshake->version, Version::kTls12);
  EXPECT_EQ(counters_.incomplete_hellos, 1u);
}

TEST_F(HandshakeReaderTest, NoTlsIsNotWaitedForAndTellsNothing) {
  HandshakeReader reader(counters_);
  reader.Read(HelloKind::kClient, Bytes("\x16\x04"));
  ASSERT_TRUE(reader.done());
  EXPECT_FALSE(reader.Finish().has_value());
  // A record that is sound with a hello in it that is not.
  HandshakeReader broken(counters_);
  broken.Read(HelloKind::kClient, Bytes(Record(Message(1, "nonsense"))));
  EXPECT_FALSE(broken.done());
  EXPECT_FALSE(broken.Finish().has_value());
  EXPECT_EQ(counters_.malformed_hellos, 2u);
  EXPECT_EQ(counters_.incomplete_hellos, 0u);
  EXPECT_EQ(counters_.versions[static_cast<size_t>(Version::kUnknown)], 2u);
}

}  // namespace
}  // namespace podtap::tls
