#include "cli/options.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/filter_flags.h"
#include "common/command_line.h"
#include "common/status.h"
#include "common/text.h"
#include "common/tls_flags.h"
#include "common/units.h"

namespace podtap::cli {
namespace {

constexpr int32_t kDefaultLast = 20;
constexpr int32_t kMaxLast = 100'000;

// What the flags hold before they are checked.
struct Flags {
  std::string server = "127.0.0.1:4270";
  std::string output;
  std::optional<int32_t> last;
  std::string since;
  std::string until;
  bool follow = false;
  std::string cursor_file;
  TlsFlags tls;
  std::string log_level = "warn";
  FilterValues filters;
};

// How to reach the collector and how to print: what environment and file may set too.
void AddSettings(CLI::App& app, Flags& flags) {
  app.option_defaults()->group("Settings");
  app.add_option("--server", flags.server, "Address of the collector")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("-o,--output", flags.output,
                 "compact (default on a terminal), or json: one podtap.v1.HttpEvent per line")
      ->check(CLI::IsMember({"compact", "json"}));
  AddTlsFlags(app, TlsRole::kClient, flags.tls);
  app.add_option("--log-level", flags.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
}

// What is asked for. Only the command line says that: a PODTAP_NAMESPACE that happens to be in the
// environment must not hide events.
void AddQuestions(CLI::App& app, Flags& flags) {
  app.option_defaults()->configurable(false)->group("Options");
  app.add_option("--last", flags.last,
                 "Newest matching events to print (default: 20; all with --since or --until)")
      ->check(CLI::Range(0, kMaxLast))
      ->type_name("N");
  app.add_option("--since", flags.since,
                 "Events that began at or after this: 5m (ago) or 2030-01-02T15:04:05Z")
      ->type_name("TIME");
  app.add_option("--until", flags.until, "Events that began before this")->type_name("TIME");
  app.add_flag("-f,--follow", flags.follow, "Go on with new events as they are stored");
  app.add_option(
         "--cursor-file", flags.cursor_file,
         "With --follow: go on where the run before ended, as FILE says, and keep FILE up to "
         "date; made when missing")
      ->type_name("FILE");
  AddFilterFlags(app, flags.filters);
}

// "5m" is that long before now; else RFC 3339.
absl::StatusOr<int64_t> ParseTime(const std::string& flag, const std::string& text,
                                  int64_t now_ns) {
  if (const absl::StatusOr<int64_t> ago_ns = ParseDurationNs(flag, text); ago_ns.ok()) {
    return now_ns - *ago_ns;
  }
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: \"%s\" is neither a duration like 5m nor a time like "
                        "2030-01-02T15:04:05Z",
                        flag, SafeText(text, 100)));
  }
  return absl::ToUnixNanos(time);
}

void SetTimestamp(int64_t unix_ns, google::protobuf::Timestamp* time) {
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  const int64_t nanos = (unix_ns % kNsPerSecond + kNsPerSecond) % kNsPerSecond;
  time->set_seconds((unix_ns - nanos) / kNsPerSecond);
  time->set_nanos(static_cast<int32_t>(nanos));
}

absl::Status SetTimeRange(const Flags& flags, int64_t now_ns, v1::TimeRange* range) {
  if (flags.follow && !flags.until.empty()) {
    return absl::InvalidArgumentError("--until: has no meaning with --follow");
  }
  if (!flags.cursor_file.empty() && !flags.follow) {
    return absl::InvalidArgumentError("--cursor-file: has no meaning without --follow");
  }
  if (!flags.cursor_file.empty() && !flags.since.empty()) {
    return absl::InvalidArgumentError("--since: has no meaning with --cursor-file");
  }
  if (!flags.since.empty()) {
    PODTAP_ASSIGN_OR_RETURN(const int64_t since_ns, ParseTime("--since", flags.since, now_ns));
    SetTimestamp(since_ns, range->mutable_start_time());
  }
  if (!flags.until.empty()) {
    PODTAP_ASSIGN_OR_RETURN(const int64_t until_ns, ParseTime("--until", flags.until, now_ns));
    SetTimestamp(until_ns, range->mutable_end_time());
  }
  return absl::OkStatus();
}

absl::Status Check(const Flags& flags, const Surroundings& surroundings, ObserveOptions* options) {
  PODTAP_ASSIGN_OR_RETURN(options->server, ParseHostPort("--server", flags.server));
  PODTAP_ASSIGN_OR_RETURN(options->tls,
                          OpenTlsFiles(TlsRole::kClient, flags.tls, "--server", options->server));
  options->log_level = flags.log_level;
  options->json = flags.output.empty() ? !surroundings.stdout_is_terminal : flags.output == "json";
  options->colour = surroundings.stdout_is_terminal && !surroundings.no_colour;
  options->follow = flags.follow;
  options->cursor_file = flags.cursor_file;
  options->last = flags.last;
  if (!flags.last && flags.since.empty() && flags.until.empty()) {
    options->last = kDefaultLast;
  }
  PODTAP_RETURN_IF_ERROR(SetTimeRange(flags, surroundings.now_ns, &options->time_range));
  return BuildFilters(flags.filters, &options->include, &options->exclude);
}

}  // namespace

std::variant<ObserveOptions, int> ParseArguments(int argc, const char* const* argv,
                                                 const Surroundings& surroundings) {
  CommandLine command_line("Shows HTTP requests from a podtap collector.", "podtap");
  CLI::App& app = command_line.app();
  app.require_subcommand(1);
  CLI::App& observe = *app.add_subcommand("observe", "Print events");
  Flags flags;
  AddSettings(observe, flags);
  AddQuestions(observe, flags);

  const absl::StatusOr<std::vector<std::string>> marked = MarkFilterValues(argc, argv);
  if (!marked.ok()) {
    return command_line.UsageError(std::string(marked.status().message()));
  }
  std::vector<const char*> pointers;
  for (const std::string& argument : *marked) {
    pointers.push_back(argument.c_str());
  }
  if (const std::optional<int> exit_code =
          command_line.Parse(static_cast<int>(pointers.size()), pointers.data())) {
    return *exit_code;
  }
  ObserveOptions options;
  if (const absl::Status status = Check(flags, surroundings, &options); !status.ok()) {
    return command_line.UsageError(std::string(status.message()));
  }
  return options;
}

}  // namespace podtap::cli
