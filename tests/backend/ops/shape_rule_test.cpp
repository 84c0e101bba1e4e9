// Shape rules: with unknown sizes they say the same as with known ones, only less; misfits are said in plain words.
#include <gtest/gtest.h>

#include <set>

#include "backend/graph/grad.h"
#include "tests/support/op_cases.h"

namespace nacre::test {

namespace {

// The gradient of a concatenation needs the sizes along its axis.
bool gradient_accepts_unknown_sizes(const OpRecord& record) { return record.derivatives > 0 && record.name != "concat"; }

class OpShapeRule : public testing::TestWithParam<OpRecord> {
 protected:
  // The case with about half of the sizes not known.
  static OpCase with_unknown_sizes(OpCase sample, RandomStream& random) {
    for (OpCase::Operand& operand : sample.operands)
      for (int axis = 0; axis < operand.type.shape.rank() && !operand.weight; ++axis)
        if (draw(random, 0, 1) == 0) operand.type.shape.set(axis, unknown);
    return sample;
  }
};

TEST_P(OpShapeRule, AcceptsUnknownSizes) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomStream random(RandomKey::of(seed, GetParam().name));
    const OpCase sample = GetParam().sample(random);
    const auto known = graph_of(sample, DType::float32);
    const auto open = graph_of(with_unknown_sizes(sample, random), DType::float32);
    known->verify();
    open->verify();
    ASSERT_EQ(open->outputs().size(), known->outputs().size());
    for (std::size_t i = 0; i < known->outputs().size(); ++i) {
      const Type &exact = known->outputs()[i].value.type(), &vague = open->outputs()[i].value.type();
      EXPECT_TRUE(exact.shape.known());
      EXPECT_EQ(vague.dtype, exact.dtype);
      EXPECT_TRUE(same(vague.shape, exact.shape)) << vague.text() << " is not " << exact.text();
    }
  }
}

// Gradients have the types of what they are gradients of, whatever is known of the sizes.
TEST_P(OpShapeRule, GradientsAcceptUnknownSizes) {
  if (!gradient_accepts_unknown_sizes(GetParam())) return;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomStream random(RandomKey::of(seed, GetParam().name));
    const auto graph = graph_of(with_unknown_sizes(GetParam().sample(random), random), DType::float32);
    add_gradients(*graph);
    graph->verify();
    for (const auto& [name, value] : graph->outputs()) {
      if (!name.starts_with("dx")) continue;
      const Type& operand = graph->inputs()[static_cast<std::size_t>(std::stoi(name.substr(2)))].value.type();
      EXPECT_EQ(value.dtype(), operand.dtype);
      EXPECT_TRUE(same(value.shape(), operand.shape)) << value.type().text() << " is not " << operand.text();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, OpShapeRule, testing::ValuesIn(op_records()), [](const auto& tested) { return tested.param.name; });

// Every op of the list is exercised by some record, itself or in a gradient.
TEST(OpRecords, CoverAllOps) {
  std::set<const Op*> met;
  auto meet = [&](const OpRecord& record, const OpCase& sample) {
    const auto graph = graph_of(sample, DType::float32);
    if (gradient_accepts_unknown_sizes(record)) add_gradients(*graph);
    for (const Node* node : graph->nodes()) met.insert(&node->op());
  };
  for (const OpRecord& record : op_records())
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      RandomStream random(RandomKey::of(seed, record.name));
      OpCase sample = record.sample(random);
      meet(record, sample);
      for (OpCase::Operand& operand : sample.operands)
        if (operand.type.shape.rank() > 0 && !operand.weight) operand.type.shape.set(0, unknown);
      meet(record, sample);
    }
  for (const Op* op : op::all_ops())
    EXPECT_TRUE(op->kind == OpKind::leaf || op->kind == OpKind::host || met.contains(op)) << "no record for '" << op->name << "'";
}

TEST(OpRecords, OpsHaveNamesOfTheirOwnAndAFormula) {
  std::set<std::string_view> names;
  for (const Op* op : op::all_ops()) {
    EXPECT_TRUE(names.insert(op->name).second) << op->name;
    EXPECT_FALSE(op->doc.empty()) << op->name;
    EXPECT_NE(op->infer_erased, nullptr) << op->name;
  }
}

