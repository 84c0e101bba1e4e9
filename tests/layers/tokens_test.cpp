#include "layers/tokens.h"

#include <gtest/gtest.h>

namespace nacre {
namespace {

TEST(Tokens, WordsStandBetweenWhiteSpaceOfAscii) {
  EXPECT_EQ(words_of(" a\t\nb\v\f\rc  "), (Tokens{"a", "b", "c"}));
  EXPECT_EQ(words_of("a\xC2\xA0" "b"), (Tokens{"a\xC2\xA0" "b"}));  // a no-break space is none
  EXPECT_EQ(words_of(" \n"), Tokens());
}

TEST(Tokens, OnlyAsciiIsLoweredAndStripped) {
  EXPECT_EQ(lower_ascii("AbC ÉZ[@`{"), "abc Éz[@`{");
  EXPECT_EQ(without_punctuation("!\"#$%&'()*+,-./a:;<=>?@0[\\]^_`Z{|}~ «é»"), "a0Z «é»");
}

TEST(Tokens, CharactersAreThoseOfUtf8AndOthersAreReplaced) {
  EXPECT_EQ(characters_of("aé日😀"), (Tokens{"a", "é", "日", "😀"}));
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(characters_of("\xFF" "a"), (Tokens{replaced, "a"}));
  EXPECT_EQ(characters_of("\xC0\x80"), (Tokens{replaced, replaced}));              // longer than need be
  EXPECT_EQ(characters_of("\xED\xA0\x80").size(), 3u);                              // a surrogate
  EXPECT_EQ(characters_of("\xF4\x90\x80\x80").front(), replaced);                  // beyond the last one
  EXPECT_EQ(characters_of("\xC3"), (Tokens{replaced}));                             // cut short
}

TEST(Tokens, GroupsOfOneLengthComeAfterTheOther) {
  const Tokens tokens{"a", "b", "c"};
  const std::int64_t lengths[] = {2, 1, 4};
  EXPECT_EQ(ngrams_of(tokens, lengths), (Tokens{"a b", "b c", "a", "b", "c"}));
}

}  // namespace
}  // namespace nacre
