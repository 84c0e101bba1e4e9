// Reading files whole or as a stream, gzipped or not, and writing them whole or not at all.
//
// Every error carries the path as its mark and says what to do: "x.gz: the gzip data ends too early, …".
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backend/core/error.h"

namespace nacre {

// Bytes of a file that are read into memory at once unless the caller allows more.
inline constexpr std::uint64_t default_file_limit = std::uint64_t{1} << 32;

// The error of a failed system call: says what could not be done, why, and what to do.
// `action` is the participle: file_error(path, "opened", errno) → "x.csv: cannot be opened: no such file".
Error file_error(const std::filesystem::path& path, std::string_view action, int error_number);

// A file read from front to back. Gzip is recognised by its first bytes and unpacked on the way.
class FileReader {
 public:
  explicit FileReader(std::filesystem::path path);
  ~FileReader();
  FileReader(FileReader&&) noexcept;
  FileReader& operator=(FileReader&&) noexcept;

  const std::filesystem::path& path() const;
  bool gzipped() const;
  std::uint64_t position() const;    // unpacked bytes read so far
  // No more than this many bytes can be left: the size of the file less what was read, or for gzip what so many
  // packed bytes can unpack to at best. Sizes that a header declares are checked against it before allocating.
  std::uint64_t remaining_at_most() const;

  std::size_t read(std::span<std::byte> bytes);  // how many came; fewer than wanted only at the end of the file
  void read_exactly(std::span<std::byte> bytes, std::string_view what);  // throws when the file ends within `what`
  bool at_end();  // also notices a gzip stream whose last bytes are missing

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The bytes of a file as they are. Files of more than `limit` bytes are refused.
std::string read_file(const std::filesystem::path& path, std::uint64_t limit = default_file_limit);
// The bytes of a file, unpacked when it is gzipped; `limit` is for the unpacked bytes.
std::string read_file_unpacked(const std::filesystem::path& path, std::uint64_t limit = default_file_limit);

// Makes a folder, and those that it lies in, unless it is there.
void make_folder(const std::filesystem::path& folder);

// A file that appears under its name only when it is complete: it is written to a temporary file in the same folder,
// flushed to the disk and renamed by commit(). Without commit(), or when the process dies, what stood under the name
// before stays as it was. Devices and pipes (/dev/stdout) are written to directly. A link is followed.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  void write(std::string_view bytes);
  void write(std::span<const std::byte> bytes);
  // Over what stands at that place, or behind it; not for devices and pipes.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  const std::filesystem::path& target() const { return target_; }
  // Where the bytes lie until commit(): libraries that want a name (HDF5) write there themselves.
  const std::filesystem::path& temporary() const { return temporary_; }
  void flush();   // all is on the disk, so that commit() only gives it its name: for files that belong together
  void commit();

 private:
  void discard() noexcept;

  std::filesystem::path target_, temporary_;
  std::filesystem::path final_;  // the target with links followed
  int descriptor_ = -1;
  bool direct_ = false;  // the target is no regular file: there is no temporary one
};

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace nacre
