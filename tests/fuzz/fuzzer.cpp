// libFuzzer's entry for one target, named by NACRE_FUZZ_TARGET. With NACRE_FUZZ_SEEDS=FOLDER the target's good files are
// put into that folder first, which is then given as the corpus.
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "tests/fuzz/targets.h"
#include "tests/support/paths.h"

namespace {

const nacre::test::FuzzTarget& target() { return nacre::test::fuzz_target(NACRE_FUZZ_TARGET); }

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  if (const char* folder = std::getenv("NACRE_FUZZ_SEEDS"))
    for (int number = 0; const std::string& bytes : target().seeds())
      nacre::test::write_plainly(std::filesystem::path(folder) / ("seed" + std::to_string(number++)), bytes);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const nacre::test::TemporaryFolder folder;
  nacre::test::read_bytes(target(), folder.path(), {reinterpret_cast<const char*>(bytes), size});
  return 0;
}
