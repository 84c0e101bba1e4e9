// Every layer against Keras: outputs and gradients, in inference and in training, and the statistics that it updates;
// and calls with masks, named arguments and options (calls.h5; see make_calls.py).
#include <gtest/gtest.h>

#include <set>

#include "api/model.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/json.h"
#include "layers/layer.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

// The arrays NAME/0, NAME/1, … of a case.
std::vector<Tensor> tensors(const Case& golden, const std::string& name) {
  std::vector<Tensor> all;
  for (std::size_t i = 0; golden.has(fmt::format("{}/{}", name, i)); ++i)
    all.push_back(golden.tensor(fmt::format("{}/{}", name, i)));
  return all;
}

bool train_of(const Case& golden) {
  return golden.data.has_attribute("train") && golden.data.tensor_attribute("train").item() != 0;
}

// The arguments of a case's call as inputs of the graph; appends their data.
CallArguments arguments_of(const Case& golden, Graph& graph, std::vector<Tensor>& data) {
  const auto feed = [&](Tensor tensor) {
    data.push_back(std::move(tensor));
    return graph.input(fmt::format("input{}", data.size()), data.back().type());
  };
  CallArguments arguments;
  for (const Tensor& input : tensors(golden, "inputs")) arguments.inputs.push_back(feed(input));
  for (std::size_t i = 0; i < arguments.inputs.size(); ++i)
    if (const std::string name = fmt::format("masks/{}", i); golden.has(name)) {
      arguments.masks.resize(arguments.inputs.size());
      arguments.masks[i] = feed(golden.tensor(name));
    }
  if (golden.has("named"))
    for (const std::string& name : golden.data.group("named").names())
      arguments.named[name] = {feed(golden.tensor("named/" + name))};
  if (golden.data.has_attribute("options")) arguments.options = parse_json(golden.data.text_attribute("options"));
  return arguments;
}

// Where the file tells dtypes they must be right too.
void check_output(const Case& golden, const std::string& name, const Tensor& got, const Tensor& want) {
  expect_close(name, got, want, for_outputs);
  const hdf5::Dataset stored = golden.data.dataset(name);
  if (stored.has_attribute("dtype") && stored.text_attribute("dtype") != name_of(got.dtype()))
    throw Error("{} is {}, wanted {}", name, got.dtype(), stored.text_attribute("dtype"));
}

// Runs one mode of a case, `prefix` being "" or "train_".
void check_mode(const Case& golden, const Backend& backend, Layer& layer, const std::string& prefix) {
  const std::vector<Weight> weights = layer.weights();

  Graph forward;
  Context context(forward, prefix == "train_");
  std::vector<Tensor> data;
  CallArguments arguments = arguments_of(golden, forward, data);
  const std::size_t input_count = arguments.inputs.size();
  const auto [outputs, masks] = layer(context, std::move(arguments));
  for (std::size_t i = 0; i < outputs.size(); ++i) forward.output(fmt::format("output{}", i), outputs[i]);
  const auto graph = ready_for_gradients(forward, backend);

  Values results, directions, wrt;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Value output = graph->result(fmt::format("output{}", i));
    if (!is_floating(output.dtype())) continue;
    results.push_back(output);
    directions.push_back(graph->constant(golden.tensor(fmt::format("{}cotangent/{}", prefix, i)).cast(output.dtype())));
  }
  std::vector<std::pair<std::string, Value>> wanted;
  for (std::size_t i = 0; i < input_count; ++i)
    if (const Value value = graph->inputs()[i].value; is_floating(value.dtype()))
      wanted.emplace_back(fmt::format("{}grad_inputs/{}", prefix, wanted.size()), value);
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (const std::string name = fmt::format("{}grad_weights/{}", prefix, i); golden.has(name))
      wanted.emplace_back(name, graph->variable(weights[i].variable));
  for (const auto& [name, value] : wanted) wrt.push_back(value);
  const Values found = gradients(*graph, results, directions, wrt);
  for (std::size_t i = 0; i < found.size(); ++i)
    graph->output(wanted[i].first, found[i] ? found[i] : ops::fill_like(wrt[i], 0));

  if (golden.data.has_attribute("masked") && static_cast<bool>(masks[0]) != (golden.data.tensor_attribute("masked").item() != 0))
    throw Error("the output comes {} a mask", masks[0] ? "with" : "without");

  const std::vector<Tensor> got = run(*graph, backend, data);
  const std::vector<Tensor> want = tensors(golden, prefix + "output");
  if (outputs.size() != want.size()) throw Error("{} outputs, wanted {}", outputs.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    check_output(golden, fmt::format("{}output/{}", prefix, i), got[i], want[i]);
  for (std::size_t i = 0; i < found.size(); ++i)
    expect_close(wanted[i].first, got[want.size() + i], golden.tensor(wanted[i].first), for_gradients);
}

