// What a container engine answers when it is asked for its containers. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/discovery/pod.h"

namespace podtap::discovery::proc {

// Containers by their full ids. Names and images are as the engine gave them.
using EngineList = std::map<std::string, Container>;

// From the answer to GET /containers/json: each element's Id, first of Names, and Image. Elements
// without a usable id are passed over, and so is what goes beyond the bound. Absent when the text
// is no JSON array.
std::optional<EngineList> ParseEngineList(std::string_view json, size_t max_containers = 4096);

}  // namespace podtap::discovery::proc
