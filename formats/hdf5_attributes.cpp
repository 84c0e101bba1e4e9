#include <algorithm>

#include "formats/hdf5_values.h"

namespace nacre::hdf5 {

namespace {

struct Attribute {
  Handle id, type, space;
};

std::optional<Attribute> find_attribute(const OpenFile& file, std::string_view path, hid_t object, std::string_view name) {
  const std::string text(name);
  const htri_t exists = H5Aexists(object, text.c_str());
  if (exists < 0) throw damaged(file, path, "read");
  if (exists == 0) return {};
  Attribute attribute;
  attribute.id = Handle(H5Aopen(object, text.c_str(), H5P_DEFAULT), H5Aclose);
  if (attribute.id) attribute.type = Handle(H5Aget_type(attribute.id.get()), H5Tclose);
  if (attribute.type) attribute.space = Handle(H5Aget_space(attribute.id.get()), H5Sclose);
  if (!attribute.space) throw damaged(file, fmt::format("{}@{}", path, name), "read");
  return attribute;
}

std::vector<std::string> attribute_texts(const OpenFile& file, std::string_view path, std::string_view name, bool list) {
  const Handle object = require_any(file, path);
  const auto attribute = find_attribute(file, path, object.get(), name);
  if (!attribute) throw error_in(file, path, fmt::format("there is no attribute '{}'", name));
  const std::string place = fmt::format("{}@{}", path, name);
  if (H5Sget_simple_extent_type(attribute->space.get()) == H5S_NULL) return list ? std::vector<std::string>{} : std::vector<std::string>{""};
  const Shape shape = shape_of(file, place, attribute->space.get());
  const std::int64_t count = shape.elements();
  if (H5Tget_class(attribute->type.get()) != H5T_STRING) {
    if (list && count == 0) return {};
    throw error_in(file, place, "it holds no text");
  }
  if (!list && count != 1) throw error_in(file, place, fmt::format("it holds {} texts, one is wanted", count));
  if (static_cast<std::uint64_t>(count) > most_names) throw error_in(file, place, fmt::format("it holds more than {} texts", most_names));
  if (count > 0 && H5Tis_variable_str(attribute->type.get()) > 0)
    check_heap(file, place, [&](HeapChecker& heap) {
      H5O_info_t info{};
      if (H5Oget_info(object.get(), &info) < 0) throw damaged(file, path, "read");
      heap.check_attribute(info.addr, name, static_cast<std::uint64_t>(count));
    });
  return read_texts(file, place, attribute->type.get(), attribute->space.get(), static_cast<std::uint64_t>(count),
                    [&](hid_t memory, void* buffer) { return H5Aread(attribute->id.get(), memory, buffer); });
}

void write_attribute(const OpenFile& file, std::string_view path, std::string_view name, hid_t type, hid_t space, const void* values) {
  ensure_writing(file);
  const Handle object = require_any(file, path);
  const std::string text(name);
  if (H5Aexists(object.get(), text.c_str()) > 0) H5Adelete(object.get(), text.c_str());
  const Handle attribute(H5Acreate2(object.get(), text.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const char nothing = 0;  // an empty list has no values, and the library takes no null
  if (!attribute || H5Awrite(attribute.get(), type, values ? values : &nothing) < 0) throw write_error(file, fmt::format("{}@{}", path, name));
}

}  // namespace

std::vector<std::string> Object::attribute_names() const {
  const Session session;
  const Handle object = require_any(*file_, path_);
  Names found;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* user) -> herr_t {
    auto& names = *static_cast<Names*>(user);
    try {
      if (names.names.size() < most_names) {
        names.names.emplace_back(name);
        return 0;
      }
    } catch (...) {
    }
    names.failed = true;
    return -1;
  };
  hsize_t position = 0;
  if (H5Aiterate2(object.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &position, add, &found) < 0) throw damaged(*file_, path_, "listed");
  std::sort(found.names.begin(), found.names.end(), natural_less);
  return std::move(found.names);
}

bool Object::has_attribute(std::string_view name) const {
  const Session session;
  const Handle object = require_any(*file_, path_);
  return H5Aexists(object.get(), std::string(name).c_str()) > 0;
}

std::string Object::text_attribute(std::string_view name) const {
  const Session session;
  return attribute_texts(*file_, path_, name, false).front();
}

std::vector<std::string> Object::texts_attribute(std::string_view name) const {
  const Session session;
  return attribute_texts(*file_, path_, name, true);
}

Tensor Object::tensor_attribute(std::string_view name) const {
  const Session session;
  const Handle object = require_any(*file_, path_);
  const auto attribute = find_attribute(*file_, path_, object.get(), name);
  if (!attribute) throw error_in(*file_, path_, fmt::format("there is no attribute '{}'", name));
  const std::string place = fmt::format("{}@{}", path_, name);
  const Reading reading = reading_of(*file_, place, attribute->type.get());
  const Type type{reading.dtype, shape_of(*file_, place, attribute->space.get())};
  if (H5Aget_storage_size(attribute->id.get()) > file_->size && !file_->output) throw damaged(*file_, place, "read");
  check_declared(*file_, place, type.bytes(), file_->size);
  Tensor tensor(type);
  if (tensor.size() > 0 && H5Aread(attribute->id.get(), reading.memory.get(), tensor.raw_writable()) < 0) throw damaged(*file_, place, "read");
  finish_reading(reading, tensor);
  return tensor;
}

void Object::set_attribute(std::string_view name, std::string_view text, Encoding encoding) {
  const Session session;
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const std::vector<std::string> texts{std::string(text)};
  const std::vector<const char*> pointers = pointers_of(*file_, path_, texts);
  write_attribute(*file_, path_, name, text_type(encoding).get(), space.get(), pointers.data());
}

void Object::set_attribute(std::string_view name, const std::vector<std::string>& texts, Encoding encoding) {
  const Session session;
  const std::vector<const char*> pointers = pointers_of(*file_, path_, texts);
  write_attribute(*file_, path_, name, text_type(encoding).get(), list_space(texts.size()).get(), pointers.data());
}

void Object::set_attribute_padded(std::string_view name, const std::vector<std::string>& texts, std::size_t size) {
  const Session session;
  size = std::max<std::size_t>(size, 1);
  for (const std::string& text : texts) size = std::max(size, text.size());
  std::string bytes;
  for (const std::string& text : texts) bytes.append(text).append(size - text.size(), '\0');
  write_attribute(*file_, path_, name, text_type(Encoding::ascii, size).get(), list_space(texts.size()).get(), bytes.data());
}

void Object::set_attribute(std::string_view name, const Tensor& values) {
  const Session session;
  write_attribute(*file_, path_, name, memory_type(values.dtype()).get(), space_of(values.shape()).get(), values.raw());
}

}  // namespace nacre::hdf5
