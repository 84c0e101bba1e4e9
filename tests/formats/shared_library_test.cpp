#include "formats/shared_library.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/paths.h"

namespace nacre::test {
namespace {

TEST(SharedLibrary, GivesFunctionsOfTheFirstThatIsThere) {
  const SharedLibrary library("cosines cannot be had", {"libnacre-has-no-such.so.9", "libm.so.6", "libm.dylib"});
  double (*cosine)(double) = library["cos"];
  EXPECT_EQ(cosine(0), 1);
  const std::string message = message_of([&] { double (*none)(double) = library["nacre_has_no_such"]; none(0); });
  EXPECT_EQ(message.find("cosines cannot be had: "), 0u) << message;
  EXPECT_NE(message.find("hint: install a newer version"), std::string::npos) << message;
}

TEST(SharedLibrary, SaysWhatCannotBeDoneWithoutIt) {
  const std::string message = message_of([] { SharedLibrary("curves cannot be drawn", {"libnacre-has-no-such.so.9"}); });
  EXPECT_EQ(message.find("curves cannot be drawn: "), 0u) << message;
  EXPECT_NE(message.find("libnacre-has-no-such.so.9"), std::string::npos) << message;
}

}  // namespace
}  // namespace nacre::test
