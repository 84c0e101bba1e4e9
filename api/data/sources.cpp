#include "api/data/sources.h"

#include "api/data/digits.h"
#include "api/data/images.h"
#include "api/data/text.h"
#include "formats/hdf5.h"
#include "formats/idx.h"
#include "formats/npy.h"

namespace nacre {

namespace {

// Labels as losses and metrics want them.
Tensor labels(Tensor tensor) { return tensor.dtype() == DType::uint8 ? tensor.cast(DType::int32) : tensor; }

// Reads the arrays of some names, with those names.
template <class Read>
void take(const OneOrMore& names, Read&& read, std::vector<Tensor>& tensors, std::vector<std::string>& kept) {
  for (const std::string& name : names.names) {
    tensors.push_back(read(name));
    kept.push_back(name);
  }
}

// Inputs, targets and weights of a file that holds arrays by name.
template <class Read>
DatasetRef named_arrays(const NamedArraysConfig& config, const std::string& description, Read&& read) {
  Arrays arrays;
  std::vector<std::string> weight_names;
  take(config.x, read, arrays.inputs, arrays.input_names);
  take(config.y, read, arrays.targets, arrays.target_names);
  take(config.weights, read, arrays.weights, weight_names);
  for (Tensor& target : arrays.targets) target = labels(std::move(target));
  arrays.description = description;
  return array_dataset(std::move(arrays));
}

class Digits final : public Configured<Source, DigitsConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path&) const override {
    return digits(config_.count, static_cast<std::uint64_t>(config_.seed));
  }
};

class Idx final : public Configured<Source, IdxConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override {
    Arrays arrays;
    arrays.inputs = {read_idx(folder / config_.images)};
    if (config_.labels) arrays.targets = {labels(read_idx(folder / *config_.labels))};
    arrays.description = std::filesystem::path(config_.images).filename().string();
    return array_dataset(std::move(arrays));
  }
};

class Npy final : public Configured<Source, NpyConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override {
    Arrays arrays;
    std::vector<std::string> files;
    const auto read = [&](const std::string& file) { return read_npy(folder / file); };
    take(config_.x, read, arrays.inputs, files);
    take(config_.y, read, arrays.targets, files);
    take(config_.weights, read, arrays.weights, files);
    for (Tensor& target : arrays.targets) target = labels(std::move(target));
    arrays.description = files.front();
    return array_dataset(std::move(arrays));
  }
};

class Npz final : public Configured<Source, NpzConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override {
    const std::filesystem::path path = folder / config_.file;
    return named_arrays(config_, path.filename().string(), [&](const std::string& name) { return read_npz(path, name); });
  }
};

class Hdf5 final : public Configured<Source, Hdf5Config> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override {
    const std::filesystem::path path = folder / config_.file;
    const hdf5::File file = hdf5::File::open(path);
    return named_arrays(config_, path.filename().string(), [&](const std::string& name) { return file.root().tensor(name); });
  }
};

class CsvFile final : public Configured<Source, CsvConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override { return open_csv(folder / config_.file, config_); }
};

class Lines final : public Configured<Source, LinesConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override { return open_lines(folder, config_); }
};

class Text final : public Configured<Source, TextConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override { return open_text(folder, config_); }
};

class Texts final : public Configured<Source, TextsConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override { return open_texts(folder, config_); }
};

class ImageFiles final : public Configured<Source, ImagesConfig> {
 public:
  using Configured::Configured;
  DatasetRef open(const std::filesystem::path& folder) const override { return open_images(folder, config_); }
};

}  // namespace

template <>
Registry<Source>& registry<Source>() {
  static Registry<Source> sources("data source", {class_info<Source, Digits>(""), class_info<Source, Idx>(""),
                                                  class_info<Source, CsvFile>(""), class_info<Source, Lines>(""), class_info<Source, Texts>(""), class_info<Source, Text>(""), class_info<Source, Npy>(""),
                                                  class_info<Source, Npz>(""), class_info<Source, Hdf5>(""),
                                                  class_info<Source, ImageFiles>("")});
  return sources;
}

}  // namespace nacre
