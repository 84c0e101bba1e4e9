#include "api/functional.h"

#include <algorithm>
#include <set>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

bool is_input(const LayerCall& call) { return call.inputs.empty() && call.named.empty(); }

// The operands of a call, positional ones first, then the named ones by name: the order in which Keras walks them.
Symbols operands(const LayerCall& call) {
  Symbols all = call.inputs;
  for (const auto& [name, symbols] : call.named) all.insert(all.end(), symbols.begin(), symbols.end());
  return all;
}

using Replacements = std::vector<std::pair<Symbol, Symbol>>;

// Records the calls between replaced symbols and `symbol` again, from the replacements on.
Symbol rebase(const Symbol& symbol, const Replacements& replacements,
              std::map<const LayerCall*, std::shared_ptr<const LayerCall>>& done) {
  for (const auto& [before, after] : replacements)
    if (before == symbol) return after;
  const LayerCall& call = symbol.call();
  auto found = done.find(&call);
  if (found == done.end()) {
    LayerCall copy = call;
    for (Symbol& operand : copy.inputs) operand = rebase(operand, replacements, done);
    for (auto& [name, symbols] : copy.named)
      for (Symbol& operand : symbols) operand = rebase(operand, replacements, done);
    found = done.emplace(&call, is_input(call) ? symbol.share_call() : std::make_shared<const LayerCall>(std::move(copy))).first;
  }
  return {found->second, symbol.index()};
}

// The order of layers and calls, as Keras's `map_graph` finds it: a depth-first walk from the outputs numbers layers
// when it first meets them; a layer's depth is its longest distance to an output; deeper layers come first. Calls are
// made by depth too: that counts where a layer that carries something (statistics, states) is called several times.
class Order {
 public:
  Order(const Symbols& inputs, const Symbols& outputs) : inputs_(inputs) {
    for (const Symbol& output : outputs) visit(output);
    find_depths();
    for (const Symbol& input : inputs) {
      const std::shared_ptr<Layer>& layer = input.call().layer;
      if (layer_index_.emplace(layer.get(), -1).second) layers.push_back(layer), layer_depth_[layer.get()] = 0;
    }
    std::stable_sort(layers.begin(), layers.end(), [&](const auto& a, const auto& b) {
      const int depth_a = layer_depth_.at(a.get()), depth_b = layer_depth_.at(b.get());
      return depth_a != depth_b ? depth_a > depth_b : layer_index_.at(a.get()) < layer_index_.at(b.get());
    });
  }

  std::vector<std::shared_ptr<const LayerCall>> walk;   // in the order of the walk, operands first
  std::vector<std::shared_ptr<const LayerCall>> calls;  // in the order of execution
  std::vector<std::shared_ptr<Layer>> layers;

 private:
  void visit(const Symbol& symbol) {
    const LayerCall& call = symbol.call();
    if (!visited_.insert(&call).second) return;
    const int index = static_cast<int>(layer_index_.size());
    if (layer_index_.emplace(call.layer.get(), index).second) layers.push_back(call.layer);
    if (is_input(call) && std::find(inputs_.begin(), inputs_.end(), symbol) == inputs_.end())
      throw Error("the outputs depend on {} {}, which is not among the model's inputs",
                  call.layer->name().empty() ? "an input" : fmt::format("the input '{}'", call.layer->name()), symbol.type().shape)
          .usage();
    for (const Symbol& operand : operands(call)) visit(operand);
    walk.push_back(symbol.share_call());
  }

