#include "common/settings_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <sstream>
#include <string_view>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"
#include "common/unique_fd.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/mark.h"
#include "yaml-cpp/parser.h"

namespace podtap {
namespace {

constexpr size_t kMaxFileBytes = 64 << 10;

// Whether the quoted scalar at the start of `text` has an end. The parser takes the end of the file
// for one, and would make one value of all that stands behind a forgotten quote.
bool IsClosed(std::string_view text) {
  const char quote = text.empty() ? '\0' : text.front();
  if (quote != '"' && quote != '\'') {
    // A block scalar, which has a tag like a quoted one.
    return true;
  }
  for (size_t i = 1; i < text.size(); ++i) {
    const bool doubled = quote == '\'' && text.substr(i, 2) == "''";
    if (doubled || (quote == '"' && text[i] == '\\')) {
      ++i;
    } else if (text[i] == quote) {
      return true;
    }
  }
  return false;
}

// Takes the parser's events for one flat map. Nothing is built but the list of settings, so that no
// document can cost more than its bytes. After the first error the rest is passed over.
class SettingsHandler : public YAML::EventHandler {
 public:
  // `text`, which the parser reads, outlives the handler.
  explicit SettingsHandler(std::string_view text) : text_(text) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      Fail(mark, "a second document; write one");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    // An empty document is an empty map.
    if (state_ == State::kKey) {
      Fail(mark, "a key is empty");
    } else if (state_ != State::kStart && !error_) {
      error_ = absl::StrFormat("%d: %s: has no value; give one, or leave the key out",
                               settings_.back().line, SafeText(settings_.back().key, 100));
    }
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Fail(mark, "aliases (*name) are not taken; write the value");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (!CheckNode(mark, tag, anchor)) {
      return;
    }
    if (tag == "!" && !IsClosed(text_.substr(std::min<size_t>(mark.pos, text_.size())))) {
      Fail(mark, "a quote is not closed");
      return;
    }
    if (SafeText(value) != value) {
      Fail(mark, "\"" + SafeText(value, 100) + "\" holds control characters");
      return;
    }
    switch (state_) {
      case State::kStart:
        Fail(mark, "not a map; write lines of \"key: value\"");
        return;
      case State::kKey:
        AddKey(mark, value);
        return;
      case State::kValue:
        state_ = State::kKey;
        break;
      case State::kList:
        break;
    }
    settings_.back().values.push_back(value);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    if (!CheckNode(mark, tag, anchor)) {
      return;
    }
    if (state_ != State::kValue) {
      Fail(mark, "a list stands where none can be; write lines of \"key: value\"");
      return;
    }
    settings_.back().is_list = true;
    state_ = State::kList;
  }
  void OnSequenceEnd() override { state_ = State::kKey; }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    if (!CheckNode(mark, tag, anchor)) {
      return;
    }
    if (state_ != State::kStart) {
      Fail(mark, "a map inside the map; keys are flat, named as the flags");
      return;
    }
    state_ = State::kKey;
  }
  void OnMapEnd() override {}

  // "LINE: what" of the first error.
  const std::optional<std::string>& error() const { return error_; }
  std::vector<FileSetting> Take() { return std::move(settings_); }

 private:
  enum class State { kStart, kKey, kValue, kList };

  void Fail(const YAML::Mark& mark, const std::string& what) {
    if (!error_) {
      error_ = absl::StrFormat("%d: %s", mark.line + 1, what);
    }
  }

  // False when the rest of the file is passed over.
  bool CheckNode(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) {
      Fail(mark, "anchors (&name) are not taken; write the value where it is wanted");
    } else if (!tag.empty() && tag != "?" && tag != "!") {
      // "?" is a plain node, "!" a quoted one.
      Fail(mark, "tags (!name) are not taken; write the value without");
    }
    return !error_;
  }

  void AddKey(const YAML::Mark& mark, const std::string& key) {
    const auto earlier =
        std::find_if(settings_.begin(), settings_.end(),
                     [&](const FileSetting& setting) { return setting.key == key; });
    if (earlier != settings_.end()) {
      Fail(mark, absl::StrFormat("%s: is in line %d already; give it once", SafeText(key, 100),
                                 earlier->line));
      return;
    }
    settings_.push_back({.key = key, .line = mark.line + 1});
    state_ = State::kValue;
  }

  std::string_view text_;
  State state_ = State::kStart;
  int documents_ = 0;
  std::vector<FileSetting> settings_;
  std::optional<std::string> error_;
};

// The first line that holds what can't be printed, counted from 1.
std::optional<int> UnsafeLine(std::string_view text) {
  for (int line = 1; !text.empty(); ++line) {
    const size_t length = std::min(text.find('\n'), text.size());
    std::string content(text.substr(0, length));
    std::replace(content.begin(), content.end(), '\t', ' ');
    if (!content.empty() && content.back() == '\r') {
      content.pop_back();
    }
    if (SafeText(content) != content) {
      return line;
    }
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return std::nullopt;
}

// The whole file, or the reason why not, without its name.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  // O_NONBLOCK: a named pipe that nobody writes to must not hold up the program.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    return ErrnoStatus(errno, "can't be opened");
  }
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) {
    return ErrnoStatus(errno, "can't be read");
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError("is not a regular file");
  }
  std::string text(kMaxFileBytes + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(fd.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return ErrnoStatus(errno, "can't be read");
    }
    if (count == 0) {
      text.resize(size);
      return text;
    }
    size += static_cast<size_t>(count);
  }
  return absl::InvalidArgumentError("is larger than 64 KiB");
}

}  // namespace

absl::StatusOr<std::vector<FileSetting>> ParseSettings(const std::string& name,
                                                       const std::string& text) {
  const std::string safe_name = SafeText(name, 200);
  if (const std::optional<int> line = UnsafeLine(text)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s:%d: holds control characters, or bytes that are not UTF-8", safe_name, *line));
  }
  SettingsHandler handler(text);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(handler)) {
    }
  } catch (const YAML::Exception& error) {
    if (!handler.error()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s:%d: not YAML: %s", safe_name, error.mark.line + 1, SafeText(error.msg, 200)));
    }
  }
  if (handler.error()) {
    return absl::InvalidArgumentError(absl::StrFormat("%s:%s", safe_name, *handler.error()));
  }
  return handler.Take();
}

absl::StatusOr<std::vector<FileSetting>> ReadSettingsFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: %s", SafeText(path, 200), SafeText(std::string(text.status().message()), 200)));
  }
  return ParseSettings(path, *text);
}

}  // namespace podtap
