// parity(): two devices compared layer by layer. What is wrong on a made-up device is found where it is.
#include "api/inspect/parity.h"

#include <sstream>

#include "api/inspect/readable.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/passes/dead_code.h"
#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

// The reference, except that kernels of one op give wrong results for some nodes.
class Faulty final : public Backend {
 public:
  struct Fault {
    const Op* op = nullptr;
    std::function<bool(const Node&)> hits{};
    float error = 0;  // added to the first number
  };
  explicit Faulty(Fault fault, std::vector<Pass> passes = {}) : passes_(std::move(passes)) {
    present() = std::move(fault);
    if (present().op) rows_.push_back({present().op, build});
    for (const KernelRow& row : reference_backend().table()) rows_.push_back(row);
  }
  std::string_view name() const override { return "faulty"; }
  std::string_view description() const override { return "for tests"; }
  std::span<const KernelRow> table() const override { return rows_; }
  std::span<const Pass> passes() const override { return passes_; }
  std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const override {
    return reference_backend().reorder(type, from, to);
  }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override { return allocate_bytes(bytes); }

 private:
  static Fault& present() {
    static Fault fault;
    return fault;
  }
  static KernelPlan build(const KernelRequest& request) {
    struct Wrong final : Kernel {
      Wrong(std::unique_ptr<Kernel> right_, float error_) : right(std::move(right_)), error(error_) {}
      void run(const KernelArguments& arguments) override {
        right->run(arguments);
        *static_cast<float*>(arguments.outputs[0]) += error;
      }
      std::unique_ptr<Kernel> right;
      float error;
    };
    KernelPlan plan = reference_backend().row(request.node)->build(request);
    if (present().hits(request.node)) plan.kernel = std::make_unique<Wrong>(std::move(plan.kernel), present().error);
    return plan;
  }

  std::vector<KernelRow> rows_;
  std::vector<Pass> passes_;
};

ParityReport compared_with(const Backend& device, const Model& model) {
  return parity(model, nullptr, {.checked = &device, .batch_size = 3});
}

Sequential stack() {
  const auto dense = [](const char* name) { return Dense({.units = 5, .activation = "tanh"}, {.name = name}); };
  Sequential model({Input({4}), dense("a"), dense("b"), dense("c")}, {.name = "stack"});
  model.compile({.loss = "mse"});
  return model;
}

std::vector<std::string> names(const ParityReport& report) {
  std::vector<std::string> names;
  for (const ParityReport::Row& row : report.rows) {
    names.push_back(row.name);
    for (const ParityReport::Variable& variable : row.variables) names.push_back(row.name + "/" + variable.name);
  }
  return names;
}

using Names = std::vector<std::string>;

TEST(DeviceParity, ConvolutionsAgreeAndTheModelStaysAsItIs) {
  Sequential model({Input({12, 12, 2}), Conv2D({.filters = 4, .kernel_size = 3}, {.name = "conv"}),
                    BatchNormalization({}, {.name = "norm"}), ReLU({}, {.name = "relu"}),
                    MaxPooling2D({}, {.name = "pool"}), Flatten({}, {.name = "flat"}),
                    Dropout({.rate = 0.4}, {.name = "drop"}),
                    Dense({.units = 3, .activation = "softmax"}, {.name = "digit"})});
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  model.initialize(3);
  const std::vector<Tensor> before = values(model);
  const ParityReport report = parity(model, nullptr, {.batch_size = 8, .seed = 3});
  EXPECT_TRUE(report.agrees()) << report.text();
  EXPECT_EQ(names(report),
            (Names{"conv", "conv/kernel", "conv/bias", "norm", "norm/gamma", "norm/beta", "norm/moving_mean",
                   "norm/moving_variance", "relu", "pool", "flat", "drop", "digit", "digit/kernel", "digit/bias"}));
  EXPECT_EQ(report.trusted, "reference");
  EXPECT_EQ(report.checked, "cpu");
  EXPECT_EQ(report.dtypes, "float32");
  EXPECT_TRUE(report.own_loss);
  EXPECT_GT(report.trusted_loss, 0);
  EXPECT_EQ(report.batch_size, 8);
  for (const ParityReport::Row& row : report.rows) {
    ASSERT_EQ(row.results.size(), 1u) << row.name;
    EXPECT_GT(row.results[0].value.magnitude, 0) << row.name;
    // The loss takes the logits, so it does not depend on what softmax makes of them.
    ASSERT_EQ(row.results[0].gradient.has_value(), row.name != "digit") << row.name;
    EXPECT_GT(row.results[0].gradient.value_or(Difference{.magnitude = 1}).magnitude, 0) << row.name;
    for (const ParityReport::Variable& variable : row.variables)
      EXPECT_NE(variable.value.has_value(), variable.gradient.has_value())
          << variable.name << ": statistics have no gradient";
  }
  EXPECT_EQ(report.rows[0].results[0].shape, (Shape{8, 10, 10, 4}));
  EXPECT_EQ(report.rows[5].results[0].value.exceeding, 0) << "both devices drop the same elements";
  expect_identical(values(model), before);
  EXPECT_FALSE(model.trainer().optimizer().built());
  EXPECT_EQ(model.trainer().random().step->value().item(), 0);
}

