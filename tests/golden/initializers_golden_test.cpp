// Initializers that are not random against Keras.
#include <gtest/gtest.h>

#include "layers/initializer.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

TEST(Golden, Initializers) {
  check_all("initializers", [](const Case& golden, const Backend&) {
    const Tensor wanted = golden.tensor("value");
    expect_close("value", (*make<Initializer>(golden))(wanted.shape(), wanted.dtype(), {}), wanted, for_outputs);
  });
}

}  // namespace
}  // namespace nacre::golden
