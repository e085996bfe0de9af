// A SQLite store in a directory of its own, with a clock to turn.
#pragma once

#include <memory>
#include <string>

#include "collector/store/sqlite/sqlite_store.h"
#include "gtest/gtest.h"
#include "tests/unit/collector/support.h"

namespace podtap::store::sqlite {

class SqliteStoreTest : public testing::Test {
 protected:
  SqliteStoreTest() { options_.directory = directory_.path(); }

  void Open() {
    store_.reset();
    auto store = SqliteStore::Open(options_, &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  WriteResult Store(const v1::EventBatch& batch, const std::string& node = "node-a") {
    const auto result = WriteBatch(*store_, batch, node);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(WriteResult());
  }

  std::string LossText(int64_t begin_ns = 0, int64_t end_ns = 2 * kNoonNs) {
    const auto losses = store_->Losses(begin_ns, end_ns);
    EXPECT_TRUE(losses.ok()) << losses.status();
    std::string text;
    for (const v1::Loss& loss : *losses) {
      text += loss.node_name() + " " + std::to_string(loss.stage()) + " " + loss.name() + " " +
              std::to_string(loss.count()) + "\n";
    }
    return text;
  }

  TempDir directory_;
  FakeClock clock_;
  StoreOptions options_;
  std::unique_ptr<SqliteStore> store_;
};

}  // namespace podtap::store::sqlite
