#include "backend/core/unicode.h"

#include <gtest/gtest.h>

#include "backend/core/error.h"

namespace nacre {
namespace {

TEST(Unicode, EscapesWhatMovesATerminal) {
  EXPECT_EQ(escaped("dense_1/größe 層 \\"), "dense_1/größe 層 \\");
  EXPECT_EQ(escaped("\x1b[2Ja\rb\nc\td\x7f"), R"(\x1b[2Ja\rb\nc\td\x7f)");
  EXPECT_EQ(escaped(std::string_view("a\0b", 3)), R"(a\x00b)");
  EXPECT_EQ(escaped("\u009b31m \u202egnp.exe \u2028\ufeff"), R"(\u009b31m \u202egnp.exe \u2028\ufeff)");
}

TEST(Unicode, EscapesBytesThatAreNoUtf8) {
  EXPECT_EQ(escaped("a\xff\xc3"), R"(a\xff\xc3)");
  EXPECT_EQ(escaped("\xc0\x9b ü \xed\xa0\x80"), R"(\xc0\x9b ü \xed\xa0\x80)")
      << "neither longer than need be nor a surrogate";
}

TEST(Unicode, PartsOfErrorsStayOnTheirLines) {
  const Error error = Error("no layer '{}'", "a\n  hint: \x1b[1mrun this")
                          .about("layer '\r'")
                          .at({"x\n.keras", 1, 2})
                          .within("while\treading")
                          .hint("'\x07'?");
  EXPECT_STREQ(error.what(), R"(x\n.keras:1:2: layer '\r': no layer 'a\n  hint: \x1b[1mrun this')"
                             "\n"
                             R"(  while\treading)"
                             "\n"
                             R"(  hint: '\x07'?)");
}

}  // namespace
}  // namespace nacre