void check_layer(const Case& golden, const Backend& backend) {
  const auto layer = make<Layer>(golden);
  const std::vector<Tensor> inputs = tensors(golden, "inputs"), stored = tensors(golden, "weights");
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  layer->ensure_built(shapes);

  const std::vector<Weight> weights = layer->weights();
  if (weights.size() != stored.size()) throw Error("{} weights, wanted {}", weights.size(), stored.size());
  const auto assign = [&] {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      Variable& variable = *weights[i].variable;
      const std::string path = golden.data.dataset(fmt::format("weights/{}", i)).text_attribute("path");
      // Keras puts the layers of a Sequential below its name, nacre those of a model within another one alone.
      if (variable.path() != path && !path.ends_with("/" + variable.path()))
        throw Error("weight {} is called '{}', wanted '{}'", i, variable.path(), path);
      if (variable.shape() != stored[i].shape())
        throw Error("weight '{}' has shape {}, wanted {}", path, variable.shape(), stored[i].shape());
      variable.assign(stored[i].cast(variable.type().dtype));
    }
    layer->reset_states();
  };
  assign();
  check_mode(golden, backend, *layer, "");
  if (!train_of(golden)) return;
  assign();
  check_mode(golden, backend, *layer, "train_");
  const std::vector<Tensor> after = tensors(golden, "weights_after");
  for (std::size_t i = 0; i < after.size(); ++i)
    expect_close(fmt::format("weight {} afterwards", i), weights[i].variable->value(), after[i], for_outputs);
}

TEST(Golden, Layers) {
  register_models();
  check_all("layers", check_layer);
}

// Fields and combinations that are seldom used, and layers that share masks, states or weights within a model.
TEST(Golden, UnusualLayers) {
  register_models();
  check_all("unusual_layers", check_layer);
}

// A model of operations is written as it is read: reading what was written gives the same again.
void check_round_trip(const Case& golden) {
  const auto layer = make<Layer>(golden);
  const Tree written = write_object<Layer>(*layer, Style::keras);
  const Tree again = write_object<Layer>(*read_object<Layer>(parse_json(write_json(written, 0, NotFinite::named))), Style::keras);
  if (!(again == written)) throw Error("written as {}\nand then as {}", write_json(written), write_json(again));
}

TEST(Golden, Operations) {
  register_models();
  check_all("operations", [](const Case& golden, const Backend& backend) {
    check_layer(golden, backend);
    check_round_trip(golden);
  });
}

// The names of the operations in all models of the file.
void collect_operations(const hdf5::Group& group, std::set<std::string>& names) {
  if (!group.has_attribute("config")) {
    for (const std::string& name : group.names()) collect_operations(group.group(name), names);
    return;
  }
  const Tree model = parse_json(group.text_attribute("config"));
  for (const Tree& layer : model["config"]["layers"].items()) names.insert(layer["class_name"].as_string());
}

TEST(Golden, HasEveryOperation) {
  const hdf5::File file = hdf5::File::open(std::filesystem::path(NACRE_SOURCE_DIR) / "tests" / "golden" / "operations.h5");
  std::set<std::string> names;
  collect_operations(file.root(), names);
  for (const auto& info : registry<Layer>().classes()) {
    const bool found = !info.qualified || names.contains(std::string(info.class_name));
    EXPECT_TRUE(found) << info.class_name;
  }
}

TEST(Golden, Calls) { check_all("calls", check_layer); }

// A backend that leaves out the passes of one name.
class WithoutPass final : public Backend {
 public:
  WithoutPass(const Backend& whole, std::string_view left_out) : whole_(whole) {
    for (const Pass& pass : whole.passes())
      if (pass.name != left_out) passes_.push_back(pass);
  }
  std::string_view name() const override { return whole_.name(); }
  std::string_view description() const override { return whole_.description(); }
  std::span<const KernelRow> table() const override { return whole_.table(); }
  std::span<const Pass> passes() const override { return passes_; }
  std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const override {
    return whole_.reorder(type, from, to);
  }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override { return whole_.allocate(bytes); }

 private:
  const Backend& whole_;
  std::vector<Pass> passes_;
};

// Passes change how fast a graph runs and what memory it needs, none of them what it computes.
TEST(Golden, EveryPassMayBeLeftOut) {
  register_models();
  const Backend& whole = *backends().front();
  std::set<std::string_view> names;
  for (const Pass& pass : whole.passes()) names.insert(pass.name);
  for (std::string_view name : names) {
    SCOPED_TRACE(std::string(name));
    const WithoutPass backend(whole, name);
    ASSERT_LT(backend.passes().size(), whole.passes().size());
    const Backend* const on[] = {&backend};
    for (const char* file : {"layers", "unusual_layers", "calls"}) check_all(file, check_layer, on);
  }
}

}  // namespace
}  // namespace nacre::golden
