#include "api/experiment/experiment.h"

namespace nacre {

namespace {

// Wherever a value that is no text is wanted, an expression may stand.
void allow_expressions(Tree& schema) {
  Tree* properties = schema.find("properties");
  if (!properties) return;
  for (Tree::Entry& property : properties->entries()) {
    const Tree* type = property.value.find("type");
    if (type && *type == Tree("string")) continue;
    Tree expression = schema_type("string");
    expression.set("pattern", "\\$\\{.+\\}");
    Tree either;
    either.set("anyOf", Tree::Sequence{property.value, std::move(expression)});
    if (const Tree* help = property.value.find("description")) either.set("description", *help);
    property.value = std::move(either);
  }
}

Tree words(std::initializer_list<std::string_view> list) {
  Tree tree = Tree::sequence();
  for (std::string_view word : list) tree.push(word);
  return tree;
}

// A named object: a bare name, or {Name: {fields…}}. An open one may also have names that only the file knows: blocks.
template <class Base>
Tree object_schema(const Tree& extra_properties = {}, bool open = false) {
  Tree names = Tree::sequence(), properties = Tree::mapping();
  for (const ClassInfo<Base>& info : registry<Base>().classes()) {
    Tree fields = schema_of(info.fields);
    if (!extra_properties.is_null())
      for (const Tree::Entry& extra : extra_properties.entries()) fields.find("properties")->set(extra.key, extra.value);
    allow_expressions(fields);
    fields.set("description", info.doc);
    Tree nullable;
    nullable.set("anyOf", Tree::Sequence{std::move(fields), schema_type("null")});
    nullable.set("description", info.doc);
    std::vector<std::string> spellings{std::string(info.class_name)};
    if (snake_case(info.class_name) != info.class_name) spellings.push_back(snake_case(info.class_name));
    for (std::string_view alias : info.aliases) spellings.emplace_back(alias);
    for (const std::string& spelling : spellings) {
      names.push(spelling);
      Tree same;
      same.set("$ref", fmt::format("#/$defs/{}/anyOf/1/properties/{}", registry<Base>().kind(), info.class_name));
      properties.set(spelling, spelling == info.class_name ? nullable : std::move(same));
    }
  }
  Tree bare, single = schema_type("object"), schema;
  bare.set(open ? "examples" : "enum", names);
  if (open) bare.set("type", "string");
  single.set("properties", std::move(properties));
  single.set("minProperties", 1);
  single.set("maxProperties", 1);
  single.set("additionalProperties", false);
  // What is in these is checked when the file is read: blocks and the like, or Keras's own spelling.
  Tree other = schema_type("object"), keys;
  if (open) keys.set("not", Tree(Tree::Mapping{{"enum", std::move(names), {}}}));
  else keys.set("enum", words({"module", "class_name", "config", "registered_name"}));
  other.set("propertyNames", std::move(keys));
  other.set("minProperties", 1);
  schema.set("anyOf", Tree::Sequence{std::move(bare), std::move(single), std::move(other)});
  return schema;
}

Tree described(Tree schema, std::string_view help) {
  schema.set("description", help);
  return schema;
}

// What stands beside a layer's fields in a line of a model.
Tree line_properties() {
  Tree names, properties;
  names.set("anyOf", Tree::Sequence{schema_type("string"), schema_type("array")});
  properties.set("from", described(names, "where its inputs come from; default: the line before"));
  properties.set("when", described(schema_type("boolean"), "false leaves the line out"));
  properties.set("repeat", described(schema_type("integer"), "that many times in a row; `index` counts from 0"));
  for (std::string_view argument : value_arguments) properties.set(argument, described(names, "argument of the call"));
  for (std::string_view argument : option_arguments)
    properties.set(argument, described(schema_type("boolean"), "argument of the call"));
  return properties;
}

template <class Base>
void define(Tree& definitions, Tree schema) {
  definitions.set(registry<Base>().kind(), std::move(schema));
}

}  // namespace

Tree experiment_schema() {
  Tree definitions;
  define<Layer>(definitions, object_schema<Layer>(line_properties(), true));
  define<Activation>(definitions, object_schema<Activation>());
  define<Initializer>(definitions, object_schema<Initializer>());
  define<Regularizer>(definitions, object_schema<Regularizer>());
  define<WeightConstraint>(definitions, object_schema<WeightConstraint>());
  define<Loss>(definitions, object_schema<Loss>());
  define<Metric>(definitions, object_schema<Metric>({}, true));  // also "accuracy", "crossentropy"
  define<Optimizer>(definitions, object_schema<Optimizer>());
  define<LearningRateSchedule>(definitions, object_schema<LearningRateSchedule>());
  define<Callback>(definitions, object_schema<Callback>());
  define<Source>(definitions, object_schema<Source>());

  const FieldTable* const model_fields[] = {&fields_of<ModelConfig>()};
  Tree model = schema_of(model_fields), lines = schema_type("array");
  lines.set("items", definition_reference(registry<Layer>().kind()));
  for (std::string_view key : {"sequential", "layers"})
    model.find("properties")->set(key, described(lines, model["properties"][key]["description"].as_string()));

  const FieldTable* const fields[] = {&fields_of<ExperimentConfig>()};
  Tree schema;
  schema.set("$schema", "https://json-schema.org/draft/2020-12/schema");
  schema.set("title", "nacre experiment");
  Tree body = schema_of(fields);
  body.find("properties")->set("model", described(std::move(model), "the network"));
  Tree include;
  include.set("anyOf", Tree::Sequence{schema_type("string"), schema_type("array")});
  body.find("properties")->set("include", described(std::move(include), "files whose keys this one adds to"));
  for (std::string_view part : {"data", "train"}) allow_expressions(*body.find("properties")->find(part));
  allow_expressions(body);
  body.erase("required");  // an included file may have the model
  Tree with_model, with_include;
  with_model.set("required", words({"model"}));
  with_include.set("required", words({"include"}));
  body.set("anyOf", Tree::Sequence{std::move(with_model), std::move(with_include)});
  for (Tree::Entry& entry : body.entries()) schema.set(entry.key, std::move(entry.value));
  schema.set("$defs", std::move(definitions));
  return schema;
}

}  // namespace nacre
