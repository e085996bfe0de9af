#include "collector/query/event_list.h"

#include "collector/query/token.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/collector/support.h"

namespace podtap::query {
namespace {

class EventListTest : public testing::Test {
 protected:
  EventListTest() {
    auto store = store::sqlite::SqliteStore::Open({.directory = directory_.path()}, &clock_);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  absl::Status List(const v1::ListEventsRequest& request, v1::ListEventsResponse* response,
                    int64_t budget_ns = 60 * kSecondNs) {
    return ListStoredEvents(
        *store_, clock_, budget_ns, request, [] { return false; }, response);
  }

  std::vector<v1::HttpEvent> ListAll(v1::ListEventsRequest request) {
    std::vector<v1::HttpEvent> events;
    do {
      v1::ListEventsResponse page;
      const absl::Status status = List(request, &page);
      EXPECT_TRUE(status.ok()) << status;
      events.insert(events.end(), page.events().begin(), page.events().end());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return events;
  }

  std::string ErrorField(const v1::ListEventsRequest& request) {
    v1::ListEventsResponse page;
    const absl::Status status = List(request, &page);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    const std::string message(status.message());
    return message.substr(0, message.find(": "));
  }

  TempDir directory_;
  FakeClock clock_;
  std::unique_ptr<store::sqlite::SqliteStore> store_;
};

TEST_F(EventListTest, PagesThroughEqualTimesInBothOrders) {
  for (uint64_t i = 1; i <= 10; ++i) {
    ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, i, 1, kNoonNs)).ok());
    if (i == 4) {
      clock_.Advance(kHourNs);
    }
  }
  v1::ListEventsRequest request;
  for (const int32_t page_size : {1, 3, 5, 10, 100}) {
    request.set_page_size(page_size);
    request.set_order(v1::ORDER_OLDEST);
    EXPECT_EQ(Paths(ListAll(request)), "/1 /2 /3 /4 /5 /6 /7 /8 /9 /10") << page_size;
    request.set_order(v1::ORDER_UNSPECIFIED);
    EXPECT_EQ(Paths(ListAll(request)), "/10 /9 /8 /7 /6 /5 /4 /3 /2 /1") << page_size;
  }
}

TEST_F(EventListTest, LastPageHasNoToken) {
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 1, 4)).ok());
  v1::ListEventsRequest request;
  request.set_page_size(4);
  v1::ListEventsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(page.events_size(), 4);
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(EventListTest, DefaultsAndCoercesThePageSize) {
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 1, 1100)).ok());
  v1::ListEventsRequest request;
  v1::ListEventsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(page.events_size(), 100);
  request.set_page_size(5000);
  page.Clear();
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(page.events_size(), 1000);
}

TEST_F(EventListTest, PagesDoNotGrowWhileEventsArrive) {
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 1, 4)).ok());
  v1::ListEventsRequest request;
  request.set_page_size(2);
  request.set_order(v1::ORDER_OLDEST);
  v1::ListEventsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 5, 4)).ok());
  request.set_page_token(page.next_page_token());
  EXPECT_EQ(Paths(ListAll(request)), "/3 /4");
}

TEST_F(EventListTest, FiltersAcrossPages) {
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 1, 30)).ok());
  v1::ListEventsRequest request;
  request.set_page_size(2);
  request.add_include()->add_path("~[05]$");
  request.add_exclude()->add_path("/15");
  EXPECT_EQ(Paths(ListAll(request)), "/30 /25 /20 /10 /5");
}

TEST_F(EventListTest, GoesOnWhereTheBudgetEnded) {
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 1, 1000)).ok());
  v1::ListEventsRequest request;
  request.add_include()->add_path("/1");
  int pages = 0;
  std::string found;
  do {
    v1::ListEventsResponse page;
    ASSERT_TRUE(List(request, &page, 0).ok());
    for (const v1::HttpEvent& event : page.events()) {
      found += event.request().path();
    }
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty() && pages < 1000);
  EXPECT_EQ(found, "/1");
  EXPECT_GT(pages, 5);
  EXPECT_LT(pages, 1000);
}

