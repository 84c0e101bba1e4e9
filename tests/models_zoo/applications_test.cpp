// Every Keras application, layer for layer: tests/golden/applications/NAME.txt, made by make_applications.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "api/functional.h"
#include "formats/file.h"
#include "models_zoo/zoo.h"

namespace nacre {
namespace {

std::filesystem::path folder() { return std::filesystem::path(NACRE_SOURCE_DIR) / "tests/golden/applications"; }

// "vgg16_1" of vgg16_1.txt.gz
std::string title_of(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  return name.substr(0, name.find('.'));
}

std::vector<std::string> titles() {
  std::vector<std::string> titles;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) titles.push_back(title_of(entry.path()));
  std::ranges::sort(titles);
  return titles;
}

std::vector<std::string> golden_lines(const std::string& title) {
  const std::filesystem::path plain = folder() / (title + ".txt"), packed = folder() / (title + ".txt.gz");
  std::istringstream text(read_file_unpacked(std::filesystem::exists(plain) ? plain : packed));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

std::int64_t count_of(const std::vector<Weight>& weights) {
  std::int64_t count = 0;
  for (const Weight& weight : weights) count += weight.variable->shape().elements();
  return count;
}

// A line per layer, and per layer of the models in it.
void list(const FunctionalLayer& model, const std::string& path, std::vector<std::string>& lines) {
  std::map<const Layer*, const LayerCall*> calls;
  for (const auto& call : model.calls()) calls[call->layer.get()] = call.get();
  for (const auto& layer : model.layers()) {
    const Types& types = calls.at(layer.get())->types;
    lines.push_back(fmt::format("{}{} {} {} {}", path, layer->name(), layer->shown_class(), layer->count_params(), types.front().shape.text()));
    if (const auto* inner = dynamic_cast<const FunctionalLayer*>(layer.get())) list(*inner, path + layer->name() + "/", lines);
  }
}

class Applications : public testing::TestWithParam<std::string> {};

TEST_P(Applications, AreKerassLayerForLayer) {
  const std::vector<std::string> golden = golden_lines(GetParam());
  const std::string reference = golden.front().substr(0, golden.front().find(' '));
  const bool published = reference.find("weights=") != std::string::npos;
  const std::string none = reference.find('?') == std::string::npos ? "?weights=none" : "&weights=none";
  const auto model = zoo::open(reference + (published ? "" : none), {.with_weights = false});
  const std::int64_t trainable = count_of(model->trainable_weights());
  std::vector<std::string> lines{fmt::format("{} {} {}", reference, count_of(model->weights()), trainable)};
  list(*model, "", lines);
  for (std::size_t i = 0; i < std::min(lines.size(), golden.size()); ++i) ASSERT_EQ(lines[i], golden[i]) << "line " << i + 1;
  EXPECT_EQ(lines.size(), golden.size());
}

INSTANTIATE_TEST_SUITE_P(Keras, Applications, testing::ValuesIn(titles()), [](const auto& title) { return title.param; });

}  // namespace
}  // namespace nacre
