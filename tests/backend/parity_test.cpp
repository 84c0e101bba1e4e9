// Every backend that was compiled in computes what the reference computes: results and gradients of random
// applications of every op, compiled as a user's graph is. What differs is a tolerance, in one table.
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/executable.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/interpret.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

struct Tolerance {
  std::string_view backend;
  DType real;
  double value;
};
// A GPU rounds products before an activation that is not the library's, too: on scan_nested it is as far from the exact
// results as the reference is, on the other side.
constexpr Tolerance tolerances[] = {
    {"reference", DType::float32, 2e-5}, {"reference", DType::bfloat16, 5e-2}, {"reference", DType::float16, 5e-3},
    {"cpu", DType::float32, 5e-5},       {"cpu", DType::bfloat16, 5e-2},       {"cpu", DType::float16, 5e-3},
    {"gpu", DType::float32, 1e-4},       {"gpu", DType::bfloat16, 7e-2},       {"gpu", DType::float16, 5e-3},
};

using Parameter = std::tuple<const Backend*, OpRecord>;
class Parity : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override {
    if (!std::get<0>(GetParam())) GTEST_SKIP() << "no compiler to emulate a GPU with";
  }
  // Whose kernels take long to compile: fewer cases, the long tests take more.
  bool emulated() const { return &backend() == emulated_gpu_backend(); }
  const Backend& backend() const { return *std::get<0>(GetParam()); }
  const OpRecord& record() const { return std::get<1>(GetParam()); }

  // A record's case with gradients, as emitted for a backend.
  std::unique_ptr<Graph> graph(const OpCase& sample, DType real, const Backend& target) const {
    auto result = decompose_missing(*graph_of(sample, real), target);
    if (record().derivatives > 0) add_gradients(*result);
    return result;
  }
  static std::vector<Tensor> draw_inputs(RandomStream& random, const OpCase& sample, DType real, const Graph& graph) {
    std::vector<Tensor> inputs = draw_operands(random, sample, real);
    for (std::size_t i = inputs.size(); i < graph.inputs().size(); ++i)  // cotangents
      inputs.push_back(draw_tensor(random, graph.inputs()[i].value.type()));
    return inputs;
  }
};

// Records some of whose ops the GPU backend borrows from the host.
constexpr std::string_view borrowing[] = {
    "solve", "triangular_solve", "inverse", "determinant", "log_determinant",          "cholesky",       "lu",         "qr",
    "eigh",  "qr_full_wide",     "svd",     "svd_full",    "pseudo_inverse_truncated", "pseudo_inverse", "next_after", "all_reduce",
    "conv",  "conv_epilogue",    "conv_transpose",         "conv_backward_weights",    "pointwise_depthwise",  // in some cases
};

TEST_P(Parity, AgreesWithTheReference) {
  for (const Tolerance& tolerance : tolerances) {
    if (tolerance.backend != backend().name()) continue;
    // The parts of attention round their results, which its kernels do not: there the specification computes in float32.
    // What kernels round at most, gradients of scores and weights to bfloat16 before they are multiplied, is 2⁻⁹ of each
    // of the terms of a sum; they are 40 of size 2 or so, at random: 40^½ · 2 · 2⁻⁹ = 0.025.
    const bool exact = backend().name() != "reference" && record().name.starts_with("attention");
    const std::uint64_t seeds = emulated() ? 1 : tolerance.real == DType::float32 ? 15 : exact ? 25 : 3;
    for (std::uint64_t seed = 100; seed < 100 + seeds; ++seed) {
      RandomStream random(RandomKey::of(seed, record().name));
      const OpCase sample = record().sample(random);
      const auto specification = graph(sample, exact ? DType::float32 : tolerance.real, reference_backend());
      const auto tested = graph(sample, tolerance.real, backend());
      const std::vector<Tensor> inputs = draw_inputs(random, sample, tolerance.real, *tested);
      SCOPED_TRACE(fmt::format("seed {}\n{}", seed, tested->text()));
      std::vector<Tensor> operands;
      for (std::size_t i = 0; i < inputs.size(); ++i)
        operands.push_back(inputs[i].cast(specification->inputs()[i].value.dtype()));
      std::vector<Tensor> expected = interpret(*specification, operands, reference_backend());
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] = expected[i].cast(tested->outputs()[i].value.dtype());
      Executable executable(*tested, backend());
      const bool may_borrow = std::ranges::find(borrowing, record().name) != std::end(borrowing);
      EXPECT_TRUE(!emulated() || may_borrow || executable.statistics().borrowed == 0) << executable.text();
      const std::vector<Tensor> actual = executable.run(inputs);
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_TRUE(close(actual[i], expected[i], tolerance.value)) << tested->outputs()[i].name;
      if (HasFailure()) return;
    }
  }
}

TEST_P(Parity, GivesTheSameBitsWhenRunAgain) {
  for (std::uint64_t seed = 200; seed < (emulated() ? 201 : 203); ++seed) {
    RandomStream random(RandomKey::of(seed, record().name));
    const OpCase sample = record().sample(random);
    const auto tested = graph(sample, DType::float32, backend());
    const std::vector<Tensor> inputs = draw_inputs(random, sample, DType::float32, *tested);
    SCOPED_TRACE(fmt::format("seed {}\n{}", seed, tested->text()));
    Executable executable(*tested, backend());
    const std::vector<Tensor> first = executable.run(inputs), again = executable.run(inputs);
    const std::vector<Tensor> other = Executable(*tested, backend()).run(inputs);
    for (std::size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(first[i].identical(again[i])) << tested->outputs()[i].name;
      EXPECT_TRUE(first[i].identical(other[i])) << tested->outputs()[i].name;
    }
  }
}

std::string name_of(const testing::TestParamInfo<Parameter>& tested) {
  const auto& [backend, record] = tested.param;
  return fmt::format("{}_{}", backend ? backend->name() : "gpu", record.name);
}

INSTANTIATE_TEST_SUITE_P(Ops, Parity,
                         testing::Combine(testing::ValuesIn(backends().begin(), backends().end()), testing::ValuesIn(op_records())),
                         name_of);
INSTANTIATE_TEST_SUITE_P(EmulatedGpu, Parity,
                         testing::Combine(testing::Values(emulated_gpu_backend()), testing::ValuesIn(op_records())), name_of);

}  // namespace

}  // namespace nacre::test
