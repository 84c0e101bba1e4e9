#include "api/experiment/config_file.h"

#include <gtest/gtest.h>

#include "formats/yaml.h"

namespace nacre {
namespace {

constexpr std::string_view base = R"(
model:
  blocks:
    stem(filters, kernel=3): [Conv2D: {filters: "${filters}"}]
  sequential:
    - Dense: {units: 3, name: first}
    - Dropout: {rate: 0.1}
train: {epochs: 5, optimizer: {Adam: {learning_rate: 0.1}}}
)";

Tree with(std::vector<std::string> overrides) { return parse_config(base, "c.yaml", "", overrides).tree; }

std::string error_of(std::vector<std::string> overrides) {
  try {
    with(std::move(overrides));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::usage);
    return error.what();
  }
  return "no error";
}

TEST(ConfigFile, OverridesReachKeysListsLayersAndBlockArguments) {
  EXPECT_EQ(with({"train.epochs=3"})["train"]["epochs"].as_integer(), 3);
  EXPECT_EQ(with({"train.shuffle=false"})["train"]["shuffle"].as_bool(), false);
  EXPECT_EQ(with({"train.optimizer=sgd"})["train"]["optimizer"].as_string(), "sgd");
  EXPECT_EQ(with({"model.sequential.first.units=8"})["model"]["sequential"].items()[0]["Dense"]["units"].as_integer(), 8);
  EXPECT_EQ(with({"model.sequential.1.Dropout.rate=0.5"})["model"]["sequential"].items()[1]["Dropout"]["rate"].as_number(), 0.5);
  EXPECT_EQ(with({"model.blocks.stem.filters=32"})["model"]["blocks"].entries()[0].key, "stem(filters=32, kernel=3)");
  EXPECT_EQ(with({"output.folder.deep=x"})["output"]["folder"]["deep"].as_string(), "x");
}

TEST(ConfigFile, WrongOverridesSayWhatThereIs) {
  EXPECT_EQ(error_of({"epochs"}), "override 'epochs': wanted KEY=VALUE\n  hint: for example train.epochs=3");
  EXPECT_EQ(error_of({"model.blocks.stm.filters=3"}), "override 'model.blocks.stm.filters=3': there is no 'stm'\n  hint: did you mean 'stem'?");
  EXPECT_EQ(error_of({"model.blocks.stem.filter=3"}), "override 'model.blocks.stem.filter=3': there is no 'filter'\n  hint: did you mean 'filters'?");
  EXPECT_EQ(error_of({"train.epochs.x=3"}), "override 'train.epochs.x=3': 'train.epochs.x' is 5, it has no 'x'");
}

TEST(ConfigFile, VariablesAndExpressions) {
  Tree tree = parse_yaml("variables: {width: 4, twice: \"${2 * width}\"}\ntrain: {batch_size: \"${twice}\"}\nmodel: {x: \"${kept}\"}\n", "c.yaml");
  const Variables variables = resolve_expressions(tree);
  EXPECT_EQ(variables.at("twice").as_integer(), 8);
  EXPECT_EQ(tree["train"]["batch_size"].as_integer(), 8);
  EXPECT_EQ(tree["model"]["x"].as_string(), "${kept}");
}

TEST(ConfigFile, MergingKeepsWhatIsNotNamed) {
  Tree tree = parse_yaml("a: {b: 1, c: [1, 2]}\nd: 3\n");
  merge_tree(tree, parse_yaml("a: {c: [9], e: 5}\n"));
  EXPECT_EQ(tree, parse_yaml("a: {b: 1, c: [9], e: 5}\nd: 3\n"));
}

}  // namespace
}  // namespace nacre
