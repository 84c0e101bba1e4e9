#include "formats/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <vector>

#include "formats/descriptor.h"

namespace nacre {

namespace fs = std::filesystem;

namespace {

// Deflate cannot do better than this (zlib's technical notes): 258 bytes from two bits.
constexpr std::uint64_t best_deflate_ratio = 1032;

int open_retrying(const fs::path& path, int flags, mode_t mode = 0) {
  int descriptor;
  do descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

std::string_view reason_text(int error_number) {
  switch (error_number) {
    case ENOENT: return "no such file or folder";
    case EACCES:
    case EPERM: return "permission denied";
    case ENOSPC: return "no space left on the device";
    case EDQUOT: return "the disk quota is used up";
    case EROFS: return "the file system is read-only";
    case EISDIR: return "it is a folder";
    case ENOTDIR: return "a part of its path is a file, not a folder";
    case EFBIG: return "it would become larger than a file may be";
    default: return {};
  }
}

std::string advice(const fs::path& path, int error_number, bool writing) {
  switch (error_number) {
    case ENOENT:
      if (writing) return "create the folder first";
      return path.is_relative() ? fmt::format("check the path: it leads to {}", fs::absolute(path).string()) : "check the path";
    case EACCES:
    case EPERM: return writing ? "choose a folder that you may write to" : "ask its owner for the right to read it";
    case ENOSPC:
    case EDQUOT: return "free some space or choose a folder on another disk";
    case EROFS:
    case ENOTDIR: return writing ? "choose another folder" : "check the path";
    case EISDIR: return "name a file in it";
    default: return {};
  }
}

}  // namespace

Error file_error(const fs::path& path, std::string_view action, int error_number) {
  const bool writing = action != "opened" && action != "read";
  std::string reason(reason_text(error_number));
  if (reason.empty()) reason = std::generic_category().message(error_number);
  Error error("cannot be {}: {}", action, reason);
  error.at(Mark{path.string()});
  error.hint(advice(path, error_number, writing));
  if (error_number == ENOENT || error_number == ENOTDIR || error_number == EISDIR) error.usage();
  return error;
}

// --- reading -----------------------------------------------------------------------------------------------------

struct FileReader::State {
  fs::path path;
  Descriptor descriptor;
  std::uint64_t file_size = 0;   // 0 when it is not known (a pipe)
  bool sized = false;
  std::uint64_t raw_position = 0;  // bytes taken from the file
  std::uint64_t position = 0;      // bytes given to the caller
  std::vector<unsigned char> buffer = std::vector<unsigned char>(std::size_t{1} << 16);
  std::size_t begin = 0, end = 0;  // what is left of the buffer
  bool file_ended = false;
  bool gzipped = false;
  bool member_ended = false;  // of gzip: only another member or the end of the file may follow
  std::optional<std::byte> peeked;  // the next byte, when at_end() has looked at it
  z_stream stream{};

  State(fs::path name, int opened) : path(std::move(name)), descriptor(opened) {}
  ~State() {
    if (gzipped) inflateEnd(&stream);
  }