  void find_depths() {
    std::map<const LayerCall*, int> call_depth;
    const auto depth_of = [&](const std::shared_ptr<const LayerCall>& call) -> int& {
      const auto [found, is_new] = call_depth.emplace(call.get(), 0);
      if (is_new) calls.push_back(call);
      return found->second;
    };
    for (auto call = walk.rbegin(); call != walk.rend(); ++call) {
      int& depth = depth_of(*call);
      int& layer_depth = layer_depth_[(*call)->layer.get()];
      depth = layer_depth = std::max(depth, layer_depth);
      for (const Symbol& operand : operands(**call)) {
        int& other = depth_of(operand.share_call());
        other = std::max(other, depth + 1);
      }
    }
    std::stable_sort(calls.begin(), calls.end(),
                     [&](const auto& a, const auto& b) { return call_depth.at(a.get()) > call_depth.at(b.get()); });
  }

  const Symbols& inputs_;
  std::set<const LayerCall*> visited_;
  std::map<const Layer*, int> layer_index_, layer_depth_;
};

using CallResults = std::map<const LayerCall*, CallResult>;

Value value_of(const Symbol& symbol, const CallResults& results) {
  return results.at(&symbol.call()).outputs.at(static_cast<std::size_t>(symbol.index()));
}
Value mask_of(const Symbol& symbol, const CallResults& results) {
  return results.at(&symbol.call()).masks.at(static_cast<std::size_t>(symbol.index()));
}

// Keras works out masks twice: when a model is made, and again when it runs, where attention takes the masks off its
// inputs for all calls that come later, and where models within it hand on masks. Calls of one input use a mask of the
// first kind where there is one (those are kept in the results), all others the masks of the second kind: these.
class PresentMasks {
 public:
  void set(const LayerCall& call, Values masks) { masks_[&call] = std::move(masks); }
  const Values& of(const LayerCall& call) const { return masks_.at(&call); }

  // Calls the layer; the arguments and the result have masks of the first kind.
  CallResult call(Context& context, const LayerCall& call, CallArguments arguments) {
    const Values made = arguments.masks;
    Values present;
    for (const Symbol& operand : call.inputs)
      present.push_back(of(operand.call()).at(static_cast<std::size_t>(operand.index())));
    if (call.inputs.size() != 1 || !made[0]) arguments.masks = present;
    CallResult result = (*call.layer)(context, arguments);
    if (dynamic_cast<const FunctionalLayer*>(call.layer.get())) {
      set(call, std::exchange(result.masks, Values(result.outputs.size())));
      return result;
    }
    const auto masks_for = [&](const Values& masks) {
      if (masks == arguments.masks || arguments.named.contains("mask")) return result.masks;
      const Graph::Label label(context.graph(), call.layer->label());
      CallArguments others = arguments;
      others.masks = masks;
      Values computed = call.layer->compute_masks(context, others, result.outputs);
      computed.resize(result.outputs.size());
      return computed;
    };
    set(call, masks_for(present));
    result.masks = masks_for(made);
    return result;
  }

  // Wherever the value is a result: layers may hand on what they are given.
  void remove(Value value, const CallResults& results) {
    for (auto& [call, masks] : masks_)
      for (std::size_t i = 0; i < masks.size(); ++i)
        if (results.at(call).outputs[i] == value) masks[i] = {};
  }

 private:
  std::map<const LayerCall*, Values> masks_;
};

