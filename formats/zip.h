// Zip archives: npz files, .keras models.
//
// Entries are stored or deflated. What they declare is checked against the archive's size before it is unpacked; links
// and names that would leave a folder matter to nobody, since nothing is unpacked to disk.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/file.h"

namespace nacre {

class ZipReader {
 public:
  explicit ZipReader(const std::filesystem::path& path);
  ~ZipReader();
  ZipReader(ZipReader&&) noexcept;
  ZipReader& operator=(ZipReader&&) noexcept;

  const std::vector<std::string>& names() const;  // in the archive's order
  std::string read(std::string_view name, std::uint64_t limit = default_file_limit) const;  // checks the checksum

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// An archive that appears under its name with commit(), whole. Entries are stored, not compressed, and carry no time,
// so that the same content gives the same bytes.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path);
  ~ZipWriter();

  void add(std::string_view name, std::string bytes);
  void add_file(std::string_view name, std::filesystem::path file);  // which must lie there until commit()
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nacre
