#include "formats/hdf5_heap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "formats/file.h"

namespace nacre::hdf5 {

namespace {

constexpr std::uint64_t absent = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t reference_size = 16;  // length (4), address (8), index (4)
constexpr std::size_t most_chunks = 10'000;
constexpr unsigned continuation_type = 0x10, attribute_type = 0x0c;
constexpr unsigned shared_flag = 0x02;

// The little-endian integer of `count` bytes at `offset`; the caller has checked that they are there.
std::uint64_t integer_at(std::span<const unsigned char> bytes, std::size_t offset, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | bytes[offset + i];
  return value;
}

[[noreturn]] void wrong(std::string_view what) { throw Error("its texts are damaged: {}", what).hint("copy or download the file again"); }

std::size_t padded(std::size_t size) { return (size + 7) / 8 * 8; }

}  // namespace

HeapChecker::HeapChecker(const std::filesystem::path& path, std::uint64_t base) : base_(base) {
  do descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  while (descriptor_ < 0 && errno == EINTR);
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) throw file_error(path, "opened", errno);
  size_ = static_cast<std::uint64_t>(status.st_size);
}

HeapChecker::~HeapChecker() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void HeapChecker::read(std::uint64_t offset, std::span<unsigned char> bytes) const {
  if (offset > size_ || bytes.size() > size_ - offset) wrong("they lie outside the file");
  if (descriptor_ < 0) {
    std::memcpy(bytes.data(), bytes_.data() + offset, bytes.size());
    return;
  }
  while (!bytes.empty()) {
    const ssize_t got = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) wrong("they cannot be read");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

const std::vector<std::uint64_t>& HeapChecker::collection(std::uint64_t address) {
  const auto known = collections_.find(address);
  if (known != collections_.end()) return known->second;
  constexpr std::size_t header_size = 16;
  std::array<unsigned char, header_size> header{};
  if (address > size_) wrong("a reference leads out of the file");
  read(base_ + address, header);
  const std::uint64_t size = integer_at(header, 8, 8);
  if (std::memcmp(header.data(), "GCOL\1", 5) != 0 || size < header_size || size > size_) wrong("a reference leads nowhere");
  std::vector<unsigned char> bytes(size);
  read(base_ + address, bytes);
  std::vector<std::uint64_t> sizes;
  for (std::size_t position = header_size; size - position >= header_size;) {
    const std::size_t index = integer_at(bytes, position, 2);
    const std::uint64_t object = integer_at(bytes, position + 8, 8);
    const std::uint64_t left = size - position;
    if (object > left || (index == 0 && object < header_size)) wrong("an entry of the heap has a wrong size");
    const std::uint64_t needed = index == 0 ? object : header_size + padded(object);
    if (needed > left) wrong("an entry of the heap has a wrong size");
    if (index > 0) {
      if (index >= sizes.size()) sizes.resize(index + 1, absent);
      sizes[index] = object;
    }
    position += needed;
  }
  return collections_.emplace(address, std::move(sizes)).first->second;
}

void HeapChecker::check_references(std::uint64_t offset, std::uint64_t count) {
  if (count > size_ / reference_size) wrong("they lie outside the file");
  std::vector<unsigned char> bytes(std::min<std::uint64_t>(count, 4096) * reference_size);
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t now = std::min<std::uint64_t>(count - done, 4096);
    const std::span<unsigned char> part = std::span(bytes).first(now * reference_size);
    read(offset + done * reference_size, part);
    for (std::size_t i = 0; i < part.size(); i += reference_size) {
      const std::uint64_t length = integer_at(part, i, 4), address = integer_at(part, i + 4, 8), index = integer_at(part, i + 12, 4);
      if (address == 0) continue;  // an empty text
      const std::vector<std::uint64_t>& sizes = collection(address);
      if (index >= sizes.size() || sizes[index] == absent) wrong("a reference leads nowhere");
      if (sizes[index] != length) wrong("a text is not as long as the reference to it says");
    }
    done += now;
  }
}

