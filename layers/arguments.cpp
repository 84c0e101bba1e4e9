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

}  // namespace nacre
