// What fuzzing found stays found: every file in finds/TARGET/ is read without a crash.
#include <gtest/gtest.h>

#include "formats/file.h"
#include "tests/fuzz/targets.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

namespace fs = std::filesystem;

class Fuzz : public testing::TestWithParam<FuzzTarget> {
 protected:
  const FuzzTarget& target() const { return GetParam(); }
  TemporaryFolder folder_;
};

TEST_P(Fuzz, SeedsAreGoodFiles) {
  ASSERT_FALSE(target().seeds().empty());
  for (const std::string& seed : target().seeds()) {
    write_plainly(folder_ / target().file_name, seed);
    EXPECT_NO_THROW(target().read(folder_ / target().file_name));
  }
}

TEST_P(Fuzz, FindsStayFixed) {
  const fs::path finds = fs::path(NACRE_SOURCE_DIR) / "tests/fuzz/finds" / target().name;
  if (!fs::exists(finds)) GTEST_SKIP() << "skipped: nothing was found yet";
  for (const auto& find : fs::directory_iterator(finds)) {
    SCOPED_TRACE(find.path());
    EXPECT_NO_THROW(read_bytes(target(), folder_.path(), read_file(find.path())));
  }
}

INSTANTIATE_TEST_SUITE_P(Readers, Fuzz, testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace nacre::test
