// `podtap-agent doctor`: looks at all that the agent needs, and says what to mend. Leaves nothing
// behind: the one tap that it opens is on loopback, and closed at once.
#pragma once

#include <ostream>

#include "agent/findings.h"
#include "agent/options.h"

namespace podtap {

// Prints a line for each finding. Returns the exit code: whether an agent with these options would
// work.
int RunDoctor(const AgentOptions& options, std::ostream& out);

// The part on where pods come from, and which interfaces would be tapped for them.
void CheckPods(const AgentOptions& options, Findings& findings);

}  // namespace podtap
