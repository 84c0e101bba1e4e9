// What is fuzzed: every reader of files, from bytes to the value it gives.
#pragma once

#include <filesystem>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nacre::test {

struct FuzzTarget {
  std::string_view name;
  std::string_view file_name;  // readers look at the extension
  void (*read)(const std::filesystem::path& file);
  std::vector<std::string> (*seeds)();  // good files, small ones
};

inline void PrintTo(const FuzzTarget& target, std::ostream* out) { *out << target.name; }

std::span<const FuzzTarget> fuzz_targets();
const FuzzTarget& fuzz_target(std::string_view name);

// Puts the bytes into the file and reads it. A nacre::Error is an answer; any other exception leaves.
void read_bytes(const FuzzTarget& target, const std::filesystem::path& folder, std::string_view bytes);

}  // namespace nacre::test
