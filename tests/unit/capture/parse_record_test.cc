#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "agent/capture/record.h"
#include "bpf/capture_abi.h"

namespace podtap::capture {
namespace {

class ParseRecordTest : public ::testing::Test {
 protected:
  ParseRecordTest() {
    record_.time_ns = 5'000;
    record_.opened_ns = 4'000;
    const uint8_t local[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
    const uint8_t remote[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
    std::memcpy(record_.local_addr, local, 16);
    std::memcpy(record_.remote_addr, remote, 16);
    record_.tap = 7;
    record_.generation = 3;
    record_.seq = 100;
    record_.payload_len = 1000;
    record_.head_len = 4;
    record_.tail_len = 2;
    record_.local_port = 8080;
    record_.remote_port = 40000;
    record_.direction = PT_TO_POD;
  }
  bool Parse(const std::string& payload = "headtl") {
    bytes_.resize(sizeof(record_));
    std::memcpy(bytes_.data(), &record_, sizeof(record_));
    bytes_.insert(bytes_.end(), payload.begin(), payload.end());
    return ParseRecord(bytes_, segment_);
  }

  pt_record record_{};
  std::vector<uint8_t> bytes_;
  Segment segment_;
};

TEST_F(ParseRecordTest, TakesEveryField) {
  record_.tcp_flags = PT_TCP_FIN;
  record_.flags = PT_FLAG_CLIENT_KNOWN | PT_FLAG_ISN_TO_POD;
  record_.isn[PT_FROM_POD] = 11;
  record_.isn[PT_TO_POD] = 22;
  ASSERT_TRUE(Parse());
  EXPECT_EQ(segment_.key.tap, (TapId{7, 3}));
  EXPECT_EQ(segment_.key.local.ToString(), "10.0.0.1");
  EXPECT_EQ(segment_.key.remote.ToString(), "fd00::2");
  EXPECT_EQ(segment_.key.local_port, 8080);
  EXPECT_EQ(segment_.key.remote_port, 40000);
  EXPECT_EQ(segment_.key.opened_ns, 4'000);
  EXPECT_EQ(segment_.time_ns, 5'000);
  EXPECT_EQ(segment_.seq, 100u);
  EXPECT_EQ(segment_.wire_len, 1000u);
  EXPECT_EQ(std::string(segment_.head.begin(), segment_.head.end()), "head");
  EXPECT_EQ(std::string(segment_.tail.begin(), segment_.tail.end()), "tl");
  EXPECT_EQ(segment_.direction, Direction::kToPod);
  EXPECT_TRUE(segment_.fin);
  EXPECT_FALSE(segment_.rst);
  EXPECT_FALSE(segment_.coalesced);
  // The SYN came towards the pod.
  EXPECT_EQ(segment_.client, Direction::kToPod);
  EXPECT_EQ(segment_.initial_seq[PT_FROM_POD], std::nullopt);
  EXPECT_EQ(segment_.initial_seq[PT_TO_POD], 22u);
}

TEST_F(ParseRecordTest, NothingOfARecordStaysForTheNext) {
  record_.tcp_flags = PT_TCP_RST;
  record_.flags =
      PT_FLAG_CLIENT_KNOWN | PT_FLAG_CLIENT_FROM_POD | PT_FLAG_ISN_FROM_POD | PT_FLAG_COALESCED;
  ASSERT_TRUE(Parse());
  EXPECT_EQ(segment_.client, Direction::kFromPod);
  EXPECT_TRUE(segment_.rst && segment_.coalesced);
  record_.tcp_flags = 0;
  record_.flags = 0;
  ASSERT_TRUE(Parse());
  EXPECT_EQ(segment_.client, std::nullopt);
  EXPECT_EQ(segment_.initial_seq[PT_FROM_POD], std::nullopt);
  EXPECT_FALSE(segment_.rst || segment_.coalesced);
}

TEST_F(ParseRecordTest, BytesThatAreInBothPartsAreTakenOnce) {
  record_.payload_len = 5;
  ASSERT_TRUE(Parse("abcdde"));
  EXPECT_EQ(std::string(segment_.head.begin(), segment_.head.end()), "abcd");
  EXPECT_EQ(std::string(segment_.tail.begin(), segment_.tail.end()), "e");
}

TEST_F(ParseRecordTest, RefusesWhatContradictsItself) {
  EXPECT_TRUE(Parse());
  EXPECT_FALSE(Parse("headt")) << "shorter than it says";
  EXPECT_FALSE(Parse("headtlx")) << "longer than it says";
  record_.payload_len = 3;
  EXPECT_FALSE(Parse()) << "more copied than was sent";
  record_.payload_len = 6;
  EXPECT_TRUE(Parse());
  record_.direction = 2;
  EXPECT_FALSE(Parse()) << "no such direction";
  record_.direction = 0;
  record_.head_len = 0xffffffff;
  record_.tail_len = 7;
  EXPECT_FALSE(Parse()) << "a sum that wraps";
  EXPECT_FALSE(ParseRecord(std::span(bytes_).first(sizeof(record_) - 1), segment_));
  EXPECT_FALSE(ParseRecord({}, segment_));
}

}  // namespace
}  // namespace podtap::capture