  std::size_t read_raw(unsigned char* bytes, std::size_t count) {
    std::size_t done = 0;
    while (done < count) {
      const ssize_t got = ::read(descriptor.get(), bytes + done, count - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw file_error(path, "read", errno);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    raw_position += done;
    return done;
  }

  void fill() {
    begin = 0;
    end = read_raw(buffer.data(), buffer.size());
    file_ended = end < buffer.size();
  }

  std::size_t read_plain(std::byte* bytes, std::size_t count) {
    std::size_t done = std::min(count, end - begin);
    std::memcpy(bytes, buffer.data() + begin, done);
    begin += done;
    if (done < count && !file_ended) {
      const std::size_t got = read_raw(reinterpret_cast<unsigned char*>(bytes) + done, count - done);
      file_ended = got < count - done;
      done += got;
    }
    return done;
  }

  std::size_t read_some(std::byte* bytes, std::size_t count) {
    return gzipped ? read_gzip(bytes, count) : read_plain(bytes, count);
  }

  [[noreturn]] void damaged(std::string_view reason) const {
    throw Error("the gzip data is damaged near byte {} of the file: {}", raw_position - (end - begin), reason)
        .at(Mark{path.string()})
        .hint("copy or download the file again");
  }

  std::size_t read_gzip(std::byte* bytes, std::size_t count) {
    std::size_t done = 0;
    while (done < count) {
      if (begin == end && !file_ended) fill();
      if (member_ended) {
        if (begin == end) break;
        // Members may follow each other; padding with zeros is what tapes leave.
        if (buffer[begin] == 0) {
          ++begin;
          continue;
        }
        if (inflateReset(&stream) != Z_OK) damaged("zlib could not be reset");
        member_ended = false;
      }
      stream.next_in = buffer.data() + begin;
      stream.avail_in = static_cast<uInt>(end - begin);
      stream.next_out = reinterpret_cast<unsigned char*>(bytes) + done;
      const auto wanted = static_cast<uInt>(std::min<std::size_t>(count - done, std::size_t{1} << 30));
      stream.avail_out = wanted;
      const int result = inflate(&stream, Z_NO_FLUSH);
      begin = end - stream.avail_in;
      const std::size_t got = wanted - stream.avail_out;
      done += got;
      if (result == Z_STREAM_END) member_ended = true;
      else if (result == Z_MEM_ERROR) throw Error("out of memory while unpacking").at(Mark{path.string()});
      else if (result != Z_OK && result != Z_BUF_ERROR) damaged(stream.msg ? stream.msg : "unknown gzip error");
      else if (got == 0 && begin == end && file_ended)
        throw Error("the gzip data ends too early, after {} bytes ({} unpacked)", raw_position, position + done)
            .at(Mark{path.string()})
            .hint("the file was cut off: copy or download it again");
    }
    return done;
  }
};

FileReader::FileReader(fs::path path) {
  const int opened = open_retrying(path, O_RDONLY);
  if (opened < 0) throw file_error(path, "opened", errno);
  state_ = std::make_unique<State>(std::move(path), opened);
  struct stat status {};
  if (::fstat(opened, &status) != 0) throw file_error(state_->path, "read", errno);
  if (S_ISDIR(status.st_mode)) throw file_error(state_->path, "read", EISDIR);
  // Files of /proc say 0 and have more.
  state_->sized = S_ISREG(status.st_mode) && status.st_size > 0;
  state_->file_size = state_->sized ? static_cast<std::uint64_t>(status.st_size) : 0;
  state_->fill();
  if (state_->end >= 2 && state_->buffer[0] == 0x1f && state_->buffer[1] == 0x8b) {
    if (inflateInit2(&state_->stream, 15 + 16) != Z_OK) throw Error("zlib could not be started").at(Mark{state_->path.string()});
    state_->gzipped = true;
  }
}

FileReader::~FileReader() = default;
FileReader::FileReader(FileReader&&) noexcept = default;
FileReader& FileReader::operator=(FileReader&&) noexcept = default;

const fs::path& FileReader::path() const { return state_->path; }
bool FileReader::gzipped() const { return state_->gzipped; }
std::uint64_t FileReader::position() const { return state_->position; }

std::uint64_t FileReader::remaining_at_most() const {
  if (!state_->sized) return default_file_limit;
  const std::uint64_t left = state_->file_size - std::min(state_->file_size, state_->raw_position) +
                             (state_->end - state_->begin) + (state_->peeked ? 1 : 0);
  // The unpacker holds back a window of 32 KiB at most.
  return state_->gzipped ? (left + 16) * best_deflate_ratio + 32768 : left;
}

std::size_t FileReader::read(std::span<std::byte> bytes) {
  std::size_t got = 0;
  if (state_->peeked && !bytes.empty()) {
    bytes[got++] = *state_->peeked;
    state_->peeked.reset();
  }
  if (got < bytes.size()) got += state_->read_some(bytes.data() + got, bytes.size() - got);
  state_->position += got;
  return got;
}

void FileReader::read_exactly(std::span<std::byte> bytes, std::string_view what) {
  const std::uint64_t before = position();
  if (const std::size_t got = read(bytes); got < bytes.size())
    throw Error("the file ends after {} bytes, within {} ({} bytes more wanted)", before + got, what, bytes.size() - got)
        .at(Mark{path().string()})
        .hint("the file was cut off: copy or download it again");
}

bool FileReader::at_end() {
  // Whether a stream is at its end shows only when it is asked for more.
  if (!state_->peeked) {
    std::byte next{};
    if (state_->read_some(&next, 1) == 1) state_->peeked = next;
  }
  return !state_->peeked;
}

namespace {

[[noreturn]] void too_large(const fs::path& path, std::uint64_t limit) {
  throw Error("the file is larger than the {} bytes that may be read here", limit).at(Mark{path.string()});
}

}  // namespace

std::string read_file(const fs::path& path, std::uint64_t limit) {
  const Descriptor descriptor(open_retrying(path, O_RDONLY));
  if (descriptor.get() < 0) throw file_error(path, "opened", errno);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) throw file_error(path, "read", errno);
  if (S_ISDIR(status.st_mode)) throw file_error(path, "read", EISDIR);
  std::uint64_t expected = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
  if (expected > limit) too_large(path, limit);
  std::string bytes;
  std::size_t done = 0;
  while (true) {
    if (done == bytes.size()) bytes.resize(std::max<std::size_t>({done + 1, static_cast<std::size_t>(expected) + 1, done + done / 2}));
    const ssize_t got = ::read(descriptor.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw file_error(path, "read", errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
    if (done > limit) too_large(path, limit);
  }
  bytes.resize(done);
  return bytes;
}

std::string read_file_unpacked(const fs::path& path, std::uint64_t limit) {
  FileReader reader(path);
  if (!reader.gzipped() && reader.remaining_at_most() > limit && reader.remaining_at_most() != default_file_limit)
    too_large(path, limit);
  std::string bytes;
  std::size_t done = 0;
  while (true) {
    const std::uint64_t hint = reader.gzipped() ? 0 : std::min(reader.remaining_at_most(), std::uint64_t{1} << 26);
    bytes.resize(std::max<std::size_t>({std::size_t{1} << 16, done + done / 2, done + static_cast<std::size_t>(hint) + 1}));
    const std::size_t wanted = bytes.size() - done;
    const std::size_t got = reader.read(std::as_writable_bytes(std::span(bytes).subspan(done)));
    done += got;
    if (done > limit) too_large(path, limit);
    if (got < wanted) break;
  }
  bytes.resize(done);
  return bytes;
}

// --- writing -----------------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view temporary_ending = ".part";
constexpr int most_links = 40;  // that lead to one another

// The names of temporary files: ".model.h5.<process>-<number>.part".
std::string temporary_prefix(const fs::path& target) {
  return "." + target.filename().string().substr(0, 160) + ".";
}

// Removes what killed processes left of earlier attempts at the same target.
void remove_leftovers(const fs::path& folder, const std::string& prefix) {
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(temporary_ending)) continue;
    long process = 0;
    const char* digits = name.data() + prefix.size();
    const auto [after, problem] = std::from_chars(digits, name.data() + name.size(), process);
    if (problem != std::errc{} || *after != '-' || process <= 0) continue;
    if (::kill(static_cast<pid_t>(process), 0) == 0 || errno != ESRCH) continue;
    // Another machine may be writing to the same disk: its processes are unknown here, so only old files go.
    std::error_code stale;
    const auto written = fs::last_write_time(entry->path(), stale);
    if (!stale && now - written > std::chrono::minutes(10)) fs::remove(entry->path(), stale);
  }
}

}  // namespace

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw file_error(folder, "created", error.value());
}

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)) {
  if (target_.filename().empty()) throw file_error(target_, "written", EISDIR);
  struct stat status {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) throw file_error(target_, "written", EISDIR);
  if (exists && !S_ISREG(status.st_mode)) {
    direct_ = true;
    descriptor_ = open_retrying(target_, O_WRONLY);
    if (descriptor_ < 0) throw file_error(target_, "written", errno);
    return;
  }
  final_ = target_;
  if (std::error_code error; exists) {
    if (fs::path followed = fs::canonical(target_, error); !error) final_ = std::move(followed);
    // Renaming needs no right to the file itself; a file that is protected stays so nevertheless.
    if (::access(final_.c_str(), W_OK) != 0) throw file_error(target_, "written", errno);
  } else {  // a link to nothing yet: the file comes where it points
    for (int links = 0; links < most_links && fs::is_symlink(final_, error); ++links)
      final_ = final_.parent_path() / fs::read_symlink(final_, error);
  }
  const fs::path folder = final_.has_parent_path() ? final_.parent_path() : fs::path(".");
  const std::string prefix = temporary_prefix(final_);
  remove_leftovers(folder, prefix);
  static std::atomic<unsigned> count{0};
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = folder / fmt::format("{}{}-{}{}", prefix, ::getpid(), count++, temporary_ending);
    descriptor_ = open_retrying(temporary_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    if (descriptor_ < 0 && (errno != EEXIST || attempt > 100)) throw file_error(target_, "written", errno);
  }
  if (exists) (void)!::fchmod(descriptor_, status.st_mode & 07777);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::move(other.temporary_)), final_(std::move(other.final_)),
      descriptor_(std::exchange(other.descriptor_, -1)), direct_(other.direct_) {}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  if (!direct_) {
    ::unlink(temporary_.c_str());
    (void)!::ftruncate(descriptor_, 0);  // frees the space even where a library still holds the file open
  }
  ::close(std::exchange(descriptor_, -1));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  ensure(descriptor_ >= 0, "'{}' is written to after commit()", target_.string());
  while (!bytes.empty()) {
    const ssize_t done = ::write(descriptor_, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw file_error(target_, "written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  ensure(descriptor_ >= 0 && !direct_, "'{}' is written to after commit(), or is no file", target_.string());
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(descriptor_, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30),
                                  static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw file_error(target_, "written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

void AtomicFile::write(std::string_view bytes) { write(std::as_bytes(std::span(bytes))); }

void AtomicFile::flush() {
  ensure(descriptor_ >= 0, "'{}' is flushed after commit()", target_.string());
  if (!direct_ && ::fsync(descriptor_) != 0 && errno != EINVAL) throw file_error(target_, "written", errno);
}

void AtomicFile::commit() {
  ensure(descriptor_ >= 0, "'{}' is committed twice", target_.string());
  if (direct_) {
    const int result = ::close(std::exchange(descriptor_, -1));
    if (result != 0 && errno != EINTR) throw file_error(target_, "written", errno);
    return;
  }
  flush();
  if (::rename(temporary_.c_str(), final_.c_str()) != 0) throw file_error(target_, "written", errno);
  ::close(std::exchange(descriptor_, -1));
  // The name itself must reach the disk too; some file systems cannot do that for folders.
  const Descriptor folder(open_retrying(final_.has_parent_path() ? final_.parent_path() : fs::path("."), O_RDONLY | O_DIRECTORY));
  if (folder.get() >= 0) (void)!::fsync(folder.get());
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace nacre
