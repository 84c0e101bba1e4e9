// Every layer against Keras once more, driven from Lua: made of a table, called on tensors, its gradients taken by
// nacre.vjp.
#include <gtest/gtest.h>

#include <cmath>

#include "api/model.h"
#include "formats/json.h"
#include "layers/layer.h"
#include "scripting/engine.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

// --- as Lua writes it ---------------------------------------------------------------------------------------------

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return result + "\"";
}

std::string number(double value) {
  if (std::isnan(value)) return "(0/0)";
  if (std::isinf(value)) return value > 0 ? "(1/0)" : "(-1/0)";
  return fmt::format("{:.17g}", value);
}

std::string literal(const Tree& tree) {
  if (tree.is_null()) return "nacre.null";
  if (tree.is_bool()) return tree.as_bool() ? "true" : "false";
  if (tree.is_integer()) return std::to_string(tree.as_integer());
  if (tree.is_number()) return number(tree.as_number());
  if (tree.is_string()) return quoted(tree.as_string());
  std::string text = "{";
  if (tree.is_sequence())
    for (const Tree& item : tree.items()) text += literal(item) + ",";
  else
    for (const Tree::Entry& entry : tree.entries()) text += "[" + quoted(entry.key) + "]=" + literal(entry.value) + ",";
  return text + "}";
}

// nacre.tensor(flat table, dtype):reshape(shape)
std::string literal(const Tensor& tensor) {
  std::string text = "nacre.tensor({";
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    text += (tensor.dtype() == DType::string    ? quoted(tensor.data<std::string>()[static_cast<std::size_t>(i)])
             : tensor.dtype() == DType::boolean ? std::string(tensor.at(i) != 0 ? "true" : "false")
                                                : number(tensor.at(i))) +
            ",";
  text += fmt::format("}}, '{}'):reshape{{", name_of(tensor.dtype()));
  for (const std::int64_t size : tensor.shape()) text += std::to_string(size) + ",";
  return text + "}";
}

// By their numbers, of which some may be absent.
std::string list_of(const Case& golden, const std::string& name) {
  std::string text = "{";
  if (golden.has(name))
    for (const std::string& place : golden.data.group(name).names())
      text += fmt::format("[{}]={},", std::stoi(place) + 1, literal(golden.tensor(name + "/" + place)));
  return text + "}";
}

// --- and gives it back --------------------------------------------------------------------------------------------

// {dtype, shape, numbers}
Tensor tensor_of(const Tree& tree) {
  std::vector<std::int64_t> sizes;
  for (const Tree& size : tree.items()[1].items()) sizes.push_back(size.as_integer());
  std::vector<double> values;
  for (const Tree& value : tree.items()[2].items())
    values.push_back(value.is_bool() ? static_cast<double>(value.as_bool()) : value.as_number());
  return Tensor::of<double>(Shape(std::move(sizes)), std::span<const double>(values));
}