// --- misfits ------------------------------------------------------------------------------------------------------

struct Misfit {
  Types operands;
  Value (*apply)(const Values&);
  std::string_view message;
};

TEST(OpMisfit, IsSaidInPlainWords) {
  const DType real = DType::float32;
  const Misfit misfits[] = {
      {{{real, {2, 3}}, {real, {4}}}, [](const Values& x) { return x[0] + x[1]; },
       "add: shapes (2, 3) and (4,) cannot be broadcast together"},
      {{{real, {2}}, {DType::int32, {2}}}, [](const Values& x) { return x[0] * x[1]; },
       "multiply: operands have different dtypes: float32(2,) and int32(2,)\n  hint: cast one of them"},
      {{{DType::int32, {2}}, {DType::int32, {2}}}, [](const Values& x) { return x[0] / x[1]; },
       "divide: needs floating dtypes, got int32(2,) and int32(2,)"},
      {{{DType::int32, {2}}}, [](const Values& x) { return ops::exp(x[0]); }, "exp: needs a floating dtype, got int32(2,)"},
      {{{real, {2}}}, [](const Values& x) { return ops::logical_not(x[0]); }, "logical_not: needs bool, got float32(2,)"},
      {{{real, {}}, {real, {2}}, {real, {2}}}, [](const Values& x) { return ops::select(x[0], x[1], x[2]); },
       "select: needs a bool condition, got float32()"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::reshape(x[0], {4, unknown}); }, "cannot reshape (2, 3) to (4, None)"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::reshape(x[0], {unknown, unknown}); },
       "cannot reshape (2, 3) to (None, None): more than one size is unknown"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::transpose(x[0], {0, 0}); },
       "transpose: [0, 0] is not a permutation of the axes of (2, 3)"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::transpose(x[0], {0}); },
       "transpose: the permutation has 1 entries for shape (2, 3)"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::broadcast_to(x[0], {2, 4}); },
       "broadcast_to: shapes (2, 3) and (2, 4) cannot be broadcast together"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::broadcast_to(x[0], {3}); },
       "broadcast_to: cannot broadcast (2, 3) to (3,)"},
      {{{real, {4}}}, [](const Values& x) { return ops::slice(x[0], {0}, {4}, {0}); },
       "slice: the stride of a slice is 0, wanted at least 1"},
      {{{real, {4}}}, [](const Values& x) { return ops::pad(x[0], {-1}, {0}); },
       "pad: padding is -1 before and 0 after axis 0, wanted 0 to 2147483647"},
      {{{real, {2, 3}}, {real, {3, 3}}}, [](const Values& x) { return ops::concat({x[0], x[1]}, -1); },
       "concat: cannot join float32(2, 3) and float32(3, 3) along axis 1"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::squeeze(x[0], 1); },
       "cannot squeeze axis 1 of (2, 3): its size is not 1"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::sum(x[0], {2}); }, "axis 2 is out of range for shape (2, 3)"},
      {{{real, {2, 3}}}, [](const Values& x) { return ops::sum(x[0], {1, -1}); }, "an axis is given twice in [1, 1]"},
      {{{DType::boolean, {2}}}, [](const Values& x) { return ops::sum(x[0]); },
       "sum: cannot add up bool(2,)\n  hint: cast it to a number first"},
      {{{real, {2, 3}}, {real, {4, 5}}}, [](const Values& x) { return ops::matmul(x[0], x[1]); },
       "matmul: inner sizes differ: (2, 3) · (4, 5)"},
      {{{real, {2, 3}}, {real, {4, 3}}}, [](const Values& x) { return ops::matmul(x[0], x[1], true, true); },
       "matmul: inner sizes differ: (2, 3)ᵀ · (4, 3)ᵀ"},
      {{{real, {3}}, {real, {3, 5}}}, [](const Values& x) { return ops::matmul(x[0], x[1]); },
       "matmul: needs operands of rank 2 or more, got (3,) and (3, 5)"},
      {{{DType::int32, {2, 3}}}, [](const Values& x) { return ops::softmax(x[0]); },
       "softmax: needs a floating dtype, got int32(2, 3)"},
      {{{real, {5, 3}}, {real, {2}}}, [](const Values& x) { return ops::gather(x[0], x[1]); },
       "gather: indices must be integers, got float32(2,)"},
      {{{real, {5, 3}}, {DType::int32, {3}}}, [](const Values& x) { return ops::take_along(x[0], x[1], 1); },
       "take_along: wants indices of shape (5,) for (5, 3) without axis 1, got (3,)"},
  };
  for (const Misfit& misfit : misfits) {
    Graph graph;
    Values operands;
    for (const Type& type : misfit.operands) operands.push_back(graph.input(fmt::format("x{}", operands.size()), type));
    try {
      misfit.apply(operands);
      ADD_FAILURE() << "accepted, but should say: " << misfit.message;
    } catch (const Error& error) {
      EXPECT_EQ(std::string_view(error.what()), misfit.message);
    }
  }
}

