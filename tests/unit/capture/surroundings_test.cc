#include "agent/capture/surroundings.h"

#include <cerrno>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podtap::capture {
namespace {

constexpr uint32_t kRingBytes = 8 << 20;
constexpr char kBoth[] = "Name:\tx\nCapEff:\t0000008000002000\nSeccomp:\t0\n";

TEST(Surroundings, AreReadFromTheKernelsTexts) {
  Surroundings found = ParseSurroundings(kBoth, "5.15.0-91-generic");
  EXPECT_TRUE(found.has_cap_bpf);
  EXPECT_TRUE(found.has_cap_net_raw);
  EXPECT_FALSE(found.has_cap_sys_admin);
  EXPECT_FALSE(found.has_seccomp_filter);
  EXPECT_EQ(found.kernel_major, 5);
  EXPECT_EQ(found.kernel_minor, 15);
  found = ParseSurroundings("CapEff:\t0000000000200000\nSeccomp:\t2\nSeccomp_filters:\t1\n", "6.1");
  EXPECT_FALSE(found.has_cap_bpf);
  EXPECT_FALSE(found.has_cap_net_raw);
  EXPECT_TRUE(found.has_cap_sys_admin);
  EXPECT_TRUE(found.has_seccomp_filter);
}

TEST(Surroundings, EnteringPodsTakesACapabilityMore) {
  Surroundings found;
  EXPECT_TRUE(CheckCapabilities(found).ok());
  const absl::Status status = CheckCapabilities(found, true);
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("CAP_SYS_ADMIN"));
  found.has_cap_sys_admin = true;
  EXPECT_TRUE(CheckCapabilities(found, true).ok());
}

TEST(Surroundings, NothingIsClaimedToBeMissingByGuess) {
  for (const char* text : {"", "garbage", "CapInh:\t0\n"}) {
    const Surroundings found = ParseSurroundings(text, text);
    EXPECT_TRUE(CheckCapabilities(found).ok());
    EXPECT_EQ(found.kernel_major, 0);
  }
}

struct Row {
  int error;
  Surroundings surroundings;
  // All of it is in the line.
  std::vector<const char*> words;
};

class LoadFailure : public testing::TestWithParam<Row> {};

TEST_P(LoadFailure, SaysWhatIsMissingAndWhatToDo) {
  const absl::Status status =
      ExplainLoadFailure(GetParam().error, kRingBytes, GetParam().surroundings);
  ASSERT_FALSE(status.ok());
  const std::string line(status.message());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  for (const char* word : GetParam().words) {
    EXPECT_THAT(line, testing::HasSubstr(word));
  }
}

constexpr int kMajor = 6;
INSTANTIATE_TEST_SUITE_P(
    All, LoadFailure,
    testing::Values(
        Row{EPERM, {.has_cap_bpf = false, .kernel_major = kMajor}, {"CAP_BPF is missing", "grant"}},
        Row{EPERM,
            {.has_cap_net_raw = false, .kernel_major = kMajor},
            {"CAP_NET_RAW is missing", "grant"}},
        // CAP_SYS_ADMIN holds CAP_BPF's rights.
        Row{EPERM,
            {.has_cap_bpf = false,
             .has_cap_sys_admin = true,
             .has_seccomp_filter = true,
             .kernel_major = kMajor},
            {"seccomp", "blocks bpf()", "allow it"}},
        Row{EPERM,
            {.has_seccomp_filter = true, .kernel_major = kMajor},
            {"seccomp profile blocks bpf()", "allow it in the profile"}},
        Row{EPERM, {.kernel_major = kMajor}, {"lockdown", "security module"}},
        Row{EPERM,
            {.kernel_major = 5, .kernel_minor = 10},
            {"RLIMIT_MEMLOCK is too small", "ulimit -l"}},
        Row{EACCES, {.kernel_major = kMajor}, {"verifier refuses it", "Linux 5.15 or newer"}},
        Row{ENOSYS, {.kernel_major = kMajor}, {"no bpf() call", "CONFIG_BPF_SYSCALL"}},
        Row{ENOMEM, {.kernel_major = kMajor}, {"no memory", "8388608", "lower --ring-bytes"}},
        Row{EINVAL,
            {.has_ring_buffer = false, .kernel_major = 5, .kernel_minor = 4},
            {"no BPF ring buffer", "5.8", "needs Linux 5.15 or newer, this is 5.4"}},
        Row{EINVAL,
            {.kernel_major = 5, .kernel_minor = 10},
            {"Invalid argument", "needs Linux 5.15 or newer, this is 5.10"}},
        Row{EINVAL, {.kernel_major = kMajor}, {"load capture program: Invalid argument"}}));

}  // namespace
}  // namespace podtap::capture
