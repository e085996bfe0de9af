#include "agent/http/message.h"

#include "agent/http/start_line.h"

namespace podtap::http {

std::optional<std::string_view> HeaderMap::Find(std::string_view name) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    const HeaderField field = (*this)[i];
    if (EqualsIgnoreCase(field.name, name)) {
      return field.value;
    }
  }
  return std::nullopt;
}

RequestMethod ClassifyMethod(std::string_view method) {
  if (method == "HEAD") return RequestMethod::kHead;
  if (method == "CONNECT") return RequestMethod::kConnect;
  return RequestMethod::kOther;
}

}  // namespace podtap::http