// The layer that emits the op is named instead of the op.
TEST(OpMisfit, NamesTheLayer) {
  Graph graph;
  const Value a = graph.input("a", {DType::float32, {unknown, 3}}), b = graph.input("b", {DType::float32, {4, 5}});
  const Graph::Label label(graph, "layer 'fc1' (Dense)");
  try {
    ops::dense(a, b);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "layer 'fc1' (Dense): inner sizes differ: (None, 3) · (4, 5)");
  }
}

// --- simplifications of the builders --------------------------------------------------------------------------------

TEST(OpBuilders, LeaveOutWhatChangesNothing) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2, 3, 1}});
  EXPECT_EQ(x * 1.0, x);
  EXPECT_EQ(1.0 * x, x);
  EXPECT_EQ(x + 0.0, x);
  EXPECT_EQ(x - 0.0, x);
  EXPECT_EQ(x / 1.0, x);
  EXPECT_EQ(ops::cast(x, DType::float32), x);
  EXPECT_EQ(ops::reshape(x, {2, unknown, 1}), x);
  EXPECT_EQ(ops::reshape(ops::reshape(x, {6}), {2, 3, 1}), x);
  EXPECT_EQ(ops::transpose(x, {0, 1, 2}), x);
  EXPECT_EQ(ops::transpose(ops::transpose(x, {2, 0, 1}), {1, 2, 0}), x);
  EXPECT_EQ(ops::slice(x, {0, 0, 0}, {2, whole_axis, 7}), x);
  EXPECT_EQ(ops::pad(x, {0, 0, 0}, {0, 0, 0}), x);
  EXPECT_EQ(ops::concat({x}, 0), x);
  EXPECT_EQ(ops::broadcast_to(x, {2, 3, 1}), x);
  EXPECT_EQ(ops::sum_like(x, x), x);
  EXPECT_TRUE(ops::sum(x, {-1}).is(op::reshape));
  EXPECT_TRUE(ops::power(x, graph.scalar(2)).is(op::square));
}

TEST(OpBuilders, ResolvePythonSlices) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {10}});
  EXPECT_EQ(ops::slice(x, {-3}, {whole_axis}).shape(), Shape{3});
  EXPECT_EQ(ops::slice(x, {2}, {-2}).shape(), Shape{6});
  EXPECT_EQ(ops::slice(x, {2}, {100}, {3}).shape(), Shape{3});
  EXPECT_EQ(ops::slice(x, {8}, {2}).shape(), Shape{0});
  EXPECT_EQ(ops::slice_axis(x, -1, 4, 5).shape(), Shape{1});
}

// Activations keep no operand alive for their gradient: their own result is enough.
TEST(OpGradientRules, OfActivationsReadTheOutput) {
  for (Value (*activation)(Value) : {&ops::relu, &ops::tanh, &ops::sigmoid, &ops::exp, &ops::sqrt}) {
    Graph graph;
    const Value x = graph.input("x", {DType::float32, {3}});
    const Value y = activation(x);
    const Value wrt[] = {x};
    gradients(ops::sum(y), wrt);
    EXPECT_EQ(x.uses(), 1) << graph.text();
  }
}

}  // namespace

}  // namespace nacre::test