// An attribute message: version, flags, sizes of name, type and space, then these and the values; padded in version 1.
bool HeapChecker::check_in_message(std::span<const unsigned char> message, std::uint64_t offset, std::string_view name, std::uint64_t count) {
  if (message.size() < 9) return false;
  const unsigned version = message[0];
  const auto size = [&](std::size_t bytes) { return version == 1 ? padded(bytes) : bytes; };
  const std::size_t name_size = integer_at(message, 2, 2);
  std::size_t position = version == 3 ? 9 : 8;
  if (version < 1 || version > 3 || position + name_size > message.size() || name_size != name.size() + 1) return false;
  if (std::memcmp(message.data() + position, name.data(), name.size()) != 0) return false;
  position += size(name_size) + size(integer_at(message, 4, 2)) + size(integer_at(message, 6, 2));
  if (position > message.size() || (message.size() - position) / reference_size < count) wrong("the attribute is too short");
  check_references(offset + position, count);
  return true;
}

bool HeapChecker::check_in_chunk(std::span<const unsigned char> chunk, std::uint64_t offset, int version, bool ordered, std::string_view name,
                                 std::uint64_t count, std::vector<std::pair<std::uint64_t, std::uint64_t>>& continuations) {
  const std::size_t header_size = version == 1 ? 8 : ordered ? 6 : 4;
  for (std::size_t position = 0; position + header_size <= chunk.size();) {
    const std::uint64_t type = version == 1 ? integer_at(chunk, position, 2) : chunk[position];
    const std::size_t size = integer_at(chunk, position + (version == 1 ? 2 : 1), 2);
    const unsigned flags = chunk[position + (version == 1 ? 4 : 3)];
    position += header_size;
    if (size > chunk.size() - position) return false;  // the gap at the end of a chunk
    const auto message = chunk.subspan(position, size);
    if (type == continuation_type && size >= 16) continuations.emplace_back(integer_at(message, 0, 8), integer_at(message, 8, 8));
    if (type == attribute_type && !(flags & shared_flag) && check_in_message(message, offset + position, name, count)) return true;
    position += size;
  }
  return false;
}

void HeapChecker::check_attribute(std::uint64_t address, std::string_view name, std::uint64_t count) {
  if (address > size_) wrong("the object lies outside the file");
  std::array<unsigned char, 16> start{};
  read(base_ + address, start);
  int version = 1;
  bool ordered = false;
  // Chunks of messages: offset and size, the first behind the header, more where continuation messages say.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> chunks;
  if (std::memcmp(start.data(), "OHDR\2", 5) == 0) {
    version = 2;
    const unsigned flags = start[5];
    ordered = flags & 0x04;
    const std::uint64_t size_at = 6 + (flags & 0x20 ? 16u : 0u) + (flags & 0x10 ? 4u : 0u), size_bytes = 1u << (flags & 3u);
    std::array<unsigned char, 8> size{};
    read(base_ + address + size_at, std::span(size).first(size_bytes));
    chunks.emplace_back(address + size_at + size_bytes, integer_at(size, 0, size_bytes));
  } else if (start[0] == 1) {
    chunks.emplace_back(address + 16, integer_at(start, 8, 4));
  } else {
    wrong("the object has no header");
  }
  for (std::size_t i = 0; i < chunks.size() && i < most_chunks; ++i) {
    auto [offset, size] = chunks[i];
    if (offset > size_ || size > size_) wrong("the object's header lies outside the file");
    std::vector<unsigned char> bytes(size);
    read(base_ + offset, bytes);
    std::span<const unsigned char> messages = bytes;
    std::uint64_t skipped = 0;
    if (version == 2 && i > 0) {  // a continuation has a signature before and a checksum behind
      if (size < 8 || std::memcmp(bytes.data(), "OCHK", 4) != 0) wrong("the object's header is damaged");
      messages = messages.subspan(4, size - 8);
      skipped = 4;
    }
    if (check_in_chunk(messages, base_ + offset + skipped, version, ordered, name, count, chunks)) return;
  }
  throw Error("its texts are stored in a form that cannot be checked").hint("write the file anew with h5py's default settings");
}

}  // namespace nacre::hdf5
