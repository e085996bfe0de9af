// The shards' own loops, the rings, and the closing of taps, with real traffic: everything that the
// agent's threads share with the kernel at hand. Also built under ThreadSanitizer.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/capture/tap_counters.h"
#include "agent/capture/tap_set.h"
#include "agent/enrichment/tls_inventory.h"
#include "agent/exporter/event_log.h"
#include "agent/shard_set.h"
#include "common/unique_fd.h"
#include "tests/support/netns.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::Polarity;
using capture::TapId;

constexpr char kPodAddress[] = "10.98.8.2";
constexpr uint16_t kPort = 8080;
constexpr int kConnections = 40;
constexpr int kRequests = 25;
constexpr uint32_t kRings = 3;
constexpr uint64_t kMaxClosing = 6;

sockaddr_in PodAddress() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  EXPECT_EQ(::inet_pton(AF_INET, kPodAddress, &address.sin_addr), 1);
  return address;
}

// True once all of `text` is sent and an answer has come.
bool Ask(int fd, std::string_view text) {
  std::array<char, 256> answer;
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()) &&
         ::recv(fd, answer.data(), answer.size(), 0) > 0;
}

// Answers each piece that comes on a connection, which here is one request, until none is open.
void Serve(int listener) {
  constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  for (int i = 0; i < kConnections; ++i) {
    const UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(fd.valid());
    std::array<char, 256> request;
    while (::recv(fd.get(), request.data(), request.size(), 0) > 0) {
      ASSERT_EQ(::send(fd.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(kAnswer.size()));
    }
  }
}

// Counts the events of one tap.
class TapEvents : public enrichment::EventSink {
 public:
  void OnEvent(const enrichment::Event& event) override {
    const std::lock_guard lock(mutex_);
    ++counts_[event.tap->id.slot];
  }
  uint64_t Of(const TapId& tap) const {
    const std::lock_guard lock(mutex_);
    return counts_[tap.slot];
  }

 private:
  mutable std::mutex mutex_;
  std::array<uint64_t, PT_MAX_TAPS> counts_{};
};

class ShardsTest : public ::testing::Test {
 protected:
  ShardsTest() {
    pod_.AddAddresses("10.98.8.1/24", absl::StrCat(kPodAddress, "/24"));
    auto shards =
        ShardSet::Start({}, program_, directory_, clock_, inventory_, {&events_, &log_}, &log_);
    EXPECT_TRUE(shards.ok()) << shards.status();
    shards_ = *std::move(shards);
  }

  TapId OpenTap() {
    ++taps_opened_;
    const TapId tap = taps_.Reserve().value();
    auto pod = std::make_shared<discovery::PodIdentity>();
    pod->pod_name = "web";
    directory_.Publish(std::make_shared<const enrichment::TapInfo>(
        enrichment::TapInfo{.id = tap,
                            .interface_index = pod_.host_interface_index(),
                            .interface_name = pod_.host_interface(),
                            .opened_ns = clock_.MonotonicNs(),
                            .pod = std::move(pod)}));
    EXPECT_TRUE(taps_.Open(tap, pod_.host_interface_index(), Polarity::kHostSide).ok());
    return tap;
  }
  void CloseTap(const TapId& tap) {
    directory_.Retire(tap, clock_.MonotonicNs());
    taps_.Close(tap);
  }

  // Makes kConnections * kRequests requests.
  void MakeRequests() {
    UniqueFd listener;
    pod_.Inside([&] {
      listener = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const sockaddr_in address = PodAddress();
      ASSERT_EQ(
          ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
      ASSERT_EQ(::listen(listener.get(), kConnections), 0);
    });
    std::thread server([&] { Serve(listener.get()); });
    const sockaddr_in address = PodAddress();
    for (int i = 0; i < kConnections; ++i) {
      const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
                0);
      for (int request = 0; request < kRequests; ++request) {
        EXPECT_TRUE(Ask(fd.get(), "GET /a HTTP/1.1\r\nHost: web\r\n\r\n"));
      }
    }
    server.join();
  }

  // What was lost, and why, for a message.
  std::string Losses() const {
    std::string text;
    for (const CounterValue& value : capture::NameCounters(taps_.ReadAll().value().totals)) {
      if (value.is_loss && value.count > 0) {
        absl::StrAppend(&text, " ", std::string(value.name), "=", value.count);
      }
    }
    for (const LedgerLine& line : shards_->Ledger()) {
      if (line.value.is_loss && line.value.count > 0) {
        absl::StrAppend(&text, " ", std::string(line.value.name), "=", line.value.count);
      }
    }
    return text.empty() ? " nothing" : text;
  }

  uint64_t Count(LedgerStage stage, std::string_view name) const {
    for (const LedgerLine& line : shards_->Ledger()) {
      if (line.stage == stage && line.value.name == name) {
        return line.value.count;
      }
    }
    ADD_FAILURE() << "no line " << name;
    return 0;
  }

  PodNetns pod_{"shards"};
  const SystemClock clock_;
  enrichment::TapDirectory directory_;
  enrichment::TlsInventory inventory_{directory_};
  TapEvents events_;
  exporter::EventLog log_{{.origin = {.node_name = "node", .cluster_name = "", .epoch = 1}},
                          clock_};
  capture::CaptureProgram program_{capture::CaptureProgram::Load({.rings = kRings}).value()};
  std::unique_ptr<ShardSet> shards_;
  uint64_t taps_opened_ = 0;
  std::atomic<uint64_t> taps_closed_{0};
  capture::TapSet taps_{program_, [this](TapId tap) {
                          shards_->TapClosed(tap);
                          ++taps_closed_;
                        }};
};

TEST_F(ShardsTest, TapsComeAndGoAndTheLedgerIsAskedForWhileRequestsFlow) {
  const TapId tap = OpenTap();
  std::atomic<bool> stop{false};
  std::thread churn([&] {
    while (!stop) {
      CloseTap(OpenTap());
      // Closing takes its time; without a bound the taps would be hundreds, and the rings full.
      EXPECT_TRUE(WaitUntil([&] { return taps_closed_ + kMaxClosing > taps_opened_; }));
    }
  });
  std::thread asking([&] {
    while (!stop) {
      EXPECT_GE(shards_->ledger_time_ns(), 0);
      EXPECT_LE(shards_->open_exchanges(), 10'000u);
      shards_->Ledger();
      std::this_thread::yield();
    }
  });
  MakeRequests();
  stop = true;
  churn.join();
  EXPECT_GT(taps_opened_, 2u);
  asking.join();
  taps_.CloseAll();
  shards_->Stop();

  EXPECT_EQ(events_.Of(tap), static_cast<uint64_t>(kConnections) * kRequests)
      << "lost:" << Losses();
  const capture::TapCounters totals = taps_.ReadAll().value().totals;
  EXPECT_EQ(Count(LedgerStage::kCapture, "records_read"), totals[PT_TALLY_RECORDS].count());
  EXPECT_EQ(Count(LedgerStage::kPairing, "exchanges_sent"),
            Count(LedgerStage::kEnrichment, "exchanges"));
  EXPECT_EQ(Count(LedgerStage::kEnrichment, "events"), log_.counters().appended);
  EXPECT_EQ(Count(LedgerStage::kEnrichment, "exchanges_waiting"), 0u);
  EXPECT_EQ(shards_->open_exchanges(), 0u);
}

}  // namespace
}  // namespace podtap::testing