TEST(DeviceParity, ATransformerAgrees) {
  const Symbol words = Input({6}, "words", DType::int32);
  const Symbol embedded = Embedding({.input_dim = 20, .output_dim = 8}, {.name = "embed"})(words);
  const Symbol attended =
      MultiHeadAttention({.num_heads = 2, .key_dim = 4}, {.name = "attend"})(Symbols{embedded, embedded});
  const Symbol normal = LayerNormalization({}, {.name = "norm"})(Add({.name = "sum"})(Symbols{attended, embedded}));
  const Symbol hidden = Dense({.units = 16, .activation = "gelu"}, {.name = "hidden"})(normal);
  Model model({words}, {LayerNormalization({}, {.name = "last"})(Dense({.units = 8}, {.name = "project"})(hidden))});
  const ParityReport report = parity(model);
  EXPECT_TRUE(report.agrees()) << report.text();
  EXPECT_FALSE(report.own_loss) << "the model is not compiled";
  const Names rows = names(report);
  for (const char* name :
       {"embed/embeddings", "attend/query/kernel", "attend/attention_output/bias", "sum", "norm/gamma", "last/beta"})
    EXPECT_TRUE(std::ranges::count(rows, name) == 1) << name;
}

TEST(DeviceParity, RecurrentLayersAgree) {
  const Symbol words = Input({7}, "words", DType::int32);
  const Symbol read = Bidirectional({.layer = LSTM({.units = 4, .return_sequences = true})}, {.name = "read"})(
      Embedding({.input_dim = 30, .output_dim = 6, .mask_zero = true}, {.name = "embed"})(words));
  Model model({words}, {Dense({.units = 2}, {.name = "answer"})(GRU({.units = 3}, {.name = "sum_up"})(read))});
  model.compile({.loss = "mse"});
  const ParityReport report = parity(model);
  EXPECT_TRUE(report.agrees()) << report.text();
  const Names rows = names(report);
  EXPECT_TRUE(std::ranges::count(rows, "sum_up/gru_cell/kernel") + std::ranges::count(rows, "sum_up/kernel") == 1);
}

TEST(DeviceParity, NestedModelsSharedLayersAndSeveralOutputs) {
  const Symbol x = Input({4}, "x"), y = Input({4}, "y"), inside = Input({4});
  const Model inner({inside}, {Dense({.units = 3}, {.name = "twice"})(inside)}, {.name = "inner"});
  const Symbol a = inner(x), b = inner(y);
  Model model({x, y}, {Concatenate({}, {.name = "both"})(Symbols{a, b}), Dense({.units = 1}, {.name = "one"})(b)});
  const ParityReport report = parity(model);
  EXPECT_TRUE(report.agrees()) << report.text();
  EXPECT_EQ(names(report), (Names{"inner/twice", "inner/twice/kernel", "inner/twice/bias", "inner/twice #2", "one",
                                  "one/kernel", "one/bias", "both"}))
      << "the inner model's own result is that of its last layer";
}

