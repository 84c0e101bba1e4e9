#include "api/zoo.h"

namespace nacre {

std::optional<std::string> zoo_name(const std::filesystem::path& path) {
  constexpr std::string_view prefix = "zoo:";
  const std::string& text = path.native();
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

ZooOpener& zoo_opener() {
  static ZooOpener opener;
  return opener;
}

std::shared_ptr<FunctionalLayer> open_zoo_model(const std::string& name, const ZooOptions& options) {
  if (!zoo_opener())
    throw Error("this program has no model zoo")
        .about(fmt::format("'{}'", name))
        .hint("enable_zoo() of models_zoo/zoo.h adds it")
        .usage();
  return zoo_opener()(name, options);
}

}  // namespace nacre
