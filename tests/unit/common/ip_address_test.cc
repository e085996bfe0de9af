#include "common/ip_address.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace podtap {
namespace {

using std::string_view_literals::operator""sv;

TEST(IpAddress, ReadsAndWritesV4) {
  const auto address = IpAddress::Parse("10.1.2.255");
  ASSERT_TRUE(address);
  EXPECT_TRUE(address->is_v4());
  EXPECT_EQ(address->ToString(), "10.1.2.255");
  EXPECT_EQ(address, IpAddress::Parse("::ffff:10.1.2.255"));
}

TEST(IpAddress, ReadsAndWritesV6) {
  const auto address = IpAddress::Parse("FD00:0:0::A");
  ASSERT_TRUE(address);
  EXPECT_FALSE(address->is_v4());
  EXPECT_EQ(address->ToString(), "fd00::a");
  EXPECT_EQ(IpAddress().ToString(), "::");
  EXPECT_EQ(IpAddress::Parse("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.254")->ToString(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
}

TEST(IpAddress, RefusesAnythingElse) {
  for (const std::string_view text :
       {""sv, "10.0.0"sv, "10.0.0.256"sv, " 10.0.0.1"sv, "10.0.0.1 "sv, "[::1]"sv, "::1%eth0"sv,
        "localhost"sv, "10.0.0.1\0x"sv, "::1\0"sv}) {
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(std::string(10'000, '0')));
}

TEST(IpAddress, TellsLoopback) {
  for (const char* text : {"127.0.0.1", "127.255.0.9", "::ffff:127.0.0.1", "::1"}) {
    EXPECT_TRUE(IpAddress::Parse(text)->is_loopback()) << text;
  }
  for (const char* text : {"126.0.0.1", "128.0.0.1", "0.0.0.0", "::", "::2", "1::1", "7f00::1"}) {
    EXPECT_FALSE(IpAddress::Parse(text)->is_loopback()) << text;
  }
}

TEST(IpAddress, ComparesByValue) {
  EXPECT_EQ(*IpAddress::Parse("::1"), *IpAddress::Parse("0:0::1"));
  EXPECT_NE(*IpAddress::Parse("::1"), *IpAddress::Parse("::2"));
  EXPECT_LT(*IpAddress::Parse("10.0.0.1"), *IpAddress::Parse("10.0.0.2"));
}

}  // namespace
}  // namespace podtap
