// Attention in tiles against its decomposition on the reference backend: what random small cases of the op tests do not
// reach, such as several tiles and queries without any key.
#include <gtest/gtest.h>

#include "backend/core/parallel.h"
#include "backend/graph/ops/ops.h"
#include "tests/backend/onednn/harness.h"
#include "tests/support/attention_case.h"

namespace nacre::test {

namespace {

using Sizes = AttentionSizes;
using Mask = AttentionMask;

void check(const AttentionCase& tested, double tolerance) {
  const auto specification = tested.graph(reference_backend()), graph = tested.graph(onednn_backend());
  const std::vector<Tensor> given = tested.inputs(*specification);
  const std::vector<Tensor> expected = interpret(*specification, given, reference_backend());
  Executable executable(*graph, onednn_backend());
  const std::vector<Tensor> actual = executable.run(given), again = executable.run(given);
  EXPECT_EQ(executable.statistics().borrowed, 0);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(close(actual[i], expected[i], tolerance)) << graph->outputs()[i].name;
    EXPECT_TRUE(actual[i].identical(again[i])) << graph->outputs()[i].name;
  }
}

constexpr Sizes sizes[] = {
    {1, 128, 128, 1, 1, 8, 8},   // whole tiles
    {1, 129, 140, 2, 1, 4, 12},  // tiles that are not full, shared keys
    {1, 260, 30, 2, 2, 5, 3},
    {2, 1, 260, 2, 2, 4, 4},
};

constexpr AttentionAttrs with(bool causal, Blind blind, double dropout) {
  return {.scale = 0.3, .causal = causal, .blind = blind, .dropout = dropout};
}

TEST(Attention, InSeveralTilesIsThatOfTheReference) {
  for (const Sizes& size : sizes)
    for (const bool causal : {false, true})
      for (const double dropout : {0.0, 0.2}) {
        SCOPED_TRACE(
            fmt::format("{} queries, {} keys, causal {}, dropout {}", size.queries, size.keys, causal, dropout));
        check(AttentionCase{size, with(causal, Blind::nothing, dropout)}, 2e-5);
      }
}

// Hidden keys have no weight where others are in sight; else all keys count alike, or none, as Keras has it.
TEST(Attention, OfQueriesWithoutKeysIsThatOfTheReference) {
  for (const Sizes& size : sizes)
    for (const bool causal : {false, true})
      for (const Blind blind : {Blind::nearly_even, Blind::even, Blind::nothing})
        for (const Mask mask : {Mask::random, Mask::blind_rows}) {
          SCOPED_TRACE(fmt::format("{} queries, {} keys, causal {}, blind {}, mask {}", size.queries, size.keys, causal,
                                   static_cast<int>(blind), static_cast<int>(mask)));
          check(AttentionCase{size, with(causal, blind, 0.1), mask}, 2e-5);
        }
}

TEST(Attention, InShortFloatsIsThatOfTheReference) {
  for (const Sizes& size : sizes) {
    check(AttentionCase{size, with(true, Blind::nothing, 0.2), Mask::random, DType::bfloat16}, 2e-2);
    check(AttentionCase{size, with(false, Blind::even, 0), Mask::blind_rows, DType::float16}, 3e-3);
  }
}

// A query that sees one key gives it all its weight, whatever the scores are. The gradients of a weight and of the mean
// that is taken from it are the same number, of which no rounding may be left: it would be that of each query.
TEST(Attention, ScoresThatChangeNothingHaveNoGradient) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    std::vector<Sizes> all(std::begin(sizes), std::end(sizes));
    if (dtype == DType::bfloat16) all.push_back({1, 128, 17000, 1, 1, 3, 2});  // fewer queries are kept at once
    for (const Sizes& size : all) {
      const AttentionCase tested{size, with(false, Blind::nothing, 0.1), Mask::one_key, dtype};
      const auto graph = tested.graph(onednn_backend());
      const std::vector<Tensor> results = Executable(*graph, onednn_backend()).run(tested.inputs(*graph));
      for (const std::size_t of_scores : {1, 2})
        for (const double gradient : results[of_scores].to_doubles())
          ASSERT_NEAR(gradient, 0, 1e-5) << name_of(dtype) << ", " << size.queries << " queries, " << size.keys
                                         << " keys";
    }
  }
}

// What is dropped follows from the place among the scores alone: neither tiles nor threads change it.
TEST(Attention, DropsTheSameWeightsWithAnyNumberOfThreads) {
  const AttentionCase tested{{1, 200, 150, 1, 1, 8, 8}, with(false, Blind::nothing, 0.5)};
  std::vector<std::vector<Tensor>> results;
  for (const int count : {1, 2, 8}) {
    set_threads(count);
    const auto graph = tested.graph(onednn_backend());
    results.push_back(Executable(*graph, onednn_backend()).run(tested.inputs(*graph)));
  }
  set_threads(0);
  for (const auto& result : results)
    for (std::size_t i = 0; i < result.size(); ++i) EXPECT_TRUE(close_to_scale(result[i], results[0][i], 1e-5));
}

// Backward, where there are fewer keys than threads, or not as many more: several threads sum the gradients of one key.
TEST(Attention, ThreadsShareTheHeadsThatThereAre) {
  for (const int count : {1, 2, 3, 5, 8}) {
    set_threads(count);
    for (const Sizes& size : {Sizes{1, 260, 140, 1, 1, 8, 4}, Sizes{3, 129, 300, 1, 1, 4, 4},
                              Sizes{1, 70, 30, 6, 2, 4, 4}, Sizes{7, 20, 10, 1, 1, 3, 3}, Sizes{1, 3, 5, 1, 1, 2, 2}})
      for (const DType dtype : {DType::float32, DType::bfloat16}) {
        SCOPED_TRACE(fmt::format("{} threads, batch {}, {} queries", count, size.batch, size.queries));
        check(AttentionCase{size, with(size.heads == 1, Blind::nothing, 0.2), Mask::random, dtype},
              dtype == DType::float32 ? 2e-5 : 2e-2);
      }
  }
  set_threads(0);
}

TEST(Attention, OfNothingIsZero) {
  for (const Sizes& size : {Sizes{0, 3, 4, 1, 1, 2, 2}, Sizes{2, 3, 0, 1, 1, 2, 2}, Sizes{2, 0, 4, 1, 1, 2, 2}}) {
    const AttentionCase tested{size, with(false, Blind::nothing, 0)};
    const auto graph = tested.graph(onednn_backend());
    for (const Tensor& result : Executable(*graph, onednn_backend()).run(tested.inputs(*graph)))
      for (const double value : result.to_doubles()) EXPECT_EQ(value, 0);
  }
}

// 2048 × 2048 scores of one head would take 16 MiB; operands and results are 2 MiB together.
TEST(Attention, KeepsNoMatrixOfScores) {
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    const AttentionCase tested{{1, 2048, 2048, 1, 1, 32, 32}, with(true, Blind::nothing, 0.1), Mask::none, dtype};
    set_threads(1);
    const std::size_t arena = Executable(*tested.graph(onednn_backend()), onednn_backend()).statistics().arena_bytes;
    set_threads(0);
    EXPECT_LT(arena, std::size_t{4} << 20);
  }
}

}  // namespace

}  // namespace nacre::test
