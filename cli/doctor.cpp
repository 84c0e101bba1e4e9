#include <array>
#include <cstdio>

#include "api/version.h"
#include "backend/backend.h"
#include "backend/core/parallel.h"
#include "cli/verbs.h"
#include "formats/json.h"
#include "formats/libraries.h"

namespace nacre::cli {

namespace {

// The instruction sets that make a difference to kernels, as the processor reports them.
std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const std::array<std::pair<const char*, bool>, 8> known{{{"sse4.2", __builtin_cpu_supports("sse4.2")},
                                                           {"avx", __builtin_cpu_supports("avx")},
                                                           {"avx2", __builtin_cpu_supports("avx2")},
                                                           {"fma", __builtin_cpu_supports("fma")},
                                                           {"avx512f", __builtin_cpu_supports("avx512f")},
                                                           {"avx512vnni", __builtin_cpu_supports("avx512vnni")},
                                                           {"avx512bf16", __builtin_cpu_supports("avx512bf16")},
                                                           {"avx512vl", __builtin_cpu_supports("avx512vl")}}};
  for (const auto& [name, supported] : known)
    if (supported) names.emplace_back(name);
#endif
  return names;
}

std::string gpu_reason() {
  try {
    backend_for("gpu");
    return "";
  } catch (const Error& error) {
    return error.message();
  }
}

}  // namespace

int doctor(bool json) {
  Tree report, list = Tree::sequence(), sets = Tree::sequence();
  report.set("version", version());
  for (const Backend* backend : backends()) {
    Tree entry;
    entry.set("device", backend->name());
    entry.set("description", backend->description());
    list.push(std::move(entry));
  }
  report.set("backends", std::move(list));
  const std::string reason = gpu_reason();
  report.set("gpu", reason.empty() ? Tree("ready") : Tree(reason));
  for (const std::string& name : instruction_sets()) sets.push(name);
  report.set("instruction_sets", std::move(sets));
  report.set("threads", threads());
  Tree libraries = Tree::mapping();
  for (const auto& [name, text] : library_versions()) libraries.set(name, text);
  report.set("libraries", std::move(libraries));
  if (json) {
    std::puts(write_json(report, 2).c_str());
    return 0;
  }
  fmt::print("nacre {}\n\nbackends\n", version());
  for (const Backend* backend : backends()) fmt::print("  {:<10} {}\n", backend->name(), backend->description());
  if (!reason.empty()) fmt::print("  {:<10} {}\n", "gpu", "not used: " + reason);
  std::string text;
  for (const std::string& name : instruction_sets()) text += (text.empty() ? "" : " ") + name;
  fmt::print("\nprocessor\n  {:<10} {}\n  {:<10} {}\n\nlibraries\n", "sets", text, "threads", threads());
  for (const auto& [name, found] : library_versions()) fmt::print("  {:<10} {}\n", name, found);
  return 0;
}

}  // namespace nacre::cli
