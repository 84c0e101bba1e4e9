#include "layers/arguments.h"

#include <algorithm>

namespace nacre {

Value argument(const Layer& layer, const CallArguments& arguments, std::string_view name) {
  const std::vector<std::string_view> names = layer.argument_names();
  const auto place = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  if (place < arguments.inputs.size()) return arguments.inputs[place];
  const auto named = arguments.named.find(std::string(name));
  return named != arguments.named.end() && !named->second.empty() ? named->second.front() : Value();
}

bool flag(const CallArguments& arguments, std::string_view name, bool otherwise) {
  const Tree* option = arguments.options.find(name);
  return option && !option->is_null() ? option->as_bool() : otherwise;
}

void check_argument(const Layer& layer, std::string_view name) {
  std::vector<std::string_view> known{"mask", "training"};
  for (const auto& names : {layer.argument_names(), layer.keyword_names()}) known.insert(known.end(), names.begin(), names.end());
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw Error("{}: the call has no argument '{}'", layer.label(), name).hint(suggestion(name, known)).usage();
}

}  // namespace nacre
