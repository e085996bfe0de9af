#include "tests/unit/pipeline/transcript.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/status.h"

namespace podtap::testing {
namespace {

std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    PODTAP_CHECK(++i < text.size());
    switch (text[i]) {
      case 'r':
        out += '\r';
        break;
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 's':
        out += ' ';
        break;
      case '\\':
        out += '\\';
        break;
      case 'x':
        PODTAP_CHECK(i + 2 < text.size());
        out += static_cast<char>(std::strtol(text.substr(i + 1, 2).c_str(), nullptr, 16));
        i += 2;
        break;
      default:
        PODTAP_CHECK(false && "unknown escape");
    }
  }
  return out;
}

void AddSegmentLine(const std::string& line, Transcript* transcript) {
  const std::string rest = line.size() > 2 ? line.substr(2) : "";
  if (line[0] != '+') {
    ScriptSegment segment;
    segment.from_client = line[0] == 'C';
    segment.fin = rest == "FIN";
    segment.rst = rest == "RST";
    if (!segment.fin && !segment.rst) {
      segment.bytes = Unescape(rest);
    }
    transcript->segments.push_back(std::move(segment));
    return;
  }
  PODTAP_CHECK(!transcript->segments.empty());
  std::string& bytes = transcript->segments.back().bytes;
  if (line[1] != '*') {
    bytes += Unescape(rest);
    return;
  }
  const size_t space = line.find(' ');
  PODTAP_CHECK(space != std::string::npos);
  const std::string unit = Unescape(line.substr(space + 1));
  for (long n = std::atol(line.c_str() + 2); n > 0; --n) {
    bytes += unit;
  }
}

}  // namespace

Transcript LoadTranscript(const std::string& path) {
  Transcript transcript;
  transcript.name = std::filesystem::path(path).stem().string();
  std::ifstream file(path);
  PODTAP_CHECK(file.good());
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    if (line[0] == 'C' || line[0] == 'S' || line[0] == '+') {
      AddSegmentLine(line, &transcript);
    } else if (line[0] == '=') {
      transcript.expected.push_back(line.substr(2));
    } else if (line[0] == '!') {
      const size_t equals = line.find('=');
      PODTAP_CHECK(equals != std::string::npos);
      transcript.expected_counts.emplace_back(line.substr(2, equals - 2),
                                              std::atol(line.c_str() + equals + 1));
    } else if (line == "@ midstream") {
      transcript.midstream = true;
    } else if (line == "@ only whole") {
      transcript.only_whole = true;
    } else {
      PODTAP_CHECK(false && "unknown line in transcript");
    }
  }
  return transcript;
}

std::vector<std::string> ListTranscripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(PODTAP_TEST_DATA "/http")) {
    if (entry.path().extension() == ".txt") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  PODTAP_CHECK(!names.empty());
  return names;
}

std::vector<PlacedSegment> Place(const std::vector<ScriptSegment>& segments) {
  std::vector<PlacedSegment> placed;
  uint64_t next[2] = {0, 0};
  for (const ScriptSegment& segment : segments) {
    placed.push_back({segment, next[segment.from_client]});
    next[segment.from_client] += segment.bytes.size();
  }
  return placed;
}

std::vector<PlacedSegment> CutAll(const std::vector<PlacedSegment>& segments, size_t size) {
  std::vector<PlacedSegment> cut;
  for (const PlacedSegment& whole : segments) {
    const std::string& bytes = whole.segment.bytes;
    for (size_t at = 0; at == 0 || at < bytes.size(); at += size) {
      PlacedSegment part = whole;
      part.segment.bytes = bytes.substr(at, size);
      part.offset = whole.offset + at;
      const bool last = at + size >= bytes.size();
      part.segment.fin = last && whole.segment.fin;
      part.segment.rst = last && whole.segment.rst;
      cut.push_back(std::move(part));
    }
  }
  return cut;
}

std::vector<PlacedSegment> CutOne(const std::vector<PlacedSegment>& segments, size_t index,
                                  size_t at) {
  std::vector<PlacedSegment> cut = segments;
  PlacedSegment second = cut[index];
  second.segment.bytes.erase(0, at);
  second.offset += at;
  cut[index].segment.bytes.resize(at);
  cut[index].segment.fin = false;
  cut[index].segment.rst = false;
  cut.insert(cut.begin() + static_cast<ptrdiff_t>(index) + 1, std::move(second));
  return cut;
}

void Play(const Transcript& transcript, const std::vector<PlacedSegment>& segments,
          PipelineHarness* harness) {
  ConnectionOptions options;
  options.midstream = transcript.midstream;
  // Both streams wrap around early.
  options.client_isn = 0xfffffff0;
  options.server_isn = 0xffffffe0;
  TestConnection connection(*harness, options);
  for (const PlacedSegment& placed : segments) {
    const ScriptSegment& segment = placed.segment;
    const SegmentOptions flags = {.fin = segment.fin, .rst = segment.rst};
    if (segment.from_client) {
      connection.ClientAt(placed.offset, segment.bytes, flags);
    } else {
      connection.ServerAt(placed.offset, segment.bytes, flags);
    }
    harness->pipeline.OnTick(harness->now_ns);
  }
  harness->Sleep(3'000'000'000);
  harness->Finish();
}

}  // namespace podtap::testing
