#include "api/train/name_pattern.h"

#include <gtest/gtest.h>

#include "api/train/optimizers.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;

TEST(NamePatterns, MeanWhatPythonMakesOfThem) {
  EXPECT_TRUE(NamePattern("en.*/").found_in("model/encoder/kernel"));
  EXPECT_FALSE(NamePattern("en.*/").matches("model/encoder/kernel"));
  EXPECT_TRUE(NamePattern("a|ab").matches("ab")) << "the whole name is looked for, not the first branch";
  EXPECT_FALSE(NamePattern("^(?!encoder/).*").found_in("encoder/kernel"));
  EXPECT_TRUE(NamePattern("(?i)BIAS$").found_in("dense/bias"));
  EXPECT_TRUE(NamePattern(R"((?P<word>\w+)/(?P=word))").matches("größe/größe"));
  EXPECT_TRUE(NamePattern("^a.b$").found_in("aßb")) << "a letter is one, however many bytes it has";
  EXPECT_FALSE(
      NamePattern("a.b").matches("a\xff"
                                 "b"));
}

TEST(NamePatterns, HostileOnesEndSoon) {
  const std::string name(200, 'a');
  EXPECT_EQ(message_of([&] { NamePattern("(a+)+$").found_in(name + "!"); }),
            "the regular expression '(a+)+$' cannot be tried on '" + name +
                "!': match limit exceeded\n"
                "  hint: repetitions within repetitions, as in (a+)+, take too many steps");
  EXPECT_NE(message_of([] { NamePattern(std::string(1000, '(')); }).find("parentheses are too deeply nested"),
            std::string::npos);
  EXPECT_NE(message_of([] { NamePattern("((a{1000}){1000}){1000}"); }).find("regular expression is too large"),
            std::string::npos);
  EXPECT_NE(message_of([] { NamePattern("\xff"); }).find("is no regular expression: UTF-8 error"), std::string::npos);
  EXPECT_EQ(message_of([] { NamePattern(std::string(1001, 'a')); }),
            "got a regular expression of 1001 characters, wanted at most 1000");
}

// Those of Muon were compiled as they came, and their errors were none of ours.
TEST(NamePatterns, OfMuonAreBoundedToo) {
  optimizers::Muon optimizer({.exclude_layers = {"("}});
  const auto matrix = std::make_shared<Variable>("dense/kernel", Type{DType::float32, {2, 2}}, true);
  EXPECT_NE(message_of([&] { optimizer.build({matrix}); }).find("'(' is no regular expression"), std::string::npos);
}

}  // namespace
}  // namespace nacre
