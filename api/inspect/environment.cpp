#include "api/inspect/environment.h"

#include <array>
#include <fstream>

#include "api/version.h"
#include "backend/core/parallel.h"
#include "formats/libraries.h"

namespace nacre {

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

// As the system calls it; "" where it does not say.
std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name"))
      if (const std::size_t colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
  return {};
}

}  // namespace

Tree environment() {
  Tree tree, sets = Tree::sequence(), libraries = Tree::mapping();
  tree.set("version", version());
  if (const std::string name = processor(); !name.empty()) tree.set("processor", name);
  for (const std::string& name : instruction_sets()) sets.push(name);
  tree.set("instruction_sets", std::move(sets));
  tree.set("threads", threads());
  for (const auto& [name, text] : library_versions()) libraries.set(name, text);
  tree.set("libraries", std::move(libraries));
  return tree;
}

}  // namespace nacre
