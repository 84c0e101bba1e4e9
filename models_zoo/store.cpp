#include "models_zoo/store.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "api/model_file.h"
#include "backend/core/cache_folder.h"
#include "formats/digest.h"
#include "formats/file.h"

namespace nacre::zoo {

namespace fs = std::filesystem;

namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

// An installed program has its weights in ../share beside it; one that was just built in the source.
std::vector<fs::path> shipped_folders() {
  std::vector<fs::path> folders;
  std::error_code error;
  if (const fs::path program = fs::read_symlink("/proc/self/exe", error); !error)
    folders.push_back(program.parent_path().parent_path() / "share/nacre/zoo");
  folders.emplace_back(NACRE_ZOO_INSTALLED);
  folders.emplace_back(NACRE_ZOO_SOURCE);
  return folders;
}

std::string checksum(const Weights& weights) {
  std::string sum = weights.sha256 ? *weights.sha256 : weights.md5.value_or("");
  std::ranges::transform(sum, sum.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return sum;
}

// A download of something else under the same name is told apart: by its checksum, else by where it is from.
fs::path fetched_file(const Weights& weights) {
  std::string sum = checksum(weights);
  if (sum.empty()) sum = digest_of(weights.address.value(), Digest::sha256);
  return fetched_folder() / (sum.substr(0, 8) + "-" + weights.file_name());
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

fs::path fetched_folder() {
  if (const fs::path folder = cache_folder(); !folder.empty()) return folder / "zoo";
  throw Error("there is no folder for fetched weights").hint("NACRE_HOME names one").usage();
}

std::optional<fs::path> find(const ZooModel& model, const Weights& weights) {
  if (weights.file) {
    for (const fs::path& folder : model.folder.empty() ? shipped_folders() : std::vector{model.folder})
      if (is_file(folder / *weights.file)) return folder / *weights.file;
    return std::nullopt;
  }
  const fs::path file = fetched_file(weights);
  return is_file(file) ? std::optional(file) : std::nullopt;
}

Known verify(const fs::path& file, const Weights& weights) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  if (error) throw file_error(file, "read", error.value());
  if (weights.size && size != static_cast<std::uintmax_t>(*weights.size))
    throw Error("the file has {} bytes, wanted {}", size, *weights.size).at({file.string()});
  const std::string wanted = checksum(weights);
  if (wanted.empty()) {
    if (is_architecture(kind_of_file(file))) throw Error("the file holds no weights").at({file.string()});
    return Known::by_opening;
  }
  const std::string found = digest_of_file(file, weights.sha256 ? Digest::sha256 : Digest::md5);
  if (found != wanted)
    throw Error("the {} is {}, wanted {}", weights.sha256 ? "SHA-256" : "MD5", found, wanted).at({file.string()});
  return Known::by_checksum;
}

namespace {

bool is_good(const fs::path& file, const Weights& weights) {
  try {
    verify(file, weights);
    return true;
  } catch (const Error&) {
    return false;
  }
}

Error missing(const ZooModel& model, const Weights& weights, std::string_view how) {
  return Error("the weights '{}' of '{}' lie in a file that is {}: {}", weights.name, model.name, how,
               (model.folder / *weights.file).string())
      .hint(model.folder.empty() ? "it belongs to the program: install nacre again"
                                 : "the manifest that NACRE_ZOO names says so");
}

}  // namespace

Error with_hint(const Error& error, std::string hint) {
  Error told(error.message());
  told.at(error.mark()).about(error.subject()).hint(std::move(hint));
  for (const std::string& scope : error.scopes()) told.within(scope);
  if (error.kind() == Error::Kind::usage) told.usage();
  return told;
}

fs::path fetch(const ZooModel& model, const Weights& weights, const FetchProgress& progress, const std::string& mirror,
               bool again) {
  const std::optional<fs::path> present = find(model, weights);
  if (present && !(again && !is_good(*present, weights))) return *present;
  if (!weights.address) throw missing(model, weights, present ? "damaged" : "missing");
  const fs::path file = fetched_file(weights);
  make_folder(file.parent_path());
  std::vector<std::string> addresses;
  if (const std::string& base = mirror.empty() ? variable("NACRE_ZOO_MIRROR") : mirror; !base.empty()) {
    if (base.find("://") == std::string::npos)
      throw Error("a mirror is an address, got '{}'", base)
          .hint(fmt::format("file://{} of a folder, or https://…", fs::absolute(base).lexically_normal().string()))
          .usage();
    addresses.push_back(base + (base.ends_with('/') ? "" : "/") + weights.file_name());
  }
  addresses.push_back(*weights.address);
  bool stopped = false;
  std::vector<std::string> failures;
  for (std::size_t i = 0;; ++i) {
    try {
      HttpDownload request{.address = addresses[i], .file = file};
      if (weights.size) request.size = static_cast<std::uint64_t>(*weights.size);
      request.check = [&](const fs::path& fetched) { verify(fetched, weights); };
      if (progress)
        request.progress = [&](const DownloadState& state) {
          stopped = !progress(weights.file_name(), state);
          return !stopped;
        };
      download(request);
      return file;
    } catch (Error& error) {
      if (i + 1 < addresses.size() && !stopped) {
        const bool named = error.message().find(addresses[i]) != std::string::npos;
        failures.push_back(named ? error.message() : addresses[i] + ": " + error.message());
        continue;
      }
      for (const std::string& before : failures) error.within("after " + before);
      error.within(fmt::format("while fetching the weights '{}' of '{}'", weights.name, model.name));
      if (stopped) throw;
      const std::string_view join = error.hint_text().empty() ? "" : error.hint_text().ends_with('?') ? " " : "; ";
      throw with_hint(error,
                      fmt::format("{}{}where the file is at hand, zoo:{}?weights=FILE takes it, or it is put at {}",
                                  error.hint_text(), join, model.name, file.string()));
    }
  }
}

}  // namespace nacre::zoo
