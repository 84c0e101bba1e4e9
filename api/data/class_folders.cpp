#include "api/data/class_folders.h"

#include <algorithm>
#include <numeric>

#include "backend/core/error.h"
#include "backend/core/random.h"

namespace nacre {

namespace {

namespace fs = std::filesystem;

bool hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

[[noreturn]] void refuse(const fs::path& folder, const std::error_code& failure) {
  throw Error("the folder cannot be read: {}", failure.message()).at({folder.string(), 0, 0}).usage();
}

fs::file_status status_of(const fs::directory_entry& entry) {
  std::error_code ignored;
  return entry.status(ignored);
}

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; entry != end && !failure; entry.increment(failure))
    if (fs::is_directory(status_of(*entry)) && !hidden(entry->path())) names.push_back(entry->path().filename().string());
  if (failure) refuse(folder, failure);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<fs::path> files_below(const fs::path& folder, const std::function<bool(const fs::path&)>& accepts) {
  std::vector<fs::path> files;
  std::error_code failure;
  for (fs::recursive_directory_iterator entry(folder, failure), end; entry != end && !failure; entry.increment(failure)) {
    const fs::file_status status = status_of(*entry);
    if (hidden(entry->path())) {
      if (fs::is_directory(status)) entry.disable_recursion_pending();
    } else if (accepts(entry->path()) && (fs::is_regular_file(status) || !fs::status_known(status))) {
      files.push_back(entry->path());  // what cannot be looked at (a link to itself) is a damaged file to its reader
    }
  }
  if (failure) refuse(folder, failure);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

ClassFiles files_of_classes(const fs::path& folder, const std::vector<std::string>& classes,
                            const std::function<bool(const fs::path&)>& accepts, std::string_view noun,
                            std::string_view kinds) {
  const Mark mark{folder.string(), 0, 0};
  if (!fs::is_directory(folder)) throw Error("there is no such folder").at(mark).usage();
  ClassFiles result{{}, {}, folders_in(folder)};
  if (!classes.empty()) {
    for (const std::string& name : classes)
      if (!std::ranges::binary_search(result.classes, name))
        throw Error("there is no folder of class '{}'", name).at(mark).hint(suggestion(name, {result.classes.begin(), result.classes.end()})).usage();
    result.classes = classes;
  }
  for (std::size_t label = 0; label < result.classes.size(); ++label) {
    const std::vector<fs::path> files = files_below(folder / result.classes[label], accepts);
    result.files.insert(result.files.end(), files.begin(), files.end());
    result.labels.resize(result.files.size(), static_cast<std::int32_t>(label));
  }
  if (result.files.empty())
    throw Error("no {} were found", noun).at(mark).hint(fmt::format("wanted one folder per class with {} files", kinds)).usage();
  return result;
}

std::vector<std::size_t> mixed_order(const std::vector<std::int32_t>& labels, std::uint64_t seed) {
  std::vector<std::vector<std::size_t>> classes;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto label = static_cast<std::size_t>(labels[i]);
    if (label >= classes.size()) classes.resize(label + 1);
    classes[label].push_back(i);
  }
  std::vector<double> places(labels.size());  // in [0, 1)
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const std::vector<std::size_t>& samples = classes[label];
    RandomStream random(RandomKey::of(seed, "mix", static_cast<std::uint32_t>(label)));
    const std::vector<std::int64_t> shuffled = permutation(random, static_cast<std::int64_t>(samples.size()));
    for (std::size_t i = 0; i < samples.size(); ++i)
      places[samples[static_cast<std::size_t>(shuffled[i])]] = (static_cast<double>(i) + 0.5) / static_cast<double>(samples.size());
  }
  std::vector<std::size_t> order(labels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(places[a], labels[a]) < std::pair(places[b], labels[b]);
  });
  return order;
}

}  // namespace nacre
