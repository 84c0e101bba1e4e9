// Folders of pictures as data sets.
#include <algorithm>

#include "api/data/sources.h"
#include "formats/image.h"

namespace nacre {

namespace {

class ImageFolder final : public Dataset {
 public:
  ImageFolder(const std::filesystem::path& folder, const ImagesConfig& config) : channels_(static_cast<int>(config.channels)) {
    if (!std::filesystem::is_directory(folder)) throw Error("there is no such folder").at({folder.string(), 0, 0}).usage();
    std::vector<std::filesystem::path> classes;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.is_directory()) classes.push_back(entry.path());
    std::sort(classes.begin(), classes.end());
    for (std::size_t label = 0; label < classes.size(); ++label) {
      const std::size_t first = files_.size();
      for (const auto& entry : std::filesystem::directory_iterator(classes[label]))
        if (entry.is_regular_file() && is_image_name(entry.path())) files_.push_back(entry.path());
      std::sort(files_.begin() + static_cast<std::ptrdiff_t>(first), files_.end());
      labels_.resize(files_.size(), static_cast<std::int32_t>(label));
    }
    if (files_.empty())
      throw Error("no pictures were found").at({folder.string(), 0, 0}).hint("wanted one folder per class with .png or .jpg files").usage();
    if (config.size) {
      height_ = (*config.size)[0];
      width_ = (*config.size)[1];
      if (height_ < 1 || width_ < 1 || height_ > 16384 || width_ > 16384) throw Error("pictures of size {}×{}", height_, width_).usage();
    } else {
      const Tensor first = read_image(files_.front(), channels_);
      height_ = first.shape()[0];
      width_ = first.shape()[1];
    }
    targets_ = {{"", {DType::int32, {}}, {}}};
    for (const std::filesystem::path& folder_of_class : classes) targets_[0].labels.push_back(folder_of_class.filename().string());
    inputs_ = {{"", {DType::uint8, {height_, width_, channels_}}}};
    description_ = fmt::format("{}: {} pictures of {}×{}×{} in {} classes", folder.filename().string(), files_.size(), height_,
                               width_, channels_, classes.size());
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  const std::vector<Column>& inputs() const override { return inputs_; }
  const std::vector<Column>& targets() const override { return targets_; }
  std::string description() const override { return description_; }
  std::string sample_name(std::int64_t index) const override {
    const std::filesystem::path& file = files_[static_cast<std::size_t>(index)];
    return (file.parent_path().filename() / file.filename()).string();
  }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    batch.size = static_cast<std::int64_t>(indices.size());
    batch.inputs = {Tensor::uninitialised({DType::uint8, {batch.size, height_, width_, channels_}})};
    batch.targets = {Tensor::uninitialised({DType::int32, {batch.size}})};
    batch.weights.clear();
    auto* pixels = static_cast<std::byte*>(batch.inputs[0].raw_writable());
    const auto labels = batch.targets[0].writable<std::int32_t>();
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const auto index = static_cast<std::size_t>(indices[i]);
      Tensor image = read_image(files_[index], channels_);
      if (image.shape()[0] != height_ || image.shape()[1] != width_) image = resize_bilinear(image, height_, width_);
      std::memcpy(pixels + i * image.bytes(), image.raw(), image.bytes());
      labels[i] = labels_[index];
    }
  }

 private:
  int channels_;
  std::int64_t height_ = 0, width_ = 0;
  std::vector<std::filesystem::path> files_;
  std::vector<std::int32_t> labels_;
  std::vector<Column> inputs_, targets_;
  std::string description_;
};

}  // namespace

DatasetRef open_images(const std::filesystem::path& folder, const ImagesConfig& config) {
  if (config.channels == 2) throw Error("pictures with 2 channels, wanted 1 or 3").usage();
  return std::make_shared<ImageFolder>(folder, config);
}

}  // namespace nacre
