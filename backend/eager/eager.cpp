#include "backend/eager/eager.h"

#include <algorithm>
#include <queue>
#include <unordered_set>
#include <utility>

#include "backend/core/memory.h"
#include "backend/graph/ops/bodies.h"
#include "backend/graph/ops/elementwise.h"

namespace nacre::eager {

namespace {

constexpr std::size_t most_programs = 2048;

Tensor filled(const Type& type, double value) {
  Tensor tensor(type);
  if (value != 0) visit(type.dtype, [&]<class T>(T*) { std::ranges::fill(tensor.writable<T>(), convert<T>(value)); });
  return tensor;
}

}  // namespace

// Where values came from. Records are numbered as they are made, so what one was computed from has smaller numbers.
class Record {
 public:
  struct Link {
    std::shared_ptr<Record> node;
    int output = 0;
  };

  Record() : order(++last_order) {}
  virtual ~Record() {
    // One after the other: a chain of them may be longer than the stack is deep.
    static thread_local std::vector<std::shared_ptr<Record>> waiting;
    static thread_local bool emptying = false;
    for (Link& link : links)
      if (link.node && link.node.use_count() == 1) waiting.push_back(std::move(link.node));
    if (emptying) return;
    emptying = true;
    while (!waiting.empty()) {
      const std::shared_ptr<Record> next = std::move(waiting.back());
      waiting.pop_back();
    }
    emptying = false;
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  // The gradients for links; present cotangents are of the outputs' types.
  virtual std::vector<std::optional<Array>> pull(Eager&, std::span<const std::optional<Array>> cotangents) {
    return {cotangents.begin(), cotangents.end()};
  }
  // Whether it only gives values a name, with respect to which gradients can be taken.
  virtual bool leaf() const { return true; }
  static std::uint64_t last() { return last_order; }

  const std::uint64_t order;
  std::size_t outputs = 1;
  std::vector<Link> links;  // where gradients go on; nowhere: null

 private:
  static inline thread_local std::uint64_t last_order = 0;
};

namespace {

class ProgramRecord final : public Record {
 public:
  // `all`: what derivative.forward gave.
  ProgramRecord(std::shared_ptr<const Program::Derivative> derivative, const Arrays& inputs,
                const std::vector<Tensor>& all, bool kept)
      : derivative_(std::move(derivative)) {
    for (const Program::Derivative::Operand& operand : derivative_->operands) {
      if (operand.output) operands_.push_back({all[operand.index]});
      else operands_.push_back(kept ? Array{inputs[operand.index].value} : inputs[operand.index]);
    }
    for (const std::size_t output : derivative_->cotangents) types_.push_back(all[output].type());
    for (const VariableRef& variable : derivative_->backward->variables()) versions_.push_back(variable->version());
  }

  std::vector<std::optional<Array>> pull(Eager& eager, std::span<const std::optional<Array>> cotangents) override {
    const std::vector<VariableRef>& variables = derivative_->backward->variables();
    for (std::size_t i = 0; i < versions_.size(); ++i)
      if (variables[i]->version() != versions_[i])
        throw Error("'{}' has changed since the values were computed whose gradient is taken", variables[i]->path())
            .hint("take the gradients before weights are assigned to")
            .usage();
    Arrays given;
    for (std::size_t i = 0; i < types_.size(); ++i) {
      const std::optional<Array>& cotangent = cotangents[derivative_->cotangents[i]];
      given.push_back(cotangent ? *cotangent : Array{Tensor(types_[i])});
    }
    given.insert(given.end(), operands_.begin(), operands_.end());
    std::vector<std::optional<Array>> slopes;
    for (Array& slope : eager.run(derivative_->backward, std::move(given))) slopes.emplace_back(std::move(slope));
    return slopes;
  }
  bool leaf() const override { return false; }

