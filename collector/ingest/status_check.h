// What of an agent's status is kept: lists that are bounded, text that can be shown.
#pragma once

#include "podtap/v1/ingest_service.pb.h"

namespace podtap::ingest {

// Keeps the lines that can be shown, pods by namespace, name and UID, each once. Returns how many
// were not kept.
int PrepareStatus(v1::AgentStatus& status);

}  // namespace podtap::ingest
