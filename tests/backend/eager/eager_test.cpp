#include "backend/eager/eager.h"

#include <gtest/gtest.h>

#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/graph/passes/pipeline.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre::eager {

namespace {

using test::close;

// A program of one operation on values of these types.
std::shared_ptr<Program> program_of(const Eager& eager, const Types& types,
                                    const std::function<Value(const Values&)>& emit) {
  auto graph = std::make_unique<Graph>();
  Values inputs;
  for (const Type& type : types) inputs.push_back(graph->input(fmt::format("x{}", inputs.size()), type));
  graph->output("y", emit(inputs));
  return eager.make(std::move(graph));
}

const Type scalar_type{DType::float32, {}};

double first(const std::vector<std::optional<Array>>& slopes) { return slopes.at(0).value().value.item(); }

// --- every op -----------------------------------------------------------------------------------------------------

class EveryOp : public testing::TestWithParam<std::tuple<test::OpRecord, const Backend*>> {
 protected:
  void SetUp() override {
    const auto& [record, backend] = GetParam();
    RandomStream random(RandomKey::of(1, record.name));
    sample_ = record.sample(random);
    operands_ = test::draw_operands(random, sample_, DType::float32);
    for (const Tensor& operand : operands_)
      inputs_.push_back(is_floating(operand.dtype()) ? eager_.watch({operand}) : Array{operand});
    for (const Array& input : inputs_)
      if (input.origin) targets_.push_back(input);
  }

  // The first `order` derivatives of the sum of all floating results, by one graph.
  std::vector<std::optional<Tensor>> expected(int order) const {
    const auto graph = ready_for_gradients(*test::graph_of(sample_, DType::float32), *std::get<1>(GetParam()));
    Values wrt, outputs;
    for (const auto& [name, value] : graph->inputs())
      if (is_floating(value.dtype())) wrt.push_back(value);
    for (const auto& [name, value] : graph->outputs())
      if (is_floating(value.dtype())) outputs.push_back(value);
    Values slopes;
    for (int i = 0; i < order; ++i) {
      slopes = gradients(*graph, outputs, {}, wrt);
      outputs.clear();
      for (Value slope : slopes)
        if (slope) outputs.push_back(slope);
    }
    for (std::size_t i = 0; i < slopes.size(); ++i)
      if (slopes[i]) graph->output(fmt::format("slope{}", i), slopes[i]);
    const std::size_t plain = graph->outputs().size() - outputs.size();
    Executable executable(*graph, *std::get<1>(GetParam()));
    const std::vector<Tensor> results = executable.run(operands_);
    std::vector<std::optional<Tensor>> tensors;
    auto next = results.begin() + static_cast<std::ptrdiff_t>(plain);
    for (Value slope : slopes) tensors.push_back(slope ? std::optional(*next++) : std::nullopt);
    return tensors;
  }

  static void compare(const std::vector<std::optional<Array>>& actual,
                      const std::vector<std::optional<Tensor>>& wanted) {
    ASSERT_EQ(actual.size(), wanted.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const Tensor zeros(wanted[i] ? wanted[i]->type() : actual[i] ? actual[i]->value.type() : scalar_type);
      EXPECT_TRUE(close(actual[i] ? actual[i]->value : zeros, wanted[i] ? *wanted[i] : zeros, 2e-4)) << "operand " << i;
    }
  }

  Arrays floating(const Arrays& arrays) const {
    Arrays kept;
    for (const Array& array : arrays)
      if (is_floating(array.value.dtype())) kept.push_back(array);
    return kept;
  }

