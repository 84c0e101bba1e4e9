#include <cstdio>

#include "api/distribute/processes.h"
#include "api/inspect/environment.h"
#include "backend/backend.h"
#include "cli/verbs.h"
#include "formats/json.h"

namespace nacre::cli {

namespace {

std::string gpu_reason() {
  try {
    backend_for("gpu");
    return "";
  } catch (const Error& error) {
    return error.message();
  }
}

// What joins processes that mpirun starts, or why there is nothing.
struct Mpi {
  std::string library{}, reason{};
};
Mpi found_mpi() {
  try {
    return {.library = mpi_library()};
  } catch (const Error& error) {
    return {.reason = error.message()};
  }
}

}  // namespace

int doctor(bool json) {
  const Tree found = environment();
  Tree report, list = Tree::sequence();
  report.set("version", found["version"]);
  for (const Backend* backend : backends()) {
    Tree entry;
    entry.set("device", backend->name());
    entry.set("description", backend->description());
    list.push(std::move(entry));
  }
  report.set("backends", std::move(list));
  const std::string reason = gpu_reason();
  report.set("gpu", reason.empty() ? Tree("ready") : Tree(reason));
  const Mpi mpi = found_mpi();
  report.set("mpi", mpi.library.empty() ? Tree() : Tree(mpi.library));
  for (const auto& [key, value, mark] : found.entries())
    if (key != "version") report.set(key, value);
  if (json) {
    std::puts(write_json(report, 2).c_str());
    return 0;
  }
  fmt::print("nacre {}\n\nbackends\n", found["version"].as_string());
  for (const Backend* backend : backends()) fmt::print("  {:<10} {}\n", backend->name(), backend->description());
  if (!reason.empty()) fmt::print("  {:<10} {}\n", "gpu", "not used: " + reason);
  fmt::print("\nseveral processes\n  {:<10} {}\n", "mpi", mpi.library.empty() ? "not used: " + mpi.reason : mpi.library);
  std::string sets;
  for (const Tree& name : found["instruction_sets"].items()) sets += (sets.empty() ? "" : " ") + name.as_string();
  fmt::print("\nprocessor\n");
  if (const Tree* name = found.find("processor")) fmt::print("  {:<10} {}\n", "name", name->as_string());
  fmt::print("  {:<10} {}\n  {:<10} {}\n\nlibraries\n", "sets", sets, "threads", found["threads"].as_integer());
  for (const auto& [name, version, mark] : found["libraries"].entries())
    fmt::print("  {:<10} {}\n", name, version.as_string());
  return 0;
}

}  // namespace nacre::cli
