// Transcripts of connections (tests/data/http/*.txt) and the ways to play them.
//
// Lines: "#" comment; "C text", "S text" a segment of the client or server; "+ text" more of the
// same segment; "+*N c" N times the character; "C FIN", "S FIN", "S RST"; "= ..." an expected
// exchange in the words of Describe(); "! counter=N" an expected count. Text has escapes \r \n \t
// \\ \s (space) \xHH. A line "@ midstream" says that no SYN was seen; "@ only whole" that cutting
// changes the answer.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/support/segment_script.h"

namespace podtap::testing {

struct ScriptSegment {
  bool from_client = true;
  std::string bytes;
  bool fin = false;
  bool rst = false;
};

struct Transcript {
  std::string name;
  bool midstream = false;
  bool only_whole = false;
  std::vector<ScriptSegment> segments;
  std::vector<std::string> expected;
  std::vector<std::pair<std::string, uint64_t>> expected_counts;
};

// Ends the test program with a message when the file is not as described above.
Transcript LoadTranscript(const std::string& path);
std::vector<std::string> ListTranscripts();

// A segment with its place in its stream; what is delivered, in this order.
struct PlacedSegment {
  ScriptSegment segment;
  uint64_t offset = 0;
};

std::vector<PlacedSegment> Place(const std::vector<ScriptSegment>& segments);
// Each segment cut into pieces of at most `size` bytes.
std::vector<PlacedSegment> CutAll(const std::vector<PlacedSegment>& segments, size_t size);
// The segment at `index` cut before its byte `at`.
std::vector<PlacedSegment> CutOne(const std::vector<PlacedSegment>& segments, size_t index,
                                  size_t at);

// Plays into a fresh harness, lets gaps expire, and ends.
void Play(const Transcript& transcript, const std::vector<PlacedSegment>& segments,
          PipelineHarness* harness);

}  // namespace podtap::testing
