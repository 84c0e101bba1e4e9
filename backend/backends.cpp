#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/backend.h"
#include "backend/cudnn/backend.h"
#include "backend/cudnn/module.h"
#include "backend/onednn/onednn.h"

namespace nacre {

const KernelRow* Backend::row(const Node& node) const {
  const std::span<const KernelRow> rows = table();
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const KernelRow& row) {
    return node.is(*row.op) && (!row.fits || row.fits(node, *this));
  });
  return found == rows.end() ? nullptr : &*found;
}

void Backend::copy(void* to, const void* from, std::size_t bytes) const {
  if (bytes > 0) std::memcpy(to, from, bytes);
}
void Backend::clear(void* memory, std::size_t bytes) const {
  if (bytes > 0) std::memset(memory, 0, bytes);
}

namespace {

struct Gpu {
  const Backend* backend = nullptr;
  std::string reason;  // why there is none
};

// Looked for when it is first asked for: NVIDIA's libraries take time and memory. It is never closed, since what other
// objects that live as long as the program have of it is released after them.
const Gpu& found_gpu() {
  static const Gpu found = [] {
    try {
      return Gpu{gpu::backend_on(gpu::open_device()).release(), {}};
    } catch (const Error& error) {
      return Gpu{nullptr, error.line()};
    }
  }();
  return found;
}

std::vector<const Backend*> all_backends() {
  std::vector<const Backend*> all{&onednn_backend(), &reference_backend()};
  if (found_gpu().backend) all.push_back(found_gpu().backend);
  return all;
}

}  // namespace

std::span<const Backend* const> backends() {
  static const std::vector<const Backend*> all = all_backends();
  return all;
}

const Backend& backend_for(std::string_view device) {
  for (const Backend* backend : {&onednn_backend(), &reference_backend()})
    if (backend->name() == device) return *backend;
  if (device != "gpu")
    throw Error("unknown device '{}'", device).hint(suggestion(device, {"cpu", "gpu", "reference"})).usage();
  if (!found_gpu().backend) throw Error(std::string(found_gpu().reason)).usage();
  return *found_gpu().backend;
}

}  // namespace nacre
