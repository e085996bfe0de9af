#include "agent/capture/capture_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

#include "agent/capture/surroundings.h"
#include "bpf/capture.skel.h"
#include "common/status.h"

namespace podtap::capture {
namespace {

constexpr uint32_t kMinRingBytes = 64 * 1024;
// Bodies are sampled, and shares enforced, when the ring is this part full.
constexpr uint32_t kPressureShare = 2;
// User space is woken each time so much has gathered. Waking is dear to the sender of a packet: an
// interrupt of its own processor.
constexpr uint32_t kWakeupShare = 8;

// libbpf writes its own lines to standard error by default; what fails is reported by Status.
int DropLibbpfLog(libbpf_print_level, const char*, va_list) { return 0; }

bpf_insn Instruction(uint8_t code, uint8_t dst, uint8_t src, int16_t offset, int32_t immediate) {
  return bpf_insn{.code = code, .dst_reg = dst, .src_reg = src, .off = offset, .imm = immediate};
}

// Stores R4 into __sk_buff.cb[index] (R1 holds the context). Before Linux 6.4 the verifier refuses
// BPF_ST, which would store a constant at once.
bpf_insn StoreCb(int index) {
  const auto offset =
      static_cast<int16_t>(offsetof(__sk_buff, cb) + static_cast<size_t>(index) * sizeof(__u32));
  return Instruction(BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_4, offset, 0);
}

bpf_insn LoadR4(uint32_t value) {
  return Instruction(BPF_ALU | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, static_cast<int32_t>(value));
}

}  // namespace

absl::Status CheckProgramOptions(const ProgramOptions& options) {
  if (options.capture_bytes < PT_MIN_CAPTURE_BYTES ||
      options.capture_bytes > PT_MAX_CAPTURE_BYTES) {
    return absl::InvalidArgumentError(absl::StrFormat("--capture-bytes: %d is not in %d..%d",
                                                      options.capture_bytes, PT_MIN_CAPTURE_BYTES,
                                                      PT_MAX_CAPTURE_BYTES));
  }
  if (options.ring_bytes < kMinRingBytes || !std::has_single_bit(options.ring_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--ring-bytes: %d is not a power of two of at least %d", options.ring_bytes,
                        kMinRingBytes));
  }
  if (options.rings < 1 || options.rings > PT_MAX_RINGS) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--rings: %d is not in 1..%d", options.rings, PT_MAX_RINGS));
  }
  return absl::OkStatus();
}

void CaptureProgram::Destroyer::operator()(capture_bpf* skeleton) const {
  capture_bpf__destroy(skeleton);
}

CaptureProgram::CaptureProgram(std::unique_ptr<capture_bpf, Destroyer> skeleton,
                               std::vector<UniqueFd> rings, uint32_t ring_bytes)
    : skeleton_(std::move(skeleton)),
      rings_(std::move(rings)),
      ring_bytes_(ring_bytes),
      cpus_(static_cast<uint32_t>(libbpf_num_possible_cpus())) {}

CaptureProgram::CaptureProgram(CaptureProgram&&) noexcept = default;
CaptureProgram& CaptureProgram::operator=(CaptureProgram&&) noexcept = default;
CaptureProgram::~CaptureProgram() = default;

absl::StatusOr<CaptureProgram> CaptureProgram::Load(const ProgramOptions& options) {
  PODTAP_RETURN_IF_ERROR(CheckProgramOptions(options));
  libbpf_set_print(DropLibbpfLog);
  std::unique_ptr<capture_bpf, Destroyer> skeleton(capture_bpf__open());
  if (skeleton == nullptr) {
    return ErrnoStatus(errno, "open capture program");
  }
  if (skeleton->rodata->pt_abi_version != PT_ABI_VERSION) {
    return absl::InternalError(absl::StrFormat(
        "load capture program: it was built for version %d of its layouts, the agent for %d; build "
        "both from one source",
        skeleton->rodata->pt_abi_version, PT_ABI_VERSION));
  }
  skeleton->rodata->pt_l3_base = options.l3_base;
  skeleton->rodata->pt_capture_bytes = options.capture_bytes;
  skeleton->rodata->pt_ring_bytes = options.ring_bytes;
  skeleton->rodata->pt_pressure_bytes = options.ring_bytes / kPressureShare;
  skeleton->rodata->pt_wakeup_bytes = options.ring_bytes / kWakeupShare;
  skeleton->rodata->pt_rings = options.rings;
  bpf_map__set_max_entries(skeleton->maps.rings, options.rings);
  for (bpf_map* map : {skeleton->maps.ring_put, skeleton->maps.ring_taken}) {
    bpf_map__set_max_entries(map, options.rings * PT_MAX_TAPS);
  }
  for (bpf_map* map : {skeleton->maps.connections, skeleton->maps.feedback,
                       skeleton->maps.handshakes, skeleton->maps.opaque}) {
    bpf_map__set_max_entries(map, options.max_connections);
  }
  if (const int error = capture_bpf__load(skeleton.get()); error != 0) {
    return ExplainLoadFailure(-error, options.ring_bytes, LookAround());
  }
  std::vector<UniqueFd> rings;
  for (uint32_t index = 0; index < options.rings; ++index) {
    const UniqueFd& ring = rings.emplace_back(
        bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, options.ring_bytes, nullptr));
    const int fd = ring.get();
    if (!ring.valid() ||
        bpf_map_update_elem(bpf_map__fd(skeleton->maps.rings), &index, &fd, BPF_ANY) != 0) {
      return ExplainLoadFailure(errno, options.ring_bytes, LookAround());
    }
  }
  const uint32_t zero = 0;
  const int program = bpf_program__fd(skeleton->progs.pt_capture);
  if (bpf_map_update_elem(bpf_map__fd(skeleton->maps.programs), &zero, &program, BPF_ANY) != 0) {
    return ErrnoStatus(errno, "publish capture program");
  }
  return CaptureProgram(std::move(skeleton), std::move(rings), options.ring_bytes);
}

