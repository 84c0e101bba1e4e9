// Compiled kernels on disk, so that a model compiles its kernels once on a machine: an entry for each source, target and
// compiler. Entries are written whole or not at all, several processes may share the folder, and what is damaged counts
// as not there. A folder that cannot be written keeps nothing, which is no error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace nacre::gpu {

class KernelCache {
 public:
  // "" keeps nothing. When more than `most_bytes` lie there, the entries that were used longest ago go.
  explicit KernelCache(std::filesystem::path folder, std::uintmax_t most_bytes = std::uintmax_t{256} << 20);

  // `made_for` tells compilers and targets apart: "sm_90 by NVRTC 13.0".
  std::optional<std::string> find(std::string_view source, std::string_view made_for) const;
  void keep(std::string_view source, std::string_view made_for, std::string_view image);

 private:
  std::filesystem::path entry(std::string_view source, std::string_view made_for) const;
  void make_room() const;

  std::filesystem::path folder_;
  std::uintmax_t most_bytes_;
  std::uintmax_t kept_ = 0;  // bytes since room was made last
  bool looked_ = false;
};

// NACRE_HOME/kernels, else XDG_CACHE_HOME/nacre/kernels, else ~/.cache/nacre/kernels; "" where none of them is named.
std::filesystem::path kernel_folder();

}  // namespace nacre::gpu
