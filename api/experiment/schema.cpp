#include <type_traits>

#include "api/experiment/experiment.h"
#include "api/experiment/kinds.h"
#include "layers/lambda.h"
#include "layers/operations.h"

namespace nacre {

namespace {

constexpr std::string_view definitions_place = "#/$defs/";
constexpr std::string_view expression_pattern = "\\$\\{.+\\}";

Tree reference(const std::string& place) {
  Tree schema;
  schema.set("$ref", std::string(definitions_place) + place);
  return schema;
}

Tree words(std::initializer_list<std::string_view> list) {
  Tree tree = Tree::sequence();
  for (std::string_view word : list) tree.push(word);
  return tree;
}

Tree described(Tree schema, std::string_view help) {
  schema.set("description", help);
  return schema;
}

// Wherever a value that is no text is wanted, an expression may stand.
Tree or_expression(Tree schema) {
  if (Tree* type = schema.find("type")) {
    if (*type == Tree("string")) return schema;
    if (!type->is_sequence()) *type = Tree(Tree::Sequence{*type});
    type->push("string");
    schema.set("pattern", expression_pattern);
  } else if (Tree* choices = schema.find("anyOf")) {
    choices->push(reference("expression"));
  } else if (const Tree* choice = schema.find("enum")) {
    schema.set("anyOf", Tree::Sequence{Tree(Tree::Mapping{{"enum", *choice, {}}}), reference("expression")});
    schema.erase("enum");
  }
  return schema;
}

void allow_expressions(Tree& schema) {
  if (Tree* properties = schema.find("properties"))
    for (Tree::Entry& property : properties->entries()) property.value = or_expression(std::move(property.value));
}

// Lets a class have the properties of a definition too: they are described there, and here only allowed.
void extend(Tree& schema, const std::string& definition, const Tree& defined) {
  if (!schema.find("allOf")) schema.set("allOf", Tree::sequence());
  schema.find("allOf")->push(reference(definition));
  Tree& properties = *schema.find("properties");
  for (const Tree::Entry& property : defined["properties"].entries())
    if (!properties.find(property.key)) properties.set(property.key, Tree::mapping());
}

Tree schema_of_fields(const FieldTable& fields) {
  const FieldTable* const tables[] = {&fields};
  Tree schema = schema_of(tables);
  allow_expressions(schema);
  return schema;
}

// What stands beside a layer's fields in a line of a model.
Tree line_properties() {
  Tree names, properties, schema;
  names.set("anyOf", Tree::Sequence{schema_type("string"), schema_type("array")});
  properties.set("from", described(names, "where its inputs come from; default: the line before"));
  properties.set("when", described(schema_type("boolean"), "false leaves the line out"));
  properties.set("repeat", described(schema_type("integer"), "that many times in a row; `index` counts from 0"));
  for (std::string_view argument : value_arguments) properties.set(argument, described(names, "argument of the call"));
  for (const auto& [name, type, doc] : option_arguments) properties.set(name, described(schema_type(type), doc));
  schema.set("properties", std::move(properties));
  allow_expressions(schema);
  return schema;
}

// The constants among the arguments of an operation's call, which stand in its line too.
void add_arguments(Tree& fields, const OperationArguments& arguments) {
  for (const OperationArgument& argument : arguments) {
    if (argument.kind == OperationArgument::Kind::keywords) fields.set("additionalProperties", true);
    else fields.find("properties")->set(argument.name, described(Tree::mapping(), "argument of the call: a constant, or {tensor: k} for input k"));
  }
}

// Defines each class of a kind once ("layer.Conv2D"), their common fields ("layer_options"), their names ("layer_names"),
// and the kind itself: a bare name, or {Name: {fields…}}. In an open kind there are also names that only the file knows:
// blocks, and metrics such as "accuracy".
template <class Base>
void define(Tree& definitions) {
  constexpr bool is_layer = std::is_same_v<Base, Layer>, open = is_layer || std::is_same_v<Base, Metric>;
  const std::string kind = definition_reference(registry<Base>().kind())["$ref"].as_string().substr(definitions_place.size());
  Tree names = Tree::sequence(), classes = Tree::mapping();
  for (const ClassInfo<Base>& info : registry<Base>().classes()) {
    if (info.doc.empty()) continue;  // no class of files
    const std::string definition = fmt::format("{}.{}", kind, info.spelling());
    Tree fields = info.fields.empty() ? schema_of({}) : schema_of_fields(*info.fields.back());
    fields.set("type", Tree::Sequence{"object", "null"});
    fields.set("description", info.doc);
    if (info.fields.size() == 2) {
      const std::string options = info.qualified ? "operation_options" : kind + "_options";
      if (!definitions.find(options)) {
        Tree common = schema_of_fields(*info.fields.front());
        common.erase("additionalProperties");
        common.erase("type");
        definitions.set(options, std::move(common));
      }
      extend(fields, options, definitions[options]);
    }
    if constexpr (is_layer) {
      extend(fields, "layer_line", definitions["layer_line"]);
      if (const OperationArguments* arguments = operation_arguments(info.spelling())) add_arguments(fields, *arguments);
    }
    if (info.class_name == lua_class_name) fields.set("additionalProperties", true);  // fields of the class in its file
    definitions.set(definition, std::move(fields));
    for (const std::string& spelling : spellings_of(info)) {
      names.push(spelling);
      classes.set(spelling, reference(definition));
    }
  }
  Tree known, single = schema_type("object"), other = schema_type("object"), keys, choices = Tree::sequence(), schema;
  known.set("enum", std::move(names));
  definitions.set(kind + "_names", std::move(known));
  single.set("properties", std::move(classes));
  single.set("minProperties", 1);
  single.set("maxProperties", 1);
  single.set("additionalProperties", false);
  // What is in these is checked when the file is read: blocks and the like, or Keras's own spelling.
  if (open) keys.set("not", reference(kind + "_names"));
  else keys.set("enum", words({"module", "class_name", "config", "registered_name"}));
  other.set("propertyNames", std::move(keys));
  other.set("minProperties", 1);
  choices.push(reference(kind + "_names"));
  if (open) choices.push(schema_type("string"));
  choices.push(std::move(single));
  choices.push(std::move(other));
  schema.set("anyOf", std::move(choices));
  definitions.set(kind, std::move(schema));
}

}  // namespace

Tree experiment_schema() {
  Tree definitions, expression = schema_type("string");
  expression.set("pattern", expression_pattern);
  definitions.set("expression", std::move(expression));
  definitions.set("layer_line", line_properties());
  each_kind([&]<class Base>() { define<Base>(definitions); });

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
