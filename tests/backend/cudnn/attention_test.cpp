// Attention on the emulated device: which of it the library computes, and that it is that of the reference.
#include <gtest/gtest.h>

#include "backend/cudnn/backend.h"
#include "backend/executable.h"
#include "backend/interpret.h"
#include "tests/support/attention_case.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

class GpuAttention : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated_gpu_backend()) GTEST_SKIP() << "no compiler to emulate a GPU with";
  }

  // Whether forward and backward are the library's; never one without the other.
  static bool by_library(const Graph& graph) {
    int forward = 0, backward = 0;
    for (const Node* node : graph.nodes())
      forward += node->is(op::attention), backward += node->is(op::attention_backward);
    EXPECT_EQ(forward, backward);
    return forward > 0;
  }
  static bool by_library(const AttentionCase& tested) { return by_library(*tested.graph(*emulated_gpu_backend())); }

  static void check(const AttentionCase& tested) {
    const auto specification = tested.graph(reference_backend()), graph = tested.graph(*emulated_gpu_backend());
    ASSERT_TRUE(by_library(*graph));
    ASSERT_FALSE(by_library(*specification));
    const std::vector<Tensor> inputs = tested.inputs(*graph);
    const std::vector<Tensor> expected = interpret(*specification, inputs, reference_backend());
    Executable executable(*graph, *emulated_gpu_backend());
    EXPECT_EQ(executable.statistics().borrowed, 0);
    const std::vector<Tensor> actual = executable.run(inputs);
    const double tolerance = tested.dtype == DType::float16 ? 5e-3 : 4e-2;
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(close(actual[i], expected[i], tolerance)) << graph->outputs()[i].name;
  }
};

constexpr AttentionSizes plain{2, 7, 9, 2, 2, 8, 16};

AttentionCase of(const AttentionSizes& sizes, DType dtype, bool causal = false, double dropout = 0) {
  return {sizes,
          {.scale = 0.3, .causal = causal, .dropout = dropout, .path = "attention", .call = 1},
          AttentionMask::none,
          dtype};
}

TEST_F(GpuAttention, IsThatOfTheReference) {
  for (const DType dtype : {DType::float16, DType::bfloat16})
    for (const bool causal : {false, true})
      for (const AttentionSizes& sizes : {plain, AttentionSizes{1, 9, 7, 4, 2, 16, 8},  // a key of two heads
                                          AttentionSizes{2, 5, 5, 3, 1, 8, 8}, AttentionSizes{1, 1, 6, 2, 2, 8, 8}}) {
        SCOPED_TRACE(fmt::format("{}, causal {}, {} queries, {} groups", dtype, causal, sizes.queries, sizes.groups));
        check(of(sizes, dtype, causal));
      }
}

// The same weights as on a processor.
TEST_F(GpuAttention, DropsWhatTheReferenceDrops) {
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    check(of(plain, dtype, false, 0.2));
    check(of({2, 5, 5, 4, 2, 8, 8}, dtype, true, 0.5));
  }
}

// The same masks as those of a processor's kernels: queries without any key in sight get nothing, and give nothing, or
// look at all keys evenly.
TEST_F(GpuAttention, HidesWhatTheReferenceHides) {
  for (const AttentionMask mask : {AttentionMask::random, AttentionMask::blind_rows, AttentionMask::one_key})
    for (const DType dtype : {DType::float16, DType::bfloat16})
      for (const bool causal : {false, true})
        for (const double dropout : {0.0, 0.3})
          for (const Blind blind : {Blind::nothing, Blind::even}) {
            SCOPED_TRACE(fmt::format("{}, mask {}, causal {}, dropout {}, {}", dtype, static_cast<int>(mask), causal,
                                     dropout, text_of(blind)));
            AttentionCase tested = of({2, 7, 9, 4, 2, 8, 16}, dtype, causal, dropout);
            tested.mask = mask, tested.attrs.blind = blind;
            check(tested);
          }
}

