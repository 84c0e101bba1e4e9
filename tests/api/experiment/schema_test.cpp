// The JSON Schema of configurations, against the registries and against the files that we show.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "api/experiment/experiment.h"
#include "api/experiment/kinds.h"
#include "api/model.h"
#include "formats/file.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

Tree schema() {
  register_models();
  return experiment_schema();
}

// What a validator says against a configuration; empty when it fits.
class SchemaTest : public testing::Test {
 protected:
  SchemaTest() : json_(nlohmann::json::parse(write_json(schema()))) {
    valijson::SchemaParser().populateSchema(valijson::adapters::NlohmannJsonAdapter(json_), schema_);
  }
  std::string complaint(const Tree& configuration) const {
    const nlohmann::json document = nlohmann::json::parse(write_json(configuration));
    valijson::ValidationResults results;
    if (valijson::Validator().validate(schema_, valijson::adapters::NlohmannJsonAdapter(document), &results)) return "";
    std::string text;
    for (const auto& error : results) text += error.description + "\n";
    return text.empty() ? "refused" : text;
  }

 private:
  nlohmann::json json_;
  valijson::Schema schema_;
};

TEST_F(SchemaTest, EveryClassStandsOnce) {
  const Tree definitions = schema()["$defs"];
  each_kind([&]<class Base>() {
    std::string kind(registry<Base>().kind());
    std::replace(kind.begin(), kind.end(), ' ', '_');
    std::set<std::string> names;
    for (const Tree& name : definitions[kind + "_names"]["enum"].items()) names.insert(name.as_string());
    std::size_t defined = 0;
    for (const Tree::Entry& entry : definitions.entries()) defined += entry.key.starts_with(kind + ".");
    EXPECT_EQ(defined, registry<Base>().classes().size()) << kind;
    for (const ClassInfo<Base>& info : registry<Base>().classes()) {
      const Tree* definition = definitions.find(fmt::format("{}.{}", kind, info.spelling()));
      ASSERT_TRUE(definition) << kind << " " << info.spelling();
      for (const FieldTable* table : info.fields)
        for (const Field& field : *table)
          EXPECT_TRUE((*definition)["properties"].find(field.key)) << info.spelling() << "." << field.key;
      for (const std::string& spelling : spellings_of(info)) EXPECT_TRUE(names.contains(spelling)) << kind << " " << spelling;
    }
  });
}

TEST_F(SchemaTest, TheFilesThatWeShowFit) {
  const std::filesystem::path source = NACRE_SOURCE_DIR;
  std::size_t checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source / "tutorials"))
    if (entry.path().extension() == ".yaml") {
      EXPECT_EQ(complaint(load_yaml(entry.path())), "") << entry.path();
      ++checked;
    }
  const std::string readme = read_file(source / "README.md"), fence = "```yaml\n";
  for (std::size_t at = 0; (at = readme.find(fence, at)) != std::string::npos; at += fence.size()) {
    const std::size_t begin = at + fence.size();
    const Tree example = parse_yaml(readme.substr(begin, readme.find("```", begin) - begin));
    if (!example.find("model")) continue;  // a part of a file
    EXPECT_EQ(complaint(example), "") << example.text();
    ++checked;
  }
  EXPECT_GE(checked, 4u);
}

TEST_F(SchemaTest, MistakesDoNotFit) {
  const auto fits = [&](std::string_view layer, std::string_view train = "epochs: 1") {
    return complaint(parse_yaml(fmt::format("model: {{sequential: [{}]}}\ntrain: {{{}}}\n", layer, train))) == "";
  };
  EXPECT_TRUE(fits("Dense: {units: 3, activation: relu}"));
  EXPECT_TRUE(fits("Dense: {units: '${width}', from: [a], when: '${index > 1}'}"));
  EXPECT_TRUE(fits("my_block: {width: 3}"));
  EXPECT_TRUE(fits("Flatten: null"));
  EXPECT_FALSE(fits("Dense: {unit: 3}"));
  EXPECT_FALSE(fits("Dense: {units: 0}"));
  EXPECT_FALSE(fits("Dense: {units: three}"));
  EXPECT_FALSE(fits("Dense: {units: 3, activation: rel}"));
  EXPECT_FALSE(fits("Conv2D: {filters: 3, kernel_size: 3, padding: sam}"));
  EXPECT_TRUE(fits("Flatten", "optimizer: {Adam: {learning_rate: 0.1}}, metrics: [accuracy, {AUC: {curve: PR}}]"));
  EXPECT_FALSE(fits("Flatten", "optimizer: {Adam: {learning_rat: 0.1}}"));
  EXPECT_FALSE(fits("Flatten", "callbacks: [{EarlyStopping: {patience: -1}}]"));
}

}  // namespace
}  // namespace nacre
