#include "agent/discovery/proc/cgroup_name.h"

#include <algorithm>
#include <optional>

namespace podtap::discovery::proc {
namespace {

constexpr size_t kIdSize = 64;
constexpr size_t kMaxName = 256;

// How engines mark the groups that they make, before the id. A colon stands where systemd's names
// are asked of an engine that makes the groups itself: SLICE:MARK:ID.
struct Mark {
  std::string_view text;
  std::string_view family;
};
constexpr Mark kMarks[] = {
    {"docker-", "docker"},
    {"docker:", "docker"},
    {"libpod-", "podman"},
    {"libpod:", "podman"},
    {"cri-containerd-", "containerd"},
    {"cri-containerd:", "containerd"},
    {"nerdctl-", "containerd"},
    {"nerdctl:", "containerd"},
    {"crio-", "crio"},
    {"crio:", "crio"},
};

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool IsId(std::string_view text) {
  return text.size() == kIdSize && std::all_of(text.begin(), text.end(), IsLowerHex);
}

bool HasPrefix(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Takes `suffix` off the end; false when it is not there.
bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (text.size() < suffix.size() || text.substr(text.size() - suffix.size()) != suffix) {
    return false;
  }
  text.remove_suffix(suffix.size());
  return true;
}

// Takes what comes before the next `end`, and that, off the front.
std::string_view TakeUntil(std::string_view& text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

std::optional<CgroupName> Named(std::string_view family, std::string_view name) {
  return CgroupName{.family = std::string(family), .name = std::string(name)};
}

// By the folder around groups whose name is the id alone.
std::string_view FamilyInside(std::string_view parent) {
  if (parent == "docker") {
    return "docker";
  }
  // What clients of containerd that are told nothing else call their containers' namespace.
  return parent == "default" ? "containerd" : "container";
}

std::optional<CgroupName> Container(std::string_view group, std::string_view parent) {
  if (IsId(group)) {
    return Named(FamilyInside(parent), group);
  }
  if (const size_t slice = group.find(':'); slice != std::string_view::npos) {
    group.remove_prefix(slice + 1);
  }
  TakeSuffix(group, ".scope");
  for (const Mark& mark : kMarks) {
    if (HasPrefix(group, mark.text) && IsId(group.substr(mark.text.size()))) {
      return Named(mark.family, group.substr(mark.text.size()));
    }
  }
  return std::nullopt;
}

int HexDigit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

// Undoes systemd's \xNN.
std::string Unescape(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    if (HasPrefix(text, "\\x") && text.size() >= 4 && IsLowerHex(text[2]) && IsLowerHex(text[3])) {
      plain += static_cast<char>(HexDigit(text[2]) << 4 | HexDigit(text[3]));
      text.remove_prefix(4);
    } else {
      plain += text.front();
      text.remove_prefix(1);
    }
  }
  return plain;
}

std::optional<CgroupName> Machine(std::string_view group) {
  const bool is_scope = HasPrefix(group, "machine-") && TakeSuffix(group, ".scope");
  const bool is_service = HasPrefix(group, "systemd-nspawn@") && TakeSuffix(group, ".service");
  if (!is_scope && !is_service) {
    return std::nullopt;
  }
  TakeUntil(group, is_scope ? '-' : '@');
  return group.empty() ? std::nullopt : Named("machine", Unescape(group));
}

std::optional<CgroupName> Service(std::string_view group) {
  std::string_view base = group;
  // A user's manager runs whatever the user starts.
  if (HasPrefix(group, "user@") || !TakeSuffix(base, ".service") || base.empty()) {
    return std::nullopt;
  }
  return Named("systemd", Unescape(group));
}

}  // namespace

bool CgroupName::is_container() const { return IsId(name) && family != "systemd"; }

CgroupName NameFromCgroup(std::string_view text) {
  CgroupName service;
  while (!text.empty()) {
    // "HIERARCHY:CONTROLLERS:PATH".
    std::string_view path = TakeUntil(text, '\n');
    TakeUntil(path, ':');
    TakeUntil(path, ':');
    CgroupName inner;
    std::string_view parent;
    while (!path.empty()) {
      const std::string_view group = TakeUntil(path, '/');
      if (group.size() > kMaxName) {
        continue;
      }
      std::optional<CgroupName> found = Container(group, parent);
      if (!found) {
        found = Machine(group);
      }
      if (found) {
        inner = *std::move(found);
      } else if (const std::optional<CgroupName> unit = Service(group)) {
        service = *unit;
      }
      parent = group;
    }
    if (!inner.family.empty()) {
      return inner;
    }
  }
  return service;
}

}  // namespace podtap::discovery::proc
