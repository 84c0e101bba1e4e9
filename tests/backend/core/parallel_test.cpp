#include "backend/core/parallel.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

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

// More threads than processors among them, and one that comes so late that the others have gone to sleep.
TEST(Parallel, ATeamWaitsForAllOfItsThreadsParallel) {
  for (const int asked : {1, 2, 3, 9}) {
    constexpr int meetings = 100;
    std::vector<int> counts(static_cast<std::size_t>(asked), 0);
    int mistakes = 0;
    parallel_team(asked, [&](int part, int parts, auto&& barrier) {
      for (int meeting = 1; meeting <= meetings; ++meeting) {
        if (part == 0 && meeting % 40 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        counts[static_cast<std::size_t>(part)] = meeting;
        barrier();
        for (int other = 0; part == 0 && other < parts; ++other)
          mistakes += counts[static_cast<std::size_t>(other)] != meeting;
        barrier();
      }
    });
    EXPECT_EQ(mistakes, 0) << asked;
  }
}

}  // namespace nacre::test
