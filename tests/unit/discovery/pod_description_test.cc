#include "agent/discovery/pod_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/text.h"

namespace podtap::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr char kAnnotation[] = "resource.opentelemetry.io/service.name";
constexpr char kInstance[] = "app.kubernetes.io/instance";
constexpr char kName[] = "app.kubernetes.io/name";

PodIdentity Web() {
  return {.namespace_name = "shop",
          .pod_name = "web-66f-bbbbb",
          .pod_uid = "0f8fad5b-d9cb-469f-a165-70867728950e",
          .labels = {{"pod-template-hash", "66f"}}};
}

std::string ServiceName(PodIdentity pod) {
  DescribePod(pod);
  return pod.service_name;
}

TEST(ServiceNameTest, TakesTheFirstThatThereIs) {
  PodIdentity pod = Web();
  EXPECT_EQ(ServiceName(pod), "web");
  pod.labels[kName] = "storefront";
  EXPECT_EQ(ServiceName(pod), "storefront");
  pod.labels[kInstance] = "storefront-eu";
  EXPECT_EQ(ServiceName(pod), "storefront-eu");
  pod.annotations[kAnnotation] = "shopping";
  EXPECT_EQ(ServiceName(pod), "shopping");
}

TEST(ServiceNameTest, PassesOverWhatIsEmptyOrTooLong) {
  PodIdentity pod = Web();
  pod.annotations[kAnnotation] = std::string(1 << 20, 'x');
  pod.labels[kInstance] = "";
  EXPECT_EQ(ServiceName(pod), "web");
}

TEST(ServiceNameTest, IsAPodsNameOnlyWhenItHasNoOwner) {
  PodIdentity pod = Web();
  pod.labels = {};
  EXPECT_EQ(ServiceName(pod), "");
  pod.pod_name = "toolbox";
  EXPECT_EQ(ServiceName(pod), "toolbox");
  pod.pod_uid = "";
  EXPECT_EQ(ServiceName(pod), "");
}

TEST(DescribePodTest, TellsTheWorkload) {
  PodIdentity pod = Web();
  EXPECT_EQ(DescribePod(pod), 0);
  EXPECT_EQ(pod.workload, (Workload{"Deployment", "web"}));
  EXPECT_THAT(pod.labels, ElementsAre(Pair("pod-template-hash", "66f")));
}

TEST(DescribePodTest, KeepsNoAnnotation) {
  PodIdentity pod = Web();
  pod.annotations = {{"kubectl.kubernetes.io/last-applied-configuration", "{\"password\":\"x\"}"}};
  DescribePod(pod);
  EXPECT_THAT(pod.annotations, IsEmpty());
}

TEST(DescribePodTest, LeavesOutLabelsThatSmellOfSecrets) {
  PodIdentity pod = Web();
  pod.labels = {{"app", "web"}, {"db-Password", "hunter2"}, {"api.token", "abc"}};
  EXPECT_EQ(DescribePod(pod), 2);
  EXPECT_THAT(pod.labels, ElementsAre(Pair("app", "web")));
}

TEST(DescribePodTest, MakesTextPrintable) {
  PodIdentity pod = Web();
  pod.pod_uid = "uid\x1b[2J";
  pod.labels = {{"a\nb", "\xff\xfe"},
                {"c",
                 "d\xe2\x80\xae"
                 "e"}};
  pod.containers = {{.name = "web\r", .image = "nginx\t1"}};
  pod.annotations[kAnnotation] = "shop\a";
  DescribePod(pod);
  EXPECT_EQ(pod.pod_uid, "uid%1B[2J");
  EXPECT_THAT(pod.labels, ElementsAre(Pair("a%0Ab", "%FF%FE"), Pair("c", "d%E2%80%AEe")));
  EXPECT_EQ(pod.containers[0], (Container{"web%0D", "nginx%091"}));
  EXPECT_EQ(pod.service_name, "shop%07");
}

TEST(DescribePodTest, BoundsTheNumberOfLabels) {
  PodIdentity pod = Web();
  for (int i = 0; i < 100; ++i) {
    pod.labels[std::to_string(i)] = "x";
  }
  EXPECT_EQ(DescribePod(pod), 101 - kMaxLabels);
  EXPECT_THAT(pod.labels, SizeIs(kMaxLabels));
}

TEST(DescribePodTest, BoundsTheBytesOfLabels) {
  PodIdentity pod = Web();
  pod.labels = {{"a", std::string(kMaxLabelBytes - 1, 'x')},
                {"b", std::string(kMaxLabelBytes, 'x')},
                // Fits only as long as it is not escaped.
                {"c", std::string(kMaxLabelBytes / 2, '\n')},
                {"", "nameless"}};
  EXPECT_EQ(DescribePod(pod), 3);
  EXPECT_THAT(pod.labels, ElementsAre(Pair("a", std::string(kMaxLabelBytes - 1, 'x'))));

  pod.labels.clear();
  for (char name = 'a'; name < 'k'; ++name) {
    pod.labels[std::string(1, name)] = std::string(kMaxLabelBytes - 1, 'x');
  }
  pod.labels["small"] = "fits no more";
  EXPECT_EQ(DescribePod(pod), 11 - kMaxAllLabelBytes / kMaxLabelBytes);
}

TEST(DescribePodTest, CountsLabelsThatBecomeTheSame) {
  PodIdentity pod = Web();
  pod.labels = {{"\x01", "a"}, {"%01", "b"}};
  EXPECT_EQ(DescribePod(pod), 1);
  EXPECT_THAT(pod.labels, SizeIs(1));
}

TEST(DescribePodTest, LeavesOutWhatIsTooLong) {
  PodIdentity pod = Web();
  pod.pod_uid = std::string(kMaxIdentityBytes + 1, 'u');
  pod.containers = {{.name = std::string(kMaxIdentityBytes + 1, 'c'),
                     .image = std::string(kMaxImageBytes + 1, 'i')}};
  DescribePod(pod);
  EXPECT_EQ(pod.pod_uid, "");
  EXPECT_EQ(pod.containers[0], Container());
}

}  // namespace
}  // namespace podtap::discovery
