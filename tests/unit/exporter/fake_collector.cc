#include "tests/unit/exporter/fake_collector.h"

#include <gtest/gtest.h>

namespace podtap::exporter {

void FakeCollector::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port_), grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
}

void FakeCollector::Stop() {
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now());
    server_ = nullptr;
  }
}

void FakeCollector::Configure(const Behaviour& behaviour) {
  const std::lock_guard lock(mutex_);
  behaviour_ = behaviour;
}

FakeCollector::State FakeCollector::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

bool FakeCollector::WaitFor(const std::function<bool(const State&)>& condition,
                            std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return condition(state_); });
}

grpc::Status FakeCollector::StreamEvents(grpc::ServerContext*, Stream* stream) {
  v1::StreamEventsRequest request;
  int batches = 0;
  while (stream->Read(&request)) {
    bool go_on = true;
    if (request.has_hello()) {
      go_on = OnHello(request.hello(), stream);
    } else if (request.has_batch()) {
      go_on = OnBatch(request.batch(), ++batches, stream);
    } else if (request.has_dropped()) {
      const v1::DroppedRange& range = request.dropped();
      {
        const std::lock_guard lock(mutex_);
        state_.dropped.emplace_back(range.first_sequence(), range.last_sequence());
        state_.high_water = std::max(state_.high_water, range.last_sequence());
        changed_.notify_all();
      }
      Acknowledge(range.last_sequence(), stream);
    } else if (request.has_status()) {
      const std::lock_guard lock(mutex_);
      state_.statuses.push_back(request.status());
      changed_.notify_all();
    }
    if (!go_on) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "dropped by the test");
    }
  }
  const std::lock_guard lock(mutex_);
  ++state_.orderly_ends;
  changed_.notify_all();
  return grpc::Status::OK;
}

bool FakeCollector::OnHello(const v1::AgentHello& hello, Stream* stream) {
  v1::StreamEventsResponse answer;
  {
    const std::lock_guard lock(mutex_);
    state_.hellos.push_back(hello);
    changed_.notify_all();
    if (behaviour_.close_with != v1::CLOSE_REASON_UNSPECIFIED) {
      answer.mutable_close()->set_reason(behaviour_.close_with);
      answer.mutable_close()->set_message("as the test wants");
    } else if (behaviour_.answers_hello) {
      v1::Ack* position = answer.mutable_hello_ack()->add_positions();
      position->set_epoch(hello.epoch());
      position->set_acked_sequence(state_.high_water);
      // Another epoch's position is none of this agent's business.
      position = answer.mutable_hello_ack()->add_positions();
      position->set_epoch(hello.epoch() + 1);
      position->set_acked_sequence(1'000'000);
    } else {
      return true;
    }
  }
  stream->Write(answer);
  return answer.has_hello_ack();
}

bool FakeCollector::OnBatch(const v1::EventBatch& batch, int number, Stream* stream) {
  const uint64_t last = batch.first_sequence() + batch.events_size() - 1;
  uint64_t acknowledged = last;
  {
    const std::lock_guard lock(mutex_);
    ++state_.batches;
    if (behaviour_.stores) {
      for (uint64_t sequence = batch.first_sequence(); sequence <= last; ++sequence) {
        if (sequence > state_.high_water) {
          state_.stored.push_back(sequence);
          state_.high_water = sequence;
        }
      }
    }
    changed_.notify_all();
    if (behaviour_.drop_stream_after == number) {
      return false;
    }
    acknowledged -= behaviour_.acknowledge_short_by;
  }
  Acknowledge(acknowledged, stream);
  return true;
}

void FakeCollector::Acknowledge(uint64_t sequence, Stream* stream) {
  v1::StreamEventsResponse answer;
  {
    const std::lock_guard lock(mutex_);
    if (!behaviour_.acknowledges) {
      return;
    }
    answer.mutable_ack()->set_epoch(state_.hellos.back().epoch());
    answer.mutable_ack()->set_acked_sequence(sequence);
  }
  stream->Write(answer);
}

}  // namespace podtap::exporter
