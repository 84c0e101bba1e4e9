// Reading files that nobody vouches for: the libraries that take them apart (HDF5 above all has open memory errors on
// malformed files) run in a child process that can do nothing but read those files and hand plain data back.
//
// In the child memory, processor time, open files and system calls are limited: it cannot write, connect, start
// programs or make memory executable, and where the kernel has Landlock (Linux 5.13) it can open the given files alone.
// What it hands back is checked again (see wire.h). Linux only; elsewhere an Error says so.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "formats/wire.h"

namespace nacre {

struct Confinement {
  std::vector<std::filesystem::path> files;          // that may be opened for reading, and folders with all in them
  std::uint64_t memory = std::uint64_t{1} << 30;     // bytes, beyond what the process has already
  std::uint64_t result = std::uint64_t{1} << 30;     // bytes handed back
  int seconds = 60;                                  // of processor time; twice as many by the clock

  // Limits that grow with the sizes of the files.
  static Confinement for_files(std::vector<std::filesystem::path> files);
};

// Runs `work` in the child and returns its bytes. Errors thrown there are thrown here, and an Error says when the child
// crashed or met a limit. May be called from any thread; `work` must not wait for other threads.
std::string confined_bytes(const Confinement& limits, const std::function<std::string()>& work);

// The same for structures that `carry` describes.
template <class T, class Read>
T confined(const Confinement& limits, Read&& read) {
  return from_wire<T>(confined_bytes(limits, [&] { return to_wire<T>(read()); }));
}

}  // namespace nacre
