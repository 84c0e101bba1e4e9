#include <algorithm>
#include <array>
#include <iterator>

#include "formats/hdf5_chunks.h"
#include "formats/hdf5_values.h"

namespace nacre::hdf5 {

namespace {

constexpr hsize_t most_text_chunks = 10'000;  // each is looked up in time that grows with their number

struct OpenDataset {
  Handle id, type, space;
  Shape shape;
};

OpenDataset open_dataset(const OpenFile& file, std::string_view path) {
  OpenDataset dataset;
  dataset.id = require_object(file, path, H5I_DATASET, "dataset");
  dataset.type = Handle(H5Dget_type(dataset.id.get()), H5Tclose);
  dataset.space = Handle(H5Dget_space(dataset.id.get()), H5Sclose);
  if (!dataset.type || !dataset.space) throw damaged(file, path, "read");
  dataset.shape = shape_of(file, path, dataset.space.get());
  return dataset;
}

Tensor read_tensor(const OpenFile& file, std::string_view path, std::int64_t begin, std::int64_t end, bool all) {
  const OpenDataset dataset = open_dataset(file, path);
  const Reading reading = reading_of(file, path, dataset.type.get());
  Type type{reading.dtype, dataset.shape};
  check_layout(file, path, dataset.id.get(), std::max<std::uint64_t>(type.bytes(), static_cast<std::uint64_t>(dataset.shape.elements()) * H5Tget_size(dataset.type.get())));
  Handle memory_space;
  if (!all) {
    ensure(type.shape.rank() > 0, "rows of the scalar '{}'", path);
    if (begin < 0 || end < begin || end > type.shape[0])
      throw error_in(file, path, fmt::format("rows {} to {} are wanted of {}", begin, end, type.shape[0]));
    std::vector<hsize_t> starts(static_cast<std::size_t>(type.shape.rank()), 0), counts(type.shape.begin(), type.shape.end());
    starts[0] = static_cast<hsize_t>(begin);
    counts[0] = static_cast<hsize_t>(end - begin);
    type.shape.set(0, end - begin);
    memory_space = space_of(type.shape);
    if (type.shape.elements() > 0 && H5Sselect_hyperslab(dataset.space.get(), H5S_SELECT_SET, starts.data(), nullptr, counts.data(), nullptr) < 0)
      throw damaged(file, path, "read");
  }
  Tensor tensor = Tensor::uninitialised(type);
  if (tensor.size() == 0) return tensor;
  check_chunks(file, path, dataset.id.get(), dataset.shape, all ? 0 : begin, all ? dataset.shape.rank() ? dataset.shape[0] : 0 : end, !all);
  const hid_t file_space = all ? H5S_ALL : dataset.space.get();
  if (H5Dread(dataset.id.get(), reading.memory.get(), all ? H5S_ALL : memory_space.get(), file_space, H5P_DEFAULT, tensor.raw_writable()) < 0)
    throw damaged(file, path, "read");
  finish_reading(reading, tensor);
  return tensor;
}

// The references of variable texts lie in one piece or in chunks; those of packed chunks cannot be looked up.
void check_text_heap(const OpenFile& file, std::string_view path, hid_t dataset, hid_t space, std::uint64_t count) {
  check_heap(file, path, [&](HeapChecker& heap) {
    const Handle properties(H5Dget_create_plist(dataset), H5Pclose);
    const H5D_layout_t layout = H5Pget_layout(properties.get());
    if (layout == H5D_CONTIGUOUS) {
      const haddr_t offset = H5Dget_offset(dataset);
      if (offset != HADDR_UNDEF) heap.check_references(offset, count);
      return;
    }
    hsize_t chunks = 0, size = 0;
    if (layout == H5D_CHUNKED && H5Pget_nfilters(properties.get()) == 0 && H5Dget_num_chunks(dataset, space, &chunks) >= 0 && chunks <= most_text_chunks) {
      std::array<hsize_t, H5S_MAX_RANK> offset{};
      unsigned mask = 0;
      haddr_t address = 0;
      for (hsize_t i = 0; i < chunks; ++i) {
        if (H5Dget_chunk_info(dataset, space, i, offset.data(), &mask, &address, &size) < 0) throw damaged(file, path, "read");
        heap.check_references(address, size / 16);
      }
      return;
    }
    throw Error("its texts are stored in a form that cannot be checked").hint("store them without compression, or with a fixed length");
  });
}

}  // namespace

bool Dataset::holds_text() const {
  const Session session;
  const OpenDataset dataset = open_dataset(*file_, path_);
  return H5Tget_class(dataset.type.get()) == H5T_STRING;
}

Shape Dataset::shape() const {
  const Session session;
  return open_dataset(*file_, path_).shape;
}

Type Dataset::type() const {
  const Session session;
  const OpenDataset dataset = open_dataset(*file_, path_);
  return {reading_of(*file_, path_, dataset.type.get()).dtype, dataset.shape};
}

Tensor Dataset::tensor() const {
  const Session session;
  return read_tensor(*file_, path_, 0, 0, true);
}

Tensor Dataset::rows(std::int64_t begin, std::int64_t end) const {
  const Session session;
  return read_tensor(*file_, path_, begin, end, false);
}

std::vector<std::string> Dataset::texts() const {
  const Session session;
  const OpenDataset dataset = open_dataset(*file_, path_);
  if (H5Tget_class(dataset.type.get()) != H5T_STRING) throw error_in(*file_, path_, "it holds no texts");
  const auto count = static_cast<std::uint64_t>(dataset.shape.elements());
  const std::uint64_t declared = count * std::max<std::uint64_t>(H5Tget_size(dataset.type.get()), sizeof(char*));
  check_layout(*file_, path_, dataset.id.get(), declared);
  if (declared > most_text) throw error_in(*file_, path_, fmt::format("its texts are longer than {} MiB", most_text >> 20));
  if (dataset.shape.rank() > 0) check_chunks(*file_, path_, dataset.id.get(), dataset.shape, 0, dataset.shape[0], false);
  if (H5Tis_variable_str(dataset.type.get()) > 0) check_text_heap(*file_, path_, dataset.id.get(), dataset.space.get(), count);
  // Many variable texts may lie at one place of the file, so they are read by parts and their sum is watched. None
  // is longer than the file.
  const std::uint64_t part = std::clamp<std::uint64_t>(most_text / std::max<std::uint64_t>(file_->size, 1), 1, 1024);
  if (H5Tis_variable_str(dataset.type.get()) <= 0 || count <= part)
    return read_texts(*file_, path_, dataset.type.get(), dataset.space.get(), count, [&](hid_t memory, void* buffer) {
      return H5Dread(dataset.id.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
    });
  std::vector<std::string> texts;
  const auto rank = static_cast<std::size_t>(dataset.shape.rank());
  std::vector<hsize_t> coordinates;
  std::uint64_t total = 0;
  for (std::uint64_t begin = 0; begin < count; begin += part) {
    const std::uint64_t size = std::min(part, count - begin);
    coordinates.assign(size * rank, 0);
    for (std::uint64_t i = 0; i < size; ++i) {
      std::uint64_t index = begin + i;
      for (std::size_t axis = rank; axis-- > 0;) {
        const auto extent = static_cast<std::uint64_t>(dataset.shape[static_cast<int>(axis)]);
        coordinates[i * rank + axis] = index % extent;
        index /= extent;
      }
    }
    const Handle memory_space = list_space(size);
    H5Sselect_elements(dataset.space.get(), H5S_SELECT_SET, size, coordinates.data());
    auto some = read_texts(*file_, path_, dataset.type.get(), memory_space.get(), size, [&](hid_t memory, void* buffer) {
      return H5Dread(dataset.id.get(), memory, memory_space.get(), dataset.space.get(), H5P_DEFAULT, buffer);
    });
    for (const std::string& text : some) total += text.size();
    if (total > most_text) throw error_in(*file_, path_, fmt::format("its texts are longer than {} MiB", most_text >> 20));
    std::move(some.begin(), some.end(), std::back_inserter(texts));
  }
  return texts;
}

}  // namespace nacre::hdf5
