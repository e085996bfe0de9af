// One event as one line of text, for people (compact) and for programs (JSON).
//
// Strings of an event come from the network: in both forms nothing that could drive a terminal,
// break a line or be read as another column gets through. Thread-safe.
#pragma once

#include <string>

#include "podtap/v1/event.pb.h"

namespace podtap {

// "12:00:01.123 shop/web-7f -> shop/api-5c:8080 GET /v1/items/42 200 12.3ms 1.2kB client", followed
// by the outcome when it is not COMPLETE, and by the flags in brackets when there are any. Time is
// the start in the local zone, then come the client, the server, the request, the status, the
// duration, the size of the response's body and who reported; "-" stands for what there is not. No
// newline at the end. `colour` adds ANSI colours.
std::string CompactLine(const v1::HttpEvent& event, bool colour);

// The event in proto3 JSON, lowerCamelCase names, without newline. Fields that have their default
// value are left out. Every string of `event` is valid UTF-8, which protobuf demands anyway.
std::string JsonLine(const v1::HttpEvent& event);

}  // namespace podtap
