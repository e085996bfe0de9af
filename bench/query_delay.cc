// How long after the last byte of its response an exchange is in the answer to a query.
//
//   query_delay --target IPV4:PORT --server HOST:PORT --samples N
//
// Makes one request after another, each for a path of its own, while a second thread asks the
// collector for them again and again. What is measured ends with the answer, so the time of a query
// and half the pause between two of them are part of it. Prints one line of JSON:
//
//   {"samples": N, "missing": N, "p50_ms": T, "p99_ms": T, "max_ms": T}
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/command_line.h"
#include "common/grpc_target.h"
#include "common/unique_fd.h"
#include "podtap/v1/query_service.grpc.pb.h"

namespace podtap {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr char kPath[] = "/delay/";
constexpr int kMaxSamples = 1000;
// Between requests; no divisor of the agent's and collector's own intervals.
constexpr milliseconds kRequestPause{23};
constexpr milliseconds kQueryPause{2};
constexpr std::chrono::seconds kPatience{10};

// One request's times. The response's is set before the query's can be.
struct Sample {
  std::optional<Clock::time_point> answered;
  std::optional<Clock::time_point> found;
};

class Samples {
 public:
  explicit Samples(int count) : samples_(static_cast<size_t>(count)) {}

  void Answered(size_t number, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    samples_[number].answered = now;
  }
  void Found(size_t number, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (number < samples_.size() && !samples_[number].found) {
      samples_[number].found = now;
      ++found_;
    }
  }
  bool AllFound() const {
    const std::lock_guard lock(mutex_);
    return found_ == samples_.size();
  }
  // Sorted, of those found.
  std::vector<double> DelaysMs() const {
    std::vector<double> delays;
    for (const Sample& sample : samples_) {
      if (sample.answered && sample.found) {
        const std::chrono::duration<double, std::milli> delay = *sample.found - *sample.answered;
        // The query can be ahead of this program's own look at the response.
        delays.push_back(std::max(0.0, delay.count()));
      }
    }
    std::sort(delays.begin(), delays.end());
    return delays;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Sample> samples_;
  size_t found_ = 0;
};

// The responses have no body of interest: whatever follows the head comes with it.
bool Request(int fd, size_t number, Samples& samples) {
  const std::string request =
      std::string("HEAD ") + kPath + std::to_string(number) + " HTTP/1.1\r\nHost: delay\r\n\r\n";
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return false;
  }
  std::string head;
  char buffer[4096];
  while (head.find("\r\n\r\n") == std::string::npos) {
    const ssize_t size = ::recv(fd, buffer, sizeof(buffer), 0);
    if (size <= 0) {
      return false;
    }
    head.append(buffer, static_cast<size_t>(size));
  }
  samples.Answered(number, Clock::now());
  return true;
}

// Asks until all are found or the deadline has come.
void Query(const std::string& server, Clock::time_point deadline, Samples& samples) {
  const auto stub =
      v1::QueryService::NewStub(grpc::CreateChannel(server, grpc::InsecureChannelCredentials()));
  v1::ListEventsRequest request;
  v1::EventFilter* filter = request.add_include();
  filter->add_path(std::string(kPath) + "*");
  filter->add_reporter(v1::REPORTER_SERVER);
  request.set_page_size(kMaxSamples);
  while (!samples.AllFound() && Clock::now() < deadline) {
    grpc::ClientContext context;
    v1::ListEventsResponse response;
    if (stub->ListEvents(&context, request, &response).ok()) {
      const Clock::time_point now = Clock::now();
      for (const v1::HttpEvent& event : response.events()) {
        const char* number = event.request().path().c_str() + sizeof(kPath) - 1;
        samples.Found(std::strtoull(number, nullptr, 10), now);
      }
    }
    std::this_thread::sleep_for(kQueryPause);
  }
}

int Run(const HostPort& target, const std::string& server, int count) {
  sockaddr_in address{.sin_family = AF_INET};
  address.sin_port = htons(target.port);
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  if (::inet_pton(AF_INET, target.host.c_str(), &address.sin_addr) != 1 ||
      ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    std::fprintf(stderr, "query_delay: can't connect to %s\n", target.ToString().c_str());
    return 1;
  }
  Samples samples(count);
  const Clock::time_point deadline = Clock::now() + kRequestPause * count + kPatience;
  std::thread query([&] { Query(server, deadline, samples); });
  for (size_t i = 0; i < static_cast<size_t>(count) && Request(fd.get(), i, samples); ++i) {
    std::this_thread::sleep_for(kRequestPause);
  }
  query.join();
  const std::vector<double> delays = samples.DelaysMs();
  const auto at = [&](double share) {
    return delays.empty() ? -1.0 : delays[static_cast<size_t>(share * (delays.size() - 1) + 0.5)];
  };
  std::printf(
      "{\"samples\": %d, \"missing\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
      count, count - static_cast<int>(delays.size()), at(0.5), at(0.99), at(1));
  return 0;
}

}  // namespace
}  // namespace podtap

int main(int argc, char** argv) {
  std::string target;
  std::string server;
  int samples = 200;
  CLI::App app("From a response's last byte to the answer of a query", "query_delay");
  app.add_option("--target", target, "Web server")->type_name("IPV4:PORT")->required();
  app.add_option("--server", server, "Collector")->type_name("HOST:PORT")->required();
  app.add_option("--samples", samples, "Requests")->check(CLI::Range(1, podtap::kMaxSamples));
  if (const auto exit_code = podtap::ParseCommandLine(app, argc, argv)) {
    return *exit_code;
  }
  const absl::StatusOr<podtap::HostPort> address = podtap::ParseHostPort("--target", target);
  if (!address.ok()) {
    return podtap::ReportFailure("query_delay", address.status());
  }
  return podtap::Run(*address, server, samples);
}
