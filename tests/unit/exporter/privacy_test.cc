// A canary in every place where a request can carry a secret: it must be in no byte that leaves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/discovery/pod_description.h"
#include "agent/enrichment/enricher.h"
#include "agent/exporter/batch_builder.h"
#include "tests/unit/exporter/event_builder.h"

namespace podtap::exporter {
namespace {

using enrichment::Fields;
using enrichment::MakeExchange;

constexpr char kCanary[] = "c4n4ry";

// Mixed case must not hide it, nor its percent-encoded form.
bool HasCanary(std::string bytes) {
  std::transform(bytes.begin(), bytes.end(), bytes.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return bytes.find(kCanary) != std::string::npos || bytes.find("%634n4ry") != std::string::npos;
}

// Everything that leaves for this exchange: the batch, and the event as it is printed.
std::string WhatLeaves(pairing::Exchange exchange) {
  enrichment::TapDirectory directory;
  directory.Publish(enrichment::MakeTap(1, "web"));
  enrichment::TapReader taps(directory);
  enrichment::AddressBook book(directory);
  enrichment::FakeClock clock;
  enrichment::EventCollector sink;
  // A careless list: names that smell of secrets must not leave even so.
  enrichment::EnricherOptions options;
  for (const char* name :
       {"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "X-Auth-Token",
        "X-Session-Id", "X-Client-Secret", "Password", "Referer", "Location"}) {
    options.allowed_headers.push_back(name);
  }
  enrichment::Enricher enricher(options, clock, taps, book, {&sink});
  enricher.OnExchange(std::move(exchange));
  EXPECT_EQ(sink.events.size(), 1u);
  BatchBuilder builder(kOrigin, {});
  builder.Add(sink.events.front(), 1, 0);
  v1::HttpEvent printed;
  EncodeEvent(sink.events.front(), kOrigin, 1, printed);
  return builder.Finish().message + printed.DebugString();
}

TEST(Privacy, TheCheckFindsACanary) {
  EXPECT_TRUE(HasCanary(WhatLeaves(MakeExchange("GET", "/C4n4rY"))));
  EXPECT_TRUE(HasCanary(WhatLeaves(MakeExchange("GET", "/", {{"accept", "c4n4ry"}}))));
}

TEST(Privacy, NoTargetGivesItAway) {
  for (const std::string target : {
           "/?a=c4n4ry",
           "/?a=b&c=C4N4RY",
           "/?c4n4ry",
           "/?a=b&c4n4ry",
           "/?a=b=c4n4ry",
           "/?a=b;c4n4ry=d",
           "/?a%3Dc4n4ry",
           "/?a%3Dc4n4ry=b",
           "/?a%3dc4n4ry&b=c",
           "/?a%253Dc4n4ry=b",
           "/?%634n4ry",
           "/?YzRuNHJ5c4n4ryYzRuNHJ5==",
           "/?http://user:c4n4ry@h/=x",
           "/?a[c4n4ry@h]=b",
           "/a#c4n4ry",
           "/a?b=c#c4n4ry",
           "/a#?c4n4ry=1",
           "/a%3Ftoken=c4n4ry",
           "/a%3ftoken%3Dc4n4ry",
           "/a;jsessionid=c4n4ry",
           "/a;jsess%69onid=c4n4ry/b",
           "/a;b=c;token%3Dc4n4ry",
           "//c4n4ry@h/a",
           "//user:c4n4ry@h/a",
           "/get/http://user:c4n4ry@h/a",
           "/get/http:/c4n4ry:pass@h/a",
           "/get/http%3A%2F%2Fuser%3Ac4n4ry%40h%2Fa",
           "http://c4n4ry@h/a",
           "http://user:c4n4ry@h/a",
           "HTTP://User:C4n4ry@h/a",
           "http://user%3Ac4n4ry%40h/a",
           "http://user:x@c4n4ry@h/a",
           "http://user:x#c4n4ry@h/a",
           "http://user:c4n4ry#x@h/a",
           "http://user:c4n4ry/x@h/a",
           "http://c4n4ry:x?y@h/a",
           "http://c4n4ry#x@h/a",
           "http://h/a?b=c4n4ry",
           "http://h?a=b@c/&d=c4n4ry",
           "http://h?a=b@c/c4n4ry",
           "//user;@=b",
           "//user;token:c4n4ry=a@h/b",
           "/get/http://user:c4n4ry%3Fa=b@h/c",
           "/get/http://user:c4n4ry%2Fa@h/c",
           "/get/http%3A%2F%2Fuser:c4n4ry%3Fa=b@h/c",
           "http://h?b=c4n4ry",
           "http://h#c4n4ry",
           "user:c4n4ry@h:80",
           "c4n4ry@h",
       }) {
    EXPECT_FALSE(HasCanary(WhatLeaves(MakeExchange("GET", target)))) << target;
  }
}

TEST(Privacy, NoAuthorityGivesItAway) {
  for (const std::string authority :
       {"c4n4ry@h:443", "user:c4n4ry@h:443", "user:c4n4ry#x@h:443", "user:c4n4ry/x@h:443",
        "user%3Ac4n4ry%40h:443", "user c4n4ry@h", "h:443?a=c4n4ry", "h:443/c4n4ry",
        "h\r\n\tc4n4ry"}) {
    EXPECT_FALSE(HasCanary(WhatLeaves(MakeExchange("CONNECT", authority)))) << authority;
    EXPECT_FALSE(HasCanary(WhatLeaves(MakeExchange("GET", "/", {{"Host", authority}}))))
        << authority;
  }
}

TEST(Privacy, NoHeaderGivesItAway) {
  for (const Fields& fields : {
           Fields{{"Authorization", "Bearer c4n4ry"}},
           Fields{{"aUTHORIZATION", "Basic\r\n C4n4ry"}},
           Fields{{"Proxy-Authorization", "c4n4ry"}},
           Fields{{"Cookie", "a=c4n4ry"}},
           Fields{{"COOKIE", "a=c4n4ry"}, {"cookie", "b=c4n4ry"}},
           Fields{{"X-Api-Key", "c4n4ry"}},
           Fields{{"X-Auth-Token", "c4n4ry"}},
           Fields{{"X-Session-Id", "c4n4ry"}},
           Fields{{"X-Client-Secret", "c4n4ry"}},
           Fields{{"Password", "c4n4ry"}},
           Fields{{"X-Not-Listed", "c4n4ry"}},
           Fields{{"c4n4ry", "x"}},
           Fields{{"User-Agent", "x\r\n Cookie: c4n4ry"}},
           Fields{{"X-Request-Id", "x\n\tAuthorization: c4n4ry"}},
           Fields{{"Content-Type", "text/plain\r\n c4n4ry"}},
           Fields{{"Traceparent", "x\r\n c4n4ry"}},
           Fields{{"Referer", "http://user:c4n4ry@h/?a=c4n4ry#c4n4ry"}},
           Fields{{"Location", "/login?token=c4n4ry"}},
       }) {
    EXPECT_FALSE(HasCanary(WhatLeaves(MakeExchange("GET", "/", fields)))) << fields[0].first;
    EXPECT_FALSE(HasCanary(WhatLeaves(MakeExchange("GET", "/", {}, fields)))) << fields[0].first;
  }
  EXPECT_FALSE(HasCanary(WhatLeaves(MakeExchange("GET", "/", {}, {{"Set-Cookie", "a=c4n4ry"}}))));
  pairing::Exchange upgraded = MakeExchange();
  upgraded.upgrade_protocol = "websocket\r\n Cookie: c4n4ry";
  EXPECT_FALSE(HasCanary(WhatLeaves(std::move(upgraded))));
}

// Annotations hold whole manifests; labels are for all to see, but people err.
TEST(Privacy, NoDescriptionOfAPodGivesItAway) {
  discovery::PodIdentity pod{
      .namespace_name = "shop",
      .pod_name = "web",
      .pod_uid = "1",
      .labels = {{"app", "web"}, {"db-password", kCanary}, {"api.TOKEN", kCanary}},
      .annotations = {{"kubectl.kubernetes.io/last-applied-configuration", kCanary},
                      {"resource.opentelemetry.io/service.namespace", kCanary}}};
  DescribePod(pod);
  enrichment::Event event = MakeFullEvent();
  event.destination.pod = std::make_shared<discovery::PodIdentity>(pod);
  BatchBuilder builder(kOrigin, {});
  builder.Add(event, 1, 0);
  v1::HttpEvent printed;
  EncodeEvent(event, kOrigin, 1, printed);
  EXPECT_EQ(printed.destination().labels_size(), 1);
  EXPECT_FALSE(HasCanary(builder.Finish().message + printed.DebugString()));
}

}  // namespace
}  // namespace podtap::exporter