// The data of an input in the type that the model declared.
Value standardized(Context& context, Value data, const Symbol& input) {
  const Shape& wanted = input.shape();
  const std::string& name = input.call().layer->name();
  const bool texts = data.dtype() == DType::string;
  if (texts != (input.type().dtype == DType::string))
    throw Error("got {} for the input '{}', wanted {}", texts ? "texts" : "numbers", name, input.type())
        .hint(texts ? "a model that takes texts begins with Input({dtype: string}) and a TextVectorization; the zoo's "
                      "classifiers of texts have them with ?texts=true (zoo:lstm_text?texts=true)"
                    : "texts come from csv: {text: COLUMN}, lines: or texts: {folder}")
        .usage();
  Value value = data;
  const auto reshape = [&](Shape shape) {
    value = texts ? context.host(host_reshape(std::move(shape)), {value}).front() : ops::reshape(value, std::move(shape));
  };
  if (value.shape().rank() == wanted.rank() + 1 && value.shape()[-1] == 1) reshape(value.shape().first(wanted.rank()));
  else if (value.shape().rank() == wanted.rank() - 1 && wanted[-1] == 1) reshape(value.shape() + Shape{1});
  if (!same(value.shape(), wanted)) {
    const bool pictures = value.shape().rank() == 4 && wanted.rank() == 4 && wanted.from(1).known() && value.shape()[3] == wanted[3];
    throw Error("got data {} for the input '{}', wanted {}", data.shape(), name, wanted)
        .hint("check the shape of Input and that of the data; the first axis counts samples" +
              (pictures ? fmt::format("; folders of pictures are read in this size with `size: [{}, {}]`, in C++ `.size` of "
                                      "ImagesConfig",
                                      wanted[1], wanted[2])
                        : std::string()));
  }
  return texts ? value : ops::cast(value, input.type().dtype);
}

// The axes before those of a sample, where there are more than the one of samples.
std::optional<Shape> leading_axes(const Type& data, const Shape& wanted) {
  const int more = data.shape.rank() - wanted.rank();
  const bool squeezed = more == 1 && data.shape[-1] == 1;  // standardized() drops the last one
  if (more < 1 || squeezed || data.dtype == DType::string || !data.shape.known()) return {};
  if (!same(data.shape.from(more + 1), wanted.from(1))) return {};
  return data.shape.first(more + 1);
}

}  // namespace

void name_layers(const std::vector<std::shared_ptr<Layer>>& layers) {
  std::set<std::string> taken;
  for (const auto& layer : layers)
    if (!layer->name().empty() && !taken.insert(layer->name()).second)
      throw Error("two layers are called '{}'", layer->name()).hint("give one of them another name").usage();
  for (const auto& layer : layers) {
    if (!layer->name().empty()) continue;
    const std::string base = snake_case(layer->class_name());
    std::string name = base;
    for (int number = 1; !taken.insert(name).second; ++number) name = fmt::format("{}_{}", base, number);
    layer->rename(name);
  }
}

FunctionalLayer::FunctionalLayer(const Symbols& inputs, const Symbols& outputs, LayerOptions options)
    : Layer(std::move(options)) {
  Replacements replacements;
  Symbols entries;
  for (const Symbol& input : inputs) {
    entries.push_back(input);
    if (is_input(input.call())) continue;
    entries.back() = Input(InputConfig{.batch_shape = input.shape(), .dtype = input.type().dtype});
    replacements.emplace_back(input, entries.back());
  }
  Symbols results = outputs;
  if (!replacements.empty()) {
    std::map<const LayerCall*, std::shared_ptr<const LayerCall>> done;
    for (Symbol& output : results) output = rebase(output, replacements, done);
  }
  within([&] { return fmt::format("while building model '{}'", title()); },
         [&] { connect(std::move(entries), std::move(results)); });
}

void FunctionalLayer::connect(Symbols inputs, Symbols outputs) {
  if (inputs.empty() || outputs.empty()) throw Error("a model needs at least one input and one output").usage();
  Order order(inputs, outputs);
  // Names go by order of calls, which is how a program creates layers; inputs that nothing uses come last.
  std::vector<std::shared_ptr<Layer>> created;
  auto add = [&](const std::shared_ptr<Layer>& layer) {
    if (std::find(created.begin(), created.end(), layer) == created.end()) created.push_back(layer);
  };
  for (const auto& call : order.walk) add(call->layer);
  for (const Symbol& input : inputs) add(input.call().layer);
  name_layers(created);
  inputs_ = std::move(inputs);
  outputs_ = std::move(outputs);
  calls_ = std::move(order.calls);
  layers_ = std::move(order.layers);
  for (const auto& layer : layers_)
    if (auto* inner = dynamic_cast<FunctionalLayer*>(layer.get())) inner->nested_ = true;
  rename(name());  // the paths of all weights
  std::vector<Shape> shapes;
  for (const Symbol& input : inputs_) shapes.push_back(input.shape());
  ensure_built(shapes);
}

