#include "layers/lambda.h"

#include "layers/operations.h"

namespace nacre {

namespace {

int& refusals() {
  thread_local int count = 0;
  return count;
}

bool& allowed() {
  static bool yes = false;
  return yes;
}

[[noreturn]] void refuse_python(const Tree& tree) {
  throw Error("it holds Python code, which nacre does not run")
      .at(tree.mark())
      .hint("save the model without it, with a layer or an operation that does the same")
      .usage();
}

class LambdaLayer final : public ConfiguredLayer<LambdaConfig> {
 public:
  explicit LambdaLayer(LambdaConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    if (config_.function.is_source()) need_scripts_allowed();
  }
  int input_count() const override { return 0; }

 protected:
  Values call(Context& context, const CallArguments& arguments) override {
    Values outputs = evaluate(context, arguments.inputs);
    for (const Value& output : outputs)
      if (config_.output_shape)
        need(same(output.shape().from(1), *config_.output_shape), "the function gives samples of shape {}, output_shape is {}",
             output.shape().from(1), *config_.output_shape);
    return outputs;
  }

 private:
  Values evaluate(Context& context, const Values& inputs) const {
    const std::string& text = config_.function.text;
    if (config_.function.script) return (*config_.function.script)(context, inputs, config_.arguments);
    if (config_.function.is_source()) {
      if (!lambda_tracer()) throw Error("this program has no Lua").hint("link nacre's scripting library and enable it").usage();
      return lambda_tracer()(context, text, inputs, config_.arguments);
    }
    if (operation_arguments("ops." + text)) return apply_operation(context, text, inputs, config_.arguments);
    need(inputs.size() == 1, "got {} inputs for '{}', wanted one", inputs.size(), text);
    return {(*Ref<Activation>(text))(inputs[0])};
  }
};

}  // namespace

void FieldKind<LambdaFunction>::read(const Tree& tree, LambdaFunction& value) {
  if (tree.is_string()) {
    value.text = tree.as_string();
  } else {
    const Tree *class_name = tree.find("class_name"), *name = tree.find("config");
    if (!class_name || *class_name != Tree("function") || !name || !name->is_string()) refuse_python(tree);
    value.text = name->as_string();
  }
  // Names that are neither are functions of somebody's Python program.
  if (!value.is_source() && !operation_arguments("ops." + value.text) && !registry<Activation>().find(value.text)) refuse_python(tree);
}

Tree FieldKind<LambdaFunction>::write(const LambdaFunction& value, Style style) {
  if (value.script) return style == Style::keras ? Tree(value.script->source()) : Tree("a function of a script");
  const auto* activation = value.is_source() ? nullptr : registry<Activation>().find(value.text);
  if (style != Style::keras || !activation) return value.text;
  Tree tree;
  tree.set("module", "keras.activations");
  tree.set("class_name", "function");
  tree.set("config", value.text);
  tree.set("registered_name", value.text);
  return tree;
}

bool holds_script(const Layer& layer) {
  const auto* lambda = dynamic_cast<const LambdaLayer*>(&layer);
  return lambda && lambda->config().function.is_source();
}

LayerRef Lambda(LambdaConfig config, LayerOptions options) {
  return std::make_shared<LambdaLayer>(std::move(config), std::move(options));
}

LambdaTracer& lambda_tracer() {
  static LambdaTracer tracer = nullptr;
  return tracer;
}

ScriptsRefused::ScriptsRefused() { ++refusals(); }
ScriptsRefused::~ScriptsRefused() { --refusals(); }
void allow_scripts() { allowed() = true; }

void need_scripts_allowed() {
  if (refusals() > 0 && !allowed())
    throw Error("it holds Lua code, which is not run from files unless that is allowed").hint("--allow-lua allows it, and in a script nacre.load(path, {allow_lua = true})").usage();
}

std::vector<ClassInfo<Layer>> lambda_layers() { return {layer_info<LambdaLayer>()}; }

}  // namespace nacre
