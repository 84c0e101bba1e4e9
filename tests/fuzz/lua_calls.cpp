#include "tests/fuzz/lua_calls.h"

#include <memory>

#include "scripting/lambda.h"
#include "scripting/sandbox.h"

namespace nacre::test {

namespace {

constexpr std::string_view functions[] = {"tensor",
                                          "zeros",
                                          "ones",
                                          "full",
                                          "eye",
                                          "arange",
                                          "linspace",
                                          "one_hot",
                                          "random.normal",
                                          "random.randint",
                                          "random.categorical",
                                          "random.shuffle",
                                          "random.gamma",
                                          "Variable",
                                          "grad",
                                          "value_and_grad",
                                          "vjp",
                                          "compile",
                                          "stop_gradient",
                                          "check_grad",
                                          "cond",
                                          "while_loop",
                                          "custom_gradient",
                                          "dataset",
                                          "Input",
                                          "Sequential",
                                          "Model",
                                          "deserialize",
                                          "Layer",
                                          "Loss",
                                          "ops.add",
                                          "ops.matmul",
                                          "ops.sum",
                                          "ops.reshape",
                                          "ops.concatenate",
                                          "ops.where",
                                          "ops.softmax",
                                          "ops.take",
                                          "ops.transpose",
                                          "ops.cast",
                                          "ops.pad",
                                          "ops.conv",
                                          "ops.einsum",
                                          "layers.Dense",
                                          "layers.Conv2D",
                                          "layers.LSTM",
                                          "layers.Embedding",
                                          "layers.BatchNormalization",
                                          "layers.Dropout",
                                          "layers.Reshape",
                                          "losses.MeanSquaredError",
                                          "metrics.Mean",
                                          "optimizers.SGD",
                                          "optimizers.Adam",
                                          "initializers.Ones",
                                          "schedules.ExponentialDecay"};
constexpr std::string_view methods[] = {
    "item",        "totable",      "sum",          "mean",   "reshape", "matmul", "exp",  "assign",     "apply",
    "result",      "batches",      "map",          "filter", "take",    "split",  "read", "get_config", "set_weights",
    "get_weights", "count_params", "update_state", "add",    "pop",     "build",  "cast", "clone",      "rows"};
constexpr std::string_view fields[] = {"shape",         "dtype",  "weights", "value",  "mask",   "trainable", "name",
                                       "learning_rate", "losses", "layers",  "inputs", "output", "units",     "x"};
constexpr std::string_view operators[] = {"+", "-", "*", "/", "//", "%", "^", "..", "==", "<", "<="};
constexpr std::string_view constants[] = {"nil",
                                          "true",
                                          "0",
                                          "1",
                                          "-1",
                                          "2",
                                          "3.5",
                                          "1e308",
                                          "2^53",
                                          "(0/0)",
                                          "'relu'",
                                          "'float32'",
                                          "'int64'",
                                          "''",
                                          "{}",
                                          "{1, 2}",
                                          "{{1, 2}, {3, 4}}",
                                          "{1, {2}}",
                                          "{{}, 1}",
                                          "{{-1, 1, -1}, '...'}",
                                          "{nacre.newaxis, nacre.tensor{2, 1}}",
                                          "nacre.tensor{true, false}",
                                          "{units = 3}",
                                          "{axis = 0}",
                                          "{a = {b = {}}}",
                                          "nacre.null",
                                          "nacre",
                                          "{training = true}",
                                          "function(x) return x end",
                                          "function(x) return (x * x):sum() end",
                                          "function() error(nil) end",
                                          "function(x, y) return y, x end",
                                          "function(...) return ... end",
                                          "{rate = 0.5, x = nacre.ones{2}}"};

// Reads choices off the bytes; at their end it chooses the first.
class Choices {
 public:
  explicit Choices(std::string_view bytes) : bytes_(bytes) {}
  bool any() const { return at_ < bytes_.size(); }
  std::size_t below(std::size_t count) { return any() ? static_cast<unsigned char>(bytes_[at_++]) % count : 0; }
  template <class List>
  std::string from(const List& list) {
    return std::string(list[below(std::size(list))]);
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

std::string variable(Choices& choices) { return "v" + std::to_string(choices.below(6)); }

std::string value(Choices& choices) { return choices.below(2) ? variable(choices) : choices.from(constants); }

std::string arguments(Choices& choices) {
  std::string list;
  for (std::size_t count = choices.below(4); count > 0; --count) list += (list.empty() ? "" : ", ") + value(choices);
  return list;
}

std::string statement(Choices& choices) {
  switch (choices.below(8)) {
    case 0: return variable(choices) + " = nacre." + choices.from(functions) + "(" + arguments(choices) + ")";
    case 1:
      return variable(choices) + " = " + variable(choices) + ":" + choices.from(methods) + "(" + arguments(choices) +
             ")";
    case 2: return variable(choices) + " = " + value(choices) + " " + choices.from(operators) + " " + value(choices);
    case 3: return variable(choices) + " = " + variable(choices) + "(" + arguments(choices) + ")";
    case 4: return variable(choices) + " = " + variable(choices) + "." + choices.from(fields);
    case 5: return variable(choices) + "[" + value(choices) + "] = " + value(choices);
    case 6: return variable(choices) + " = " + variable(choices) + "[" + value(choices) + "]";
    default: return variable(choices) + " = tostring(" + value(choices) + ")";
  }
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

void run_in_sandbox(const std::string& source) {
  enable_lua();
  const std::unique_ptr<std::FILE, FileCloser> nowhere(std::fopen("/dev/null", "w"));
  scripting::Sandbox sandbox({.memory = std::size_t{32} << 20,
                              .steps = 200'000,
                              .text = std::size_t{64} << 10,
                              .handed = 20'000,
                              .held = std::size_t{64} << 20},
                             nowhere.get());
  sandbox.run(source, "=fuzz");
}

std::string lua_calls(std::string_view bytes) {
  Choices choices(bytes);
  std::string source =
      "local v0, v1, v2 = nacre.tensor{{1.5, 2}, {3, 4}}, nacre.tensor{1, 2}, nacre.layers.Dense{units = 2}\n"
      "local v3, v4, v5 = nacre.Variable(nacre.ones{2, 2}), nacre.optimizers.SGD(), nacre.Input{2}\n";
  for (int count = 0; count < 40 && choices.any(); ++count)
    source +=
        "if not pcall(function() " + statement(choices) + " end) then v" + std::to_string(count % 6) + " = v0 end\n";
  return source + "return 0\n";
}

std::vector<std::string> lua_scripts() {
  return {"local x = nacre.tensor{{1.0, 2.0}} local g = nacre.grad(function(x) return (x * x):sum() end) return g(x)",
          "local d = nacre.layers.Dense{units = 2} local f = nacre.compile(function(x) return d(x) end) "
          "for i = 1, 3 do f(nacre.ones{2, 3}) end return d.weights",
          "local w = nacre.Variable(nacre.ones{2}) w:assign_add(1) local o = nacre.optimizers.Adam() "
          "o:apply({nacre.ones{2}}, {w}) "
          "return w.value:totable()",
          "local d = nacre.dataset{x = nacre.ones{4, 2}, y = nacre.zeros{4}}:map(function(x, y) return x * 2, y end) "
          "for x, y in d:batches{batch_size = 3} do assert(x:mean():item() == 2) end return #d"};
}

}  // namespace nacre::test
