#include "formats/hdf5_chunks.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

namespace nacre::hdf5 {

namespace {

constexpr std::uint64_t checksum_bytes = 4;  // of Fletcher's checksum, at the end

// Unpacks a stream of zlib; how long it was, none when it is damaged or longer than `out`.
std::optional<std::size_t> unpack_zlib(std::span<unsigned char> packed, std::span<unsigned char> out) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return std::nullopt;
  std::size_t in = 0, place = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    constexpr std::size_t most = 1 << 30;  // zlib counts in 32 bits
    stream.next_in = packed.data() + in;
    stream.avail_in = static_cast<uInt>(std::min(packed.size() - in, most));
    stream.next_out = out.data() + place;
    stream.avail_out = static_cast<uInt>(std::min(out.size() - place, most));
    const uInt given = stream.avail_in, room = stream.avail_out;
    status = inflate(&stream, Z_SYNC_FLUSH);
    in += given - stream.avail_in, place += room - stream.avail_out;
  }
  inflateEnd(&stream);
  return status == Z_STREAM_END ? std::optional(place) : std::nullopt;
}

class ChunkChecker {
 public:
  ChunkChecker(const OpenFile& file, std::string_view path, hid_t dataset, const Shape& shape)
      : file_(file), path_(path), dataset_(dataset), shape_(shape), sizes_(static_cast<std::size_t>(shape.rank())) {
    const Handle properties(H5Dget_create_plist(dataset), H5Pclose), type(H5Dget_type(dataset), H5Tclose);
    if (!properties || !type || H5Pget_chunk(properties.get(), shape.rank(), sizes_.data()) != shape.rank())
      throw damaged(file, path, "read");
    bytes_ = H5Tget_size(type.get());
    for (const hsize_t size : sizes_) bytes_ *= size;
    if (bytes_ == 0) throw damaged(file, path, "read");
    for (int i = 0; i < H5Pget_nfilters(properties.get()); ++i) {
      unsigned flags = 0;
      std::size_t count = 0;
      filters_.push_back(
          H5Pget_filter2(properties.get(), static_cast<unsigned>(i), &flags, &count, nullptr, 0, nullptr, nullptr));
    }
    unsigned options = 0;
    if (H5Pget_chunk_opts(properties.get(), &options) < 0) throw damaged(file, path, "read");
    plain_edges_ = options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS;
  }

  const std::vector<hsize_t>& sizes() const { return sizes_; }

  void check(const std::vector<hsize_t>& offset) {
    if (filters_.empty()) return check_plain(offset);
    hsize_t stored = 0;
    if (H5Dget_chunk_storage_size(dataset_, offset.data(), &stored) < 0) throw damaged(file_, path_, "read");
    if (stored > file_.size) refuse(stored);
    const bool packed = !plain_edges_ || !at_the_edge(offset);
    if (!packed && stored == bytes_) return;
    data_.resize(std::max<std::size_t>(stored, 1));
    std::uint32_t skipped = 0;
    if (H5Dread_chunk(dataset_, H5P_DEFAULT, offset.data(), &skipped, data_.data()) < 0) {
      if (stored == 0) return;  // there is no such chunk
      throw damaged(file_, path_, "read");
    }
    data_.resize(stored);
    if (!packed) refuse(stored);
    undo_filters(skipped);
  }

 private:
  // Without filters the library gives a whole chunk's size for the stored one. So it is seen by whether a chunk that is
  // read reaches its last byte. None is longer than the file, or than 32 bits can say.
  void check_plain(const std::vector<hsize_t>& offset) {
    if (!room_)
      room_ = std::make_unique_for_overwrite<unsigned char[]>(
          std::max(bytes_, std::min(file_.size, std::uint64_t{1} << 32)));
    for (const unsigned char mark : {0x00, 0xff}) {
      std::uint32_t skipped = 0;
      room_[bytes_ - 1] = mark;
      if (H5Dread_chunk(dataset_, H5P_DEFAULT, offset.data(), &skipped, room_.get()) < 0) return;  // there is none
      if (room_[bytes_ - 1] != mark) return;
    }
    throw error_in(file_, path_, fmt::format("a chunk holds less than its {} bytes", bytes_))
        .hint("the file is damaged or hostile");
  }

