#include "formats/csv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::shared_path;
using test::TemporaryFolder;

Csv parsed(std::string_view text, const CsvOptions& options = {}) { return parse_csv(text, "x.csv", options); }
std::string error_of(std::string_view text, const CsvOptions& options = {}) {
  return message_of([&] { parsed(text, options); });
}

TEST(Csv, ReadsNumbersAndTexts) {
  const Csv csv = parsed("name,age, weight\nAnn,31,60.5\n\"Bo \"\"B\"\", jr\",?,-1e-3\r\n\nCy,+7,\n");
  EXPECT_TRUE(csv.had_header);
  EXPECT_EQ(csv.rows, 3u);
  ASSERT_EQ(csv.columns.size(), 3u);
  EXPECT_EQ(csv.columns[2].name, "weight");
  EXPECT_FALSE(csv.column("name").numeric);
  EXPECT_EQ(csv.column("name").texts, (std::vector<std::string>{"Ann", "Bo \"B\", jr", "Cy"}));
  EXPECT_EQ(csv.column("name").first_text, (Mark{"x.csv", 2, 1}));
  EXPECT_EQ(csv.column("age").numbers[0], 31.0f);
  EXPECT_TRUE(std::isnan(csv.column("age").numbers[1]));
  EXPECT_EQ(csv.column("age").numbers[2], 7.0f);
  EXPECT_TRUE(std::isnan(csv.column("weight").numbers[2]));
  const Tensor numbers = csv.numbers({"weight", "age"});
  EXPECT_EQ(numbers.type().text(), "float32(3, 2)");
  EXPECT_EQ(numbers.at(0), 60.5);
  EXPECT_EQ(numbers.at(1), 31.0);
}

// A column that looks numeric for long keeps the texts of its first cells.
TEST(Csv, KeepsFirstCellsOfTextColumns) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += fmt::format("00{},1\n", i);
  const Csv csv = parsed(text + "x,2\n");
  EXPECT_FALSE(csv.columns[0].numeric);
  EXPECT_EQ(csv.columns[0].texts[5], "005");
  EXPECT_EQ(csv.columns[0].first_text, (Mark{"x.csv", 1001, 1}));
  EXPECT_EQ(csv.rows, 1001u);
  EXPECT_EQ(csv.columns[1].numbers.size(), 1001u);
  const TemporaryFolder folder;
  write_file_atomically(folder / "x.csv", text + "x,2\n");
  EXPECT_EQ(read_csv(folder / "x.csv").columns[0].texts[5], "005");
}

TEST(Csv, DetectsHeaderAndDelimiter) {
  EXPECT_FALSE(parsed("1,a\n2,b\n").had_header);
  EXPECT_EQ(parsed("1,a\n2,b\n").columns[1].name, "1");
  EXPECT_TRUE(parsed("text,label\nx,y\n").had_header);
  EXPECT_FALSE(parsed("a,a\nb,1\n").had_header);
  EXPECT_FALSE(parsed("a,\nb,1\n").had_header);
  EXPECT_EQ(parsed("a,b\n1,2\n", {.header = false}).rows, 2u);
  EXPECT_EQ(parsed("1,2\n3,4\n", {.header = true}).columns[1].name, "2");
  EXPECT_EQ(parsed("a;b\n1,5;2\n").columns[0].texts[0], "1,5");
  EXPECT_EQ(parsed("a\tb c\n1\t2\n").columns[1].name, "b c");
  EXPECT_EQ(parsed("a|b\n1|2\n", {.delimiter = '|'}).columns.size(), 2u);
  EXPECT_EQ(parsed("a b\n1 2\n", {.delimiter = ' '}).columns.size(), 2u);
  EXPECT_EQ(parsed("\xef\xbb\xbfx\n1\n").columns[0].name, "x");
  EXPECT_EQ(parsed("x\r1\r2\r").rows, 2u);
}

TEST(Csv, ObeysOptions) {
  EXPECT_EQ(parsed("id,x\n007,1\n", {.text = {"id"}}).columns[0].texts[0], "007");
  EXPECT_TRUE(std::isnan(parsed("x\n1\n-999\n", {.missing = {"-999"}}).columns[0].numbers.at(0)) == false);
  EXPECT_TRUE(std::isnan(parsed("x\n1\nnone\n", {.missing = {"none"}}).columns[0].numbers.at(1)));
  EXPECT_EQ(error_of("x,y\n1,2\n3,abc\n", {.numeric = {"y"}}), "x.csv:3:3: 'abc' is no number (column 'y')");
  EXPECT_EQ(error_of("weight,y\n1,2\n", {.numeric = {"wieght"}}), "x.csv: there is no column 'wieght'\n  hint: did you mean 'weight'?");
}

