// Segments of several connections through a whole shard: the sums of docs/ledger.md hold.
//
// Input: a byte of options, then text with marks. Text is the payload of the next segment; the byte
// behind its mark says what comes next: see Apply().
#include <string_view>
#include <vector>

#include "common/status.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/pipeline_checks.h"

namespace podtap {
namespace {

using fuzz::Input;
using testing::ConnectionOptions;
using testing::PipelineHarness;
using testing::TestConnection;

constexpr size_t kConnections = 4;
constexpr int64_t kSecondNs = 1'000'000'000;

PipelineLimits Limits(uint8_t options) {
  PipelineLimits limits;
  if ((options & 1) != 0) {
    limits.max_connections = 3;
    limits.max_reordered_bytes = 4096;
    limits.max_head_bytes = 256;
    limits.max_headers = 4;
    limits.max_pending_exchanges = 2;
  }
  return limits;
}

class Run {
 public:
  Run(uint8_t options, Input input) : input_(input), limits_(Limits(options)), harness_(limits_) {
    for (size_t i = 0; i < kConnections; ++i) {
      // Two taps see both ends of one tuple: two connections.
      ConnectionOptions& connection_options = options_.emplace_back();
      connection_options.pod_is_client = i % 2 == 1;
      connection_options.tap = {static_cast<uint32_t>(i % 2), 1};
      connection_options.client_port = static_cast<uint16_t>(40'000 + i / 2);
      connection_options.client_isn = 0xffffffe0;
      connections_.emplace_back(harness_, connection_options);
    }
    while (!input_.empty()) {
      Send(input_.Text());
      if (!input_.empty()) {
        Apply(input_.Byte());
      }
    }
    if ((options & 2) != 0) {
      harness_.Sleep(3 * kSecondNs);
    }
    fuzz::FinishAndCheck(harness_, limits_);
  }

 private:
  TestConnection& connection() { return connections_[current_]; }

  void Send(std::string_view text) {
    if (text.empty() && !fin_ && !rst_) {
      return;
    }
    const testing::SegmentOptions options = {.fin = fin_, .rst = rst_};
    const uint64_t next = client_ ? connection().client_next() : connection().server_next();
    if (middle_ > 0) {
      const size_t half = text.size() / 2;
      (connection().*(client_ ? &TestConnection::ClientLarge : &TestConnection::ServerLarge))(
          text.substr(0, half), middle_, text.substr(half));
    } else if (offset_ != 0) {
      const uint64_t at = next + static_cast<uint64_t>(offset_);
      (connection().*(client_ ? &TestConnection::ClientAt : &TestConnection::ServerAt))(at, text,
                                                                                        options);
    } else {
      (connection().*(client_ ? &TestConnection::Client : &TestConnection::Server))(text, options);
    }
    fin_ = rst_ = false;
    offset_ = 0;
    middle_ = 0;
  }

  void Lose(uint64_t size) {
    client_ ? connection().LoseClient(size) : connection().LoseServer(size);
  }
  void Coalesce(uint64_t size) {
    client_ ? connection().CoalesceClient(size) : connection().CoalesceServer(size);
  }

  // The tuple is used again.
  void Reopen(bool midstream) {
    ConnectionOptions& options = options_[current_];
    options.midstream = midstream;
    options.opened_ns += static_cast<int8_t>(input_.Byte() | 1);
    connections_[current_] = TestConnection(harness_, options);
  }

  void Apply(uint8_t action) {
    switch (action % 18) {
      case 0:
        return;
      case 1:
        client_ = !client_;
        return;
      case 2:
        current_ = input_.Byte() % kConnections;
        return;
      case 3:
        fin_ = true;
        return;
      case 4:
        rst_ = true;
        return;
      case 5:
        return Lose(input_.Byte());
      case 6:
        return Lose(input_.Short());
      case 7:
        return Coalesce(input_.Byte());
      case 8:
        return Coalesce(uint64_t{input_.Short()} << 14);
      case 9:
        offset_ = static_cast<int8_t>(input_.Byte());
        return;
      case 10:
        offset_ = static_cast<int16_t>(input_.Short());
        return;
      case 11:
        return harness_.Sleep(int64_t{input_.Byte()} * kSecondNs / 50);
      case 12:
        harness_.now_ns += limits_.idle_timeout_ns;
        return harness_.pipeline.OnTick(harness_.now_ns);
      case 13: {
        const capture::TapId tap = options_[current_].tap;
        return harness_.pipeline.CloseTaps({tap}, harness_.now_ns);
      }
      case 14:
        return Reopen(false);
      case 15:
        return Reopen(true);
      case 16:
        middle_ = input_.Short();
        return;
      default:
        // Also backwards: what comes together may come in another order than it was sent.
        harness_.step_ns = (int64_t{input_.Byte()} - 64) * 10'000;
    }
  }

  Input input_;
  const PipelineLimits limits_;
  PipelineHarness harness_;
  std::vector<ConnectionOptions> options_;
  std::vector<TestConnection> connections_;
  size_t current_ = 0;
  bool client_ = true;
  // Of the next segment.
  bool fin_ = false;
  bool rst_ = false;
  int64_t offset_ = 0;
  uint64_t middle_ = 0;
};

}  // namespace
}  // namespace podtap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  podtap::fuzz::Input input(data, size);
  const uint8_t options = input.Byte();
  podtap::Run(options, input);
  return 0;
}
