#include "cli/cursor_file.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace podtap::cli {
namespace {

std::string Contents(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(CursorFile, IsReadBackAndReplaced) {
  const TempDir directory;
  const std::string path = directory.path() + "/cursor";
  EXPECT_EQ(*ReadCursorFile(path), "") << "no file yet";
  ASSERT_TRUE(WriteCursorFile(path, "first").ok());
  EXPECT_EQ(Contents(path), "first\n");
  ASSERT_TRUE(WriteCursorFile(path, "2").ok());
  EXPECT_EQ(*ReadCursorFile(path), "2");
  EXPECT_EQ(directory.Names("cursor").size(), 1u) << "nothing is left beside it";
}

TEST(CursorFile, RefusesWhatIsNoCursor) {
  const TempDir directory;
  const std::string path = directory.path() + "/cursor";
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("a b"), std::string("a\nb"),
        std::string("a\x01"), std::string(1000, 'a')}) {
    std::ofstream(path) << text;
    const auto cursor = ReadCursorFile(path);
    ASSERT_FALSE(cursor.ok()) << text;
    EXPECT_THAT(std::string(cursor.status().message()),
                testing::AllOf(testing::HasSubstr(path), testing::HasSubstr("remove it")));
  }
}

TEST(CursorFile, FailuresNameTheFile) {
  const TempDir directory;
  const std::string path = directory.path() + "/none/cursor";
  EXPECT_THAT(std::string(WriteCursorFile(path, "x").message()), testing::HasSubstr(path));
  EXPECT_FALSE(ReadCursorFile(directory.path()).ok()) << "a directory";
  // A full disk leaves the cursor of before.
  if (::access("/dev/full", W_OK) == 0) {
    const std::string kept = directory.path() + "/kept";
    ASSERT_TRUE(WriteCursorFile(kept, "before").ok());
    ASSERT_EQ(::symlink("/dev/full", (kept + ".tmp").c_str()), 0);
    EXPECT_FALSE(WriteCursorFile(kept, "after").ok());
    EXPECT_EQ(*ReadCursorFile(kept), "before");
  }
}

}  // namespace
}  // namespace podtap::cli