TEST_F(EventListTest, LimitsAPageInBytes) {
  v1::EventBatch batch = MakeBatch(1, 1, 200);
  batch.set_strings(1, std::string(60'000, 'M'));
  ASSERT_TRUE(WriteBatch(*store_, batch).ok());
  v1::ListEventsRequest request;
  request.set_page_size(200);
  v1::ListEventsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_LT(page.ByteSizeLong(), 4u << 20);
  EXPECT_EQ(ListAll(request).size(), 200u);
}

TEST_F(EventListTest, SaysWhatIsCovered) {
  clock_.Advance(60 * kSecondNs);
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 1, 1, kNoonNs + 30 * kSecondNs)).ok());
  const int64_t noon_seconds = kNoonNs / kSecondNs;
  v1::ListEventsRequest request;
  v1::ListEventsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(page.covered().start_time().seconds(), noon_seconds);
  EXPECT_EQ(page.covered().end_time().seconds(), noon_seconds + 60);

  request.mutable_time_range()->mutable_start_time()->set_seconds(noon_seconds + 10);
  request.mutable_time_range()->mutable_end_time()->set_seconds(noon_seconds + 20);
  page.Clear();
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(page.events_size(), 0);
  EXPECT_EQ(page.covered().start_time().seconds(), noon_seconds + 10);
  EXPECT_EQ(page.covered().end_time().seconds(), noon_seconds + 20);

  request.mutable_time_range()->mutable_start_time()->set_seconds(noon_seconds - 20);
  request.mutable_time_range()->mutable_end_time()->set_seconds(noon_seconds - 10);
  page.Clear();
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_FALSE(page.has_covered());
}

TEST_F(EventListTest, ReportsLossesOfTheTime) {
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 5, 1)).ok());
  v1::ListEventsRequest request;
  v1::ListEventsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  ASSERT_EQ(page.losses_size(), 1);
  EXPECT_EQ(page.losses(0).name(), "sequence_hole");
  EXPECT_EQ(page.losses(0).count(), 4u);
  request.mutable_time_range()->mutable_end_time()->set_seconds(kNoonNs / kSecondNs - 1);
  page.Clear();
  ASSERT_TRUE(List(request, &page).ok());
  EXPECT_EQ(page.losses_size(), 0);
}

TEST_F(EventListTest, NamesTheFieldThatIsWrong) {
  ASSERT_TRUE(WriteBatch(*store_, MakeBatch(1, 1, 4)).ok());
  v1::ListEventsRequest request;
  request.set_page_size(-1);
  EXPECT_EQ(ErrorField(request), "page_size");
  request.Clear();
  request.set_order(static_cast<v1::Order>(9));
  EXPECT_EQ(ErrorField(request), "order");
  request.Clear();
  request.add_include()->add_status("abc");
  EXPECT_EQ(ErrorField(request), "include[0].status[0]");
  request.Clear();
  request.set_page_token("!");
  EXPECT_EQ(ErrorField(request), "page_token");
  request.Clear();
  request.mutable_time_range()->mutable_start_time()->set_nanos(-1);
  EXPECT_EQ(ErrorField(request), "time_range.start_time.nanos");
  request.Clear();
  request.mutable_time_range()->mutable_start_time()->set_seconds(2);
  request.mutable_time_range()->mutable_end_time()->set_seconds(1);
  EXPECT_EQ(ErrorField(request), "time_range.end_time");
  request.Clear();
  request.set_page_size(1);
  v1::ListEventsResponse page;
  ASSERT_TRUE(List(request, &page).ok());
  request.set_page_token(page.next_page_token());
  request.add_include()->add_method("GET");
  EXPECT_EQ(ErrorField(request), "page_token") << "of another request";
}

TEST(Token, RoundTripsAndRefusesDamage) {
  const PageToken token{.store_id = 1, .fingerprint = 2, .position = {-3, 4}, .last_row = 5};
  std::string text = EncodePageToken(token);
  const auto decoded = DecodePageToken(text);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->position.start_ns, -3);
  EXPECT_EQ(decoded->last_row, 5u);
  EXPECT_FALSE(DecodeCursor(text));
  text[10] = text[10] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(DecodePageToken(text));
  EXPECT_FALSE(DecodePageToken(""));
  EXPECT_FALSE(DecodeCursor(std::string(100'000, 'A')));
}

}  // namespace
}  // namespace podtap::query
