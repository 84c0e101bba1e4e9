// Comparison of tensors in tests.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "backend/core/tensor.h"

namespace nacre::test {

// Elements agree within `tolerance` · max(1, |expected|); NaN agrees with NaN, infinities with themselves.
inline testing::AssertionResult close(const Tensor& actual, const Tensor& expected, double tolerance) {
  if (actual.type() != expected.type())
    return testing::AssertionFailure() << "got " << actual.type().text() << ", expected " << expected.type().text();
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    const double a = actual.at(i), e = expected.at(i);
    if (a == e || (std::isnan(a) && std::isnan(e)) || std::abs(a - e) <= tolerance * std::max(1.0, std::abs(e))) continue;
    return testing::AssertionFailure() << "element " << i << " of " << actual.type().text() << " is " << a << ", expected " << e;
  }
  return testing::AssertionSuccess();
}

}  // namespace nacre::test