absl::StatusOr<UniqueFd> CaptureProgram::MakeDispatcher(const TapId& tap, Polarity polarity) const {
  const int programs = bpf_map__fd(skeleton_->maps.programs);
  const bpf_insn instructions[] = {
      LoadR4(tap.slot),
      StoreCb(PT_CB_TAP),
      LoadR4(tap.generation),
      StoreCb(PT_CB_GENERATION),
      LoadR4(static_cast<uint32_t>(polarity)),
      StoreCb(PT_CB_POLARITY),
      // R2 = map, R3 = index 0, tail call. It does not return; when it fails the packet passes
      // uncounted, which can't happen while entry 0 is set.
      Instruction(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, programs),
      Instruction(0, 0, 0, 0, 0),
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0),
      Instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call),
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
      Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  const int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "pt_dispatch", "Dual BSD/GPL",
                               instructions, std::size(instructions), nullptr);
  if (fd < 0) {
    return ErrnoStatus(errno, "load dispatcher of tap %d", tap.slot);
  }
  return UniqueFd(fd);
}

static_assert(kMaxTaps == PT_MAX_TAPS);

void Add(TapCounters& sums, const TapCounters& more) {
  for (size_t reason = 0; reason < sums.size(); ++reason) {
    for (size_t direction = 0; direction < 2; ++direction) {
      pt_counter& sum = sums[reason].by_direction[direction];
      sum.count += more[reason].by_direction[direction].count;
      sum.bytes += more[reason].by_direction[direction].bytes;
    }
  }
}

absl::StatusOr<TapCounters> CaptureProgram::ReadCounters(uint32_t slot) const {
  // One call for all: hundreds of taps are read every ten seconds.
  constexpr uint32_t kEntries = PT_COUNTER(1, 0, 0);
  std::vector<pt_counter> per_cpu(size_t{cpus_} * kEntries);
  uint32_t keys[kEntries];
  // The walk begins behind this key.
  uint32_t before = PT_COUNTER(slot, 0, 0) - 1;
  uint32_t last = 0;
  uint32_t count = kEntries;
  const int error =
      bpf_map_lookup_batch(bpf_map__fd(skeleton_->maps.counters), slot == 0 ? nullptr : &before,
                           &last, keys, per_cpu.data(), &count, nullptr);
  // ENOENT says that the map ends here as well.
  if ((error != 0 && errno != ENOENT) || count != kEntries) {
    return ErrnoStatus(errno, "read counters of tap %d", slot);
  }
  TapCounters sums{};
  for (size_t i = 0; i < per_cpu.size(); ++i) {
    const size_t entry = i / cpus_;
    pt_counter& sum = sums[entry / 2].by_direction[entry % 2];
    sum.count += per_cpu[i].count;
    sum.bytes += per_cpu[i].bytes;
  }
  return sums;
}

absl::Status CaptureProgram::ClearCounters(uint32_t slot) const {
  const std::vector<pt_counter> zeros(cpus_);
  for (uint32_t key = PT_COUNTER(slot, 0, 0); key < PT_COUNTER(slot + 1, 0, 0); ++key) {
    if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.counters), &key, zeros.data(), BPF_ANY) !=
        0) {
      return ErrnoStatus(errno, "clear counters of tap %d", slot);
    }
  }
  return absl::OkStatus();
}

int CaptureProgram::ring_taken_fd() const { return bpf_map__fd(skeleton_->maps.ring_taken); }
int CaptureProgram::connections_fd() const { return bpf_map__fd(skeleton_->maps.connections); }
int CaptureProgram::feedback_fd() const { return bpf_map__fd(skeleton_->maps.feedback); }
int CaptureProgram::handshakes_fd() const { return bpf_map__fd(skeleton_->maps.handshakes); }
int CaptureProgram::opaque_fd() const { return bpf_map__fd(skeleton_->maps.opaque); }

}  // namespace podtap::capture