// Of (batch, heads, queries, keys) a mask may have any.
TEST_F(GpuAttention, MasksOfAnyShape) {
  for (const Shape& shape : {Shape{2, 1, 1, 9}, Shape{1, 1, 7, 9}, Shape{7, 9}, Shape{9}, Shape{2, 4, 7, 9},
                             Shape{2, 1, 7, 1}, Shape{4, 1, 1}}) {
    SCOPED_TRACE(shape.text());
    AttentionCase tested = of({2, 7, 9, 4, 2, 8, 16}, DType::bfloat16, true);
    tested.mask = AttentionMask::random, tested.mask_shape = shape;
    for (const Blind blind : {Blind::nothing, Blind::even}) {
      tested.attrs.blind = blind;
      check(tested);
    }
  }
}

// Whatever it is called: with no key out of sight but those behind a query.
TEST_F(GpuAttention, OfBlindQueriesThereAreNone) {
  for (const Blind blind : {Blind::nearly_even, Blind::even, Blind::nothing}) {
    AttentionCase tested = of(plain, DType::bfloat16, true);
    tested.attrs.blind = blind;
    check(tested);
  }
}

TEST_F(GpuAttention, ByItsPartsWhereTheLibraryHasNoEngine) {
  EXPECT_TRUE(by_library(of(plain, DType::bfloat16)));
  EXPECT_FALSE(by_library(of(plain, DType::float32)));
  EXPECT_FALSE(by_library(of({2, 7, 9, 2, 2, 12, 16}, DType::bfloat16)));
  EXPECT_FALSE(by_library(of({2, 0, 9, 2, 2, 8, 8}, DType::bfloat16)));
  EXPECT_FALSE(by_library(of({2, 7, 0, 2, 2, 8, 8}, DType::bfloat16)));
  EXPECT_FALSE(by_library(of({2, 1, 1, 2, 2, 8, 8}, DType::bfloat16)));  // forward alone there is one
  AttentionCase masked = of(plain, DType::bfloat16);
  masked.mask = AttentionMask::random, masked.attrs.blind = Blind::nearly_even;
  EXPECT_FALSE(by_library(masked));  // of queries without any key it would be another mean
  EXPECT_TRUE(by_library(of(plain, DType::bfloat16, false, 0.99)));
  EXPECT_FALSE(by_library(of(plain, DType::bfloat16, false, 1)));  // nothing is kept to be divided by 0
}

// 512 × 512 scores of two heads would take 1 MiB in bfloat16; operands, results and gradients are 0.4 MiB together.
TEST_F(GpuAttention, KeepsNoMatrixOfScores) {
  const AttentionCase tested = of({1, 512, 512, 2, 2, 16, 16}, DType::bfloat16, true);
  const auto graph = tested.graph(*emulated_gpu_backend());
  EXPECT_LT(Executable(*graph, *emulated_gpu_backend()).statistics().arena_bytes, std::size_t{600} << 10);
}

TEST_F(GpuAttention, IsRecordedAndNeedsNoOrderWhereThatIsNotAskedFor) {
  const std::shared_ptr<EmulatedDevice> device = emulated_gpu();
  const std::unique_ptr<Backend> backend = gpu::backend_on(device);
  const AttentionCase tested = of(plain, DType::bfloat16);
  const auto graph = tested.graph(*backend);
  const std::vector<Tensor> inputs = tested.inputs(*graph);
  Executable ordered(*graph, *backend);
  EXPECT_EQ(device->counts().in_any_order, 0);
  const std::vector<Tensor> first = ordered.run(inputs), again = ordered.run(inputs);
  EXPECT_EQ(device->counts().recordings, 1);
  Executable fast(*graph, *backend, nullptr, {.deterministic = false});
  EXPECT_EQ(device->counts().in_any_order, 1);  // forward there is but one order
  const std::vector<Tensor> other = fast.run(inputs);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(first[i].identical(again[i]));
    EXPECT_TRUE(first[i].identical(other[i]));  // here it is the same loop
  }
}

}  // namespace
}  // namespace nacre::test
