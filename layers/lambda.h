// A layer that is a function: one of ours in Lua, or one that Keras knows by name.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// A function that a script holds: it runs there, and files hold its source.
class ScriptFunction {
 public:
  virtual ~ScriptFunction() = default;
  virtual Values operator()(Context& context, const Values& inputs, const Tree& arguments) const = 0;
  virtual std::string source() const = 0;  // throws Error when it has none that stands by itself
};

// function(x) return x * 2 + nacre.ops.relu(x) end: Lua source; or the name of an activation or operation ("relu",
// "logsumexp"), which Keras may spell {class_name: function, config: name}. Python code is refused.
struct LambdaFunction {
  std::string text;                                 // the source, or the name
  std::shared_ptr<const ScriptFunction> script{};   // instead of the text
  bool is_source() const { return script || text.find_first_of(" \t\n(") != std::string::npos; }
  bool operator==(const LambdaFunction&) const = default;
};
template <>
struct FieldKind<LambdaFunction> {
  static void read(const Tree& tree, LambdaFunction& value);
  static Tree write(const LambdaFunction& value, Style style);
  static Tree schema() { return schema_type("string"); }
};

struct LambdaConfig {
  static constexpr std::string_view class_name = "Lambda";
  static constexpr std::string_view doc =
      "A function of Lua, traced into operations: function(x) return x * 2 + nacre.ops.relu(x) end. Several inputs come as a "
      "list, the arguments as a second parameter.";
  LambdaFunction function;
  std::optional<Shape> output_shape;
  Tree arguments = Tree::mapping();
  Only<nullptr> mask;
  static void describe(auto&& field) {
    field("function", &LambdaConfig::function, "Lua source, or the name of an activation or operation", required());
    field("output_shape", &LambdaConfig::output_shape, "of one sample; checked where it is given");
    field("arguments", &LambdaConfig::arguments, "handed to the function besides the inputs");
    field("mask", &LambdaConfig::mask, "functions of masks are not supported");
  }
};

LayerRef Lambda(LambdaConfig config, LayerOptions options = {});

// Whether it is a Lambda with a function in Lua.
bool holds_script(const Layer& layer);

// How Lua is traced: null until the folder that knows Lua fills it in. Throws Error with the script's own message.
using LambdaTracer = Values (*)(Context& context, const std::string& source, const Values& inputs, const Tree& arguments);
LambdaTracer& lambda_tracer();

// The class, in each registry, of objects whose class is one of Lua's: those of the folder that knows Lua.
inline constexpr std::string_view lua_class_name = "Lua";

// While it lives, layers and other objects that hold Lua are refused on this thread: for files that are not the user's
// own.
class ScriptsRefused {
 public:
  ScriptsRefused();
  ~ScriptsRefused();
  ScriptsRefused(const ScriptsRefused&) = delete;
  ScriptsRefused& operator=(const ScriptsRefused&) = delete;
};

// From now on no file's Lua is refused in this program (--allow-lua).
void allow_scripts();
// For those that hold Lua: throws a usage Error while they are refused.
void need_scripts_allowed();

std::vector<ClassInfo<Layer>> lambda_layers();

}  // namespace nacre