void FunctionalLayer::disconnect() {
  inputs_.clear(), outputs_.clear(), calls_.clear(), layers_.clear(), opened_.clear();
}

const Symbols& FunctionalLayer::inputs() const {
  if (!connected())
    throw Error("the model '{}' does not know the shape of its input yet", title())
        .hint("put an Input first, or build it for a shape")
        .usage();
  return inputs_;
}

const Symbols& FunctionalLayer::outputs() const { return inputs(), outputs_; }

Symbols FunctionalLayer::outputs_on(const Symbols& inputs) const {
  need(inputs.size() == this->inputs().size(), "the model '{}' takes {} inputs, got {}", title(), inputs_.size(), inputs.size());
  Replacements replacements;
  for (std::size_t i = 0; i < inputs.size(); ++i) replacements.emplace_back(inputs_[i], inputs[i]);
  std::map<const LayerCall*, std::shared_ptr<const LayerCall>> done;
  Symbols outputs = outputs_;
  for (Symbol& output : outputs) output = rebase(output, replacements, done);
  return outputs;
}

std::vector<std::string> FunctionalLayer::output_names() const {
  std::vector<std::string> names;
  for (const Symbol& output : outputs()) names.push_back(output.call().layer->name());
  return names;
}

std::vector<std::string> FunctionalLayer::input_names() const {
  std::vector<std::string> names;
  for (const Symbol& input : inputs()) names.push_back(input.call().layer->name());
  return names;
}

std::shared_ptr<Layer> FunctionalLayer::layer(std::string_view wanted) const {
  const std::string_view first = wanted.substr(0, wanted.find('/'));
  std::vector<std::string_view> known;
  for (const auto& layer : layers()) {
    if (layer->name() == wanted) return layer;
    if (layer->name() == first)
      if (const auto* inner = dynamic_cast<const FunctionalLayer*>(layer.get())) return inner->layer(wanted.substr(first.size() + 1));
    known.push_back(layer->name());
  }
  throw Error("the model '{}' has no layer '{}'", title(), wanted).hint(suggestion(wanted, known)).usage();
}

FunctionalLayer::Place FunctionalLayer::place_of(std::string_view wanted, std::optional<std::size_t> number) const {
  const std::size_t slash = wanted.find('/');
  const auto named = [&](std::string_view name) {
    return std::any_of(layers().begin(), layers().end(), [&](const auto& layer) { return layer->name() == name; });
  };
  if (slash != std::string_view::npos && !named(wanted)) {
    const std::shared_ptr<const LayerCall> outer = place_of(wanted.substr(0, slash), {}).call;
    const auto* inner = dynamic_cast<const FunctionalLayer*>(outer->layer.get());
    if (!inner) throw Error("{} has no layers inside, got '{}'", outer->layer->label(), wanted).usage();
    Replacements replacements;
    for (std::size_t i = 0; i < inner->inputs().size(); ++i) replacements.emplace_back(inner->inputs()[i], outer->inputs.at(i));
    const Place place = inner->place_of(wanted.substr(slash + 1), number);
    const Symbol symbol(place.call, place.output.value_or(0));
    for (const auto& [input, given] : replacements)
      if (input == symbol) return {given.share_call(), given.index()};
    return {rebase(symbol, replacements, opened_[outer.get()]).share_call(), place.output};
  }
  const std::shared_ptr<Layer> found = layer(wanted);
  inputs();  // says when the model does not know its shapes yet
  std::vector<std::shared_ptr<const LayerCall>> own;
  for (const auto& call : calls_)
    if (call->layer == found) own.push_back(call);
  if (!number && own.size() != 1)
    throw Error("{} is called {} times in the model '{}'", found->label(), own.size(), title()).hint("say which call is meant, counted from 0").usage();
  if (number.value_or(0) >= own.size())
    throw Error("{} has no call {} in the model '{}'", found->label(), *number, title()).usage();
  return {own[number.value_or(0)]};
}

