// How many files and sockets the process may have open.
#pragma once

namespace podtap {

// Raises the limit to what the process may give itself, where that is more: each tap and each
// connection takes a descriptor, and 1024 are what many systems begin with. A limit that can't be
// raised stays, and is said by whatever meets it.
void RaiseFileLimit();

}  // namespace podtap
