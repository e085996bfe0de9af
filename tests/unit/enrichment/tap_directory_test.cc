#include "agent/enrichment/tap_directory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/enrichment/exchange_builder.h"

namespace podtap::enrichment {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(TapDirectory, FindsWhatIsPublished) {
  TapDirectory directory;
  TapReader reader(directory);
  const auto tap = MakeTap(1, "web");
  EXPECT_EQ(reader.Find(tap->id), nullptr);
  directory.Publish(tap);
  ASSERT_NE(reader.Find(tap->id), nullptr);
  EXPECT_EQ(reader.Find(tap->id)->tap, tap);
  EXPECT_FALSE(reader.Find(tap->id)->retired);
  EXPECT_EQ(directory.Find(tap->id), tap);
  EXPECT_EQ(reader.Find({.slot = 1, .generation = 2}), nullptr) << "another generation";
}

TEST(TapDirectory, KeepsAClosedTapForAWhile) {
  TapDirectory directory({.tombstone_ns = 60 * kSecond});
  TapReader reader(directory);
  const auto tap = MakeTap(1, "web");
  directory.Publish(tap);
  directory.Retire(tap->id, 100 * kSecond);
  directory.Retire(tap->id, 150 * kSecond);  // a second time changes nothing
  directory.Expire(160 * kSecond - 1);
  ASSERT_NE(reader.Find(tap->id), nullptr);
  EXPECT_TRUE(reader.Find(tap->id)->retired);
  directory.Expire(160 * kSecond);
  EXPECT_EQ(reader.Find(tap->id), nullptr);
  EXPECT_EQ(directory.Find(tap->id), nullptr);
}

TEST(TapDirectory, BoundsTombstones) {
  TapDirectory directory({.max_tombstones = 2});
  for (uint32_t slot = 1; slot <= 3; ++slot) {
    directory.Publish(MakeTap(slot, "web"));
    directory.Retire({.slot = slot, .generation = 1}, slot);
  }
  EXPECT_EQ(directory.Find({.slot = 1, .generation = 1}), nullptr);
  EXPECT_NE(directory.Find({.slot = 2, .generation = 1}), nullptr);
  directory.Visit([](const CounterValue& value) { EXPECT_EQ(value.count, 1u); });
}

TEST(TapDirectory, KnowsTheNodesAddresses) {
  TapDirectory directory;
  TapReader reader(directory);
  directory.SetNodeAddresses({Ip("192.168.0.1"), Ip("fd00::1")});
  EXPECT_TRUE(reader.IsNodeAddress(Ip("fd00::1")));
  const uint64_t version = directory.version();
  directory.SetNodeAddresses({Ip("fd00::1"), Ip("192.168.0.1")});
  EXPECT_EQ(directory.version(), version) << "nothing changed";
  directory.SetNodeAddresses({Ip("192.168.0.1")});
  EXPECT_FALSE(reader.IsNodeAddress(Ip("fd00::1")));
  EXPECT_TRUE(reader.IsNodeAddress(Ip("192.168.0.1")));
}

TEST(TapDirectory, CanBeReadWhileItChanges) {
  TapDirectory directory;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (uint32_t i = 0; i < 2'000; ++i) {
      const auto tap = MakeTap(i % 8, "web");
      directory.Publish(tap);
      directory.Retire(tap->id, i);
      directory.Expire(i + 61 * kSecond);
    }
    done = true;
  });
  TapReader reader(directory);
  while (!done) {
    for (uint32_t slot = 0; slot < 8; ++slot) {
      if (const TapTable::Entry* entry = reader.Find({.slot = slot, .generation = 1})) {
        ASSERT_EQ(entry->tap->id.slot, slot);
      }
    }
  }
  writer.join();
  EXPECT_EQ(reader.Find({.slot = 0, .generation = 1}), nullptr);
}

}  // namespace
}  // namespace podtap::enrichment
