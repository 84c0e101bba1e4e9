// The gradient rule of every op against central differences, in double on the reference backend. A rule that gives no
// gradient claims that it is zero.
#include <gtest/gtest.h>

#include "backend/graph/grad.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/interpret.h"
#include "tests/support/op_cases.h"

namespace nacre::test {

namespace {

// A graph with a tensor for each of its inputs.
class Experiment {
 public:
  Experiment(const OpCase& sample, RandomStream& random)
      : random_(random),
        graph_(decompose_missing(*graph_of(sample, DType::float64), reference_backend())),
        tensors_(draw_operands(random, sample, DType::float64)) {
    for (const auto& [name, value] : graph_->inputs()) inputs_.push_back(value);
    for (const auto& [name, value] : graph_->outputs()) outputs_.push_back(value);
  }

  // Compares the gradients of Σ⟨cotangent, output⟩ with differences; they are the next outputs to be differentiated.
  void check() {
    Values real, cotangents;
    for (Value output : outputs_)
      if (is_floating(output.dtype())) real.push_back(output);
    const Values wrt = inputs_;
    Value loss = graph_->scalar(0, DType::float64);
    for (Value output : real) {
      cotangents.push_back(input(output.type()));
      loss = loss + ops::sum(ops::cast(output * cotangents.back(), DType::float64));
    }
    const Values found = gradients(*graph_, real, cotangents, wrt);
    graph_->verify();
    for (std::size_t i = 0; i < wrt.size(); ++i)
      if (wrt[i].dtype() == DType::float64) compare(loss, found[i], i);
    outputs_.clear();
    for (Value gradient : found)
      if (gradient) outputs_.push_back(gradient);
  }

 private:
  Value input(const Type& type) {
    tensors_.push_back(draw_tensor(random_, type));
    inputs_.push_back(graph_->input(fmt::format("cotangent{}", inputs_.size()), type));
    return inputs_.back();
  }

  Tensor evaluate(Value value) const {
    Graph part;
    Rewriter rewriter(*graph_, part);
    for (const auto& [name, in] : graph_->inputs()) rewriter.set(in, part.input(name, in.type()));
    std::vector<char> needed(graph_->nodes().size(), 0);
    needed[static_cast<std::size_t>(value.node().id())] = 1;
    const std::vector<const Node*> nodes = graph_->nodes();
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node)
      for (Value in : (*node)->inputs())
        if (needed[static_cast<std::size_t>((*node)->id())]) needed[static_cast<std::size_t>(in.node().id())] = 1;
    for (const Node* node : nodes)
      if (needed[static_cast<std::size_t>(node->id())]) rewriter.copy(*node);
    part.output("value", rewriter(value));
    return interpret(*decompose_missing(part, reference_backend()), tensors_, reference_backend())[0];
  }

  void compare(Value loss, Value gradient, std::size_t operand) {
    constexpr double step = 1e-5;
    const Tensor analytic = gradient ? evaluate(gradient) : Tensor(inputs_[operand].type());
    ASSERT_EQ(analytic.type(), inputs_[operand].type());
    const std::int64_t size = analytic.size(), stride = std::max<std::int64_t>(1, size / 12);
    for (std::int64_t i = 0; i < size; i += stride) {
      auto at = [&](double offset) {
        const Tensor before = tensors_[operand];
        tensors_[operand].writable<double>()[static_cast<std::size_t>(i)] += offset;
        const double value = evaluate(loss).item();
        tensors_[operand] = before;
        return value;
      };
      const double numeric = (at(step) - at(-step)) / (2 * step);
      EXPECT_NEAR(analytic.at(i), numeric, 2e-6 * std::max(1.0, std::abs(numeric)))
          << "element " << i << " of the gradient of operand " << operand << " in\n" << graph_->text();
    }
  }

  RandomStream& random_;
  std::unique_ptr<Graph> graph_;
  std::vector<Tensor> tensors_;  // one for each input
  Values inputs_, outputs_;
};

class OpGradient : public testing::TestWithParam<OpRecord> {};

TEST_P(OpGradient, EqualsCentralDifferences) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomStream random(RandomKey::of(seed, GetParam().name));
    Experiment experiment(GetParam().sample(random), random);
    for (int order = 1; order <= GetParam().derivatives; ++order) {
      SCOPED_TRACE(fmt::format("derivative {}", order));
      experiment.check();
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, OpGradient, testing::ValuesIn(op_records()), [](const auto& tested) { return tested.param.name; });

}  // namespace

}  // namespace nacre::test
