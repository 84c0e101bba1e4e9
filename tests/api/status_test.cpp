// The table of what runs where, tutorials/reference/status.md: each cell is tried, with the samples of the battery.
// NACRE_UPDATE=1 writes the page instead of comparing it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <list>
#include <map>
#include <set>

#include "api/inspect/samples.h"
#include "api/nacre.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/file.h"
#include "formats/yaml.h"
#include "tests/support/layer_samples.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

// One layer as a model of its own.
struct Tried {
  std::shared_ptr<Layer> layer;
  Model model;
  std::vector<Tensor> data;

  std::vector<Tensor> predict(Model with) const { return with.predict(array_dataset({.inputs = data})); }
};

Tried tried(const LayerSample& sample) {
  const Tree yaml = parse_yaml(sample.yaml);
  if (const Tree* config = yaml.find(InputConfig::class_name)) {
    const Symbol x = Input(read_config<InputConfig>(*config));
    return {x.call().layer, Model({x}, {x}, {.name = "sample"}), sample_data(sample)};
  }
  const auto layer = read_object<Layer>(yaml);
  Symbols inputs;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i)
    inputs.push_back(Input(sample.inputs[i].shape.from(1), fmt::format("input{}", i), sample.inputs[i].dtype));
  Model model(inputs, call_layer(layer, inputs), {.name = "sample"});
  model.initialize(3);
  return {layer, model, sample_data(sample)};
}

// In inference; null where the layer computes on the host.
std::unique_ptr<Graph> graph_of(const Tried& sample, Values& inputs, Values& outputs) {
  if (sample.layer->runs_on_host()) return nullptr;
  auto graph = std::make_unique<Graph>();
  Context context(*graph, false, graph->scalar(1, DType::int64), graph->scalar(0, DType::int64));
  for (std::size_t i = 0; i < sample.data.size(); ++i)
    inputs.push_back(graph->input(fmt::format("{}", i), sample.data[i].type()));
  outputs = (*sample.layer)(context, {.inputs = inputs}).outputs;
  for (std::size_t i = 0; i < outputs.size(); ++i) graph->output(fmt::format("{}", i), outputs[i]);
  return graph;
}

const std::string yes = "yes", no = "no", none = "–";

// The answer of an attempt; what it throws is a no, and is shown.
template <class Attempt>
std::string answer(const LayerSample& sample, Attempt&& attempt) {
  try {
    return attempt();
  } catch (const std::exception& error) {
    std::cout << sample.yaml << ": " << error.what() << '\n';
    return no;
  }
}

std::string runs_on(const Tried& sample, const Backend& backend) {
  Model model = sample.model;
  model.set_device(&backend == &reference_backend() ? "reference" : "cpu");
  sample.predict(model);
  Values inputs, outputs;
  const auto graph = graph_of(sample, inputs, outputs);
  if (!graph) return "host";
  const bool borrows = &backend != &reference_backend() && Executable(*decompose_missing(*graph, backend), backend).statistics().borrowed > 0;
  return borrows ? "in part" : yes;
}

// Of the sum of all floating outputs, with respect to floating inputs and trainable weights.
std::string gradient(const Tried& sample) {
  Values inputs, outputs, sums, wrt;
  const auto graph = graph_of(sample, inputs, outputs);
  if (!graph) return none;
  for (const Value& output : outputs)
    if (is_floating(output.dtype())) sums.push_back(output.shape().rank() == 0 ? output : ops::sum(output));
  for (const Value& input : inputs)
    if (is_floating(input.dtype())) wrt.push_back(input);
  for (const Weight& weight : sample.layer->trainable_weights()) wrt.push_back(graph->variable(weight.variable));
  if (sums.empty() || wrt.empty()) return none;
  const Values slopes = gradients(*graph, sums, {}, wrt);
  std::size_t found = 0;
  for (const Value& slope : slopes) {
    if (!slope) continue;
    graph->output(fmt::format("slope{}", found++), slope);
  }
  Executable(*decompose_missing(*graph, reference_backend()), reference_backend()).run(sample.data);
  return found > 0 ? yes : no;
}

// What Keras has no class for is said when it is saved.
struct KeepsWarnings : ProgressListener {
  std::vector<std::string> warnings;
  void warn(std::string_view line) override { warnings.emplace_back(line); }
};

struct FileAnswers {
  std::string read, written;
};

