#include "backend/graph/graph.h"

#include <gtest/gtest.h>

#include "backend/graph/ops/ops.h"

namespace nacre {

namespace {

const Type row{DType::float32, {unknown, 3}};

VariableRef make_variable(std::string path, Shape shape) {
  return std::make_shared<Variable>(std::move(path), Type{DType::float32, std::move(shape)}, true);
}

std::string message_of(auto&& work) {
  try {
    work();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(GraphText, IsOneLinePerNode) {
  Graph graph;
  const Value x = graph.input("x", row);
  Value y;
  {
    const Graph::Label label(graph, "layer 'fc1' (Dense)");
    y = ops::dense(x, graph.constant(Tensor::of<float>({3, 1}, {1, 2, 3})));
  }
  graph.output("y", ops::sum(y, {1}));
  EXPECT_EQ(graph.text(),
            "%0 = input{name=x}()  float32(None, 3)\n"
            "%1 = constant{value=float32(3, 1)[1, 2, 3]}()  float32(3, 1)  layer 'fc1' (Dense)\n"
            "%2 = matmul{transpose_a=false, transpose_b=false, epilogue={bias=false, residual=false, activation=none, alpha=0, "
            "beta=0}}(%0, %1)"
            "  float32(None, 1)  layer 'fc1' (Dense)\n"
            "%3 = sum{axes=[1], keepdims=false}(%2)  float32(None,)\n"
            "output y = %3\n");
}

TEST(Graph, CountsUses) {
  Graph graph;
  const Value x = graph.input("x", row);
  const Value y = x * x;
  EXPECT_EQ(x.uses(), 2);
  EXPECT_EQ(y.uses(), 0);
  graph.output("y", y);
  EXPECT_EQ(y.uses(), 1);
  graph.verify();
}

TEST(Graph, RefusesWhatBreaksItsPromises) {
  Graph graph, other;
  const Value x = graph.input("x", row), elsewhere = other.input("x", row);
  EXPECT_THROW(graph.input("x", row), InternalError);
  EXPECT_THROW(x + elsewhere, InternalError);
  EXPECT_THROW(graph.add(op::add, NoAttributes{}, {x, Value()}), InternalError);
  EXPECT_THROW(graph.output("y", elsewhere), InternalError);
  graph.output("y", x);
  EXPECT_THROW(graph.output("y", x), InternalError);
  EXPECT_THROW(graph.result("z"), InternalError);
  const VariableRef variable = make_variable("w", {3});
  EXPECT_THROW(graph.update(variable, x), InternalError);  // of another type
}

TEST(Graph, VariablesAreReadOnceAndUpdatesReplaceEachOther) {
  Graph graph;
  const VariableRef variable = make_variable("w", {3});
  const Value before = graph.variable(variable);
  EXPECT_EQ(graph.variable(variable), before);
  EXPECT_EQ(graph.latest(variable), before);
  const Value once = before + 1.0, twice = once + 1.0;
  graph.update(variable, once);
  EXPECT_EQ(graph.latest(variable), once);
  graph.update(variable, twice);
  EXPECT_EQ(graph.updates().size(), 1u);
  EXPECT_EQ(once.uses(), 1);  // of `twice` alone
  graph.verify();
}

TEST(Graph, LabelsNameTheLayerInErrors) {
  Graph graph;
  const Value x = graph.input("x", row);
  EXPECT_EQ(message_of([&] { x + graph.constant(Tensor(DType::float32, {4})); }),
            "add: shapes (None, 3) and (4,) cannot be broadcast together");
  const Graph::Label label(graph, "layer 'a' (Add)");
  EXPECT_EQ(message_of([&] { x + graph.constant(Tensor(DType::float32, {4})); }),
            "layer 'a' (Add): shapes (None, 3) and (4,) cannot be broadcast together");
  {
    const Graph::Label inner(graph, "layer 'b' (Add)");
    EXPECT_EQ((x * x).node().label(), "layer 'b' (Add)");
  }
  EXPECT_EQ((x * x).node().label(), "layer 'a' (Add)");
}

// An op whose rule gives another type each time stands for a pass that changed what it must not.
TEST(GraphVerifier, CatchesTypesThatTheRuleDoesNotGive) {
  static std::int64_t size = 0;
  static constexpr OpDef<NoAttributes> fickle{{.name = "fickle", .doc = "changes its mind"},
                                              [](const NoAttributes&, const Types&) { return Types{{DType::float32, {++size}}}; }};
  Graph graph;
  graph.output("y", graph.add(fickle, NoAttributes{}, {}).out());
  EXPECT_EQ(message_of([&] { graph.verify(); }),
            "internal error: 'fickle' does not have the types that its rule gives\n"
            "  hint: this is a defect of nacre, please report it");
}

TEST(Attributes, AreComparedByValueAndReadAsTheirType) {
  const Attributes a(ReduceAttrs{{0, 1}, true}), b(ReduceAttrs{{0, 1}, true}), c(ReduceAttrs{{0}, true});
  EXPECT_EQ(a, b);
  EXPECT_FALSE(a == c);
  EXPECT_EQ(a.text(), "{axes=[0, 1], keepdims=true}");
  EXPECT_EQ(a.text(), b.text());
  EXPECT_THROW(a.as<MatMulAttrs>(), InternalError);
}

TEST(ConstantText, TellsLongTensorsApartByTheirElements) {
  Tensor a(DType::float32, {100}), b(DType::float32, {100});
  EXPECT_EQ(text_of(a), text_of(b));
  b.writable<float>()[99] = 1;
  EXPECT_NE(text_of(a), text_of(b));
}

// --- rewriting ----------------------------------------------------------------------------------------------------

TEST(Rewriter, CopiesEverything) {
  Graph graph;
  const VariableRef variable = make_variable("w", {3, 2});
  const Value x = graph.input("x", row), kernel = graph.variable(variable);
  const Graph::Label label(graph, "layer 'fc' (Dense)");
  const Value y = ops::relu(ops::dense(x, kernel));
  graph.output("y", y);
  graph.update(variable, kernel * 0.5);
  const auto copy = rewrite(graph, [](const Node&, Rewriter&) { return false; });
  copy->verify();
  EXPECT_EQ(copy->text(), graph.text());
}

TEST(Rewriter, ReplacedNodesAreSeenByAllLaterUsers) {
  Graph graph;
  const Value x = graph.input("x", row);
  const Value once = ops::relu(x), twice = ops::relu(once);
  graph.output("sum", once + twice);
  const auto result = rewrite(graph, [](const Node& node, Rewriter& rewriter) {
    if (!node.is(op::relu) || !node.in(0).is(op::relu)) return false;
    rewriter.set(node.out(), rewriter(node.in(0)));  // relu(relu(x)) = relu(x)
    return true;
  });
  result->verify();
  const Value sum = result->result("sum");
  EXPECT_EQ(sum.node().in(0), sum.node().in(1));
  EXPECT_TRUE(sum.node().in(0).is(op::relu));
}

TEST(Rewriter, ForgettingAUsedOutputIsAnError) {
  Graph graph;
  const Value x = graph.input("x", row);
  graph.output("y", ops::relu(x) + 1.0);
  EXPECT_THROW(rewrite(graph, [](const Node& node, Rewriter&) { return node.is(op::relu); }), InternalError);
}

TEST(InlineGraph, PutsABodyInPlaceOfItsInputs) {
  Graph body;
  const Value a = body.input("a", row), b = body.input("b", row);
  body.output("y", a * b);
  Graph graph;
  const Value x = graph.input("x", row);
  const Values results = inline_graph(body, graph, {x, x});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].node().inputs(), (Values{x, x}));
  EXPECT_THROW(inline_graph(body, graph, {x}), InternalError);
}

}  // namespace

}  // namespace nacre
