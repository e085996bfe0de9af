// Runs the capture table through test-run and live over a veth.
#include "tests/bpf/capture_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/capture_abi.h"
#include "tests/support/capture_harness.h"
#include "tests/support/netns.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::Direction;

void CheckRow(const CaptureRow& row, CaptureHarness& harness) {
  // Every packet is counted once, under one reason.
  EXPECT_EQ(harness.Packets(), row.frames.size());
  EXPECT_GE(harness.Count(row.reason), 1u) << "reason " << row.reason;
  const std::vector<Recorded>& records = harness.Records();
  ASSERT_EQ(records.size(), row.records);
  EXPECT_EQ(harness.Count(PT_TALLY_RECORDS), row.records);
  if (row.records == 0) {
    return;
  }
  const Recorded& last = records.back();
  EXPECT_EQ(last.head, row.head);
  EXPECT_EQ(last.segment.wire_len, row.head.size());
  EXPECT_EQ(last.segment.seq, row.seq);
  EXPECT_EQ(last.segment.client, row.client);
  EXPECT_EQ(last.segment.direction, row.frames.back().direction);
  EXPECT_EQ(last.segment.key.tap, CaptureHarness::kTap);
  EXPECT_EQ(last.segment.key.local_port, 40000);
  EXPECT_EQ(last.segment.key.remote_port, 80);
  const std::string local = last.segment.key.local.ToString();
  EXPECT_TRUE(local == "192.0.2.1" || local == "2001:db8::1") << local;
}

class CaptureTableTest : public ::testing::TestWithParam<CaptureRow> {};

TEST_P(CaptureTableTest, TestRun) {
  CaptureHarness harness({.l3_base = 0});
  for (const TableFrame& frame : GetParam().frames) {
    harness.TestRun(frame.packet.Frame(), frame.direction);
  }
  CheckRow(GetParam(), harness);
}

TEST_P(CaptureTableTest, Live) {
  const PodNetns pod("table");
  CaptureHarness harness({.l3_base = 14});
  harness.Attach(pod.host_interface_index());
  uint64_t sent = 0;
  for (const TableFrame& frame : GetParam().frames) {
    const Bytes bytes = frame.packet.Frame();
    if (frame.direction == Direction::kFromPod) {
      pod.Inside([&] { SendFrame("eth0", bytes); });
    } else {
      SendFrame(pod.host_interface(), bytes);
    }
    ++sent;
    ASSERT_TRUE(WaitUntil([&] { return harness.Packets() >= sent; }));
  }
  CheckRow(GetParam(), harness);
}

INSTANTIATE_TEST_SUITE_P(All, CaptureTableTest, ::testing::ValuesIn(CaptureTable()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace podtap::testing
