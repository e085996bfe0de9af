// The filter flags of `podtap observe`, and --not, which negates the filter flag behind it.
//
// The flag parser hands values over flag by flag and so loses which --not stood before which value.
// MarkFilterValues() therefore runs before it: it takes each --not away and marks every filter
// value as wanted or unwanted.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::cli {

constexpr size_t kFilterFlags = 31;

// Marked values by flag.
using FilterValues = std::array<std::vector<std::string>, kFilterFlags>;

// The arguments without --not. kInvalidArgument: a --not with no filter flag behind it.
absl::StatusOr<std::vector<std::string>> MarkFilterValues(int argc, const char* const* argv);

// `values` outlives the parsing.
void AddFilterFlags(CLI::App& app, FilterValues& values);

// Wanted values become one filter (all flags must match, one value of each is enough); every
// unwanted value becomes a filter of its own (none may match).
// kInvalidArgument names the flag whose value can't be one.
absl::Status BuildFilters(const FilterValues& values,
                          google::protobuf::RepeatedPtrField<v1::EventFilter>* include,
                          google::protobuf::RepeatedPtrField<v1::EventFilter>* exclude);

}  // namespace podtap::cli
