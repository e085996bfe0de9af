#include "common/http_answer.h"

#include <httplib.h>

#include <algorithm>
#include <utility>

namespace podtap {
namespace {

// A request and its response in memory.
class MemoryStream : public httplib::Stream {
 public:
  explicit MemoryStream(std::string request) : request_(std::move(request)) {}

  std::string TakeResponse() { return std::move(response_); }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, size_t size) override {
    const size_t count = request_.copy(out, size, position_);
    position_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* bytes, size_t size) override {
    response_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

 private:
  const std::string request_;
  size_t position_ = 0;
  std::string response_;
};

// The library's server without its sockets and threads.
class Responder : public httplib::Server {
 public:
  void Respond(httplib::Stream& stream) {
    bool closed = false;
    process_request(stream, /*close_connection=*/true, closed, /*setup_request=*/nullptr);
  }
};

}  // namespace

std::string AnswerRequest(std::string_view head, std::span<const AdminPage> pages,
                          const std::function<AdminReply(const AdminPage&)>& render) {
  // No header field changes an answer, so none is parsed: Range, Accept-Encoding and Expect would
  // let a client multiply the work.
  MemoryStream stream(std::string(head.substr(0, head.find("\r\n"))) + "\r\n\r\n");
  Responder responder;
  responder.set_pre_routing_handler(
      [&](const httplib::Request& request, httplib::Response& response) {
        const auto page = std::find_if(pages.begin(), pages.end(), [&](const AdminPage& candidate) {
          return candidate.path == request.path;
        });
        AdminReply reply;
        if (page == pages.end()) {
          reply = {404, "no such page\n"};
        } else if (request.method != "GET" && request.method != "HEAD") {
          reply = {405, "only GET and HEAD\n"};
          response.set_header("Allow", "GET, HEAD");
        } else {
          reply = render(*page);
        }
        response.status = reply.status;
        response.body = std::move(reply.body);
        response.set_header("Content-Type", reply.content_type);
        return httplib::Server::HandlerResponse::Handled;
      });
  responder.Respond(stream);
  return stream.TakeResponse();
}

}  // namespace podtap
