#include "agent/discovery/proc/cgroup_name.h"

#include <gtest/gtest.h>

#include <string>

namespace podtap::discovery::proc {
namespace {

const std::string kId(64, 'a');
const std::string kInner = std::string(32, '0') + std::string(32, 'f');

struct Case {
  const char* what;
  std::string text;
  std::string family;
  std::string name;
};

TEST(CgroupNameTest, TellsWhatAProcessBelongsTo) {
  const Case cases[] = {
      // Docker: by systemd, by itself, and as version 1 lists it.
      {"docker, systemd", "0::/system.slice/docker-" + kId + ".scope\n", "docker", kId},
      {"docker", "0::/docker/" + kId + "\n", "docker", kId},
      {"docker, version 1",
       "12:cpuset:/docker/" + kId + "\n11:memory:/docker/" + kId + "\n1:name=systemd:/docker/" +
           kId + "\n0::/system.slice/containerd.service\n",
       "docker", kId},
      {"docker, folder of its own", "0::/mine/" + kId, "container", kId},
      {"docker, seen from a group below", "0::/../../docker/" + kId + "\n", "docker", kId},
      {"docker through a slice's name", "0::/system.slice:docker:" + kId + "\n", "docker", kId},
      // Podman.
      {"podman", "0::/machine.slice/libpod-" + kId + ".scope/container\n", "podman", kId},
      {"podman of a user",
       "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + kId + ".scope",
       "podman", kId},
      {"podman, its own groups", "0::/libpod_parent/libpod-" + kId + "\n", "podman", kId},
      {"podman, who watches it", "0::/machine.slice/libpod-conmon-" + kId + ".scope\n", "", ""},
      // containerd, CRI-O.
      {"nerdctl, systemd", "0::/system.slice/nerdctl-" + kId + ".scope\n", "containerd", kId},
      {"nerdctl", "4:memory:/default/" + kId + "\n", "containerd", kId},
      {"containerd, a pod's",
       "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
       "cri-containerd-" +
           kId + ".scope",
       "containerd", kId},
      {"containerd, a pod's, no systemd", "0::/kubepods/besteffort/pod1-2/" + kId, "container",
       kId},
      {"containerd through a slice's name",
       "0::/system.slice/kubepods-pod1.slice:cri-containerd:" + kId + "\n", "containerd", kId},
      {"CRI-O", "0::/kubepods.slice/crio-" + kId + ".scope\n", "crio", kId},
      {"CRI-O, who watches it", "0::/kubepods.slice/crio-conmon-" + kId + ".scope\n", "", ""},
      // One in another: the inner one has the network.
      {"engine in a container", "0::/docker/" + kId + "/docker/" + kInner + "\n", "docker", kInner},
      {"pod in a container", "0::/docker/" + kId + "/kubepods.slice/crio-" + kInner + ".scope",
       "crio", kInner},
      {"service in a container", "0::/docker/" + kId + "/system.slice/web.service", "docker", kId},
      // systemd's.
      {"machine", "0::/machine.slice/machine-web.scope/payload/init.scope\n", "machine", "web"},
      {"machine, escaped", "0::/machine.slice/machine-my\\x2dbox.scope\n", "machine", "my-box"},
      {"machine as a service", "0::/machine.slice/systemd-nspawn@web.service/payload", "machine",
       "web"},
      {"service", "0::/system.slice/web.service\n", "systemd", "web.service"},
      {"service with groups below", "1:name=systemd:/system.slice/web.service/worker\n", "systemd",
       "web.service"},
      {"service of a user",
       "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", "systemd",
       "web.service"},
      // What tells nothing.
      {"shell", "0::/user.slice/user-0.slice/session-3.scope\n", "", ""},
      {"shell of a user's manager", "0::/user.slice/user-1000.slice/user@1000.service/a.scope", "",
       ""},
      {"none", "0::/\n", "", ""},
      {"empty", "", "", ""},
  };
  for (const Case& tried : cases) {
    const CgroupName name = NameFromCgroup(tried.text);
    EXPECT_EQ(name.family, tried.family) << tried.what;
    EXPECT_EQ(name.name, tried.name) << tried.what;
    EXPECT_EQ(name.is_container(), name.name == kId || name.name == kInner) << tried.what;
  }
}

TEST(CgroupNameTest, WhatIsNearlyAnIdIsNone) {
  for (const std::string& id : {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'),
                                std::string(64, 'g'), std::string(63, 'a') + '\0'}) {
    EXPECT_EQ(NameFromCgroup("0::/docker/" + id).family, "") << id;
    EXPECT_EQ(NameFromCgroup("0::/docker-" + id + ".scope").family, "") << id;
    EXPECT_EQ(NameFromCgroup("0::/a:docker:" + id).family, "") << id;
  }
}

TEST(CgroupNameTest, TakesAnyText) {
  const std::string long_name(300, 'x');
  for (const std::string& text :
       {std::string("\n\n:::\n/"), std::string("0::"), std::string("/docker/a"),
        std::string(16'384, '/'), std::string(16'384, ':'), std::string(4096, '\0'),
        std::string("0::/") + long_name + ".service", std::string("0::/machine-.scope"),
        std::string("0::/.service"), std::string("0::/systemd-nspawn@.service"),
        std::string("0::/\xff\xfe")}) {
    EXPECT_TRUE(NameFromCgroup(text).family.empty() || NameFromCgroup(text).family == "systemd")
        << text;
  }
  // An escape that is cut or none.
  EXPECT_EQ(NameFromCgroup("0::/machine-a\\x2.scope").name, "a\\x2");
  EXPECT_EQ(NameFromCgroup("0::/machine-a\\xzz.scope").name, "a\\xzz");
}

}  // namespace
}  // namespace podtap::discovery::proc
