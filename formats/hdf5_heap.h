// What the HDF5 library leaves unchecked when it reads texts of variable length.
//
// Such a text is a reference (length, address, index) into a "global heap collection" elsewhere in the file. The
// library believes the reference and the collection; one that lies makes it write beyond its buffers or run forever.
// So the references that are about to be read are looked up here first, in the bytes of the file.
// Source: HDF5 File Format Specification 3.0, III.E (global heap), IV.A (object headers).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string_view>
#include <vector>

namespace nacre::hdf5 {

// Not for several threads at once.
class HeapChecker {
 public:
  // `base` is the size of the user block, which addresses do not count.
  HeapChecker(const std::filesystem::path& path, std::uint64_t base);
  // Of a file that lies in memory, for as long as the checker is used.
  HeapChecker(std::string_view bytes, std::uint64_t base) : bytes_(bytes), base_(base), size_(bytes.size()) {}
  ~HeapChecker();
  HeapChecker(const HeapChecker&) = delete;
  HeapChecker& operator=(const HeapChecker&) = delete;

  // Checks the `count` references of an attribute of the object whose header is at `address`. Throws Error, without a
  // mark, when one of them is wrong or the attribute is stored in a form that cannot be looked into.
  void check_attribute(std::uint64_t address, std::string_view name, std::uint64_t count);
  // Checks `count` references that lie at `offset` from the start of the file.
  void check_references(std::uint64_t offset, std::uint64_t count);

 private:
  void read(std::uint64_t offset, std::span<unsigned char> bytes) const;
  bool check_in_chunk(std::span<const unsigned char> chunk, std::uint64_t offset, int version, bool ordered, std::string_view name,
                      std::uint64_t count, std::vector<std::pair<std::uint64_t, std::uint64_t>>& continuations);
  bool check_in_message(std::span<const unsigned char> message, std::uint64_t offset, std::string_view name, std::uint64_t count);
  const std::vector<std::uint64_t>& collection(std::uint64_t address);

  int descriptor_ = -1;
  std::string_view bytes_;  // where there is no descriptor
  std::uint64_t base_ = 0, size_ = 0;
  std::map<std::uint64_t, std::vector<std::uint64_t>> collections_;  // by address: sizes of the objects by index
};

}  // namespace nacre::hdf5
