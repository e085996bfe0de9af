// Prints a collector's GetServerStatus, or the first page of its GetCoverage, as JSON: what
// end-to-end drivers read the ledger from.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <string>

#include "podtap/v1/query_service.grpc.pb.h"

namespace {

int Print(const grpc::Status& status, const google::protobuf::Message& response) {
  std::string json;
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.error_message().c_str());
    return 1;
  }
  if (!google::protobuf::util::MessageToJsonString(response, &json).ok()) {
    return 1;
  }
  std::printf("%s\n", json.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool is_coverage = argc == 3 && std::string(argv[2]) == "coverage";
  if (argc != 2 && !is_coverage) {
    std::fprintf(stderr, "usage: server_status HOST:PORT [coverage]\n");
    return 2;
  }
  const auto stub = podtap::v1::QueryService::NewStub(
      grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  if (is_coverage) {
    podtap::v1::GetCoverageRequest request;
    request.set_page_size(1000);
    podtap::v1::GetCoverageResponse response;
    return Print(stub->GetCoverage(&context, request, &response), response);
  }
  podtap::v1::GetServerStatusResponse response;
  return Print(stub->GetServerStatus(&context, {}, &response), response);
}
