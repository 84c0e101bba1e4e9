#include "backend/cudnn/module/kernel_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <vector>

#include "backend/core/cache_folder.h"

namespace nacre::gpu {

namespace fs = std::filesystem;

namespace {

// Fowler, Noll and Vo's FNV-1a.
std::uint64_t hash(std::string_view text, std::uint64_t state = 0xcbf29ce484222325ull) {
  for (const char c : text) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return state;
}

// What an entry begins with; the source, what it was made for and the image follow.
struct Head {
  char magic[8] = {'n', 'a', 'c', 'r', 'e', 'g', 'p', '1'};
  std::uint64_t source = 0, made_for = 0, image = 0;  // bytes
  std::uint64_t sum = 0;                              // of all that follows
};

constexpr std::uintmax_t largest_entry = std::uintmax_t{64} << 20;

std::string whole_file(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error || size > largest_entry) return {};
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  return file ? bytes : std::string();
}

}  // namespace

fs::path kernel_folder() {
  const fs::path folder = cache_folder();
  return folder.empty() ? folder : folder / "kernels";
}

KernelCache::KernelCache(fs::path folder, std::uintmax_t most_bytes)
    : folder_(std::move(folder)), most_bytes_(most_bytes) {}

fs::path KernelCache::entry(std::string_view source, std::string_view made_for) const {
  return folder_ / fmt::format("{:016x}", hash(made_for, hash(source)));
}

std::optional<std::string> KernelCache::find(std::string_view source, std::string_view made_for) const {
  if (folder_.empty()) return {};
  const fs::path path = entry(source, made_for);
  const std::string bytes = whole_file(path);
  Head head, wanted;
  if (bytes.size() < sizeof head) return {};
  std::memcpy(&head, bytes.data(), sizeof head);
  const std::string_view rest = std::string_view(bytes).substr(sizeof head);
  if (std::memcmp(head.magic, wanted.magic, sizeof head.magic) != 0 || head.source != source.size() ||
      head.made_for != made_for.size() || head.image > rest.size() ||
      rest.size() - head.image != source.size() + made_for.size() || head.sum != hash(rest) ||
      !rest.starts_with(source) || rest.substr(source.size(), made_for.size()) != made_for)
    return {};
  std::error_code ignored;
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
  return std::string(rest.substr(source.size() + made_for.size()));
}

void KernelCache::keep(std::string_view source, std::string_view made_for, std::string_view image) {
  const std::uintmax_t size = sizeof(Head) + source.size() + made_for.size() + image.size();
  if (folder_.empty() || size > largest_entry) return;
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return;
  const std::string rest = fmt::format("{}{}{}", source, made_for, image);
  Head head;
  head.source = source.size(), head.made_for = made_for.size(), head.image = image.size(), head.sum = hash(rest);
  std::string temporary = (folder_ / "new.XXXXXX").string();
  const int descriptor = ::mkstemp(temporary.data());
  if (descriptor < 0) return;
  const auto write = [&](const void* bytes, std::size_t count) {
    return ::write(descriptor, bytes, count) == static_cast<ssize_t>(count);
  };
  // A crash of the machine may leave fewer bytes than were written; the sum tells.
  bool written = write(&head, sizeof head) && write(rest.data(), rest.size());
  written = ::close(descriptor) == 0 && written;
  if (written) fs::rename(temporary, entry(source, made_for), error);
  if (!written || error) fs::remove(temporary, error);
  kept_ += size;
  if (!looked_ || kept_ > most_bytes_ / 4) make_room(), looked_ = true, kept_ = 0;
}

void KernelCache::make_room() const {
  struct Entry {
    fs::file_time_type used;
    std::uintmax_t size;
    fs::path path;
  };
  std::vector<Entry> entries;
  std::uintmax_t total = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    const std::uintmax_t size = at->file_size(gone);
    const fs::file_time_type used = at->last_write_time(gone);
    if (gone) continue;  // by another process
    entries.push_back({used, size, at->path()});
    total += size;
  }
  if (total <= most_bytes_) return;
  std::ranges::sort(entries, {}, &Entry::used);
  for (const Entry& oldest : entries) {
    if (total <= most_bytes_ / 2) break;
    fs::remove(oldest.path, error);
    total -= oldest.size;
  }
}

}  // namespace nacre::gpu
