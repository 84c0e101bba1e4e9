// HDF5 files: groups, datasets and attributes.
//
// Files are read with distrust: soft and external links, external and virtual datasets, and datasets that declare far
// more than is stored are refused, sizes are checked before anything is allocated, and no filter plugins are loaded.
// A new file appears under its name only with commit(), whole. Errors carry the file and the path within it.
// The library under it is used by one thread at a time, whichever threads call.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre::hdf5 {

struct OpenFile;  // what the objects of one file share; the file closes when the last of them goes

// How texts are marked in a file: Keras writes names as ASCII and some texts as UTF-8.
enum class Encoding { ascii, utf8 };

// A group or a dataset: what has a path and attributes.
class Object {
 public:
  const std::string& path() const { return path_; }  // "/model_weights/dense"

  std::vector<std::string> attribute_names() const;
  bool has_attribute(std::string_view name) const;
  std::string text_attribute(std::string_view name) const;
  // A list of texts; an empty list of numbers counts as one, which is how h5py writes an empty list.
  std::vector<std::string> texts_attribute(std::string_view name) const;
  Tensor tensor_attribute(std::string_view name) const;  // numbers; a scalar has rank 0

  void set_attribute(std::string_view name, std::string_view text, Encoding encoding = Encoding::utf8);
  void set_attribute(std::string_view name, const std::vector<std::string>& texts, Encoding encoding = Encoding::utf8);
  // Texts of one fixed size, that of the longest or more, padded with zeros: how NumPy's arrays of bytes are written.
  void set_attribute_padded(std::string_view name, const std::vector<std::string>& texts, std::size_t size = 0);
  void set_attribute(std::string_view name, const Tensor& values);

 protected:
  Object(std::shared_ptr<OpenFile> file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  std::shared_ptr<OpenFile> file_;
  std::string path_;
};

class Dataset : public Object {
 public:
  bool holds_text() const;
  Shape shape() const;
  // What tensor() gives: the type stored or the next one that holds it (int16 → int32, uint32 → int64, enumerated
  // true/false → bool). Integers beyond 64 signed bits saturate.
  Type type() const;
  Tensor tensor() const;
  Tensor rows(std::int64_t begin, std::int64_t end) const;  // [begin, end) of the first axis
  std::vector<std::string> texts() const;                   // in row-major order

 private:
  friend class Group;
  using Object::Object;
};

class Group : public Object {
 public:
  // Paths are relative to the group and may have several parts: "dense/kernel:0".
  bool has(std::string_view path) const;
  bool has_group(std::string_view path) const;
  bool has_dataset(std::string_view path) const;
  Group group(std::string_view path) const;
  Dataset dataset(std::string_view path) const;
  Tensor tensor(std::string_view path) const { return dataset(path).tensor(); }
  std::vector<std::string> texts(std::string_view path) const { return dataset(path).texts(); }

  std::vector<std::string> names() const;  // digits compare as numbers: "2" stands before "10"
  std::vector<std::string> native_names() const;
  // Of all that is below, relative, group by group in order of names().
  std::vector<std::string> dataset_paths() const;
  std::vector<std::string> group_paths() const;

  // Writing: missing groups on the path are made.
  Group make_group(std::string_view path);
  Dataset write(std::string_view path, const Tensor& values);  // bfloat16 as Keras writes it
  Dataset write(std::string_view path, const std::vector<std::string>& texts);

 private:
  friend class File;
  using Object::Object;
};

class File {
 public:
  static File open(const std::filesystem::path& path);    // for reading
  static File create(const std::filesystem::path& path);  // for writing; nothing appears before commit()
  // Files of archives; `place` names them in messages: "model.keras/model.weights.h5". A file to be read lies in
  // memory, one to be written beside the archive, under another name, as long as this object or another of the file.
  static File open_bytes(std::string bytes, const std::filesystem::path& place);
  static File create_beside(const std::filesystem::path& archive, const std::filesystem::path& place);

  Group root() const;
  void commit();                   // of create()
  void flush();                    // all is on the disk, so that commit() only gives it its name
  std::filesystem::path finish();  // of create_beside(): where the file lies, which is whole now

 private:
  explicit File(std::shared_ptr<OpenFile> file) : file_(std::move(file)) {}
  std::shared_ptr<OpenFile> file_;
};

}  // namespace nacre::hdf5
