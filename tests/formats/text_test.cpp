#include "formats/text.h"

#include <gtest/gtest.h>

namespace nacre {
namespace {

using Lines = std::vector<std::string>;

TEST(Text, LinesEndInEitherWayAndMayBeEmpty) {
  EXPECT_EQ(lines_of("a\nb\r\n\nc"), (Lines{"a", "b", "", "c"}));
  EXPECT_EQ(lines_of("a\n"), (Lines{"a"}));
  EXPECT_EQ(lines_of(""), Lines());
  EXPECT_EQ(lines_of("\n\n"), (Lines{"", ""}));
  EXPECT_EQ(lines_of("\xEF\xBB\xBF" "a\rb"), (Lines{"a\rb"}));
}

}  // namespace
}  // namespace nacre
