// The HTTP of the admin port: one request head in, one response out. No I/O.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace podtap {

// What a page says: text of our own, in which nothing of a request is repeated.
struct AdminReply {
  int status = 200;
  std::string body;
  // Prometheus's format by default, which other plain text passes for.
  std::string content_type = "text/plain; version=0.0.4; charset=utf-8";
};

struct AdminPage {
  std::string path;
  // Makes the body; thread-safe, and never waits for the pipeline.
  std::function<AdminReply()> render;
  // Takes long to make or to send: only some may be under way at a time.
  bool is_large = false;
};

// The whole response to the request that `head` asks for; the connection is closed behind it.
// `render` is called for GET and HEAD of a known page. Else: 404 for an unknown path, 405 for
// another method, 400 for what is no HTTP/1.x request line.
std::string AnswerRequest(std::string_view head, std::span<const AdminPage> pages,
                          const std::function<AdminReply(const AdminPage&)>& render);

}  // namespace podtap
