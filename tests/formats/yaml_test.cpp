#include "formats/yaml.h"

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
  return message_of([&] { parse_yaml(text, "x.yaml"); });
}

TEST(Yaml, ReadsAnExperiment) {
  const Tree tree = parse_yaml(
      "name: mnist-cnn\n"
      "seed: 7  # lucky\n"
      "model:\n"
      "  blocks:\n"
      "    residual(filters, strides=1):\n"
      "      - Conv2D: {filters: \"${filters}\", kernel_size: 3}\n"
      "  sequential:\n"
      "    - Input: {shape: [28, 28, 1]}\n"
      "    - BatchNormalization\n"
      "    - Dropout: {rate: 0.4}\n",
      "x.yaml");
  EXPECT_EQ(tree["name"].as_string(), "mnist-cnn");
  EXPECT_EQ(tree["seed"].as_integer(), 7);
  EXPECT_EQ(tree["model"]["blocks"].entries()[0].key, "residual(filters, strides=1)");
  const Tree& layers = tree["model"]["sequential"];
  EXPECT_EQ(layers.text(), "[{Input: {shape: [28, 28, 1]}}, 'BatchNormalization', {Dropout: {rate: 0.4}}]");
  EXPECT_EQ(layers.items()[1].mark(), (Mark{"x.yaml", 9, 7}));
  EXPECT_EQ(layers.items()[0]["Input"]["shape"].mark(), (Mark{"x.yaml", 8, 22}));
  EXPECT_EQ(layers.items()[2]["Dropout"].entries()[0].mark, (Mark{"x.yaml", 10, 17}));
  EXPECT_EQ(layers.items()[2]["Dropout"]["rate"].mark(), (Mark{"x.yaml", 10, 23}));
  EXPECT_EQ(tree.entries()[2].mark, (Mark{"x.yaml", 3, 1}));
}

