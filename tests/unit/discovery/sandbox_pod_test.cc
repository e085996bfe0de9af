#include "agent/discovery/cri/sandbox_pod.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podtap::discovery::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

runtime::v1::Container ContainerNamed(const std::string& name) {
  runtime::v1::Container container;
  container.mutable_metadata()->set_name(name);
  container.mutable_image()->set_image("sha256:123");
  container.set_state(runtime::v1::CONTAINER_RUNNING);
  return container;
}

TEST(SandboxPod, TakesNamesLabelsAndAnnotations) {
  runtime::v1::PodSandbox sandbox;
  sandbox.mutable_metadata()->set_namespace_("shop");
  sandbox.mutable_metadata()->set_name("web-1");
  sandbox.mutable_metadata()->set_uid("u-1");
  (*sandbox.mutable_labels())["app"] = "web";
  (*sandbox.mutable_labels())["app.kubernetes.io/name"] = "web";
  (*sandbox.mutable_labels())["io.kubernetes.pod.name"] = "something-else";
  (*sandbox.mutable_annotations())["team"] = "one";
  const BoundedIdentity pod = IdentityOf(sandbox);
  EXPECT_EQ(pod.identity.namespace_name, "shop");
  EXPECT_EQ(pod.identity.pod_name, "web-1");
  EXPECT_EQ(pod.identity.pod_uid, "u-1");
  EXPECT_THAT(pod.identity.labels,
              ElementsAre(Pair("app", "web"), Pair("app.kubernetes.io/name", "web")));
  EXPECT_THAT(pod.identity.annotations, ElementsAre(Pair("team", "one")));
  EXPECT_FALSE(pod.cut);
}

TEST(SandboxPod, HostileTextComesThroughEscaped) {
  runtime::v1::PodSandbox sandbox;
  sandbox.mutable_metadata()->set_name("a\x1b[31m\xff\n");
  (*sandbox.mutable_labels())["k\n"] = "\xe2\x80\xae";
  BoundedIdentity pod = IdentityOf(sandbox);
  EXPECT_EQ(pod.identity.pod_name, "a%1B[31m%FF%0A");
  EXPECT_THAT(pod.identity.labels, ElementsAre(Pair("k%0A", "%E2%80%AE")));
  AddContainer(ContainerNamed("c\r"), pod);
  EXPECT_EQ(pod.identity.containers.at(0).name, "c%0D");
}

TEST(SandboxPod, WhatIsBeyondABoundIsLeftOutAndSaid) {
  const PodBounds bounds;
  runtime::v1::PodSandbox sandbox;
  for (size_t i = 0; i < bounds.labels + 1; ++i) {
    (*sandbox.mutable_labels())["l" + std::to_string(i)] = "v";
  }
  EXPECT_EQ(IdentityOf(sandbox).identity.labels.size(), bounds.labels);
  EXPECT_TRUE(IdentityOf(sandbox).cut);

  sandbox.Clear();
  // What kubectl leaves behind is longer than any name.
  (*sandbox.mutable_annotations())["a-document"] = std::string(2000, '{');
  (*sandbox.mutable_annotations())["team"] = "one";
  (*sandbox.mutable_labels())[std::string(400, 'k')] = "v";
  (*sandbox.mutable_labels())["long"] = std::string(300, 'v');
  EXPECT_THAT(IdentityOf(sandbox).identity.annotations, ElementsAre(Pair("team", "one")));
  EXPECT_TRUE(IdentityOf(sandbox).identity.labels.empty());
  EXPECT_TRUE(IdentityOf(sandbox).cut);

  sandbox.Clear();
  for (int i = 0; i < 40; ++i) {
    (*sandbox.mutable_annotations())["a" + std::to_string(i)] = std::string(1000, 'v');
  }
  EXPECT_EQ(IdentityOf(sandbox).identity.annotations.size(), 16u);
}

TEST(SandboxPod, ContainersThatRunAreListedOnceAndInOrder) {
  BoundedIdentity pod;
  AddContainer(ContainerNamed("web"), pod);
  AddContainer(ContainerNamed("proxy"), pod);
  AddContainer(ContainerNamed("web"), pod);
  runtime::v1::Container exited = ContainerNamed("init");
  exited.set_state(runtime::v1::CONTAINER_EXITED);
  AddContainer(exited, pod);
  runtime::v1::Container named = ContainerNamed("named");
  named.mutable_image()->set_user_specified_image("nginx:1.25");
  AddContainer(named, pod);
  EXPECT_THAT(pod.identity.containers,
              ElementsAre(Container{"named", "nginx:1.25"}, Container{"proxy", "sha256:123"},
                          Container{"web", "sha256:123"}));
  EXPECT_FALSE(pod.cut);
  for (int i = 0; i < 100; ++i) {
    AddContainer(ContainerNamed("c" + std::to_string(i)), pod);
  }
  EXPECT_EQ(pod.identity.containers.size(), PodBounds().containers);
  EXPECT_TRUE(pod.cut);
}

}  // namespace
}  // namespace podtap::discovery::cri
