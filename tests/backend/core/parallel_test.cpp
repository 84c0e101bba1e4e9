#include "backend/core/parallel.h"

#include <gtest/gtest.h>

#include "backend/core/error.h"

namespace nacre::test {

TEST(Parallel, WhatABodyThrowsReachesTheCaller) {
  for (const int count : {1, 3}) {
    set_threads(count);
    EXPECT_THROW(parallel_for(12, 1,
                              [](std::int64_t begin, std::int64_t end) {
                                if (begin <= 11 && 11 < end) throw Error("no memory");
                              }),
                 Error);
  }
  set_threads(0);
}

}  // namespace nacre::test