TEST(Yaml, ReadsScalarsOfTheCoreSchema) {
  const auto value = [](std::string_view text) { return parse_yaml(text); };
  for (const char* text : {"", "~", "null", "Null", "NULL", "--- "}) EXPECT_TRUE(value(text).is_null()) << text;
  for (const char* text : {"true", "True", "TRUE"}) EXPECT_EQ(value(text), Tree(true)) << text;
  for (const char* text : {"false", "False", "FALSE"}) EXPECT_EQ(value(text), Tree(false)) << text;
  for (const char* text : {"yes", "no", "on", "off", "y", "tRUE", "1_000", "0x", "0xg", "-0x1", ".", "+", "1e", "1e+", "1.2.3",
                           "12:30", "e5", "0o8", "inf", "nan", "-.", "1 2", "2020-01-01"})
    EXPECT_TRUE(value(std::string("a: ") + text)["a"].is_string()) << text;
  for (const char* text : {"'1'", "\"true\"", "'null'", "''", "!!str 1"}) EXPECT_TRUE(value(text).is_string()) << text;
  EXPECT_EQ(value("0x1F").as_integer(), 31);
  EXPECT_EQ(value("0o17").as_integer(), 15);
  EXPECT_EQ(value("010").as_integer(), 10);
  EXPECT_EQ(value("+3").as_integer(), 3);
  EXPECT_EQ(value("-9223372036854775808").as_integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_TRUE(value("-9223372036854775808").is_integer());
  EXPECT_EQ(value("18446744073709551615").as_number(), 18446744073709551615.0);
  EXPECT_FALSE(value("18446744073709551615").is_integer());
  for (const char* text : {"1e-3", "1.0E-3", "+.001", "0.001", "001e-3"}) EXPECT_EQ(value(text).as_number(), 1e-3) << text;
  EXPECT_FALSE(value("1.").is_integer());
  EXPECT_EQ(value("1.").as_number(), 1.0);
  EXPECT_EQ(value(".inf").as_number(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(value("-.Inf").as_number(), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(value(".NaN").as_number()));
  EXPECT_EQ(value("1e999").as_number(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(value("-1e-999").as_number(), 0.0);
  EXPECT_EQ(value("!!float 1").text(), "1");
  EXPECT_EQ(value("!!int '12'").as_integer(), 12);
}

TEST(Yaml, ReadsTextsOfSeveralLines) {
  const Tree tree = parse_yaml("script: |\n  for i = 1, 3 do\n    print(i)\n  end\nfolded: >-\n  one\n  two\nescaped: \"a\\n\\u00e9\\x41\"\n");
  EXPECT_EQ(tree["script"].as_string(), "for i = 1, 3 do\n  print(i)\nend\n");
  EXPECT_EQ(tree["folded"].as_string(), "one two");
  EXPECT_EQ(tree["escaped"].as_string(), "a\n\xc3\xa9""A");
}

TEST(Yaml, ExpandsAliasesAndMerges) {
  const Tree tree = parse_yaml(
      "base: &base {a: 1, b: 2}\n"
      "more: &more {b: 3, c: 4}\n"
      "one: {<<: *base, b: 20}\n"
      "both:\n  d: 0\n  <<: [*base, *more]\n"
      "list: [*base, *base]\n"
      "quoted: {'<<': 1}\n");
  EXPECT_EQ(tree["one"].text(), "{b: 20, a: 1}");
  EXPECT_EQ(tree["both"].text(), "{d: 0, a: 1, b: 2, c: 4}");
  EXPECT_EQ(tree["list"].text(), "[{a: 1, b: 2}, {a: 1, b: 2}]");
  EXPECT_EQ(tree["quoted"]["<<"].as_integer(), 1);
}

TEST(Yaml, KeysAreTextsAsWritten) {
  EXPECT_EQ(parse_yaml("{1: a, true: b, null: c, 'x y': d}").text(), "{1: 'a', true: 'b', null: 'c', x y: 'd'}");
}

TEST(Yaml, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"), "x.yaml:3:1: the key 'a' stands here twice\n  hint: the first is at line 1");
  EXPECT_EQ(error_of("train:\n  epochs: 1\n  note: loss: mse\n"),
            "x.yaml:3:13: not valid YAML: illegal map value\n"
            "  hint: a text that holds ': ' needs quotes; keys of one mapping stand in one column");
  EXPECT_EQ(error_of("a: [1, 2\nb: 3\n"), "x.yaml:2:2: not valid YAML: end of sequence flow not found\n  hint: a bracket or brace is not closed");
  EXPECT_EQ(error_of("a:\n\tb: 1\n"), "x.yaml:2:3: not valid YAML: illegal map value\n  hint: indent with spaces: YAML does not allow tabs there");
  EXPECT_EQ(error_of("a: *b\n"), "x.yaml:1:4: not valid YAML: the referenced anchor is not defined");
  EXPECT_EQ(error_of("a: &a [*a]\n"), "x.yaml:1:8: the alias stands inside the value that it names");
  EXPECT_EQ(error_of("a: !lua x\n"), "x.yaml:1:4: the tag '!lua' is not known\n  hint: put the value in quotes if it begins with '!'");
  EXPECT_EQ(error_of("a: !!int x\n"), "x.yaml:1:4: 'x' is no int");
  EXPECT_EQ(error_of("[a]: 1\n"), "x.yaml:1:1: a key must be a single word or text, not a list or mapping\n  hint: a text that begins with '{' or '[' needs quotes");
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"), "x.yaml:3:1: there is a second document\n  hint: one file holds one document: remove the line '---'");
  EXPECT_EQ(error_of("a: 1\nb: x\x04\n"), "x.yaml:2:5: the byte 0x04 may not stand in YAML\n  hint: is this a text file?");
  EXPECT_EQ(error_of("a: 1\nb: \xff\n"), "x.yaml:2:4: the text is not UTF-8\n  hint: save the file with the encoding UTF-8");
  EXPECT_EQ(error_of("a: {<<: 3}\n"), "x.yaml:1:5: << wants a mapping or a list of mappings, got 3");
  EXPECT_EQ(error_of("a: @b\n"), "x.yaml:1:4: not valid YAML: unknown token\n  hint: a text that begins with @, ` or % needs quotes");
}

TEST(Yaml, BoundsWhatHostileTextsExpandTo) {
  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 12; ++i) {
    laughs += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 9; ++j) laughs += fmt::format("{}*a{}", j ? ", " : "", i - 1);
    laughs += "]\n";
  }
  EXPECT_NE(error_of(laughs).find("the document is too large once its aliases are expanded"), std::string::npos);
  std::string long_texts = "a: &a '" + std::string(1 << 20, 'x') + "'\nb: [";
  for (int i = 0; i < 2000; ++i) long_texts += "*a, ";
  EXPECT_NE(error_of(long_texts + "]\n").find("too large"), std::string::npos);
  EXPECT_EQ(error_of(std::string(200, '[') + std::string(200, ']')), "x.yaml:1:129: nested deeper than 128 levels");
  EXPECT_NE(error_of(std::string(100'000, '[')), "");
  EXPECT_NE(error_of(std::string(100'000, '{')), "");
  std::string dashes;
  for (int i = 0; i < 10'000; ++i) dashes += "- ";
  EXPECT_NE(error_of(dashes).find("nested deeper"), std::string::npos);
}

TEST(Yaml, WritesWhatPeopleLikeToRead) {
  const Tree tree = parse_yaml(
      "{name: mnist-cnn, seed: 7, model: {sequential: [{Input: {shape: [28, 28, 1]}}, {Rescaling: {scale: \"${1/255}\"}},"
      "{Conv2D: {filters: 32, kernel_size: 3, activation: {LeakyReLU: {negative_slope: 0.1}}}}, BatchNormalization]},"
      "train: {optimizer: adam, metrics: [accuracy], epochs: 12, callbacks: [{EarlyStopping: {monitor: val_loss}}], empty: {}, none: []}}");
  EXPECT_EQ(write_yaml(tree),
            "name: mnist-cnn\n"
            "seed: 7\n"
            "model:\n"
            "  sequential:\n"
            "    - Input: {shape: [28, 28, 1]}\n"
            "    - Rescaling: {scale: \"${1/255}\"}\n"
            "    - Conv2D: {filters: 32, kernel_size: 3, activation: {LeakyReLU: {negative_slope: 0.1}}}\n"
            "    - BatchNormalization\n"
            "train:\n"
            "  optimizer: adam\n"
            "  metrics: [accuracy]\n"
            "  epochs: 12\n"
            "  callbacks:\n"
            "    - EarlyStopping: {monitor: val_loss}\n"
            "  empty: {}\n"
            "  none: []\n");
  EXPECT_EQ(write_yaml(Tree::mapping()), "{}\n");
  EXPECT_EQ(write_yaml(Tree(1.0)), "1.0\n");
  Tree script;
  script.set("lua", "for i = 1, 3 do\n  print(i)\nend\n");
  EXPECT_EQ(write_yaml(script), "lua: |\n  for i = 1, 3 do\n    print(i)\n  end\n");
}

TEST(Yaml, WrittenTextsReadBackAsTexts) {
  for (const char* text : {"", " ", "a ", " a", "1", "-1.5e3", "0x1F", ".inf", "true", "null", "~", "yes", "No", "a: b", "a #b", "a:", "- a", "-a",
                           "?", "!x", "&x", "*x", "|", ">", "%x", "@x", "`x", "'x'", "\"x\"", "it's", "a\\b", "\"a\\b\"", "\n", "a\nb", "a\n\n",
                           "\na", " a\nb", "a\n b\n", "a \nb", "\ta\nb", "a\n\tb", "\r\n", "\x01\x7f", "[a]", "{a}", "a,b", "a]b", "${x}", "---", "...",
                           "... x", "--- x", "<<", "=", "\xc3\xa9", "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "\xef\xbb\xbf", "\xc2\x85", "a: b\nc: d\n"}) {
    Tree tree;
    tree.set("in a mapping", text).at({});
    tree.set(text, "as a key");
    tree.set("list", Tree::Sequence{text, text});
    tree.set("mappings", Tree::Sequence{Tree::Mapping{{text, text, {}}}, Tree::Mapping{{"a", text, {}}, {"b", 1, {}}}});
    EXPECT_EQ(parse_yaml(write_yaml(tree)), tree) << write_yaml(tree);
    EXPECT_EQ(parse_yaml(write_yaml(Tree(text))), Tree(text)) << write_yaml(Tree(text));
  }
  EXPECT_EQ(message_of([] { write_yaml(Tree("\xff")); }), "a text that is not UTF-8 cannot be written as YAML");
}

// Any tree reads back as the same tree, integers as integers and reals as the same reals.
TEST(Yaml, RoundTripsRandomTrees) {
  std::mt19937_64 random(5);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::string alphabet = "ab1 0.-:#,[]{}'\"\\\n\t&*!|>%@~=?e+\r\x01";
  const auto text = [&] {
    std::string result;
    for (std::size_t i = below(8); i > 0; --i) result += alphabet[below(alphabet.size())];
    return result;
  };
  const auto tree = [&](auto&& self, int depth) -> Tree {
    switch (below(depth > 3 ? 5 : 8)) {
      case 0: return {};
      case 1: return below(2) == 1;
      case 2: return static_cast<std::int64_t>(random()) >> below(64);
      case 3: return std::ldexp(static_cast<double>(random()), static_cast<int>(below(200)) - 100);
      case 4: return text();
      case 5:
      case 6: {
        Tree result = Tree::sequence();
        for (std::size_t i = below(5); i > 0; --i) result.push(self(self, depth + 1));
        return result;
      }
      default: {
        Tree result = Tree::mapping();
        for (std::size_t i = below(5); i > 0; --i) result.set(text(), self(self, depth + 1));
        return result;
      }
    }
  };
  const auto same_kinds = [](auto&& self, const Tree& a, const Tree& b) -> bool {
    if (a.is_integer() != b.is_integer()) return false;
    if (a.is_sequence())
      for (std::size_t i = 0; i < a.items().size(); ++i)
        if (!self(self, a.items()[i], b.items()[i])) return false;
    if (a.is_mapping())
      for (std::size_t i = 0; i < a.entries().size(); ++i)
        if (!self(self, a.entries()[i].value, b.entries()[i].value)) return false;
    return true;
  };
  for (int i = 0; i < 5000; ++i) {
    const Tree wanted = tree(tree, 0);
    const std::string written = write_yaml(wanted);
    Tree got;
    ASSERT_NO_THROW(got = parse_yaml(written)) << written;
    ASSERT_EQ(got, wanted) << written;
    ASSERT_TRUE(same_kinds(same_kinds, got, wanted)) << written;
  }
}

// Damaged texts are errors or other trees, never a crash or a hang.
TEST(Yaml, SurvivesDamagedTexts) {
  const std::string whole =
      "a: &x [1, 2, {b: 'c', \"d\": e}]\nb: *x\nc:\n  - d\n  - - e\n    - |\n      text\n  - ? k\n    : v\n<<: {q: 1}\n# end\n";
  std::mt19937 random(3);
  const std::string alphabet = "[]{}:,-?&*!|>'\"#\n\t ax1<%@`";
  for (int i = 0; i < 20'000; ++i) {
    std::string text = whole;
    for (unsigned edits = random() % 4 + 1; edits > 0; --edits) {
      const std::size_t position = random() % text.size();
      if (random() % 3 == 0) text.erase(position, random() % 6);
      else text[position] = alphabet[random() % alphabet.size()];
      if (text.empty()) text = "a";
    }
    try {
      const Tree tree = parse_yaml(text, "x.yaml");
      EXPECT_EQ(parse_yaml(write_yaml(tree)), tree) << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::usage);
    }
  }
}

TEST(Yaml, LoadsFiles) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "x.yaml";
  write_file_atomically(path, "\xef\xbb\xbf""a: 1\r\nb: [2]\r\n");
  EXPECT_EQ(load_yaml(path).text(), "{a: 1, b: [2]}");
  EXPECT_EQ(load_yaml(path)["b"].mark(), (Mark{path, 2, 4}));
  EXPECT_TRUE(message_of([&] { load_yaml(folder / "y.yaml"); }).ends_with("no such file or folder\n  hint: check the path"));
}

}  // namespace
}  // namespace nacre
