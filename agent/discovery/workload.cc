#include "agent/discovery/workload.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace podtap::discovery {
namespace {

// What the API server makes of generateName: the base, cut to what leaves room for the suffix, and
// five characters of an alphabet that spells no words.
constexpr std::string_view kSuffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";
constexpr size_t kSuffixSize = 5;
constexpr size_t kMaxBaseSize = 63 - kSuffixSize;

// A CronJob names a Job after the minute it is for, counted from 1970. Eight digits below this
// (August 2015, before there were CronJobs) are something else, such as a date.
constexpr std::string_view kFirstMinute = "24000000";

// What one rule says: nothing, when the pod does not carry its labels; else an owner, or that the
// labels contradict the name.
struct Claim {
  bool made = false;
  Workload workload;
};

std::optional<std::string_view> Label(const PodIdentity& pod, const char* name) {
  const auto found = pod.labels.find(name);
  return found == pod.labels.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char byte) { return byte >= '0' && byte <= '9'; });
}

// The name without its random suffix; empty when it does not end in one.
std::string_view GeneratedBase(std::string_view name) {
  if (name.size() <= kSuffixSize) {
    return {};
  }
  const std::string_view suffix = name.substr(name.size() - kSuffixSize);
  const bool random = suffix.find_first_not_of(kSuffixAlphabet) == suffix.npos;
  return random ? name.substr(0, name.size() - kSuffixSize) : std::string_view();
}

// What stands before `end`; empty when `text` does not end so, or is nothing else.
std::string BeforeEnd(std::string_view text, std::string_view end) {
  const bool ends_so = text.size() > end.size() && text.substr(text.size() - end.size()) == end;
  return std::string(ends_so ? text.substr(0, text.size() - end.size()) : std::string_view());
}

Claim Owner(const char* kind, std::string name) {
  return {.made = true, .workload = name.empty() ? Workload() : Workload{kind, std::move(name)}};
}

// DEPLOYMENT-HASH-xxxxx. A name cut to the bound has lost the hash, so it makes no owner.
Claim DeploymentClaim(const PodIdentity& pod) {
  const std::optional<std::string_view> hash = Label(pod, "pod-template-hash");
  if (!hash) {
    return {};
  }
  const std::string end = "-" + std::string(*hash) + "-";
  return Owner("Deployment", hash->empty() ? "" : BeforeEnd(GeneratedBase(pod.pod_name), end));
}

// STATEFULSET-N.
Claim StatefulSetClaim(const PodIdentity& pod) {
  const std::optional<std::string_view> name = Label(pod, "statefulset.kubernetes.io/pod-name");
  const std::optional<std::string_view> index = Label(pod, "apps.kubernetes.io/pod-index");
  if (!name && !index) {
    return {};
  }
  const std::string_view ordinal =
      std::string_view(pod.pod_name).substr(pod.pod_name.rfind('-') + 1);
  std::string set = BeforeEnd(pod.pod_name, "-" + std::string(ordinal));
  // Named after the set, where a DaemonSet's is the hash alone.
  const std::optional<std::string_view> revision = Label(pod, "controller-revision-hash");
  const bool agree = name.value_or("") == pod.pod_name && AllDigits(ordinal) &&
                     index.value_or(ordinal) == ordinal &&
                     (!revision || revision->starts_with(set + "-"));
  return Owner("StatefulSet", agree ? std::move(set) : "");
}

// DAEMONSET-xxxxx. A base that is as long as a base may be could have been cut.
Claim DaemonSetClaim(const PodIdentity& pod) {
  if (!Label(pod, "pod-template-generation")) {
    return {};
  }
  const std::string_view base = GeneratedBase(pod.pod_name);
  const bool whole = Label(pod, "controller-revision-hash") && base.size() < kMaxBaseSize;
  return Owner("DaemonSet", whole ? BeforeEnd(base, "-") : "");
}

// The base of the names of a Job's pods; those of an indexed Job have their index in it.
std::string JobBase(const PodIdentity& pod, std::string_view job) {
  const std::optional<std::string_view> index =
      Label(pod, "batch.kubernetes.io/job-completion-index");
  if (!index) {
    return (std::string(job) + "-").substr(0, kMaxBaseSize);
  }
  const std::string end = "-" + std::string(*index) + "-";
  return std::string(job.substr(0, kMaxBaseSize - std::min(kMaxBaseSize, end.size()))) + end;
}

// JOB-xxxxx or JOB-INDEX-xxxxx, and of CronJobs CRONJOB-MINUTE in place of JOB.
Claim JobClaim(const PodIdentity& pod) {
  std::optional<std::string_view> job = Label(pod, "batch.kubernetes.io/job-name");
  const std::optional<std::string_view> old_name = Label(pod, "job-name");
  if (!job) {
    // Before Kubernetes 1.27. The name alone could be anybody's label.
    job = Label(pod, "controller-uid") ? old_name : std::nullopt;
  }
  if (!job) {
    return {};
  }
  if (job->empty() || old_name.value_or(*job) != *job ||
      GeneratedBase(pod.pod_name) != JobBase(pod, *job)) {
    return Owner("Job", "");
  }
  const std::string_view minute = job->substr(job->rfind('-') + 1);
  std::string cron_job = BeforeEnd(*job, "-" + std::string(minute));
  if (!cron_job.empty() && minute.size() == kFirstMinute.size() && AllDigits(minute) &&
      minute >= kFirstMinute) {
    return Owner("CronJob", std::move(cron_job));
  }
  return Owner("Job", std::string(*job));
}

}  // namespace

Workload WorkloadOf(const PodIdentity& pod) {
  // Of a pod that no Kubernetes made there is nothing to tell.
  if (pod.pod_uid.empty() || pod.pod_name.empty()) {
    return {};
  }
  Claim owner;
  for (Claim& claim : std::array{DeploymentClaim(pod), StatefulSetClaim(pod), DaemonSetClaim(pod),
                                 JobClaim(pod)}) {
    if (claim.made && owner.made) {
      return {};
    }
    if (claim.made) {
      owner = std::move(claim);
    }
  }
  if (owner.made) {
    return owner.workload;
  }
  // Made by a controller that leaves no label, such as a ReplicaSet without a Deployment.
  if (!GeneratedBase(pod.pod_name).empty()) {
    return {};
  }
  return {.kind = "Pod", .name = pod.pod_name};
}

}  // namespace podtap::discovery