TEST(DeviceParity, FrozenLayersHaveNoGradients) {
  Sequential model = stack();
  model.layers()[0]->set_trainable(false);
  const ParityReport report = parity(model);
  EXPECT_TRUE(report.agrees()) << report.text();
  EXPECT_EQ(report.rows[0].variables.size(), 0u);
  EXPECT_FALSE(report.rows[0].results[0].gradient);
  EXPECT_TRUE(report.rows[1].results[0].gradient);
}

TEST(DeviceParity, TheFirstWrongLayerIsFound) {
  const Faulty wrong(
      {.op = &op::tanh, .hits = [](const Node& node) { return node.label() == "layer 'b' (Dense)"; }, .error = 0.5f});
  const ParityReport report = compared_with(wrong, stack());
  ASSERT_TRUE(report.first_forward) << report.text();
  EXPECT_EQ(report.first_forward->where, "the output of 'b'");
  EXPECT_EQ(report.first_forward->difference.exceeding, 1);
  EXPECT_NEAR(report.first_forward->difference.absolute, 0.5, 1e-6);
  EXPECT_EQ(report.rows[0].results[0].value.absolute, 0);
  EXPECT_GT(report.rows[0].results[0].gradient->absolute, 0) << "the way back leads through what is wrong";
  EXPECT_FALSE(report.only_joined);
  EXPECT_NE(report.text().find("Forward it is exceeded first by the output of 'b':\n  5.0e-01 apart, "),
            std::string::npos)
      << report.text();
}

TEST(DeviceParity, AWrongGradientIsFoundWhereItIsComputed) {
  const auto product = [](std::string_view label, bool of_weights) {
    return [=](const Node& node) {
      const auto& attributes = node.attrs<MatMulAttrs>();
      return node.label() == label && (of_weights ? attributes.transpose_a : attributes.transpose_b);
    };
  };
  {
    const Faulty wrong({.op = &op::matmul, .hits = product("layer 'b' (Dense)", true), .error = 1});
    const ParityReport report = compared_with(wrong, stack());
    EXPECT_FALSE(report.first_forward) << report.text();
    ASSERT_TRUE(report.first_backward);
    EXPECT_EQ(report.first_backward->where, "'b/kernel'");
    EXPECT_EQ(report.rows[0].worst(), 0) << "nothing depends on it";
  }
  const Faulty wrong({.op = &op::matmul, .hits = product("layer 'b' (Dense)", false), .error = 1});
  const ParityReport report = compared_with(wrong, stack());
  EXPECT_FALSE(report.first_forward) << report.text();
  ASSERT_TRUE(report.first_backward);
  EXPECT_EQ(report.first_backward->where, "the output of 'a'") << "the gradient that b hands back";
}

// A pass that takes relus of other layers' results for negation.
std::unique_ptr<Graph> spoil(const Graph& graph, const Backend&) {
  return rewrite(graph, [](const Node& node, Rewriter& rewriter) {
    if (!node.is(op::relu) || node.in(0).uses() != 1 || node.in(0).node().label() == node.label()) return false;
    rewriter.set(node.out(), -rewriter(node.in(0)));
    return true;
  });
}

TEST(DeviceParity, APassThatJoinsLayersIsToldFromAKernel) {
  Sequential model({Input({4}), Dense({.units = 5}, {.name = "a"}), ReLU({}, {.name = "relu"})});
  const ParityReport report = compared_with(Faulty({}, {{"dead code", remove_dead_code}, {"spoil", spoil}}), model);
  ASSERT_TRUE(report.first_forward) << report.text();
  EXPECT_EQ(report.first_forward->where, "the loss");
  EXPECT_TRUE(report.only_joined);
  EXPECT_NE(report.text().find("a pass that joins them"), std::string::npos);
}

TEST(DeviceParity, NumbersThatAreNoneDiffer) {
  const Faulty wrong({.op = &op::tanh,
                      .hits = [](const Node& node) { return node.label() == "layer 'c' (Dense)"; },
                      .error = std::nanf("")});
  const ParityReport report = compared_with(wrong, stack());
  ASSERT_TRUE(report.first_forward) << report.text();
  EXPECT_EQ(report.first_forward->where, "the output of 'c'");
  EXPECT_TRUE(std::isinf(report.first_forward->difference.relative));
  EXPECT_TRUE(parse_json(write_json(report.tree()), "report")["layers"]
                  .items()[2]["outputs"]
                  .items()[0]["value"]["relative"]
                  .is_null());
}

