#include "common/grpc_log.h"

#include <grpc/support/log.h>

#include "common/log.h"
#include "common/text.h"

namespace podtap {

void RouteGrpcLog() {
  gpr_set_log_function(
      [](gpr_log_func_args* line) { spdlog::debug("grpc: {}", SafeText(line->message, 1000)); });
}

}  // namespace podtap
