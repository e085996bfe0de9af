// Taps interfaces like the agent does, with a program that only returns 0: what being tapped costs
// whatever the program is.
//
//   empty_filter INTERFACE...
//
// Prints "ready" when all are tapped, and ends with SIGTERM.
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>

#include <cstdio>
#include <iterator>
#include <vector>

#include "agent/capture/packet_tap.h"
#include "common/stop_signal.h"
#include "common/unique_fd.h"

int main(int argc, char** argv) {
  podtap::BlockStopSignals();
  const bpf_insn instructions[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
      {.code = BPF_JMP | BPF_EXIT},
  };
  const podtap::UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "bench_empty", "GPL",
                                               instructions, std::size(instructions), nullptr));
  if (!program.valid()) {
    std::perror("empty_filter: load");
    return 1;
  }
  std::vector<podtap::capture::PacketTap> taps;
  for (int i = 1; i < argc; ++i) {
    absl::StatusOr<podtap::capture::PacketTap> tap =
        podtap::capture::PacketTap::Open(::if_nametoindex(argv[i]), program.get());
    if (!tap.ok()) {
      std::fprintf(stderr, "empty_filter: %s: %s\n", argv[i], tap.status().ToString().c_str());
      return 1;
    }
    taps.push_back(*std::move(tap));
  }
  std::printf("ready\n");
  std::fflush(stdout);
  podtap::WaitForStopSignal();
  return 0;
}
