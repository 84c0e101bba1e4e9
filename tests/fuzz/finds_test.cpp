// What fuzzing found stays found: every file in finds/TARGET/ is read without a crash.
#include <gtest/gtest.h>

#include <cstdlib>

#include "formats/file.h"
#include "backend/core/random.h"
#include "tests/fuzz/lua_calls.h"
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

// A few, so that every run of the tests sees some; tests/fuzz/run.sh looks for more. NACRE_FUZZ_SCRIPTS says how many.
TEST(FuzzLua, RandomCallsAreSurvived) {
  const char* const given = std::getenv("NACRE_FUZZ_SCRIPTS");
  const int count = given ? std::atoi(given) : 200;
  for (int number = 0; number < count; ++number) {
    RandomStream random(RandomKey::of(7, "calls", static_cast<std::uint32_t>(number)));
    std::string bytes;
    for (int i = 0; i < 240; ++i) bytes += static_cast<char>(random.below(256));
    SCOPED_TRACE(number);
    try {
      run_in_sandbox(lua_calls(bytes));
    } catch (const Error&) {
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Readers, Fuzz, testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace nacre::test
