#include "agent/http/head_reader.h"

#include <algorithm>
#include <utility>

namespace podtap::http {
namespace {

// Of a field behind the kept part. Longer ones are no framing fields worth believing.
constexpr size_t kMaxLongLineBytes = 1024;
// " HTTP/1.1\r\n" fits.
constexpr size_t kStartLineTailBytes = 16;
// Most that is reserved before the end of a head is in sight.
constexpr size_t kUsualHeadBytes = 1024;

bool IsFold(char c) { return c == ' ' || c == '\t'; }

// Also line ends: a value may be folded.
bool IsBlank(char c) { return IsFold(c) || c == '\r' || c == '\n'; }

std::string_view WithoutLineEnd(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

void HeadReader::Reset() { *this = HeadReader(kind_, limits_); }

HeadReader::Result HeadReader::Read(std::string_view bytes, size_t* taken) {
  *taken = 0;
  if (raw_.empty() && keeping_) {
    raw_.reserve(std::min<size_t>({bytes.size(), kUsualHeadBytes, limits_.max_bytes}));
  }
  while (*taken < bytes.size()) {
    std::string_view part = bytes.substr(*taken);
    const size_t line_end = part.find('\n');
    const bool ends = line_end != std::string_view::npos;
    part = part.substr(0, ends ? line_end + 1 : part.size());
    *taken += part.size();
    TakePart(part);
    if (ends) {
      if (const Result result = EndLine(part); result != Result::kMore) {
        return result;
      }
    }
    last_byte_ = part.back();
  }
  if (!start_line_valid_ && !MayStart(kind_, raw_)) {
    return Result::kInvalid;
  }
  return Result::kMore;
}

void HeadReader::StartLine(char first) {
  if (!start_line_valid_ || IsFold(first)) {
    return;
  }
  last_field_begin_ = raw_.size();
  if (!keeping_) {
    EndLongLine();
  }
}

void HeadReader::TakePart(std::string_view part) {
  if (line_size_ == 0) {
    StartLine(part.front());
  }
  line_size_ += part.size();
  if (keeping_) {
    const size_t room = limits_.max_bytes - raw_.size();
    raw_.append(part.substr(0, room));
    if (part.size() <= room) {
      return;
    }
    part.remove_prefix(room);
    truncated_ = true;
    StopKeeping();
  }
  AddToLongLine(part);
}

HeadReader::Result HeadReader::EndLine(std::string_view part) {
  const char before = part.size() >= 2 ? part[part.size() - 2] : last_byte_;
  const bool empty = line_size_ == 1 || (line_size_ == 2 && before == '\r');
  line_size_ = 0;
  if (!start_line_valid_) {
    if (!CheckStartLine()) {
      return Result::kInvalid;
    }
    start_line_valid_ = true;
    fields_begin_ = raw_.size();
    long_line_.clear();
    return Result::kMore;
  }
  if (!empty) {
    return Result::kMore;
  }
  if (keeping_) {
    ParseFields(raw_.size());
    headers_.SetRaw(std::move(raw_));
    keeping_ = false;
  }
  return Result::kComplete;
}

bool HeadReader::CheckStartLine() {
  const std::string_view line = WithoutLineEnd(raw_);
  if (kind_ == MessageKind::kResponse) {
    const std::optional<StatusLine> status = ParseStatusLine(line);
    status_ = status.value_or(StatusLine{});
    return status.has_value();
  }
  if (keeping_) {
    const std::optional<RequestLine> request = ParseRequestLine(line);
    if (request) {
      method_ = request->method;
      target_ = request->target;
      request_minor_version_ = request->minor_version;
    }
    return request.has_value();
  }
  // The version is far behind what was kept of the target.
  const std::string_view tail = WithoutLineEnd(long_line_);
  const size_t space = tail.rfind(' ');
  const size_t method_end = raw_.find(' ');
  if (space == std::string_view::npos || method_end == std::string::npos) {
    return false;
  }
  const std::string shortened = raw_.substr(0, method_end + 2) + std::string(tail.substr(space));
  const std::optional<RequestLine> request = ParseRequestLine(shortened);
  if (!request) {
    return false;
  }
  method_ = request->method;
  target_ = raw_.substr(method_end + 1);
  request_minor_version_ = request->minor_version;
  return true;
}

void HeadReader::StopKeeping() {
  keeping_ = false;
  if (start_line_valid_) {
    ParseFields(last_field_begin_);
    AddToLongLine(std::string_view(raw_).substr(last_field_begin_));
  } else {
    long_line_ = raw_.substr(raw_.size() - std::min(raw_.size(), kStartLineTailBytes));
  }
}

void HeadReader::AddToLongLine(std::string_view bytes) {
  if (start_line_valid_) {
    long_line_.append(bytes.substr(0, kMaxLongLineBytes - long_line_.size()));
    return;
  }
  long_line_.append(bytes.substr(bytes.size() - std::min(bytes.size(), kStartLineTailBytes)));
  long_line_.erase(0, long_line_.size() - std::min(long_line_.size(), kStartLineTailBytes));
}

void HeadReader::EndLongLine() {
  const size_t colon = long_line_.find(':');
  if (colon != std::string::npos && !IsFold(long_line_.front())) {
    const std::string_view line = long_line_;
    framing_.Add(line.substr(0, colon), line.substr(colon + 1));
  }
  long_line_.clear();
}

void HeadReader::ParseFields(size_t framing_end) {
  const std::string_view raw = raw_;
  size_t begin = fields_begin_;
  while (begin < raw.size()) {
    size_t end = raw.find('\n', begin);
    while (end != std::string_view::npos && end + 1 < raw.size() && IsFold(raw[end + 1])) {
      end = raw.find('\n', end + 1);
    }
    if (end == std::string_view::npos) {
      return;
    }
    const std::string_view field = raw.substr(begin, end + 1 - begin);
    const size_t field_begin = std::exchange(begin, end + 1);
    const size_t colon = field.find(':');
    // Section 2.2: lines that start with whitespace right behind the start line are dropped.
    if (colon == std::string_view::npos || IsFold(field.front())) {
      continue;
    }
    if (field_begin < framing_end) {
      framing_.Add(field.substr(0, colon), field.substr(colon + 1));
    }
    if (headers_.size() >= limits_.max_headers) {
      truncated_ = true;
      continue;
    }
    // Loops, since each search of std::string_view for one of several bytes calls a function per
    // byte.
    size_t name_size = colon;
    while (name_size > 0 && IsFold(field[name_size - 1])) --name_size;
    size_t value_begin = colon + 1;
    size_t value_end = field.size();
    while (value_end > value_begin && IsBlank(field[value_end - 1])) --value_end;
    while (value_begin < value_end && IsBlank(field[value_begin])) ++value_begin;
    headers_.Add(static_cast<uint32_t>(field_begin), static_cast<uint32_t>(name_size),
                 static_cast<uint32_t>(field_begin + value_begin),
                 static_cast<uint32_t>(value_end - value_begin));
  }
}

uint8_t HeadReader::minor_version() const {
  return kind_ == MessageKind::kRequest ? request_minor_version_ : status_.minor_version;
}

HeaderMap HeadReader::TakeHeaders() {
  if (keeping_) {
    // The head goes on, but what follows belongs to nobody.
    truncated_ = true;
    StopKeeping();
  }
  if (headers_.raw().empty()) {
    headers_.SetRaw(std::move(raw_));
  }
  return std::move(headers_);
}

RequestHead HeadReader::TakeRequest() {
  RequestHead head;
  head.headers = TakeHeaders();
  head.method = std::move(method_);
  head.target = std::move(target_);
  head.minor_version = request_minor_version_;
  return head;
}

ResponseHead HeadReader::TakeResponse() {
  ResponseHead head;
  head.headers = TakeHeaders();
  head.status_code = status_.status_code;
  head.minor_version = status_.minor_version;
  return head;
}

}  // namespace podtap::http
