// Calls a container runtime: cri_call SOCKET METHOD < REQUEST.json > RESPONSE.json
//
// METHOD is one whose messages are in pod_control.proto, e.g. RunPodSandbox.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "pod_control.pb.h"

namespace {

constexpr std::chrono::seconds kDeadline{60};

std::unique_ptr<google::protobuf::Message> New(const std::string& name) {
  const auto* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  return type == nullptr ? nullptr
                         : std::unique_ptr<google::protobuf::Message>(
                               google::protobuf::MessageFactory::generated_factory()
                                   ->GetPrototype(type)
                                   ->New());
}

grpc::Status Call(const std::string& socket, const std::string& method,
                  const google::protobuf::Message& request, google::protobuf::Message& response) {
  grpc::GenericStub stub(
      grpc::CreateChannel("unix://" + socket, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  const grpc::Slice slice(request.SerializeAsString());
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/runtime.v1.RuntimeService/" + method,
                                    grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) {
    return status;
  }
  grpc::Slice whole;
  answer.DumpToSingleSlice(&whole);
  return response.ParseFromArray(whole.begin(), static_cast<int>(whole.size()))
             ? status
             : grpc::Status(grpc::StatusCode::INTERNAL, "the answer is garbage");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: cri_call SOCKET METHOD < REQUEST.json\n");
    return 2;
  }
  // Links the messages in.
  runtime::v1::RunPodSandboxRequest::descriptor();
  const std::string method = argv[2];
  const auto request = New("runtime.v1." + method + "Request");
  const auto response = New("runtime.v1." + method + "Response");
  const std::string json((std::istreambuf_iterator<char>(std::cin)), {});
  if (request == nullptr || response == nullptr ||
      !google::protobuf::util::JsonStringToMessage(json, request.get()).ok()) {
    std::fprintf(stderr, "cri_call: no such method, or no such request: %s\n", json.c_str());
    return 2;
  }
  const grpc::Status status = Call(argv[1], method, *request, *response);
  if (!status.ok()) {
    std::fprintf(stderr, "cri_call: %s: %d %s\n", method.c_str(),
                 static_cast<int>(status.error_code()), status.error_message().c_str());
    return 1;
  }
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(*response, &text);
  std::printf("%s\n", text.c_str());
  return 0;
}
