// Event files, read back byte for byte.
#include "formats/events.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::TemporaryFolder;

// The events of a file; checks length and checksums of each record.
std::vector<std::string> records_of(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  const auto number = [&]<class T>(std::size_t at, T) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  std::vector<std::string> records;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto length = number(at, std::uint64_t{});
    EXPECT_EQ(number(at + 8, std::uint32_t{}), masked_crc32c(bytes.substr(at, 8)));
    records.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(number(at + 12 + length, std::uint32_t{}), masked_crc32c(records.back()));
    at += length + 16;
  }
  return records;
}

// RFC 3720, B.4.
TEST(Events, ChecksumsAreCastagnoli) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Events, AFileBeginsWithItsVersion) {
  const TemporaryFolder folder;
  EventFile file(folder / "run");
  EXPECT_TRUE(file.path().filename().string().starts_with("events.out.tfevents."));
  const auto records = records_of(file.path());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].substr(9), "\x1a\x0d" "brain.Event:2");
}

TEST(Events, ScalarsAreSummaries) {
  const TemporaryFolder folder;
  EventFile file(folder / ".");
  file.scalar("loss", 300, 0.5);
  file.flush();
  const std::string event = records_of(file.path()).at(1).substr(9);  // after the time
  // step 300; summary { value { tag, tensor { float, shape {}, 0.5 }, metadata { plugin_data { "scalars", "" }, scalar } } }
  const std::string tensor("\x08\x01\x12\x00\x2d\x00\x00\x00\x3f", 9), plugin("\x0a\x0b\x0a\x07scalars\x12\x00\x20\x01", 15);
  const std::string value = "\x0a\x04loss\x42\x09" + tensor + "\x4a\x0f" + plugin;
  EXPECT_EQ(event, "\x10\xac\x02\x2a\x24\x0a\x22" + value);
}

// 30 buckets of (from, to, count): the ends are the extremes, and every value is counted once.
TEST(Events, HistogramsCountEveryValue) {
  const TemporaryFolder folder;
  EventFile file(folder / ".");
  std::vector<double> values;
  for (int i = 0; i <= 90; ++i) values.push_back(i / 10.0 - 3);
  file.histogram("w", 1, values);
  file.histogram("same", 1, std::vector<double>(7, 2.0));
  const double infinity = std::numeric_limits<double>::infinity();
  file.histogram("broken", 1, std::vector<double>{std::nan(""), 1, 2, -infinity});
  file.flush();
  const auto records = records_of(file.path());
  const auto buckets_of = [](const std::string& event) {
    std::array<double, 90> buckets{};
    const std::size_t end = event.rfind("\x4a");
    std::memcpy(buckets.data(), event.data() + end - sizeof buckets, sizeof buckets);
    return buckets;
  };
  const auto spread = buckets_of(records.at(1)), same = buckets_of(records.at(2)), broken = buckets_of(records.at(3));
  double count = 0, finite = 0;
  for (std::size_t i = 2; i < 90; i += 3) count += spread[i], finite += broken[i];
  EXPECT_EQ(spread[0], -3);
  EXPECT_EQ(spread[88], 6);
  EXPECT_EQ(count, 91);
  EXPECT_EQ(same[89], 7);
  EXPECT_EQ(broken[0], 1);
  EXPECT_EQ(broken[88], 2);
  EXPECT_EQ(finite, 2);
}

}  // namespace
}  // namespace nacre
