#include "api/vintage/optimizer_state.h"

#include <algorithm>
#include <map>

namespace nacre {

namespace {

// "adam/fc1_kernel_momentum" → "momentum"
std::string kind_of(const Variable& slot) { return slot.path().substr(slot.path().rfind('_') + 1); }

bool is_scalar(const Tensor& tensor) { return tensor.shape().rank() == 0; }

// The slots by kind, then by weight, which is the older order.
std::vector<VariableRef> by_kind(const std::vector<VariableRef>& slots) {
  std::vector<std::string> kinds;
  for (const VariableRef& slot : slots)
    if (std::find(kinds.begin(), kinds.end(), kind_of(*slot)) == kinds.end()) kinds.push_back(kind_of(*slot));
  std::vector<VariableRef> sorted;
  for (const std::string& kind : kinds)
    std::copy_if(slots.begin(), slots.end(), std::back_inserter(sorted), [&](const VariableRef& slot) { return kind_of(*slot) == kind; });
  return sorted;
}

// The same, but of each kind in the order of the names that the weights have in the file; none when a name is not there.
std::vector<VariableRef> by_name(const std::vector<VariableRef>& slots, const KerasFile& file) {
  std::map<std::string, std::string> names;  // "fc1_kernel" → "fc1/kernel:0"
  for (const LayerWeights& layer : file.layers)
    for (const NamedTensor& weight : layer.weights) {
      std::string flat = weight.name.substr(0, weight.name.rfind(':'));
      std::replace(flat.begin(), flat.end(), '/', '_');
      names.emplace(std::move(flat), weight.name);
    }
  std::vector<std::pair<std::string, VariableRef>> keyed;
  for (const VariableRef& slot : slots) {
    const std::size_t begin = slot->path().find('/') + 1, end = slot->path().rfind('_');
    const auto name = names.find(slot->path().substr(begin, end - begin));
    if (name == names.end()) return {};
    keyed.emplace_back(name->second, slot);
  }
  std::vector<VariableRef> sorted;
  for (auto first = keyed.begin(); first != keyed.end();) {
    const auto last = std::find_if(first, keyed.end(), [&](const auto& each) { return kind_of(*each.second) != kind_of(*first->second); });
    std::sort(first, last, [](const auto& a, const auto& b) { return a.first < b.first; });
    for (; first != last; ++first) sorted.push_back(first->second);
  }
  return sorted;
}

// Throws an Error that tells the first difference.
void check(const std::vector<VariableRef>& slots, const std::vector<Tensor>& values) {
  need(values.size() == slots.size(), "the file has {} arrays, the optimizer {}", values.size(), slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i)
    need(values[i].shape() == slots[i]->shape(), "'{}' is {} in the file, wanted {}", slots[i]->path(), values[i].shape(), slots[i]->shape());
}

}  // namespace

void restore_old_state(Optimizer& optimizer, const KerasFile& file) {
  std::vector<VariableRef> slots = optimizer.variables();
  const VariableRef iteration = slots.at(0);
  slots.erase(slots.begin(), slots.begin() + (optimizer.scheduled() ? 1 : 2));

  std::vector<Tensor> values;
  const NamedTensor* steps = nullptr;
  std::size_t counters = 0;
  for (const NamedTensor& each : file.optimizer_weights) {
    if (!is_scalar(each.tensor)) values.push_back(each.tensor);
    else if (++counters == 1) steps = &each;
  }
  // Adam has, without amsgrad, a number in the place of each slot that it would have with it.
  std::erase_if(values, [](const Tensor& value) { return value.shape() == Shape{1} && value.at(0) == 0; });
  std::erase_if(slots, [](const VariableRef& slot) { return slot->shape().rank() == 0; });
  if (counters < 2) slots = by_kind(slots);  // the newer ones save the learning rate too
  if (slots.empty()) values.clear();         // SGD had moments without momentum too

  try {
    check(slots, values);
  } catch (const Error&) {
    std::vector<VariableRef> renamed = by_name(slots, file);
    if (renamed.empty()) throw;
    check(renamed, values);
    slots = std::move(renamed);
  }
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i]->assign(values[i].cast(slots[i]->type().dtype));
  if (steps) iteration->assign(steps->tensor.cast(iteration->type().dtype));
}

}  // namespace nacre
