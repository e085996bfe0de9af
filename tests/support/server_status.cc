// Prints a collector's GetServerStatus as JSON: what end-to-end drivers read the ledger from.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <string>

#include "podtap/v1/query_service.grpc.pb.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: server_status HOST:PORT\n");
    return 2;
  }
  const auto stub = podtap::v1::QueryService::NewStub(
      grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  podtap::v1::GetServerStatusResponse response;
  if (const grpc::Status status = stub->GetServerStatus(&context, {}, &response); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.error_message().c_str());
    return 1;
  }
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(response, &json).ok()) {
    return 1;
  }
  std::printf("%s\n", json.c_str());
  return 0;
}
