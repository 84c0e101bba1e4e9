#include "api/data/class_folders.h"

#include <algorithm>
#include <numeric>
#include <set>

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

// Files that are none of those that are wanted.
struct Others {
  std::size_t count = 0;
  std::set<std::string> endings;
  void add(const fs::path& path) {
    ++count;
    endings.insert(path.has_extension() ? path.extension().string() : "without an ending");
  }
  std::string text() const {
    if (count == 0) return {};
    constexpr std::size_t most_named = 3;
    std::string named;
    std::size_t number = 0;
    for (const std::string& ending : endings) {
      if (++number > most_named) break;
      named += (named.empty() ? "" : ", ") + ending;
    }
    return fmt::format("; {} other file{} ({}{})", count, count == 1 ? "" : "s", named,
                       endings.size() > most_named ? ", …" : "");
  }
};

std::vector<fs::path> files_below(const fs::path& folder, const std::function<bool(const fs::path&)>& accepts,
                                  Others& others) {
  std::vector<fs::path> files;
  std::error_code failure;
  for (fs::recursive_directory_iterator entry(folder, failure), end; entry != end && !failure; entry.increment(failure)) {
    const fs::file_status status = status_of(*entry);
    if (hidden(entry->path())) {
      if (fs::is_directory(status)) entry.disable_recursion_pending();
    } else if (accepts(entry->path()) && (fs::is_regular_file(status) || !fs::status_known(status))) {
      files.push_back(entry->path());  // what cannot be looked at (a link to itself) is a damaged file to its reader
    } else if (fs::is_regular_file(status)) {
      others.add(entry->path());
    }
  }
  if (failure) refuse(folder, failure);
  std::sort(files.begin(), files.end());
  return files;
}

Error no_folder(const fs::path& folder) {
  const fs::path whole = fs::absolute(folder).lexically_normal(),
                 named = whole.has_filename() ? whole : whole.parent_path();
  std::error_code ignored;
  std::vector<std::string> beside;
  for (fs::directory_iterator entry(named.parent_path(), ignored), end; entry != end && !ignored;
       entry.increment(ignored))
    if (fs::is_directory(status_of(*entry))) beside.push_back(entry->path().filename().string());
  const std::string_view near = nearest(named.filename().string(), {beside.begin(), beside.end()});
  return Error("there is no such folder")
      .at({folder.string(), 0, 0})
      .hint(near.empty() ? fmt::format("it leads to {}", named.string()) : fmt::format("did you mean '{}'?", near))
      .usage();
}

// Nothing was found in the folders of a folder.
Error no_files(const fs::path& folder, const std::function<bool(const fs::path&)>& accepts, std::string_view noun,
               std::string_view kinds, std::pair<std::string_view, std::string_view> others, const Others& found) {
  std::error_code ignored;
  bool flat = false;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end && !ignored && !flat; entry.increment(ignored))
    flat = fs::is_regular_file(status_of(*entry)) && !hidden(entry->path()) && accepts(entry->path());
  if (flat)
    return Error("{} lie in it, but there is no folder for each class", noun)
        .at({folder.string(), 0, 0})
        .hint("name the folder that holds the folders of the classes")
        .usage();
  std::string hint = fmt::format("wanted one folder per class with {} files", kinds);
  if (found.endings.contains(std::string(others.first)))
    hint += fmt::format("; '{0}' reads those with {1} ({0}:{2} on a command line)", others.second, others.first,
                        folder.string());
  return Error("no {} were found", noun).at({folder.string(), 0, 0}).hint(std::move(hint)).usage();
}

}  // namespace

ClassFiles files_of_classes(const fs::path& folder, const std::vector<std::string>& classes,
                            const std::function<bool(const fs::path&)>& accepts, std::string_view noun,
                            std::string_view kinds, std::pair<std::string_view, std::string_view> others) {
  const Mark mark{folder.string(), 0, 0};
  if (!fs::is_directory(folder)) throw no_folder(folder);
  ClassFiles result{{}, {}, folders_in(folder), {}};
  if (!classes.empty()) {
    for (const std::string& name : classes)
      if (!std::ranges::binary_search(result.classes, name))
        throw Error("there is no folder of class '{}'", name).at(mark).hint(suggestion(name, {result.classes.begin(), result.classes.end()})).usage();
    result.classes = classes;
  }
  Others passed_over;
  for (std::size_t label = 0; label < result.classes.size(); ++label) {
    const std::vector<fs::path> files = files_below(folder / result.classes[label], accepts, passed_over);
    result.files.insert(result.files.end(), files.begin(), files.end());
    result.labels.resize(result.files.size(), static_cast<std::int32_t>(label));
  }
  if (result.files.empty()) throw no_files(folder, accepts, noun, kinds, others, passed_over);
  result.passed_over = passed_over.text();
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