FileAnswers file(const LayerSample& sample, const Tried& made) {
  const TemporaryFolder folder;
  KeepsWarnings listener;
  FileAnswers answers;
  answers.written = answer(sample, [&] {
    save_model(made.model, folder / "sample.keras", {.listener = &listener});
    return listener.warnings.empty() ? yes : std::string("nacre only");
  });
  answers.read = answer(sample, [&] {
    const Model again = load_model(folder / "sample.keras");
    const std::vector<Tensor> before = made.predict(made.model), after = made.predict(again);
    for (std::size_t i = 0; i < before.size(); ++i)
      if (!before[i].identical(after[i])) throw Error("the model that was read predicts differently");
    return yes;
  });
  return answers;
}

// The least of the answers that the samples of a class give.
std::string least(const std::string& a, const std::string& b) {
  for (const std::string& word : {no, std::string("in part"), std::string("nacre only"), std::string("host"), yes})
    if (a == word || b == word) return word;
  return none;
}

struct Line {
  std::string reference = none, onednn = none, gradient = none, read = none, written = none;
};

// Operations without a row of their own are tried on small matrices, with their required fields alone; those that want
// other data are left out.
std::vector<LayerSample> samples_of_operations(std::list<std::string>& texts) {
  std::vector<LayerSample> samples;
  std::set<std::string_view> have;
  for (const LayerSample& sample : layer_samples())
    have.insert(registry<Layer>().get(object_spelling(parse_yaml(sample.yaml), "layer").name).spelling());
  for (const ClassInfo<Layer>& info : registry<Layer>().classes()) {
    const auto example = example_of(info);
    if (have.contains(info.spelling()) || !info.qualified || !example) continue;
    const std::string& text = texts.emplace_back(write_yaml(*example));
    for (std::size_t count = 1; count <= 3; ++count) {
      const LayerSample sample{text.c_str(), std::vector<Type>(count, Type{DType::float32, {2, 3}})};
      try {
        const Tried made = tried(sample);
        runs_on(made, reference_backend());
      } catch (const std::exception&) {
        continue;
      }
      samples.push_back(sample);
      break;
    }
  }
  return samples;
}

std::string page() {
  std::map<std::string, Line> lines;
  std::list<std::string> texts;
  std::vector<LayerSample> samples = samples_of_operations(texts);
  samples.insert(samples.begin(), layer_samples().begin(), layer_samples().end());
  for (const LayerSample& sample : samples) {
    const auto& info = registry<Layer>().get(object_spelling(parse_yaml(sample.yaml), "layer").name);
    Line& line = lines[std::string(info.spelling())];
    const auto add = [](std::string& cell, const std::string& word) { cell = least(cell, word); };
    std::optional<Tried> made;
    add(line.reference, answer(sample, [&] { return runs_on(made.emplace(tried(sample)), reference_backend()); }));
    if (!made) continue;
    add(line.onednn, answer(sample, [&] { return runs_on(*made, backend_for("cpu")); }));
    add(line.gradient, answer(sample, [&] { return gradient(*made); }));
    const FileAnswers files = file(sample, *made);
    add(line.read, files.read);
    add(line.written, files.written);
  }
  std::string text =
      "# Status\n\nWhat runs where, as found by running a small instance of every layer, and of the operations that take "
      "matrices: on each backend, its gradient, and as a model in a `.keras` file, written by nacre without a warning and "
      "read again. That Keras itself opens these files, and nacre Keras's, is what `tests/api/keras_opens_test.py` and the "
      "goldens show. The cuDNN backend is not part of this build.\n\n"
      "*in part*: some kernels are those of the reference backend. *host*: tables and texts, outside of the compiled graph. "
      "*nacre only*: Keras has no such class, and saving says so. *–*: there is nothing to do. "
      "*no* under gradient: none flows back.\n\n"
      "| layer | reference | oneDNN | cuDNN | gradient | Keras file read | written |\n|---|---|---|---|---|---|---|\n";
  for (const auto& [name, line] : lines)
    text += fmt::format("| {} | {} | {} | not built | {} | {} | {} |\n", name, line.reference, line.onednn, line.gradient,
                        line.read, line.written);
  return text;
}

TEST(Status, CommittedPageIsWhatRuns) {
  register_models();
  const std::filesystem::path path = std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials/reference/status.md";
  const std::string text = page();
  if (std::getenv("NACRE_UPDATE")) return write_file_atomically(path, text);
  ASSERT_TRUE(std::filesystem::exists(path)) << path << " is missing; run: NACRE_UPDATE=1 api_tests --gtest_filter=Status.*";
  EXPECT_EQ(read_file(path), text) << "out of date; run: NACRE_UPDATE=1 api_tests --gtest_filter=Status.*";
}

}  // namespace
}  // namespace nacre::test
