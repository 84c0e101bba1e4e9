#include "formats/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;

std::string error_of(std::string_view text) {
  return message_of([&] { parse_json(text, "x.json"); });
}

TEST(Json, ReadsValuesWithMarks) {
  const Tree tree = parse_json("{\n  \"a\": [1, 2.5, true, null],\n  \"b\": {\"c\": \"d\"}\n}", "x.json");
  EXPECT_EQ(tree.text(), "{a: [1, 2.5, true, null], b: {c: 'd'}}");
  EXPECT_EQ(tree["a"].items()[1].mark(), (Mark{"x.json", 2, 12}));
  EXPECT_EQ(tree.entries()[1].mark, (Mark{"x.json", 3, 3}));
}

TEST(Json, ReadsNumbersAsPythonDoes) {
  EXPECT_TRUE(std::isnan(parse_json("NaN").as_number()));
  EXPECT_EQ(parse_json("Infinity").as_number(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(parse_json("-Infinity").as_number(), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(parse_json("9223372036854775807").is_integer());
  EXPECT_EQ(parse_json("9223372036854775808").as_number(), 9223372036854775808.0);
  EXPECT_FALSE(parse_json("1.0").is_integer());
  EXPECT_EQ(parse_json("-0.5e+2").as_number(), -50.0);
  EXPECT_EQ(parse_json("1e999").as_number(), std::numeric_limits<double>::infinity());
  for (const char* text : {"01", "+1", "1.", ".5", "-", "1e", "0x10", "nan", "1_0", "--1", "-inf", "- 1"}) EXPECT_NE(error_of(text), "") << text;
}

TEST(Json, ReadsTexts) {
  EXPECT_EQ(parse_json(R"("a\"\\\/\b\f\n\r\té😀")").as_string(), "a\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_EQ(parse_json(R"("\ud83dx\udc00")").as_string(), "\xef\xbf\xbdx\xef\xbf\xbd");
  EXPECT_EQ(parse_json("\"a\\u0000b\"").as_string(), std::string("a\0b", 3));
}

TEST(Json, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(error_of(""), "x.json:1:1: not valid JSON: a value is wanted, got the end");
  EXPECT_EQ(error_of("{\"a\": 1,\n \"b\" 2}"), "x.json:2:6: not valid JSON: ':' is wanted, got '2'");
  EXPECT_EQ(error_of("[1 2]"), "x.json:1:4: not valid JSON: ',' or ']' is wanted, got '2'");
  EXPECT_EQ(error_of("{\"a\": 1"), "x.json:1:8: not valid JSON: ',' or '}' is wanted, got the end");
  EXPECT_EQ(error_of("{a: 1}"), "x.json:1:2: not valid JSON: a key in double quotes is wanted, got 'a'");
  EXPECT_EQ(error_of("[1, 2]\n]"), "x.json:2:1: not valid JSON: there is more after the value: ']'");
  EXPECT_EQ(error_of("[\"abc"), "x.json:1:2: not valid JSON: the text that begins here has no end");
  EXPECT_EQ(error_of("\"a\nb\""), "x.json:1:3: not valid JSON: the byte 0x0a may not stand in a text");
  EXPECT_EQ(error_of("\"\\q\""), "x.json:1:3: not valid JSON: '\\' may not stand before 'q'");
  EXPECT_EQ(error_of("{\"a\": 1, \"a\": 2}"), "x.json:1:10: the key 'a' stands here twice");
  EXPECT_EQ(error_of("[01]"), "x.json:1:2: not valid JSON: '01' is no number");
  EXPECT_EQ(error_of("[\n\"\xff\"]"), "x.json:2:2: not valid JSON: the text is not UTF-8");
  EXPECT_EQ(error_of(std::string(1'000'000, '[')), "x.json:1:514: not valid JSON: nested deeper than 512 levels");
}

TEST(Json, WhatIsNotFiniteIsNullUnlessKerasReadsIt) {
  const Tree tree = parse_json("[NaN, Infinity, -Infinity, 1.5]");
  EXPECT_EQ(write_json(tree), "[null, null, null, 1.5]");
  EXPECT_EQ(write_json(tree, 0, NotFinite::named), "[NaN, Infinity, -Infinity, 1.5]");
}

TEST(Json, WritesAsPythonDoes) {
  const Tree tree = parse_json(R"({"a": [1, 1.0, 1e-07, 1e16, 0.1, 123456.789, NaN, -Infinity], "b": {}, "c": [], "é": "😀\n\u007f", "d": null})");
  EXPECT_EQ(write_json(tree, 0, NotFinite::named),
            R"({"a": [1, 1.0, 1e-07, 1e+16, 0.1, 123456.789, NaN, -Infinity], "b": {}, "c": [], "\u00e9": "\ud83d\ude00\n\u007f", "d": null})");
  EXPECT_EQ(write_json(parse_json(R"({"a": [1, {"b": 2}], "c": []})"), 2),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": []\n}");
  EXPECT_EQ(write_json(Tree("a\xff""b\xc3")), "\"a\\ufffdb\\ufffd\"");
}

TEST(Json, SurvivesDamagedTexts) {
  const std::string whole = R"({"a": [1, 2.5, {"b": "c\u00e9"}], "d": NaN, "e": {"f": [[], {}]}, "g": -1e5})";
  std::mt19937 random(3);
  const std::string alphabet = "[]{}:,\"\\ u0123eN-";
  for (int i = 0; i < 50'000; ++i) {
    std::string text = whole;
    for (unsigned edits = random() % 3 + 1; edits > 0; --edits) {
      const std::size_t position = random() % text.size();
      if (random() % 3 == 0) text.erase(position, random() % 6);
      else text[position] = alphabet[random() % alphabet.size()];
      if (text.empty()) text = "1";
    }
    try {
      const Tree tree = parse_json(text);
      EXPECT_EQ(write_json(parse_json(write_json(tree))), write_json(tree));
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace nacre
