#include "common/ip_prefix.h"

#include "gtest/gtest.h"

namespace podtap {
namespace {

struct Row {
  const char* prefix;
  const char* address;
  bool contains;
};

class IpPrefixTable : public testing::TestWithParam<Row> {};

TEST_P(IpPrefixTable, Contains) {
  const std::optional<IpPrefix> prefix = IpPrefix::Parse(GetParam().prefix);
  ASSERT_TRUE(prefix) << GetParam().prefix;
  EXPECT_EQ(prefix->Contains(*IpAddress::Parse(GetParam().address)), GetParam().contains)
      << GetParam().prefix << " " << GetParam().address;
}

INSTANTIATE_TEST_SUITE_P(
    All, IpPrefixTable,
    testing::Values(Row{"10.0.0.1", "10.0.0.1", true}, Row{"10.0.0.1", "10.0.0.2", false},
                    Row{"10.0.0.0/8", "10.255.0.1", true}, Row{"10.0.0.0/8", "11.0.0.0", false},
                    Row{"10.0.0.1/8", "10.255.0.1", true},
                    Row{"10.0.0.128/25", "10.0.0.127", false},
                    Row{"10.0.0.128/25", "10.0.0.255", true}, Row{"10.0.0.1/32", "10.0.0.0", false},
                    Row{"10.0.0.0/31", "10.0.0.1", true}, Row{"10.0.0.0/31", "10.0.0.2", false},
                    Row{"0.0.0.0/0", "255.255.255.255", true}, Row{"0.0.0.0/0", "::1", false},
                    Row{"::/0", "fd00::1", true}, Row{"::/0", "10.0.0.1", false},
                    Row{"fd00::/8", "fdff::1", true}, Row{"fd00::/8", "fc00::1", false},
                    Row{"fd00::/9", "fd7f::1", true}, Row{"fd00::/9", "fd80::1", false},
                    Row{"fd00::1", "fd00::1", true}, Row{"fd00::1/128", "fd00::2", false},
                    Row{"::ffff:10.0.0.0/104", "10.1.1.1", true},
                    Row{"::ffff:10.0.0.0/104", "11.1.1.1", false},
                    Row{"::ffff:10.0.0.1", "10.0.0.1", true}));

TEST(IpPrefix, RefusesEverythingElse) {
  for (const char* text :
       {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/ 8",
        "10.0.0.0/+8", "10.0.0.0/0008", "10.0.0/8", "010.0.0.1", "10.0.0.1 ", "fd00::/129", "fd00",
        "fd00::%1", "::ffff:10.0.0.0/8", "host", "10.0.0.0/x"}) {
    EXPECT_FALSE(IpPrefix::Parse(text)) << text;
  }
}

}  // namespace
}  // namespace podtap
