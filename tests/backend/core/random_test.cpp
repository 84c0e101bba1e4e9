#include "backend/core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nacre {

namespace {

// The known answers of philox4x32-10 that are published with Random123 (kat_vectors).
TEST(Philox, GivesThePublishedAnswers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomKey, EveryPartNamesAnotherStream) {
  const RandomKey keys[] = {RandomKey::of(1, "a"), RandomKey::of(2, "a"), RandomKey::of(1, "b"), RandomKey::of(1, "a", 1),
                            RandomKey::of(1, "a", 0, 1)};
  for (const RandomKey& a : keys)
    for (const RandomKey& b : keys) EXPECT_EQ(a.block(0) == b.block(0), &a == &b);
}

TEST(RandomKey, WordsAreThoseOfTheBlocks) {
  const RandomKey key = RandomKey::of(7, "stream");
  for (std::uint32_t i = 0; i < 12; ++i) EXPECT_EQ(key.word(i), key.block(i / 4)[i % 4]);
}

TEST(RandomStream, ContinuesFromAPosition) {
  RandomStream whole(RandomKey::of(7, "stream"));
  for (int i = 0; i < 5; ++i) whole.uniform();
  RandomStream later(RandomKey::of(7, "stream"), whole.position());
  EXPECT_EQ(whole.normal(), later.normal());
}

TEST(RandomStream, HasTheMomentsOfItsDistributions) {
  constexpr int count = 100000;
  RandomStream random(RandomKey::of(3, "moments"));
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0;
  for (int i = 0; i < count; ++i) {
    const double u = random.uniform(), n = random.normal();
    ASSERT_TRUE(0 <= u && u < 1);
    sum += u, squares += u * u, normal_sum += n, normal_squares += n * n;
  }
  EXPECT_NEAR(sum / count, 0.5, 0.005);
  EXPECT_NEAR(squares / count, 1.0 / 3, 0.005);
  EXPECT_NEAR(normal_sum / count, 0, 0.015);
  EXPECT_NEAR(normal_squares / count, 1, 0.02);
}

TEST(RandomStream, BelowReachesEveryNumberAlike) {
  RandomStream random(RandomKey::of(3, "below"));
  std::array<int, 7> seen{};
  for (int i = 0; i < 70000; ++i) ++seen[random.below(7)];
  for (int times : seen) EXPECT_NEAR(times, 10000, 400);
  EXPECT_EQ(random.below(1), 0u);
  EXPECT_THROW(random.below(0), InternalError);
}

TEST(Permutation, HoldsEveryNumberOnce) {
  RandomStream random(RandomKey::of(3, "permutation"));
  std::vector<std::int64_t> order = permutation(random, 1000);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  std::vector<std::int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(order, all);
  EXPECT_TRUE(permutation(random, 0).empty());
}

TEST(UniformFrom, KeepsTwentyFourBits) {
  EXPECT_EQ(uniform_from(0), 0.0f);
  EXPECT_EQ(uniform_from(0x80000000u), 0.5f);
  EXPECT_LT(uniform_from(0xffffffffu), 1.0f);
}

}  // namespace

}  // namespace nacre
