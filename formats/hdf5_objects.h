// What the parts of the HDF5 reader and writer share: the lock of the library, its identifiers, open files, errors, and
// finding objects by their path. For the files hdf5_*.cpp alone.
#pragma once

#define H5_USE_110_API  // newer libraries keep these names for it
#include <hdf5.h>
#include <pthread.h>

#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/hdf5_heap.h"
#include "formats/hdf5_lzf.h"

namespace nacre::hdf5 {

inline constexpr std::size_t most_names = 1'000'000;  // of objects, attributes, or texts in one attribute

// Held during every call of the library, which also makes it silent.
class Session {
 public:
  Session() : lock_(mutex()) {
    static const bool started = [] {
      // The library's own work at exit crashes when a file could not be closed because the disk was full.
      H5dont_atexit();
      H5open();
      H5PLset_loading_state(0);  // filters that a file names are never searched for on disk
      register_lzf();
      // A child process finds the lock free, whichever thread was at work.
      pthread_atfork([] { mutex().lock(); }, [] { mutex().unlock(); }, [] { new (&mutex()) std::recursive_mutex; });
      return true;
    }();
    (void)started;
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5Eclear2(H5E_DEFAULT);
  }

 private:
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex instance;
    return instance;
  }
  std::lock_guard<std::recursive_mutex> lock_;
};

// An identifier with the function that closes it. Lives within one Session.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  explicit operator bool() const { return id_ >= 0; }
  hid_t get() const { return id_; }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

struct OpenFile {
  std::filesystem::path path;
  std::optional<AtomicFile> output;  // when writing to disk
  std::string bytes;                 // when reading what lies in memory
  std::uint64_t size = 0;            // when reading: of the file
  std::unique_ptr<HeapChecker> heap; // when reading
  // By dataset: chunks that check_chunks has found sound; under the lock of a Session.
  mutable std::unordered_map<std::string, std::unordered_set<std::uint64_t>> sound_chunks;
  // When reading: the objects on the way that find_object went last, below the root, by name. The next way mostly begins
  // like it, and each step of it is slow.
  mutable std::vector<std::pair<std::string, Handle>> trail;
  hid_t id = H5I_INVALID_HID;

  ~OpenFile() {
    const Session session;
    trail.clear();
    if (id >= 0) H5Fclose(id);
  }
};

// The innermost reason of the last failure.
std::string library_reason();
Error error_in(const OpenFile& file, std::string_view path, std::string message);
Error damaged(const OpenFile& file, std::string_view path, std::string_view action);
// The error of a failed write: full disks and the like are told apart by the error number in the library's text.
Error write_error(const OpenFile& file, std::string_view path);
void ensure_writing(const OpenFile& file);

// Splits "a/b" into its parts.
std::vector<std::string> parts_of(std::string_view path);
std::string joined(std::string_view parent, std::string_view child);
// Digits as numbers, the rest as bytes.
bool natural_less(const std::string& a, const std::string& b);

// The object at an absolute path, reached over hard links alone; an empty handle when there is none.
Handle find_object(const OpenFile& file, std::string_view path);
Handle require_object(const OpenFile& file, std::string_view path, H5I_type_t kind, std::string_view kind_name);
Handle require_any(const OpenFile& file, std::string_view path);

// Names as the library lists them, which stops at a limit.
struct Names {
  std::vector<std::string> names;
  bool failed = false;
};
std::vector<std::string> list_names(const OpenFile& file, hid_t group, std::string_view path);

}  // namespace nacre::hdf5
