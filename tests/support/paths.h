// Places that tests read from and write to.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace nacre::test {

// A file or folder of the data that is shared between checkouts and never committed: under $NACRE_SHARED, else in
// ../shared beside the source root. Nothing when it is absent.
inline std::optional<std::filesystem::path> shared_path(std::string_view relative) {
  const char* folder = std::getenv("NACRE_SHARED");
  const std::filesystem::path root = folder ? folder : std::filesystem::path(NACRE_SOURCE_DIR) / ".." / "shared";
  std::error_code ignored;
  if (std::filesystem::path path = root / relative; std::filesystem::exists(path, ignored)) return path;
  return std::nullopt;
}

// What GTEST_SKIP() says when shared data is absent:
//   const auto path = shared_path("data/mnist");
//   if (!path) GTEST_SKIP() << absent("data/mnist");
inline std::string absent(std::string_view relative) {
  return "skipped: " + std::string(relative) + " is not in $NACRE_SHARED or ../shared";
}

// An empty folder that is removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nacre-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::filesystem::filesystem_error("mkdtemp", pattern, std::error_code(errno, std::generic_category()));
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// Makes a file of these bytes, without waiting for the disk.
inline void write_plainly(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// The whole text of the exception that `work` throws, or "" when it throws none.
template <class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace nacre::test
