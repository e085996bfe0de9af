// The collector's admin port, and what its metrics say of what agents send.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "common/unique_fd.h"
#include "tests/unit/collector/collector_fixture.h"

namespace podtap {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class CollectorMetricsTest : public CollectorTest {
 protected:
  CollectorMetricsTest() {
    options_.admin_listen = HostPort{.host = "127.0.0.1", .port = 0, .is_loopback = true};
    Start();
  }

  std::string Get(const std::string& path) {
    const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(collector_->admin_address()->port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = "GET " + path + " HTTP/1.1\r\n\r\n";
    EXPECT_EQ(::send(socket.get(), request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    std::string answer;
    char bytes[4096];
    ssize_t count;
    while ((count = ::recv(socket.get(), bytes, sizeof(bytes), 0)) > 0) {
      answer.append(bytes, static_cast<size_t>(count));
    }
    return answer;
  }
};

constexpr char kWebSeries[] =
    "http_client_request_duration_seconds_count{http_request_method=\"GET\","
    "http_response_status_code=\"200\",network_protocol_version=\"1.1\","
    "k8s_namespace_name=\"shop\",k8s_pod_name=\"web\",k8s_node_name=\"node-a\","
    "k8s_cluster_name=\"test\"} ";

TEST_F(CollectorMetricsTest, AnEventCountsOnceHoweverOftenItIsSent) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendBatch(MakeBatch(1, 1, 5));
  ASSERT_TRUE(agent.WaitForAck(1, 5));
  EXPECT_THAT(Get("/metrics"), HasSubstr(std::string(kWebSeries) + "5\n"));
  // Three of these are stored already, and then all.
  agent.SendBatch(MakeBatch(1, 3, 5));
  agent.SendBatch(MakeBatch(1, 1, 7));
  agent.SendBatch(MakeBatch(1, 8, 1));
  ASSERT_TRUE(agent.WaitForAck(1, 8));
  EXPECT_THAT(Get("/metrics"),
              AllOf(HasSubstr(std::string(kWebSeries) + "8\n"),
                    HasSubstr("podtap_collector_duplicate_events_total 10\n"),
                    HasSubstr("podtap_events_total{result=\"stored\"} 8\n"),
                    HasSubstr("podtap_collector_ingest_events_total{agent=\"node-a\"} 8\n")));
}

TEST_F(CollectorMetricsTest, AWorkloadGoesByItsKind) {
  TestAgent agent(channel_);
  agent.Hello(1);
  uint64_t sequence = 0;
  for (const char* kind : {"Deployment", "CronJob", "Pod", "Gizmo"}) {
    v1::EventBatch batch = MakeBatch(1, ++sequence, 1);
    v1::Endpoint& pod = *batch.mutable_endpoints(0);
    pod.set_pod_name(std::string("of-") + kind);
    pod.mutable_workload()->set_kind(kind);
    pod.mutable_workload()->set_name("w");
    pod.set_service_name("s");
    agent.SendBatch(batch);
  }
  ASSERT_TRUE(agent.WaitForAck(1, sequence));
  const std::string metrics = Get("/metrics");
  const auto line = [](const std::string& pod, const std::string& workload) {
    return "k8s_pod_name=\"of-" + pod + "\",k8s_node_name=\"node-a\",k8s_cluster_name=\"test\"," +
           "service_name=\"s\"" + workload + "} 1\n";
  };
  EXPECT_THAT(metrics, AllOf(HasSubstr(line("Deployment", ",k8s_deployment_name=\"w\"")),
                             HasSubstr(line("CronJob", ",k8s_cronjob_name=\"w\"")),
                             HasSubstr(line("Pod", "")), HasSubstr(line("Gizmo", ""))));
}

TEST_F(CollectorMetricsTest, ABatchThatIsRejectedDoesNotCount) {
  TestAgent agent(channel_);
  agent.Hello(1);
  v1::EventBatch bad = MakeBatch(1, 1, 5);
  bad.mutable_events(4)->set_method_string(999'999);
  agent.SendBatch(bad);
  ASSERT_TRUE(agent.WaitForAck(1, 5));
  EXPECT_THAT(Get("/metrics"), AllOf(HasSubstr("podtap_events_total{result=\"rejected\"} 5\n"),
                                     Not(HasSubstr("\nhttp_"))));
}

TEST_F(CollectorMetricsTest, HostileNamesStayInsideTheirQuotes) {
  TestAgent agent(channel_);
  agent.Hello(1, "node\"} 1");
  v1::EventBatch batch = MakeBatch(1, 1, 1);
  batch.set_strings(1, "G\"} 1\nevil_total 1\n");
  batch.mutable_endpoints(0)->set_pod_name("a\"} 1\nevil_total 1\n\\");
  agent.SendBatch(batch);
  ASSERT_TRUE(agent.WaitForAck(1, 1));
  EXPECT_THAT(
      Get("/metrics"),
      AllOf(HasSubstr("http_request_method=\"_OTHER\""),
            HasSubstr(
                "k8s_pod_name=\"a\\\"} 1%0Aevil_total 1%0A\\\\\",k8s_node_name=\"node\\\"} 1\""),
            Not(HasSubstr("\nevil"))));
}

TEST_F(CollectorMetricsTest, ProbesAnswer) {
  EXPECT_THAT(Get("/healthz"), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("\r\n\r\nok\n")));
  EXPECT_THAT(Get("/readyz"), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("\r\n\r\nok\n")));
  EXPECT_THAT(Get("/"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(CollectorMetricsTest, ATakenAdminPortIsAnError) {
  CollectorOptions options = options_;
  const TempDir directory;
  options.store.directory = directory.path();
  options.admin_listen = *collector_->admin_address();
  const auto second = Collector::Start(options, &clock_);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("--admin-listen"));
}

}  // namespace
}  // namespace podtap
