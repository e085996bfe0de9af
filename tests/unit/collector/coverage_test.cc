// GetCoverage's filters and pages, and what of a status is kept.
#include "collector/query/coverage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "collector/ingest/status_check.h"

namespace podtap {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::PodCoverage Pod(const std::string& name_space, const std::string& name,
                    v1::CoverageState state = v1::COVERAGE_STATE_TAPPED) {
  v1::PodCoverage pod;
  pod.set_namespace_(name_space);
  pod.set_pod_name(name);
  pod.set_state(state);
  pod.set_reason("because");
  pod.mutable_workload()->set_kind("Deployment");
  pod.mutable_workload()->set_name(name.substr(0, name.find('-')));
  return pod;
}

query::AgentCoverage Agent(const std::string& node, std::vector<v1::PodCoverage> pods,
                           bool connected = true) {
  v1::AgentStatus status;
  for (v1::PodCoverage& pod : pods) {
    v1::TlsUse& use = *status.add_tls_uses();
    use.set_namespace_(pod.namespace_());
    use.set_pod_name(pod.pod_name());
    use.set_reporter(v1::REPORTER_SERVER);
    use.set_server_name(pod.pod_name() + ".example");
    *status.add_pods() = std::move(pod);
  }
  return {.node_name = node,
          .cluster_name = "test",
          .connected = connected,
          .status = std::make_shared<const v1::AgentStatus>(std::move(status))};
}

class CoverageQueryTest : public ::testing::Test {
 protected:
  // "node namespace/pod", of all pages.
  std::vector<std::string> List(v1::GetCoverageRequest request) {
    std::vector<std::string> pods;
    do {
      v1::GetCoverageResponse response;
      const absl::Status status = query::ListCoverage(agents_, request, &response);
      EXPECT_TRUE(status.ok()) << status;
      for (const v1::PodState& pod : response.pods()) {
        pods.push_back(absl::StrFormat("%s %s/%s", pod.node_name(), pod.coverage().namespace_(),
                                       pod.coverage().pod_name()));
      }
      EXPECT_TRUE(request.page_size() == 0 || response.pods_size() <= request.page_size());
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return pods;
  }
  std::string Refusal(const v1::GetCoverageRequest& request) {
    v1::GetCoverageResponse response;
    const absl::Status status = query::ListCoverage(agents_, request, &response);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  std::vector<query::AgentCoverage> agents_ = {
      Agent("node-a", {Pod("office", "mail-1", v1::COVERAGE_STATE_TLS_ONLY), Pod("shop", "web-1"),
                       Pod("shop", "web-2")}),
      Agent("node-b", {Pod("shop", "api-1"), Pod("shop", "web-3")}, false),
  };
};

TEST_F(CoverageQueryTest, AllPodsByNodeNamespaceAndName) {
  const std::vector<std::string> all = {"node-a office/mail-1", "node-a shop/web-1",
                                        "node-a shop/web-2", "node-b shop/api-1",
                                        "node-b shop/web-3"};
  EXPECT_EQ(List({}), all);
  for (int size = 1; size <= 6; ++size) {
    v1::GetCoverageRequest request;
    request.set_page_size(size);
    EXPECT_EQ(List(request), all) << size;
  }
}

TEST_F(CoverageQueryTest, EachFieldFilters) {
  v1::GetCoverageRequest request;
  request.add_namespace_("office");
  EXPECT_THAT(List(request), ElementsAre("node-a office/mail-1"));
  request.Clear();
  request.add_pod("shop/web-*");
  request.add_pod("mail-1");
  request.add_node("node-a");
  EXPECT_THAT(List(request),
              ElementsAre("node-a office/mail-1", "node-a shop/web-1", "node-a shop/web-2"));
  request.Clear();
  request.add_workload("api");
  EXPECT_THAT(List(request), ElementsAre("node-b shop/api-1"));
  request.Clear();
  request.add_state(v1::COVERAGE_STATE_TLS_ONLY);
  request.add_state(v1::COVERAGE_STATE_FAILED);
  EXPECT_THAT(List(request), ElementsAre("node-a office/mail-1"));
  request.add_namespace_("shop");
  EXPECT_THAT(List(request), IsEmpty());
}

TEST_F(CoverageQueryTest, SaysWhoToldAndTheTlsOfThePod) {
  v1::GetCoverageRequest request;
  request.add_pod("web-3");
  v1::GetCoverageResponse response;
  ASSERT_TRUE(query::ListCoverage(agents_, request, &response).ok());
  ASSERT_EQ(response.pods_size(), 1);
  EXPECT_EQ(response.pods(0).cluster_name(), "test");
  EXPECT_FALSE(response.pods(0).agent_connected());
  ASSERT_EQ(response.pods(0).tls_uses_size(), 1);
  EXPECT_EQ(response.pods(0).tls_uses(0).server_name(), "web-3.example");
}

TEST_F(CoverageQueryTest, PagesGoOnWhereTheyWereThoughPodsComeAndGo) {
  v1::GetCoverageRequest request;
  request.set_page_size(2);
  v1::GetCoverageResponse response;
  ASSERT_TRUE(query::ListCoverage(agents_, request, &response).ok());
  agents_[0] = Agent("node-a", {Pod("office", "aaa"), Pod("shop", "web-2")});
  request.set_page_token(response.next_page_token());
  EXPECT_THAT(List(request),
              ElementsAre("node-a shop/web-2", "node-b shop/api-1", "node-b shop/web-3"));
}

TEST_F(CoverageQueryTest, BadValuesAreNamed) {
  v1::GetCoverageRequest request;
  request.add_pod("a");
  request.add_pod("a/b/c");
  EXPECT_THAT(Refusal(request), HasSubstr("pod[1]: "));
  request.Clear();
  request.add_namespace_("");
  EXPECT_THAT(Refusal(request), HasSubstr("namespace[0]: "));
  request.Clear();
  request.add_state(v1::COVERAGE_STATE_UNSPECIFIED);
  EXPECT_THAT(Refusal(request), HasSubstr("state[0]: "));
  request.Clear();
  request.set_page_size(1001);
  EXPECT_THAT(Refusal(request), HasSubstr("page_size: "));
  request.Clear();
  request.set_page_token("bogus");
  EXPECT_THAT(Refusal(request), HasSubstr("page_token: "));
}

TEST_F(CoverageQueryTest, ATokenOfAnotherRequestIsRefused) {
  v1::GetCoverageRequest request;
  request.set_page_size(1);
  v1::GetCoverageResponse response;
  ASSERT_TRUE(query::ListCoverage(agents_, request, &response).ok());
  request.set_page_token(response.next_page_token());
  request.add_namespace_("shop");
  EXPECT_THAT(Refusal(request), HasSubstr("page_token: "));
}

TEST_F(CoverageQueryTest, APageEndsBeforeItsMessageIsTooLarge) {
  std::vector<v1::PodCoverage> pods;
  for (int i = 0; i < 400; ++i) {
    pods.push_back(Pod("shop", absl::StrFormat("web-%03d", i)));
    pods.back().set_reason(std::string(10'000, 'r'));
  }
  agents_ = {Agent("node-a", std::move(pods))};
  v1::GetCoverageRequest request;
  request.set_page_size(1000);
  v1::GetCoverageResponse response;
  ASSERT_TRUE(query::ListCoverage(agents_, request, &response).ok());
  EXPECT_LT(response.ByteSizeLong(), 3u << 20);
  EXPECT_EQ(List(request).size(), 400u);
}

// The bounds of a status allow two megabytes and more of a single pod.
TEST_F(CoverageQueryTest, ALargePodBeginsAPageOfItsOwn) {
  v1::AgentStatus status;
  for (int i = 0; i < 3; ++i) {
    *status.add_pods() = Pod("shop", absl::StrFormat("web-%d", i));
    v1::TlsUse& use = *status.add_tls_uses();
    use.set_namespace_("shop");
    use.set_pod_name(absl::StrFormat("web-%d", i));
    use.set_server_name(std::string(1'900'000, 'n'));
  }
  agents_ = {{.node_name = "node-a",
              .status = std::make_shared<const v1::AgentStatus>(std::move(status))}};
  v1::GetCoverageRequest request;
  v1::GetCoverageResponse response;
  ASSERT_TRUE(query::ListCoverage(agents_, request, &response).ok());
  EXPECT_EQ(response.pods_size(), 1);
  EXPECT_EQ(List(request).size(), 3u);
}

TEST(StatusCheckTest, PodsAreSortedBoundedAndShowable) {
  v1::AgentStatus status;
  *status.add_pods() = Pod("shop", "web");
  *status.add_pods() = Pod("office", "line\nbreak\xff");
  *status.add_pods() = Pod("shop", "web");
  *status.add_pods() = Pod("shop", "stateless", v1::COVERAGE_STATE_UNSPECIFIED);
  *status.add_pods() = Pod("shop", "many");
  for (int i = 0; i < 100; ++i) {
    status.mutable_pods(4)->add_interfaces();
  }
  EXPECT_EQ(ingest::PrepareStatus(status), 2);
  ASSERT_EQ(status.pods_size(), 3);
  EXPECT_EQ(status.pods(0).namespace_(), "office");
  EXPECT_THAT(status.pods(0).pod_name(), ::testing::Not(HasSubstr("\n")));
  EXPECT_THAT(status.pods(0).pod_name(), ::testing::Not(HasSubstr("\xff")));
  EXPECT_EQ(status.pods(1).pod_name(), "many");
  EXPECT_EQ(status.pods(1).interfaces_size(), 32);
  EXPECT_EQ(status.pods(2).pod_name(), "web");
}

TEST(StatusCheckTest, ThereAreSoManyPodsAtMost) {
  v1::AgentStatus status;
  for (int i = 0; i < 1100; ++i) {
    *status.add_pods() = Pod("shop", absl::StrFormat("web-%d", i));
  }
  EXPECT_EQ(ingest::PrepareStatus(status), 76);
  EXPECT_EQ(status.pods_size(), 1024);
}

}  // namespace
}  // namespace podtap
