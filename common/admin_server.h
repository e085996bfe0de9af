// The admin port: a small HTTP server for probes and metrics.
//
// Flow: the door thread accepts connections and reads heads, without ever waiting for one client ->
// a request that is whole goes to a worker -> the worker makes the page, sends it and closes. A
// client that is slow to ask holds no worker, and when too many wait, those that came first go. A
// client that is slow to read holds a worker for a bounded time, and large pages never hold all of
// them: probes get through.
//
// A thread of the pipeline is never involved: pages are made from copies.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/grpc_target.h"
#include "common/http_answer.h"
#include "common/unique_fd.h"

namespace podtap {

// Every bound of the server.
struct AdminLimits {
  // Connections whose request is not whole.
  size_t max_waiting = 64;
  // Requests that wait for a worker.
  size_t max_ready = 64;
  size_t max_head_bytes = 8192;
  std::chrono::milliseconds head_time{2'000};
  std::chrono::milliseconds send_time{5'000};
  // Of which one is kept free of large pages.
  size_t workers = 3;
};

// Listen(), Start() and Stop() belong to one thread.
class AdminServer {
 public:
  // Binds the address; connections wait until Start(). Errors name the address and what is wrong.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Listen(const HostPort& address,
                                                             AdminLimits limits = {});
  // Stops when Stop() was not called.
  ~AdminServer();

  // The address in use; its port is the one bound when 0 was asked for.
  const HostPort& address() const { return address_; }

  // Serves these pages from now on.
  void Start(std::vector<AdminPage> pages);
  // Ends all connections and threads; no page is being made afterwards.
  void Stop();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  // A connection, and what it has sent so far.
  struct Visitor {
    UniqueFd socket;
    std::string head;
    TimePoint deadline;
  };

  AdminServer(HostPort address, AdminLimits limits, UniqueFd listener, UniqueFd stop);

  // The door's.
  void RunDoor();
  void Accept();
  // Reads what is there; false when the visitor is done with, served or not.
  bool Hear(Visitor& visitor);
  void HandOver(Visitor visitor);

  // The workers'.
  void RunWorker();
  void Serve(Visitor visitor);
  // Sends all of it, unless it takes too long or the server stops.
  void Send(int socket, std::string_view bytes) const;

  HostPort address_;
  const AdminLimits limits_;
  const UniqueFd listener_;
  // Readable once the server stops, for all who poll.
  const UniqueFd stop_;
  std::vector<AdminPage> pages_;

  // The door's own, in order of arrival.
  std::deque<Visitor> waiting_;
  bool can_accept_ = true;

  std::mutex mutex_;
  std::condition_variable ready_changed_;
  std::deque<Visitor> ready_;
  bool stopping_ = false;
  std::atomic<size_t> large_under_way_{0};

  std::vector<std::thread> threads_;
};

}  // namespace podtap
