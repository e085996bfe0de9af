// Page tokens and cursors: opaque to clients, so they can change form; checked when they come back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "collector/store/event_store.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::query {

// Where the next page of a list begins.
struct PageToken {
  uint64_t store_id = 0;
  // Of the request, so that a token is not used with another one.
  uint64_t fingerprint = 0;
  // Last place the pages before looked at.
  store::ScanPosition position;
  // Rows stored after the first page are left out: pages neither shift nor grow.
  uint64_t last_row = 0;
};

// A place in the order in which events were stored.
struct Cursor {
  uint64_t store_id = 0;
  // Last row handled.
  uint64_t row = 0;
};

std::string EncodePageToken(const PageToken& token);
// nullopt: not one of ours.
std::optional<PageToken> DecodePageToken(std::string_view text);
// Where the next page of a list of pods begins: behind this one.
struct PodToken {
  // Of the request.
  uint64_t fingerprint = 0;
  std::string node;
  std::string name_space;
  std::string pod;
  std::string uid;
};
std::string EncodePodToken(const PodToken& token);
std::optional<PodToken> DecodePodToken(std::string_view text);

std::string EncodeCursor(const Cursor& cursor);
std::optional<Cursor> DecodeCursor(std::string_view text);

// Hash of all fields that must stay the same from page to page. Stable across restarts.
uint64_t Fingerprint(const v1::ListEventsRequest& request);
uint64_t Fingerprint(const v1::GetCoverageRequest& request);

}  // namespace podtap::query