 private:
  std::shared_ptr<const Program::Derivative> derivative_;
  Arrays operands_;
  Types types_;  // of the outputs with cotangents
  std::vector<std::uint64_t> versions_;
};

class OwnRecord final : public Record {
 public:
  explicit OwnRecord(OwnGradient pullback) : pullback_(std::move(pullback)) {}
  std::vector<std::optional<Array>> pull(Eager&, std::span<const std::optional<Array>> cotangents) override {
    return pullback_(cotangents);
  }
  bool leaf() const override { return false; }

 private:
  OwnGradient pullback_;
};

bool has_float64(const Graph& graph) {
  for (const nacre::Node* node : graph.nodes()) {
    for (const Type& type : node->types())
      if (type.dtype == DType::float64) return true;
    for (const Subgraph& body : bodies_of(*node))
      if (has_float64(*body)) return true;
  }
  return false;
}

}  // namespace

Eager::Eager(const Backend& backend)
    : backend_(backend),
      workspace_(std::make_shared<Workspace>(backend)),
      reference_workspace_(std::make_shared<Workspace>(reference_backend())) {}

// --- programs -----------------------------------------------------------------------------------------------------

std::shared_ptr<Program> Eager::find(std::string_view key) {
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) return nullptr;
  const Entries::iterator entry = known->second;
  if (entry->stale()) {
    forget(entry);
    return nullptr;
  }
  if (entry != entries_.begin()) entries_.splice(entries_.begin(), entries_, entry);
  return entry->program;
}

Eager::Entries::iterator Eager::forget(Entries::iterator entry) {
  by_key_.erase(entry->key);
  bytes_ -= entry->bytes;
  return entries_.erase(entry);
}

std::shared_ptr<Program> Eager::make(std::unique_ptr<Graph> graph) const {
  const Backend& backend = backend_of(*graph);
  return std::make_shared<Program>(std::move(graph), backend,
                                   &backend == &backend_ ? workspace_ : reference_workspace_);
}

// No other one knows float64.
const Backend& Eager::backend_of(const Graph& graph) const {
  return has_float64(graph) ? reference_backend() : backend_;
}

std::shared_ptr<Program> Eager::remember(std::string_view key, std::unique_ptr<Graph> graph,
                                         const std::shared_ptr<const void>& owner) {
  for (auto entry = entries_.begin(); entry != entries_.end();)
    entry = entry->stale() ? forget(entry) : std::next(entry);
  // With an owner a program goes when that does; else nothing tells that nobody needs its variables any more.
  std::size_t bytes = 0;
  if (!owner)
    for (const auto& [variable, value] : graph->variables()) bytes += variable->type().bytes();
  static const std::size_t most_bytes = machine_memory() / 16;
  while (!entries_.empty() && (entries_.size() >= most_programs || (bytes_ > 0 && bytes_ + bytes > most_bytes)))
    forget(std::prev(entries_.end()));
  entries_.push_front({std::string(key), make(std::move(graph)), owner, owner != nullptr, bytes});
  by_key_.emplace(entries_.front().key, entries_.begin());
  bytes_ += bytes;
  ++made_;
  return entries_.front().program;
}

Arrays Eager::run(const std::shared_ptr<Program>& program, Arrays inputs) {
  std::vector<Tensor> tensors;
  tensors.reserve(inputs.size());
  Arrays results;
  const auto plain = [&](std::vector<Tensor> values) {
    results.reserve(values.size());
    for (Tensor& value : values) results.push_back({std::move(value)});
    return std::move(results);
  };
  if (!recording()) {
    for (Array& input : inputs) tensors.push_back(std::move(input.value));
    return plain(program->run(tensors));
  }
  for (const Array& input : inputs) tensors.push_back(input.value);

  std::vector<Record::Link> links;  // of all that gradients may be wanted of
  std::vector<char> wanted;
  bool any = false;
  for (const Array& input : inputs) {
    links.push_back({input.origin, input.output});
    wanted.push_back(input.origin && is_floating(input.value.dtype()));
  }
  for (const VariableRef& variable : program->variables()) {
    links.push_back({leaf_of(variable), 0});
    wanted.push_back(links.back().node != nullptr);
  }
  for (const char one : wanted) any = any || one;
  if (!any) return plain(program->run(tensors));

  const bool keep = recordings_ == 1;
  const auto derivative = program->derivative(wanted, keep);
  if (derivative->results.empty()) return plain(program->run(tensors));
  std::vector<Tensor> values = derivative->forward->run(tensors);
  const auto node = std::make_shared<ProgramRecord>(derivative, inputs, values, keep);
  node->outputs = program->graph().outputs().size();
  for (const std::size_t result : derivative->results) node->links.push_back(std::move(links[result]));
  for (std::size_t i = 0; i < node->outputs; ++i) {
    const bool follows = is_floating(values[i].dtype());
    results.push_back({std::move(values[i]), follows ? node : nullptr, static_cast<int>(i)});
  }
  return results;
}

// --- recording ----------------------------------------------------------------------------------------------------

Eager::Recording::Recording(Eager& eager, const std::vector<VariableRef>& watched, bool all)
    : eager_(eager), depth_(++eager.recordings_), before_(eager.watching_all_) {
  if (depth_ == 1) eager.begin_ = Record::last();
  for (const VariableRef& variable : watched) {
    eager_.leaf_of(variable);  // recordings around that watch all come first
    watch(variable);
  }
  if (all) eager_.watching_all_ = this;
}

Eager::Recording::~Recording() {
  --eager_.recordings_;
  eager_.watching_all_ = before_;
  for (auto& [variable, before] : watched_) {
    if (before.record) eager_.leaves_[variable.get()] = std::move(before);
    else eager_.leaves_.erase(variable.get());
  }
}

void Eager::Recording::watch(const VariableRef& variable) {
  Leaf& leaf = eager_.leaves_[variable.get()];
  if (leaf.depth == depth_) return;
  auto record = std::make_shared<Record>();
  if (leaf.record) record->links.push_back({leaf.record, 0});
  watched_.push_back({variable, std::exchange(leaf, {std::move(record), depth_})});
}

Array Eager::Recording::leaf(const VariableRef& variable) {
  watch(variable);
  return {Tensor(Type{variable->type().dtype, {}}), eager_.leaves_.at(variable.get()).record};
}

std::shared_ptr<Record> Eager::leaf_of(const VariableRef& variable) {
  auto leaf = leaves_.find(variable.get());
  if (watching_all_ && variable->trainable()) {
    const auto watch = [&](const auto& again, Recording* all) -> void {
      if (!all || (leaf != leaves_.end() && leaf->second.depth >= all->depth_)) return;
      again(again, all->before_);  // the outermost first
      all->watch(variable);
    };
    watch(watch, watching_all_);
    leaf = leaves_.find(variable.get());
  }
  return leaf == leaves_.end() ? nullptr : leaf->second.record;
}

Array Eager::read(const VariableRef& variable) { return {variable->value(), leaf_of(variable)}; }

bool Eager::followed(const Array& array) const {
  if (!recording()) return false;
  std::unordered_set<const Record*> met;
  std::vector<const Record*> waiting;
  const auto meet = [&](const Record* record) {
    if (record && record->order > begin_ && met.insert(record).second) waiting.push_back(record);
  };
  meet(array.origin.get());
  while (!waiting.empty()) {
    const Record* const record = waiting.back();
    waiting.pop_back();
    if (record->leaf()) return true;
    for (const Record::Link& link : record->links) meet(link.node.get());
  }
  return false;
}

Array Eager::watch(const Array& array) {
  auto node = std::make_shared<Record>();
  if (array.origin) node->links.push_back({array.origin, array.output});
  return {array.value, std::move(node), 0, array.mask};
}

Arrays Eager::join(std::vector<Tensor> results, const Arrays& inputs, OwnGradient pullback) {
  bool any = false;
  for (const Array& input : inputs) any = any || input.origin;
  Arrays arrays;
  for (Tensor& result : results) arrays.push_back({std::move(result)});
  if (!recording() || !any) return arrays;
  const auto node = std::make_shared<OwnRecord>(std::move(pullback));
  node->outputs = arrays.size();
  for (const Array& input : inputs) node->links.push_back({input.origin, input.output});
  for (std::size_t i = 0; i < arrays.size(); ++i) arrays[i].origin = node, arrays[i].output = static_cast<int>(i);
  return arrays;
}

Array Eager::add(const Array& a, const Array& b) {
  const std::string key = fmt::format("sum {}", a.value.type());
  const std::shared_ptr<Program> sum = program(key, [&] {
    auto graph = std::make_unique<Graph>();
    graph->output("out", graph->input("a", a.value.type()) + graph->input("b", b.value.type()));
    return graph;
  });
  return run(sum, {a, b}).front();
}

std::vector<std::optional<Array>> Eager::gradients(std::span<const Array> outputs, std::span<const Array> cotangents,
                                                   std::span<const Array> targets) {
  // All nodes that the outputs came from, in the order in which they were made.
  std::map<std::uint64_t, Record*> nodes;
  std::vector<Record*> waiting;
  const auto meet = [&](Record* node) {
    if (node && nodes.emplace(node->order, node).second) waiting.push_back(node);
  };
  for (const Array& output : outputs) meet(output.origin.get());
  while (!waiting.empty()) {
    Record* const node = waiting.back();
    waiting.pop_back();
    for (const Record::Link& link : node->links) meet(link.node.get());
  }
  std::unordered_set<const Record*> needed;  // those that lead to a target
  for (const Array& target : targets) needed.insert(target.origin.get());
  for (const auto& [order, node] : nodes)
    for (const Record::Link& link : node->links)
      if (needed.contains(link.node.get())) needed.insert(node);

  std::unordered_map<const Record*, std::vector<std::optional<Array>>> sums;
  const auto give = [&](const Record* node, int output, const Array& slope) {
    if (!node || !needed.contains(node)) return;
    std::vector<std::optional<Array>>& of_node = sums[node];
    of_node.resize(node->outputs);
    std::optional<Array>& sum = of_node[static_cast<std::size_t>(output)];
    sum = sum ? add(*sum, slope) : slope;
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Array& output = outputs[i];
    if (!output.origin || !needed.contains(output.origin.get())) continue;
    if (i >= cotangents.size()) {
      give(output.origin.get(), output.output, {filled(output.value.type(), 1)});
      continue;
    }
    ensure(cotangents[i].value.type() == output.value.type(), "a cotangent {} of {}", cotangents[i].value.type(),
           output.value.type());
    give(output.origin.get(), output.output, cotangents[i]);
  }
  std::unordered_set<const Record*> asked;  // whose sums are wanted
  for (const Array& target : targets) asked.insert(target.origin.get());
  for (auto place = nodes.rbegin(); place != nodes.rend(); ++place) {
    Record* const node = place->second;
    const auto found = sums.find(node);
    if (found == sums.end() || node->links.empty()) continue;
    const std::vector<std::optional<Array>> cotangents_of_node =
        asked.contains(node) ? found->second : std::move(found->second);
    const auto slopes = node->pull(*this, cotangents_of_node);
    ensure(slopes.size() == node->links.size(), "{} gradients for {} links", slopes.size(), node->links.size());
    for (std::size_t i = 0; i < slopes.size(); ++i)
      if (slopes[i]) give(node->links[i].node.get(), node->links[i].output, *slopes[i]);
    if (!asked.contains(node)) sums.erase(node);
  }
  std::vector<std::optional<Array>> result;
  for (const Array& target : targets) {
    const auto sum = sums.find(target.origin.get());
    result.push_back(sum == sums.end() ? std::nullopt : sum->second[static_cast<std::size_t>(target.output)]);
  }
  return result;
}

}  // namespace nacre::eager