TEST(DeviceParity, TheToleranceIsTheUsers) {
  const Sequential model = stack();
  EXPECT_EQ(default_tolerance(model.graph()), 1e-3);
  EXPECT_EQ(parity(model).tolerance, 1e-3);
  const ParityReport strict = parity(model, nullptr, {.tolerance = 0});
  EXPECT_FALSE(strict.agrees()) << "the devices round differently";
  EXPECT_GT(default_tolerance(with_dtype(model, {"mixed_bfloat16"}).graph()),
            default_tolerance(with_dtype(model, {"mixed_float16"}).graph()));
  EXPECT_TRUE(parity(with_dtype(model, {"mixed_bfloat16"})).agrees());
}

TEST(DeviceParity, IsATableOf80Columns) {
  const ParityReport report = parity(stack(), nullptr, {.batch_size = 2});
  std::istringstream lines(report.text());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_columns(line), 80u) << line;
  EXPECT_EQ(
      report.text().find(
          "stack: cpu compared with reference, a training step on 2 samples, float32\ndata       made up, seed 0\n"),
      0u)
      << report.text();
  EXPECT_NE(report.text().find("\nAll outputs and gradients agree within the tolerance.\n"), std::string::npos);
  const std::string top = report.text(80, 1);
  EXPECT_NE(top.find("\nthe 1 of 3 layers that differ most\n"), std::string::npos) << top;
}

TEST(DeviceParity, IsATreeForPrograms) {
  const Tree tree = parse_json(write_json(parity(stack()).tree()), "report");
  EXPECT_EQ(tree["model"], Tree("stack"));
  EXPECT_EQ(tree["mode"], Tree("training"));
  EXPECT_EQ(tree["devices"].items()[1], Tree("cpu"));
  EXPECT_EQ(tree["agrees"], Tree(true));
  EXPECT_TRUE(tree["first_forward"].is_null());
  const Tree& layer = tree["layers"].items()[1];
  EXPECT_EQ(layer["name"], Tree("b"));
  EXPECT_EQ(layer["outputs"].items()[0]["value"]["elements"], Tree(20));
  EXPECT_EQ(layer["variables"].items()[0]["name"], Tree("kernel"));
  EXPECT_GT(layer["variables"].items()[0]["gradient"]["magnitude"].as_number(), 0);
}

TEST(DeviceParity, DataIsTakenWhereItIsGiven) {
  const Symbol text = Input({}, "text", DType::string);
  Model model({text}, {Dense({.units = 2, .activation = "softmax"})(GlobalAveragePooling1D()(Embedding(
                          {.input_dim = 10, .output_dim = 3})(TextVectorization({.max_tokens = 10})(text))))});
  EXPECT_NE(message_of([&] { parity(model); }).find("the input 'text' holds texts, which cannot be made up"),
            std::string::npos);
  model.compile({.loss = "sparse_categorical_crossentropy"});
  const DatasetRef data = array_dataset({.inputs = {Tensor::of<std::string>({3}, {"a fine day", "a bad day", "fine"})},
                                         .targets = {Tensor::of<std::int32_t>({3}, {1, 0, 1})}});
  const ParityReport report = parity(model, data, {.batch_size = 10});
  EXPECT_TRUE(report.agrees()) << report.text();
  EXPECT_EQ(report.batch_size, 3);
  EXPECT_EQ(report.data, data->description());
  EXPECT_TRUE(report.own_loss);
}

TEST(DeviceParity, SaysWhatCannotBeCompared) {
  const Symbol x = Input({3}, "x", DType::int32);
  EXPECT_NE(message_of([&] {
              parity(Model({x}, {x * 2}));
            }).find("no output of the model 'functional' is a floating one, and it has no loss"),
            std::string::npos);
}

}  // namespace
}  // namespace nacre::test
