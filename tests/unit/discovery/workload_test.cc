#include "agent/discovery/workload.h"

#include <gtest/gtest.h>

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace podtap::discovery {
namespace {

using Labels = std::map<std::string, std::string>;

constexpr char kJob[] = "batch.kubernetes.io/job-name";
constexpr char kIndex[] = "batch.kubernetes.io/job-completion-index";
constexpr char kHash[] = "pod-template-hash";
constexpr char kRevision[] = "controller-revision-hash";
constexpr char kGeneration[] = "pod-template-generation";
constexpr char kSetPod[] = "statefulset.kubernetes.io/pod-name";
constexpr char kSetIndex[] = "apps.kubernetes.io/pod-index";

struct Case {
  const char* what;
  std::string pod;
  Labels labels;
  Workload workload;
};

std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.what; }

class WorkloadTest : public testing::TestWithParam<Case> {};

TEST_P(WorkloadTest, IsToldFromLabelsAndName) {
  const PodIdentity pod{.namespace_name = "shop",
                        .pod_name = GetParam().pod,
                        .pod_uid = "0f8fad5b-d9cb-469f-a165-70867728950e",
                        .labels = GetParam().labels};
  const Workload workload = WorkloadOf(pod);
  EXPECT_EQ(workload.kind, GetParam().workload.kind);
  EXPECT_EQ(workload.name, GetParam().workload.name);
}

INSTANTIATE_TEST_SUITE_P(
    Deployment, WorkloadTest,
    testing::ValuesIn(std::vector<Case>{
        {"usual", "web-7d4b9c6f5b-x2x7k", {{kHash, "7d4b9c6f5b"}}, {"Deployment", "web"}},
        {"name like a hash",
         "web-7d4b9c6f5b-7d4b9c6f5b-x2x7k",
         {{kHash, "7d4b9c6f5b"}},
         {"Deployment", "web-7d4b9c6f5b"}},
        {"dashes and dots",
         "my-55d-web.v2-66f-bbbbb",
         {{kHash, "66f"}},
         {"Deployment", "my-55d-web.v2"}},
        {"another hash", "web-7d4b9c6f5b-x2x7k", {{kHash, "7d4b9c6f5c"}}, {}},
        {"no suffix", "web-7d4b9c6f5b", {{kHash, "7d4b9c6f5b"}}, {}},
        {"suffix with a vowel", "web-7d4b9c6f5b-debug", {{kHash, "7d4b9c6f5b"}}, {}},
        {"nothing before the hash", "-66f-bbbbb", {{kHash, "66f"}}, {}},
        {"only the hash", "66f-bbbbb", {{kHash, "66f"}}, {}},
        {"empty hash", "web--bbbbb", {{kHash, ""}}, {}},
        {"hash cut off the name", std::string(58, 'a') + "bbbbb", {{kHash, "66f"}}, {}},
    }));

INSTANTIATE_TEST_SUITE_P(
    StatefulSet, WorkloadTest,
    testing::ValuesIn(std::vector<Case>{
        {"usual",
         "db-0",
         {{kSetPod, "db-0"}, {kSetIndex, "0"}, {kRevision, "db-5d59d67564"}},
         {"StatefulSet", "db"}},
        {"before pod-index", "db-main-12", {{kSetPod, "db-main-12"}}, {"StatefulSet", "db-main"}},
        {"another pod's label", "db-1", {{kSetPod, "db-0"}}, {}},
        {"another index", "db-1", {{kSetPod, "db-1"}, {kSetIndex, "2"}}, {}},
        {"another set's revision",
         "db-1",
         {{kSetPod, "db-1"}, {kRevision, "cache-5d59d67564"}},
         {}},
        {"a DaemonSet's revision", "db-1", {{kSetPod, "db-1"}, {kRevision, "5d59d67564"}}, {}},
        {"no ordinal", "db-x", {{kSetPod, "db-x"}}, {}},
        {"no name", "-1", {{kSetPod, "-1"}}, {}},
        {"no dash", "17", {{kSetPod, "17"}}, {}},
        {"index alone", "db-1", {{kSetIndex, "1"}}, {}},
    }));

INSTANTIATE_TEST_SUITE_P(
    DaemonSet, WorkloadTest,
    testing::ValuesIn(std::vector<Case>{
        {"usual",
         "node-exporter-x2x7k",
         {{kRevision, "5d59d67564"}, {kGeneration, "3"}},
         {"DaemonSet", "node-exporter"}},
        {"generation alone", "node-exporter-x2x7k", {{kGeneration, "3"}}, {}},
        {"revision alone", "node-exporter-x2x7k", {{kRevision, "5d59d67564"}}, {}},
        {"no suffix", "node-exporter", {{kRevision, "5d59d67564"}, {kGeneration, "3"}}, {}},
        {"longest that is surely whole",
         std::string(56, 'a') + "-x2x7k",
         {{kRevision, "5d59d67564"}, {kGeneration, "3"}},
         {"DaemonSet", std::string(56, 'a')}},
        {"may be cut",
         std::string(57, 'a') + "-x2x7k",
         {{kRevision, "5d59d67564"}, {kGeneration, "3"}},
         {}},
    }));

INSTANTIATE_TEST_SUITE_P(
    Job, WorkloadTest,
    testing::ValuesIn(std::vector<Case>{
        {"usual",
         "migrate-x2x7k",
         {{kJob, "migrate"}, {"job-name", "migrate"}},
         {"Job", "migrate"}},
        {"before 1.27",
         "migrate-x2x7k",
         {{"job-name", "migrate"}, {"controller-uid", "42"}},
         {"Job", "migrate"}},
        {"somebody's own label", "migrate-x2x7k", {{"job-name", "migrate"}}, {}},
        {"labels differ", "migrate-x2x7k", {{kJob, "migrate"}, {"job-name", "other"}}, {}},
        {"another name", "other-x2x7k", {{kJob, "migrate"}}, {}},
        {"longer name", "migrate-db-x2x7k", {{kJob, "migrate"}}, {}},
        {"indexed", "train-3-x2x7k", {{kJob, "train"}, {kIndex, "3"}}, {"Job", "train"}},
        {"another index", "train-3-x2x7k", {{kJob, "train"}, {kIndex, "4"}}, {}},
        {"index without the label", "train-3-x2x7k", {{kJob, "train"}}, {}},
        {"cut",
         std::string(58, 'a') + "x2x7k",
         {{kJob, std::string(63, 'a')}},
         {"Job", std::string(63, 'a')}},
        {"cut and indexed",
         std::string(55, 'a') + "-7-x2x7k",
         {{kJob, std::string(63, 'a')}, {kIndex, "7"}},
         {"Job", std::string(63, 'a')}},
        {"index beyond all bounds", "a-x2x7k", {{kJob, "a"}, {kIndex, std::string(100, '1')}}, {}},
        {"cron", "backup-29930400-x2x7k", {{kJob, "backup-29930400"}}, {"CronJob", "backup"}},
        {"a date",
         "backup-20261231-x2x7k",
         {{kJob, "backup-20261231"}},
         {"Job", "backup-20261231"}},
        {"nine digits",
         "backup-299304000-x2x7k",
         {{kJob, "backup-299304000"}},
         {"Job", "backup-299304000"}},
        {"digits alone", "29930400-x2x7k", {{kJob, "29930400"}}, {"Job", "29930400"}},
        {"letters",
         "backup-2993040a-x2x7k",
         {{kJob, "backup-2993040a"}},
         {"Job", "backup-2993040a"}},
        {"empty", "-x2x7k", {{kJob, ""}}, {}},
    }));

INSTANTIATE_TEST_SUITE_P(
    Others, WorkloadTest,
    testing::ValuesIn(std::vector<Case>{
        {"a pod", "toolbox", {{"app", "toolbox"}}, {"Pod", "toolbox"}},
        {"static pod", "kube-proxy-node-1", {}, {"Pod", "kube-proxy-node-1"}},
        {"bare ReplicaSet, or what else makes names up", "web-x2x7k", {{"app", "web"}}, {}},
        {"two rules, both sure",
         "web-66f-bbbbb",
         {{kHash, "66f"}, {kRevision, "5d5"}, {kGeneration, "3"}},
         {}},
        {"two rules, one sure", "web-66f-bbbbb", {{kHash, "66f"}, {kJob, "nightly"}}, {}},
        {"job-name as a label of a Deployment",
         "web-66f-bbbbb",
         {{kHash, "66f"}, {"job-name", "nightly"}},
         {"Deployment", "web"}},
        {"short name", "bbbbb", {}, {"Pod", "bbbbb"}},
    }));

TEST(WorkloadTest, NeedsAPodOfKubernetes) {
  EXPECT_EQ(WorkloadOf({.namespace_name = "netns", .pod_name = "web"}), Workload());
  EXPECT_EQ(WorkloadOf({.pod_uid = "1"}), Workload());
}

}  // namespace
}  // namespace podtap::discovery
