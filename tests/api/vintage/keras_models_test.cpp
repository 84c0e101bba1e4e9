// Every real Keras file of shared/keras-models: each opens, and predicts what its own Keras predicted.
#include <algorithm>
#include <cctype>

#include "api/save.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "formats/npy.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view folder = "keras-models";

bool is_h5(const fs::path& path) { return path.extension() == ".h5" || path.extension() == ".hdf5"; }

std::vector<std::string> files_where(bool (*wanted)(const fs::path&)) {
  std::vector<std::string> files;
  if (const auto root = shared_path(folder))
    for (const auto& entry : fs::recursive_directory_iterator(*root))
      if (entry.is_regular_file() && wanted(entry.path())) files.push_back(fs::relative(entry.path(), *root).string());
  std::sort(files.begin(), files.end());
  return files;
}

std::string name_of_file(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

std::string path_of(const std::string& file) { return (*shared_path(folder) / file).string(); }

// ".../NAME_model.h5", ".../NAME_weights.h5" or ".../NAME.h5" → ".../NAME" + suffix
fs::path beside(const fs::path& path, const std::string& suffix) {
  std::string stem = path.stem().string();
  for (std::string_view end : {"_model", "_weights"})
    if (stem.ends_with(end)) stem.erase(stem.size() - end.size());
  return path.parent_path() / (stem + suffix);
}

bool holds_model(const fs::path& path) { return hdf5::File::open(path).root().has_attribute("model_config"); }

// Python code, which nacre does not run.
bool holds_code(const fs::path& path) {
  return path.filename() == "dl4j_sequential_lambda.h5" || path.filename() == "deepfm.h5";
}

bool is_whole_model(const fs::path& path) {
  return is_h5(path) && path.string().find("inputs_and_outputs") == std::string::npos && holds_model(path) && !holds_code(path);
}
bool is_weights_alone(const fs::path& path) {
  return is_h5(path) && path.string().find("inputs_and_outputs") == std::string::npos && !holds_model(path) && path.stem() != "textgenrnn_weights";
}
bool is_architecture(const fs::path& path) { return path.extension() == ".json" && path.stem() != "textgenrnn_vocab"; }

std::vector<Tensor> predict(const Model& model, std::vector<Tensor> inputs) {
  return model.trainer().predict(array_dataset({.inputs = std::move(inputs)}), {});
}

void expect_outputs(const std::vector<Tensor>& got, const std::vector<Tensor>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], tolerance, 1e-4);
}

std::vector<Tensor> arrays_of(const fs::path& npz, const std::string& prefix) {
  const std::vector<std::string> names = npz_names(npz);
  std::vector<Tensor> arrays;
  for (std::size_t i = 0; std::find(names.begin(), names.end(), prefix + std::to_string(i)) != names.end(); ++i)
    arrays.push_back(read_npz(npz, prefix + std::to_string(i)));
  return arrays;
}

// What NAME.npz and NAME_inputs_and_outputs.h5 beside the file recorded.
void expect_records(const Model& model, const fs::path& path) {
  if (const fs::path npz = fs::path(path).replace_extension(".npz"); fs::exists(npz))
    for (const std::string masked : {"", "m"}) {
      const std::vector<Tensor> inputs = arrays_of(npz, "in" + masked + "_");
      if (inputs.empty()) continue;
      std::vector<Tensor> want = arrays_of(npz, "k2out" + masked + "_");
      if (want.empty()) want = arrays_of(npz, "out" + masked + "_");
      expect_outputs(predict(model, inputs), want, 1e-4);
    }
  const fs::path record = beside(path, "_inputs_and_outputs.h5");
  if (!fs::exists(record)) return;
  const hdf5::Group root = hdf5::File::open(record).root();
  std::vector<Tensor> inputs;
  for (const std::string& name : root.group("inputs").names()) inputs.push_back(root.tensor("inputs/" + name));
  if (root.has_group("predictions"))
    for (const std::string& name : root.group("predictions").names())
      expect_outputs(predict(model, inputs), {root.tensor("predictions/" + name)}, 1e-4);
  if (!root.has_group("activations")) return;
  for (const std::string& name : root.group("activations").names()) {
    SCOPED_TRACE(name);
    const FunctionalLayer& graph = model.graph();
    for (const auto& call : graph.calls())
      if (call->layer->name() == name)
        expect_outputs(predict(Model(graph.inputs(), {Symbol(call, 0)}), inputs), {root.tensor("activations/" + name)}, 1e-4);
  }
}

class WholeModels : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(WholeModels);
INSTANTIATE_TEST_SUITE_P(KerasModels, WholeModels, testing::ValuesIn(files_where(is_whole_model)), name_of_file);

TEST_P(WholeModels, PredictWhatTheirKerasPredicted) {
  const std::string path = path_of(GetParam());
  Model model = load_model(path);
  EXPECT_FALSE(model.weights().empty());
  expect_records(model, path);
}

class WeightsAlone : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(WeightsAlone);
INSTANTIATE_TEST_SUITE_P(KerasModels, WeightsAlone, testing::ValuesIn(files_where(is_weights_alone)), name_of_file);

// Their architecture is that of the whole model, or the JSON, beside them.
TEST_P(WeightsAlone, GoIntoTheirArchitecture) {
  const fs::path path = path_of(GetParam());
  const fs::path whole = beside(path, "_model.h5"), json = beside(path, "_config.json");
  if (!fs::exists(whole) && !fs::exists(json)) GTEST_SKIP() << "its architecture is not there";
  Model model = load_model(fs::exists(json) ? json : whole, {.compile = false});
  for (const Weight& weight : model.weights()) weight.variable->assign(Tensor(weight.variable->type()));
  model.load_weights(path);
  expect_records(model, path);
}

class Architectures : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Architectures);
INSTANTIATE_TEST_SUITE_P(KerasModels, Architectures, testing::ValuesIn(files_where(is_architecture)), name_of_file);

TEST_P(Architectures, BecomeModels) {
  const Model model = load_model(path_of(GetParam()));
  EXPECT_FALSE(model.layers().empty());
  EXPECT_GT(model.graph().outputs().size(), 0u);
}

TEST(KerasModels, PythonCodeIsRefusedWithItsLayer) {
  if (!shared_path(folder)) GTEST_SKIP() << absent(folder);
  const auto refusal = [](const std::string& file) { return message_of([&] { load_model(path_of(file)); }); };
  EXPECT_NE(refusal("whole/dl4j_sequential_lambda.h5").find("layer 'lambda_1' (Lambda)"), std::string::npos) << refusal("whole/dl4j_sequential_lambda.h5");
  EXPECT_NE(refusal("import-suite/examples/deepfm/deepfm.h5").find("(Lambda)"), std::string::npos);
}

}  // namespace
}  // namespace nacre::test