TEST(Csv, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(error_of(""), "x.csv: the table is empty");
  EXPECT_EQ(error_of("a,b\n1,2\n3\n"), "x.csv:3:1: the row has 1 cells, the header has 2\n  hint: is the delimiter another one?");
  EXPECT_EQ(error_of("1,2\n1,2,3\n"), "x.csv:2:1: the row has 3 cells, the first has 2\n  hint: cells that hold the delimiter need quotes");
  EXPECT_EQ(error_of("a,b\n1,\"x\ny\n"), "x.csv:2:3: the quoted text that begins here has no end");
  EXPECT_EQ(error_of("a,b\n1,\"x\"y\n"), "x.csv:2:6: a quoted text ends here, but the cell goes on");
  EXPECT_EQ(error_of(std::string_view("a,b\n1,\0\n", 8)), "x.csv:2:3: a zero byte stands here");
  EXPECT_EQ(error_of("a,b,a\n1,2,3\n", {.header = true}), "x.csv:1:5: two columns have the name 'a'\n  hint: does the table begin without a header?");
  EXPECT_EQ(error_of("x\n\"" + std::string(2 << 20, 'y') + "\"\n"), "x.csv:2:1: the cell is longer than 1 MiB");
  EXPECT_EQ(error_of(std::string(200'000, ',')), "x.csv:1:100001: the row has more than 100000 cells");
  EXPECT_EQ(message_of([] { parsed("x,y\n1,a\n").numbers(); }),
            "x.csv:2:3: column 'y' holds texts, numbers are wanted\n  hint: leave the column out, or look its texts up in a vocabulary");
}

TEST(Csv, ReadsRealTables) {
  if (!shared_path("data/tabular")) GTEST_SKIP() << test::absent("data/tabular");
  const Csv iris = read_csv(*shared_path("data/tabular/iris.csv"));
  EXPECT_EQ(iris.rows, 150u);
  EXPECT_FALSE(iris.had_header);
  EXPECT_EQ(iris.column("4").texts.back(), "Iris-virginica");
  const Csv adult = read_csv(*shared_path("data/tabular/adult-train.csv"));
  EXPECT_EQ(adult.rows, 32561u);
  EXPECT_EQ(adult.columns[1].texts[0], "State-gov");
  EXPECT_EQ(read_csv(*shared_path("data/tabular/airline-passengers.csv")).column("Passengers").numbers[0], 112.0f);
  const Csv horses = read_csv(*shared_path("data/tabular/horse-colic.csv"));
  EXPECT_EQ(horses.columns.size(), 28u);
  EXPECT_TRUE(horses.columns[8].numeric);
  EXPECT_TRUE(std::isnan(horses.columns[8].numbers[0]));
  EXPECT_EQ(read_csv(*shared_path("data/tabular/wine.csv")).numbers().shape(), (Shape{178, 14}));
}

TEST(Csv, Writes) {
  const TemporaryFolder folder;
  write_csv(folder / "x.csv", {"a", "b,c"}, Tensor::of<float>({2, 2}, {0.1f, 2.0f, -1e-8f, NAN}));
  EXPECT_EQ(read_file(folder / "x.csv"), "a,\"b,c\"\n0.1,2\n-1e-08,nan\n");
  const Csv back = read_csv(folder / "x.csv");
  EXPECT_EQ(back.column("a").numbers[1], -1e-8f);
  write_csv(folder / "x.csv", {}, Tensor::of<std::int64_t>({2}, {1, -2}));
  EXPECT_EQ(read_file(folder / "x.csv"), "1\n-2\n");
  EXPECT_EQ(csv_cell("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(csv_cell(" x"), "\" x\"");
}

// A small file may unpack to a large text, and a text may become a larger table.
TEST(Csv, SizesAreBounded) {
  std::string packed("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10), block;  // gzip with blocks that are not compressed
  while (block.size() < 60'000) block += "a,b\n";
  for (int i = 0; i < 10; ++i) {
    const auto size = static_cast<std::uint16_t>(block.size());
    packed += '\0';
    for (const int number : {+size, ~size}) packed += {static_cast<char>(number & 0xff), static_cast<char>((number >> 8) & 0xff)};
    packed += block;
  }
  const TemporaryFolder folder;
  write_file_atomically(folder / "t.csv.gz", packed);
  CsvOptions options;
  options.most_unpacked = 200'000;
  EXPECT_EQ(message_of([&] { read_csv(folder / "t.csv.gz", options); }),
            fmt::format("{}: the gzipped table unpacks to more than 200000 bytes\n  hint: unpack it with gunzip if that is meant",
                        (folder / "t.csv.gz").string()));
  options.most_memory = std::size_t{1} << 20;
  const std::string message = error_of(block + block, options);
  EXPECT_NE(message.find(": the table takes more than 1 MB of memory after "), std::string::npos) << message;
  EXPECT_EQ(parsed(block, options).rows, 14'999u);  // under a header
}

TEST(Csv, SurvivesDamage) {
  std::mt19937 random(2);
  const std::string alphabet = "ab1,;\"\n\r\t .-e?";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (unsigned size = random() % 40; size > 0; --size) text += alphabet[random() % alphabet.size()];
    try {
      const Csv csv = parsed(text);
      for (const CsvColumn& column : csv.columns) EXPECT_EQ(column.numeric ? column.numbers.size() : column.texts.size(), csv.rows) << text;
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace nacre
