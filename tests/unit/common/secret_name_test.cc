#include "common/secret_name.h"

#include <gtest/gtest.h>

namespace podtap {
namespace {

TEST(SmellsOfSecret, KnowsTheNames) {
  for (const char* name :
       {"Authorization", "PROXY-AUTHORIZATION", "cookie", "Set-Cookie", "x-api-key", "X-Auth-User",
        "access_token", "client-secret", "JSESSIONID", "Passwd", "x-PassWord", "x-csrf"}) {
    EXPECT_TRUE(SmellsOfSecret(name)) << name;
  }
}

TEST(SmellsOfSecret, LeavesUsualLabelsAlone) {
  for (const char* name :
       {"app", "tier", "k8s-app", "app.kubernetes.io/name", "app.kubernetes.io/instance",
        "app.kubernetes.io/part-of", "helm.sh/chart", "pod-template-hash", "controller-uid",
        "statefulset.kubernetes.io/pod-name", "topology.kubernetes.io/zone"}) {
    EXPECT_FALSE(SmellsOfSecret(name)) << name;
  }
}

}  // namespace
}  // namespace podtap
