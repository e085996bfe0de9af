#include "common/text.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace podtap {
namespace {

using std::string_view_literals::operator""sv;

TEST(SafeText, KeepsPrintableText) {
  EXPECT_EQ(SafeText("GET /a b?c=d%20~"), "GET /a b?c=d%20~");
  EXPECT_EQ(SafeText("grüße 世界 🙂"), "grüße 世界 🙂");
  EXPECT_EQ(SafeText(""), "");
}

TEST(SafeText, EscapesControls) {
  EXPECT_EQ(SafeText("a\r\nb\x1b[31m\0c\x7f"sv), "a%0D%0Ab%1B[31m%00c%7F");
  EXPECT_EQ(SafeText("\xc2\x85"), "%C2%85") << "C1";
}

TEST(SafeText, EscapesWhatReordersText) {
  EXPECT_EQ(SafeText("\u202e\u2066\u200f\u061c"), "%E2%80%AE%E2%81%A6%E2%80%8F%D8%9C");
  EXPECT_EQ(SafeText("\u2028\u2029\ufeff"), "%E2%80%A8%E2%80%A9%EF%BB%BF");
}

TEST(SafeText, EscapesInvalidUtf8) {
  EXPECT_EQ(SafeText("a\xffz"), "a%FFz");
  EXPECT_EQ(SafeText("\x80"), "%80") << "lone continuation";
  EXPECT_EQ(SafeText("\xc0\xaf"), "%C0%AF") << "overlong";
  EXPECT_EQ(SafeText("\xe0\x80\xaf"), "%E0%80%AF") << "overlong";
  EXPECT_EQ(SafeText("\xed\xa0\x80"), "%ED%A0%80") << "surrogate";
  EXPECT_EQ(SafeText("\xf4\x90\x80\x80"), "%F4%90%80%80") << "above U+10FFFF";
  EXPECT_EQ(SafeText("\xf8\x88\x80\x80\x80"), "%F8%88%80%80%80") << "five bytes";
  EXPECT_EQ(SafeText("\xe4\xb8"), "%E4%B8") << "cut short";
}

TEST(SafeText, BoundsTheResult) {
  EXPECT_EQ(SafeText("abcdef", 3), "abc");
  EXPECT_EQ(SafeText("abc", 3), "abc");
  EXPECT_EQ(SafeText("ab世", 4), "ab") << "no half character";
  EXPECT_EQ(SafeText("ab\x01", 4), "ab") << "no half escape";
  EXPECT_EQ(SafeText("ab\x01", 5), "ab%01");
  EXPECT_EQ(SafeText("x", 0), "");
}

TEST(SafeTarget, EscapesTheSpaceAndKeepsEscapes) {
  EXPECT_EQ(SafeTarget("/a b%2Fc"), "/a%20b%2Fc");
}

TEST(SafeTarget, ACutGoesThroughNoEscape) {
  EXPECT_EQ(SafeTarget("/a%2Fb", 3), "/a");
  EXPECT_EQ(SafeTarget("/a%2Fb", 4), "/a");
  EXPECT_EQ(SafeTarget("/a%2Fb", 5), "/a%2F");
}

TEST(AppendSafeText, SaysWhetherItIsWhole) {
  std::string out = "0123";
  EXPECT_TRUE(AppendSafeText(out, "ab", 2));
  EXPECT_FALSE(AppendSafeText(out, "cd\n", 4));
  EXPECT_FALSE(AppendSafeTarget(out, "e fg", 4));
  EXPECT_EQ(out, "0123abcde%20");
}

TEST(SafeText, SeesEveryByteAtEveryPlace) {
  for (int value = 0; value < 256; ++value) {
    const std::string byte(1, static_cast<char>(value));
    const bool plain = value >= 0x20 && value <= 0x7e;
    for (size_t place = 0; place < 20; ++place) {
      const std::string before(place, 'a');
      const std::string after(19 - place, 'z');
      const std::string safe = SafeText(before + byte + after);
      ASSERT_EQ(safe, before + SafeText(byte) + after);
      ASSERT_EQ(safe.size() == 20, plain) << value;
    }
  }
}

// Every string of four of these bytes gives text that is left as it is the second time.
TEST(SafeText, ResultIsAlwaysSafe) {
  const std::string_view bytes = "\x00\x1f a%\x7e\x7f\x80\xbf\xc0\xc2\xe0\xe2\xed\xf0\xf4\xff"sv;
  for (const char a : bytes) {
    for (const char b : bytes) {
      for (const char c : bytes) {
        for (const char d : bytes) {
          const std::string safe = SafeText(std::string{a, b, c, d});
          ASSERT_EQ(SafeText(safe), safe);
        }
      }
    }
  }
}

}  // namespace
}  // namespace podtap
