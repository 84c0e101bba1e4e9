#include <algorithm>
#include <array>

#include "backend/backend.h"
#include "backend/onednn/onednn.h"

namespace nacre {

const KernelRow* Backend::row(const Node& node) const {
  const std::span<const KernelRow> rows = table();
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const KernelRow& row) {
    return node.is(*row.op) && (!row.fits || row.fits(node));
  });
  return found == rows.end() ? nullptr : &*found;
}

std::span<const Backend* const> backends() {
  static const std::array<const Backend*, 2> compiled_in{&onednn_backend(), &reference_backend()};
  return compiled_in;
}

const Backend& backend_for(std::string_view device) {
  std::vector<std::string_view> known;
  for (const Backend* backend : backends()) {
    if (backend->name() == device) return *backend;
    known.push_back(backend->name());
  }
  if (device == "gpu") throw Error("no GPU backend in this build: use --device cpu").usage();
  throw Error("unknown device '{}'", device).hint(suggestion(device, known)).usage();
}

}  // namespace nacre