  Eager eager_{*std::get<1>(GetParam())};
  test::OpCase sample_;
  std::vector<Tensor> operands_;
  Arrays inputs_, targets_;
};

class FirstDerivative : public EveryOp {};
class SecondDerivative : public EveryOp {};

TEST_P(FirstDerivative, IsThatOfTheCompiledGraph) {
  const auto program = eager_.make(test::graph_of(sample_, DType::float32));
  Arrays results;
  {
    const Eager::Recording recording(eager_);
    results = eager_.run(program, inputs_);
  }
  compare(eager_.gradients(floating(results), {}, targets_), expected(1));
}

TEST_P(SecondDerivative, IsThatOfTheCompiledGraph) {
  const auto program = eager_.make(test::graph_of(sample_, DType::float32));
  Arrays slopes;
  {
    const Eager::Recording outer(eager_);
    Arrays results, inner_targets, inner_inputs;
    {
      const Eager::Recording inner(eager_);
      for (const Array& input : inputs_) {
        inner_inputs.push_back(input.origin ? eager_.watch(input) : input);
        if (input.origin) inner_targets.push_back(inner_inputs.back());
      }
      results = eager_.run(program, inner_inputs);
    }
    for (const auto& slope : eager_.gradients(floating(results), {}, inner_targets))
      if (slope) slopes.push_back(*slope);
  }
  compare(eager_.gradients(slopes, {}, targets_), expected(2));
}

// Those that can be differentiated so often.
std::vector<test::OpRecord> records(int derivatives) {
  std::vector<test::OpRecord> kept;
  for (const test::OpRecord& record : test::op_records())
    if (record.derivatives >= derivatives) kept.push_back(record);
  return kept;
}

constexpr auto name_of_test = [](const auto& tested) {
  return fmt::format("{}_{}", std::get<0>(tested.param).name, std::get<1>(tested.param)->name());
};

INSTANTIATE_TEST_SUITE_P(Eager, FirstDerivative,
                         testing::Combine(testing::ValuesIn(records(1)),
                                          testing::ValuesIn(backends().begin(), backends().end())),
                         name_of_test);
INSTANTIATE_TEST_SUITE_P(Eager, SecondDerivative,
                         testing::Combine(testing::ValuesIn(records(2)),
                                          testing::ValuesIn(backends().begin(), backends().end())),
                         name_of_test);

// --- what is remembered -------------------------------------------------------------------------------------------

TEST(Eager, RemembersNothingUnasked) {
  Eager eager(backend_for("cpu"));
  const auto square = program_of(eager, {scalar_type}, [](const Values& x) { return x[0] * x[0]; });
  const Array x = eager.watch({Tensor::scalar(3.0F)});
  EXPECT_FALSE(eager.run(square, {x}).front().origin);
}

TEST(Eager, ThirdDerivative) {
  Eager eager(backend_for("cpu"));
  const auto cube = program_of(eager, {scalar_type}, [](const Values& x) { return x[0] * x[0] * x[0]; });
  const Array x = eager.watch({Tensor::scalar(2.0F)});
  std::vector<std::optional<Array>> third;
  const Eager::Recording one(eager);
  const Array a = eager.watch(x);
  std::optional<Array> second;
  {
    const Eager::Recording two(eager);
    const Array b = eager.watch(a);
    std::optional<Array> slope;
    {
      const Eager::Recording three(eager);
      const Array c = eager.watch(b);
      const Array y = eager.run(cube, {c}).front();
      slope = eager.gradients({&y, 1}, {}, {&c, 1}).front();
    }
    EXPECT_FLOAT_EQ(static_cast<float>(slope->value.item()), 12);
    second = eager.gradients({&*slope, 1}, {}, {&b, 1}).front();
  }
  EXPECT_FLOAT_EQ(static_cast<float>(second->value.item()), 12);
  EXPECT_FLOAT_EQ(static_cast<float>(first(eager.gradients({&*second, 1}, {}, {&a, 1}))), 6);
}

// grad(x ↦ x · y) at y is y, also where y is the same number.
TEST(Eager, AWatchedCopyIsAnotherOne) {
  Eager eager(backend_for("cpu"));
  const auto product = program_of(eager, {scalar_type, scalar_type}, [](const Values& x) { return x[0] * x[1]; });
  const Eager::Recording recording(eager);
  const Array y = eager.watch({Tensor::scalar(5.0F)}), x = eager.watch(y);
  const Array result = eager.run(product, {x, y}).front();
  EXPECT_FLOAT_EQ(static_cast<float>(first(eager.gradients({&result, 1}, {}, {&x, 1}))), 5);
}

TEST(Eager, StoppedGradients) {
  Eager eager(backend_for("cpu"));
  const auto product = program_of(eager, {scalar_type, scalar_type}, [](const Values& x) { return x[0] * x[1]; });
  const Eager::Recording recording(eager);
  const Array x = eager.watch({Tensor::scalar(5.0F)});
  const Array result = eager.run(product, {x, Eager::stop(x)}).front(),
              other = eager.run(product, {Eager::stop(x), Eager::stop(x)}).front();
  EXPECT_FLOAT_EQ(static_cast<float>(first(eager.gradients({&result, 1}, {}, {&x, 1}))), 5);
  EXPECT_FALSE(eager.gradients({&other, 1}, {}, {&x, 1}).front());
}

TEST(Eager, WatchedVariables) {
  Eager eager(backend_for("cpu"));
  const auto weight = std::make_shared<Variable>("weight", scalar_type, true);
  weight->assign(Tensor::scalar(4.0F));
  const auto graph_program = program_of(eager, {scalar_type}, [&](const Values& x) {
    const Value w = x[0].graph().variable(weight);
    return x[0] * w * w;
  });
  Array y;
  std::vector<Array> leaves;
  {
    Eager::Recording recording(eager, {weight});
    leaves = {recording.leaf(weight)};
    y = eager.run(graph_program, {{Tensor::scalar(3.0F)}}).front();
  }
  EXPECT_FLOAT_EQ(static_cast<float>(first(eager.gradients({&y, 1}, {}, leaves))), 24);
  weight->assign(Tensor::scalar(5.0F));
  EXPECT_THROW(eager.gradients({&y, 1}, {}, leaves), Error);
}

TEST(Eager, ARecordingMayWatchWhatItDoesNotKnowYet) {
  Eager eager(backend_for("cpu"));
  const auto made_inside = std::make_shared<Variable>("weight", scalar_type, true),
             constant = std::make_shared<Variable>("constant", scalar_type, false);
  made_inside->assign(Tensor::scalar(4.0F)), constant->assign(Tensor::scalar(10.0F));
  const auto product = program_of(eager, {scalar_type}, [&](const Values& x) {
    return x[0] * x[0].graph().variable(made_inside) * x[0].graph().variable(constant);
  });
  const auto slope = [&](const Array& y, Array leaf) {
    return static_cast<float>(first(eager.gradients({&y, 1}, {}, {&leaf, 1})));
  };
  Eager::Recording outer(eager, {}, true);
  Array y;
  {
    // Both know what is read within both.
    Eager::Recording inner(eager, {made_inside});
    y = eager.run(product, {{Tensor::scalar(3.0F)}}).front();
    EXPECT_FLOAT_EQ(slope(y, inner.leaf(made_inside)), 30);
  }
  EXPECT_FLOAT_EQ(slope(y, outer.leaf(made_inside)), 30);
  EXPECT_FALSE(eager.gradients({&y, 1}, {}, std::vector<Array>{outer.leaf(constant)}).front());
}

TEST(Eager, OwnGradients) {
  Eager eager(backend_for("cpu"));
  const Eager::Recording recording(eager);
  const Array x = eager.watch({Tensor::scalar(5.0F)});
  const Arrays result = eager.join({Tensor::scalar(1.0F)}, {x}, [](std::span<const std::optional<Array>> cotangents) {
    return std::vector<std::optional<Array>>{
        Array{Tensor::scalar(static_cast<float>(7 * cotangents[0]->value.item()))}};
  });
  EXPECT_FLOAT_EQ(static_cast<float>(first(eager.gradients(result, {}, {&x, 1}))), 7);
}

TEST(Eager, LongChainsEndInOrder) {
  Eager eager(backend_for("cpu"));
  const auto next = program_of(eager, {scalar_type}, [](const Values& x) { return x[0] + 1.0; });
  const Eager::Recording recording(eager);
  const Array x = eager.watch({Tensor::scalar(0.0F)});
  Array y = x;
  for (int i = 0; i < 200'000; ++i) y = eager.run(next, {y}).front();
  EXPECT_FLOAT_EQ(static_cast<float>(first(eager.gradients({&y, 1}, {}, {&x, 1}))), 1);
}

TEST(Eager, ProgramsGoWithTheirOwner) {
  Eager eager(backend_for("cpu"));
  auto owner = std::make_shared<int>(1);
  const auto weight = std::make_shared<Variable>("weight", scalar_type, true);
  const auto make = [&] {
    return eager.program(
        "of the owner",
        [&] {
          auto graph = std::make_unique<Graph>();
          graph->output("y", graph->variable(weight) + 1.0);
          return graph;
        },
        owner);
  };
  make(), make();
  EXPECT_EQ(eager.programs_made(), 1U);
  owner = std::make_shared<int>(2);
  make();
  EXPECT_EQ(eager.programs_made(), 2U);
  owner.reset();
  eager.program("another", [] { return std::make_unique<Graph>(); });
  EXPECT_EQ(weight.use_count(), 1);
}

TEST(Eager, ProgramsAreKeptAndBounded) {
  Eager eager(backend_for("cpu"));
  const auto make = [&](int size) {
    return eager.program(fmt::format("size {}", size), [&] {
      auto graph = std::make_unique<Graph>();
      graph->output("y", graph->input("x", {DType::float32, {size}}) + 1.0);
      return graph;
    });
  };
  const std::shared_ptr<Program> one = make(1);
  EXPECT_EQ(make(1), one);
  for (int size = 2; size < 3000; ++size) make(size);
  EXPECT_EQ(eager.programs_made(), 2999U);
  EXPECT_NE(make(1), one);
}

}  // namespace

}  // namespace nacre::eager