  void undo_filters(std::uint32_t skipped) {
    std::uint64_t size = data_.size();
    bool known = true;  // whether data_ is what the next filter gets
    for (std::size_t i = filters_.size(); i-- > 0;) {
      if (i < 32 && (skipped >> i & 1)) continue;
      switch (filters_[i]) {
        case H5Z_FILTER_SHUFFLE: known = false; break;
        case H5Z_FILTER_FLETCHER32:
          if (size < checksum_bytes) refuse(size);
          size -= checksum_bytes;
          break;
        case H5Z_FILTER_DEFLATE: {
          if (!known)
            throw error_in(file_, path_, "its filters stand in an order in which they cannot be checked")
                .hint("store it with shuffle before gzip, or without compression");
          data_.resize(size);
          unpacked_.resize(bytes_ + bytes_ / 8 + 1024);  // other filters may have made it longer before it was packed
          const auto length = unpack_zlib(data_, unpacked_);
          if (!length) throw damaged(file_, path_, "read");
          size = *length;
          unpacked_.resize(size);
          std::swap(data_, unpacked_);
          break;
        }
        case lzf_filter:
          if (known) {
            data_.resize(size);
            unpacked_.resize(bytes_);
            if (!unpack_lzf(data_, unpacked_)) throw damaged(file_, path_, "read");
            std::swap(data_, unpacked_);
          }
          size = bytes_;  // as its parameters say
          break;
        default: return;
      }
    }
    if (size != bytes_) refuse(size);
  }

  bool at_the_edge(const std::vector<hsize_t>& offset) const {
    for (std::size_t axis = 0; axis < sizes_.size(); ++axis)
      if (offset[axis] + sizes_[axis] > static_cast<hsize_t>(shape_[static_cast<int>(axis)])) return true;
    return false;
  }

  [[noreturn]] void refuse(std::uint64_t found) const {
    throw error_in(file_, path_, fmt::format("a chunk holds {} bytes, wanted {}", found, bytes_))
        .hint("the file is damaged or hostile");
  }

  const OpenFile& file_;
  std::string_view path_;
  hid_t dataset_;
  const Shape& shape_;
  std::vector<hsize_t> sizes_;
  std::uint64_t bytes_ = 0;  // of a whole chunk
  std::vector<H5Z_filter_t> filters_;
  bool plain_edges_ = false;  // whether chunks that reach beyond the dataset are stored as they are
  std::vector<unsigned char> data_, unpacked_;
  std::unique_ptr<unsigned char[]> room_;  // not initialised, so that what is not read takes no memory
};

}  // namespace

void check_chunks(const OpenFile& file, std::string_view path, hid_t dataset, const Shape& shape, std::int64_t begin,
                  std::int64_t end, bool again) {
  const Handle properties(H5Dget_create_plist(dataset), H5Pclose);
  if (!properties) throw damaged(file, path, "read");
  if (H5Pget_layout(properties.get()) != H5D_CHUNKED || shape.elements() == 0 || begin >= end) return;
  if (H5Dget_storage_size(dataset) == 0 && H5Pget_nfilters(properties.get()) == 0) return;
  ChunkChecker checker(file, path, dataset, shape);
  std::unordered_set<std::uint64_t>* const sound = again ? &file.sound_chunks[std::string(path)] : nullptr;
  const std::size_t rank = checker.sizes().size();
  std::vector<hsize_t> place(rank, 0);  // in chunks
  std::vector<hsize_t> counts(rank), offset(rank);
  for (std::size_t axis = 0; axis < rank; ++axis)
    counts[axis] = (static_cast<hsize_t>(shape[static_cast<int>(axis)]) - 1) / checker.sizes()[axis] + 1;
  place[0] = static_cast<hsize_t>(begin) / checker.sizes()[0];
  counts[0] = static_cast<hsize_t>(end - 1) / checker.sizes()[0] + 1;
  while (place[0] < counts[0]) {
    std::uint64_t number = 0;
    for (std::size_t axis = 0; axis < rank; ++axis) {
      number = axis == 0 ? place[0] : number * counts[axis] + place[axis];
      offset[axis] = place[axis] * checker.sizes()[axis];
    }
    if (!sound || !sound->contains(number)) {
      checker.check(offset);
      if (sound) sound->insert(number);
    }
    std::size_t axis = rank - 1;
    while (axis > 0 && place[axis] + 1 == counts[axis]) place[axis--] = 0;
    ++place[axis];
  }
}

}  // namespace nacre::hdf5
