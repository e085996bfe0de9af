// past_the_pair FROM TO: IPv4 packets that come in through the interface FROM are given to the
// other end of the pair TO without crossing TO's own end, as some eBPF data planes do. It lasts as
// long as FROM does.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <net/if.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>

#include "common/unique_fd.h"

namespace podtap::testing {
namespace {

constexpr bpf_insn Instruction(uint8_t code, uint8_t to, uint8_t from, int16_t offset,
                               int32_t value) {
  return {.code = code, .dst_reg = to, .src_reg = from, .off = offset, .imm = value};
}

// The program, for the pair of this index. The frame's address is the far end's, so that the kernel
// takes it for another host's unless told otherwise.
UniqueFd LoadProgram(int to_index) {
  constexpr int32_t kIpv4InNetworkOrder = __builtin_bswap16(ETH_P_IP);
  constexpr int32_t kPacketHost = 0;
  const bpf_insn program[] = {
      Instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(__sk_buff, protocol),
                  0),
      Instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 6, kIpv4InNetworkOrder),
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, kPacketHost),
      Instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_change_type),
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, to_index),
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0),
      Instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_peer),
      Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
      // TC_ACT_OK.
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
      Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  return UniqueFd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "past_the_pair", "GPL", program,
                                std::size(program), nullptr));
}

int Run(const char* from, const char* to) {
  const UniqueFd program = LoadProgram(static_cast<int>(::if_nametoindex(to)));
  if (!program.valid()) {
    std::perror("load");
    return 1;
  }
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = static_cast<int>(::if_nametoindex(from)),
              .attach_point = BPF_TC_INGRESS);
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program.get());
  if (bpf_tc_hook_create(&hook) != 0 || bpf_tc_attach(&hook, &options) != 0) {
    std::perror("attach");
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace podtap::testing

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: past_the_pair FROM TO\n");
    return 2;
  }
  return podtap::testing::Run(argv[1], argv[2]);
}
