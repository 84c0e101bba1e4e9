#include "backend/core/cache_folder.h"

#include <cstdlib>

namespace nacre {

namespace fs = std::filesystem;

fs::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (const fs::path home = variable("NACRE_HOME"); !home.empty()) return home;
  if (const fs::path cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "nacre";
  if (const fs::path home = variable("HOME"); !home.empty()) return home / ".cache/nacre";
  return {};
}

}  // namespace nacre