Symbols FunctionalLayer::outputs_of(std::string_view layer, std::optional<std::size_t> number) const {
  const auto [call, output] = place_of(layer, number);
  if (output) return {{call, *output}};
  Symbols symbols;
  for (std::size_t i = 0; i < call->types.size(); ++i) symbols.emplace_back(call, static_cast<int>(i));
  return symbols;
}

Symbols FunctionalLayer::inputs_of(std::string_view layer, std::optional<std::size_t> number) const {
  const auto [call, output] = place_of(layer, number);
  return output || is_input(*call) ? Symbols{{call, output.value_or(0)}} : call->inputs;
}

FunctionalLayer::CallResults FunctionalLayer::emit_calls(Context& context, Values inputs, const Values& masks,
                                                        const LayerCall* last) {
  if (inputs.size() != inputs_.size())
    throw Error("the model '{}' takes {} input{}, got {}", title(), inputs_.size(), inputs_.size() == 1 ? "" : "s", inputs.size());
  CallResults results;
  PresentMasks present;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    results[&inputs_[i].call()] = {{standardized(context, inputs[i], inputs_[i])}, {Value()}};
    present.set(inputs_[i].call(), {masks[i]});
  }
  for (const auto& call : calls_) {
    if (call.get() == last) break;
    if (results.contains(call.get())) continue;  // an input
    CallArguments arguments;
    for (const Symbol& operand : call->inputs) {
      arguments.inputs.push_back(value_of(operand, results));
      arguments.masks.push_back(mask_of(operand, results));
    }
    for (const auto& [key, operands] : call->named)
      for (const Symbol& operand : operands) arguments.named[key].push_back(value_of(operand, results));
    arguments.options = call->options;
    results[call.get()] = present.call(context, *call, std::move(arguments));
    if (call->layer->removes_masks())
      for (const Symbol& operand : call->inputs) present.remove(value_of(operand, results), results);
  }
  for (auto& [call, result] : results) result.masks = present.of(*call);
  return results;
}

CallResult FunctionalLayer::emit(Context& context, Values inputs, const Values& masks) {
  std::optional<Shape> leading;
  if (inputs.size() == 1 && inputs_.size() == 1 && !masks[0] && !context.training())
    leading = leading_axes(inputs[0].type(), inputs_[0].shape());
  if (leading) inputs[0] = ops::reshape(inputs[0], Shape{leading->elements()} + inputs[0].shape().from(leading->rank()));
  const auto unfolded = [&](Value value) {
    return leading && value ? ops::reshape(value, *leading + value.shape().from(1)) : value;
  };
  const CallResults results = emit_calls(context, std::move(inputs), masks, nullptr);
  CallResult result;
  for (const Symbol& output : outputs_) {
    result.outputs.push_back(unfolded(value_of(output, results)));
    result.masks.push_back(unfolded(mask_of(output, results)));
  }
  return result;
}

Values FunctionalLayer::emit_operands(Context& context, Values inputs, const LayerCall& call) {
  const Values masks(inputs.size());
  const CallResults results = emit_calls(context, std::move(inputs), masks, &call);
  Values operands;
  for (const Symbol& operand : call.inputs) operands.push_back(value_of(operand, results));
  return operands;
}

Values FunctionalLayer::call(Context& context, const CallArguments& arguments) {
  CallResult result = emit(context, arguments.inputs, arguments.masks);
  output_masks_ = std::move(result.masks);
  return std::move(result.outputs);
}

Values FunctionalLayer::compute_masks(Context&, const CallArguments&, const Values&) { return std::exchange(output_masks_, {}); }

}  // namespace nacre
