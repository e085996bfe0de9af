// What holds of every event, wherever it comes from, and the way from a batch through the store's
// codec to events.
#pragma once

#include <google/protobuf/message.h>

#include <vector>

#include "podtap/v1/event.pb.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap::fuzz {

// Every string of the message is safe (text_checks.h).
void CheckStrings(const google::protobuf::Message& message);

// Its strings are safe, its JSON is the event again, and its compact line is one line that has the
// columns it should have.
void CheckEvent(const v1::HttpEvent& event);

// The events of a batch that went through PrepareBatch, as the store gives them back.
std::vector<v1::HttpEvent> StoreAndExpand(v1::EventBatch batch);

// The origin that StoreAndExpand() writes into events, beside the batch's epoch.
constexpr const char* kNodeName = "node-1";
constexpr const char* kClusterName = "test";

}  // namespace podtap::fuzz