constexpr std::string_view script = R"(
local inputs, floats = INPUTS, {}
for i, x in ipairs(inputs) do if x.dtype:find("float") then floats[#floats + 1] = i end end
local function call(given, training)
  local options = OPTIONS
  local named = NAMED
  for name, x in pairs(named) do options[name] = x end
  if training and options.training == nil then options.training = true end
  if next(options) == nil then options = nil end
  return {LAYER(#given == 1 and given[1] or given, options)}
end
MASKS
call(inputs)
LAYER:set_weights(WEIGHTS)
LAYER:reset_states()

local function flat(t)
  local numbers = t:reshape{-1}:totable()
  return {t.dtype, t.shape, numbers}
end

local function mode(training, cotangents)
  local given = {}
  for i, place in ipairs(floats) do given[i] = inputs[place] end
  local results = {outputs = {}, inputs = {}, weights = {}, masked = false}
  local all
  local function run(given)
    local whole = {}
    for i, x in ipairs(inputs) do whole[i] = x end
    for i, place in ipairs(floats) do whole[place] = given[i] end
    all = call(whole, training)
    local floating = {}
    for i, y in ipairs(all) do if y.dtype:find("float") then floating[#floating + 1] = y end end
    return floating
  end
  local function cotangents_of(floating)
    local list = {}
    for i, y in ipairs(all) do
      if y.dtype:find("float") then list[#list + 1] = nacre.ops.cast(cotangents[i], y.dtype) end
    end
    return list
  end
  if #floats > 0 or #LAYER.trainable_weights > 0 then
    local floating, back, slopes, of_weights
    if #floats > 0 and #LAYER.trainable_weights > 0 then
      floating, back = nacre.vjp(function(given) return run(given) end, given, LAYER)
      if #floating > 0 then slopes, of_weights = back(cotangents_of(floating)) end
    elseif #floats > 0 then
      floating, back = nacre.vjp(run, given)
      if #floating > 0 then slopes = back(cotangents_of(floating)) end
    else
      floating, back = nacre.vjp(function() return run(given) end, LAYER)
      if #floating > 0 then of_weights = back(cotangents_of(floating)) end
    end
    for i, slope in ipairs(slopes or {}) do results.inputs[i] = flat(slope) end
    for i, slope in ipairs(of_weights or {}) do
      for place, weight in ipairs(LAYER.weights) do
        if weight == LAYER.trainable_weights[i] then results.weights[tostring(place - 1)] = flat(slope) end
      end
    end
  else
    run(given)
  end
  for i, y in ipairs(all) do results.outputs[i] = flat(y) end
  results.masked = all[1].mask ~= nil
  results.after = {}
  for i, w in ipairs(LAYER:get_weights()) do results.after[i] = flat(w) end
  return results
end
)";

void compare(const Case& golden, const std::string& prefix, const Tree& results) {
  const std::vector<Tree>& outputs = results["outputs"].items();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string name = fmt::format("{}output/{}", prefix, i);
    if (!golden.has(name)) throw Error("{} is none of Keras's outputs", name);
    expect_close(name, tensor_of(outputs[i]), golden.tensor(name), for_outputs);
  }
  if (golden.has(fmt::format("{}output/{}", prefix, outputs.size()))) throw Error("only {} outputs", outputs.size());
  const std::vector<Tree>& inputs = results["inputs"].items();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = fmt::format("{}grad_inputs/{}", prefix, i);
    expect_close(name, tensor_of(inputs[i]), golden.tensor(name), for_gradients);
  }
  if (results["weights"].is_mapping())
    for (const Tree::Entry& entry : results["weights"].entries())
      if (const std::string name = fmt::format("{}grad_weights/{}", prefix, entry.key); golden.has(name))
        expect_close(name, tensor_of(entry.value), golden.tensor(name), for_gradients);
  if (golden.data.has_attribute("masked") &&
      results["masked"].as_bool() != (golden.data.tensor_attribute("masked").item() != 0))
    throw Error("the output comes {} a mask", results["masked"].as_bool() ? "with" : "without");
}

void check_from_lua(const Case& golden, const Backend&) {
  static_cast<void>(make<Layer>(golden));  // or it is not implemented
  std::string masks, named = "{";
  for (std::size_t i = 0; golden.has(fmt::format("inputs/{}", i)); ++i)
    if (const std::string name = fmt::format("masks/{}", i); golden.has(name))
      masks += fmt::format("inputs[{}].mask = {}\n", i + 1, literal(golden.tensor(name)));
  if (golden.has("named"))
    for (const std::string& name : golden.data.group("named").names())
      named += fmt::format("[{}]={},", quoted(name), literal(golden.tensor("named/" + name)));
  const bool has_options = golden.data.has_attribute("options");
  const Tree options = has_options ? parse_json(golden.data.text_attribute("options")) : Tree();
  const bool train = golden.data.has_attribute("train") && golden.data.tensor_attribute("train").item() != 0;

  std::string source = fmt::format("local LAYER = nacre.deserialize({})\n", quoted(write_json(golden.config(), 0, NotFinite::named)));
  std::string body(script);
  const auto put = [&](const std::string& word, const std::string& text) {
    for (std::size_t at = 0; (at = body.find(word, at)) != std::string::npos; at += text.size())
      body.replace(at, word.size(), text);
  };
  put("INPUTS", list_of(golden, "inputs"));
  put("OPTIONS", options.is_mapping() ? literal(options) : "{}");
  put("NAMED", named + "}");
  put("MASKS", masks);
  put("WEIGHTS", list_of(golden, "weights"));
  source += body;
  source += fmt::format("local plain = mode(false, {})\n", list_of(golden, "cotangent"));
  if (train)
    source += fmt::format("LAYER:set_weights({}) LAYER:reset_states()\nlocal trained = mode(true, {})\n",
                          list_of(golden, "weights"), list_of(golden, "train_cotangent"));
  source += train ? "return {plain = plain, trained = trained}" : "return {plain = plain}";

  Engine engine;
  const Tree results = engine.run(source, golden.data.path());
  compare(golden, "", results["plain"]);
  if (!train) return;
  compare(golden, "train_", results["trained"]);
  const std::vector<Tree>& after = results["trained"]["after"].items();
  for (std::size_t i = 0; golden.has(fmt::format("weights_after/{}", i)); ++i)
    expect_close(fmt::format("weight {} afterwards", i), tensor_of(after.at(i)),
                 golden.tensor(fmt::format("weights_after/{}", i)), for_outputs);
}

class LuaGolden : public testing::TestWithParam<const char*> {};

TEST_P(LuaGolden, Agrees) {
  register_models();
  const Backend* const once[] = {backends().front()};
  check_all(GetParam(), check_from_lua, once);
}

INSTANTIATE_TEST_SUITE_P(Files, LuaGolden, testing::Values("layers", "unusual_layers", "calls", "operations"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace nacre::golden
