#include "api/experiment/picture_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "api/data/sources.h"
#include "api/head.h"
#include "formats/image.h"

namespace nacre {

namespace {

constexpr double most_classes = 1 << 20;

// How a picture's shape becomes another; nothing where it cannot, or need not.
std::optional<Shape> target_shape(const Shape& given, const Shape& wanted) {
  if (wanted.rank() != 3 || given.rank() < 2 || given.rank() > 3 || !given.known()) return std::nullopt;
  const std::int64_t channels = given.rank() == 3 ? given[2] : 1;
  const auto size = [](std::int64_t asked, std::int64_t there) { return asked == unknown ? there : asked; };
  const Shape shape{size(wanted[0], given[0]), size(wanted[1], given[1]), size(wanted[2], channels)};
  if (shape == given || (channels != shape[2] && channels != 1)) return std::nullopt;
  return shape;
}

class FittedPictures final : public ChangedDataset {
 public:
  FittedPictures(DatasetRef raw, Shape shape) : ChangedDataset(std::move(raw)), shape_(std::move(shape)) {
    Type& type = inputs_[0].type;
    if (type.dtype != DType::uint8) type.dtype = DType::float32;
    type.shape = shape_;
    if (std::optional<Preprocessing>& known = inputs_[0].preprocessing) {
      known->size = Extent<2>({shape_[0], shape_[1]});
      known->fit = Fit::stretch;
      known->antialias = false;
    }
  }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override { raw_->read_targets(indices, batch); }
  std::string description() const override { return fmt::format("{} as {}", raw_->description(), shape_); }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    Tensor given = std::move(batch.inputs[0]);
    if (given.dtype() != inputs_[0].type.dtype) given = given.cast(inputs_[0].type.dtype);
    const Shape& old = given.shape();
    const std::int64_t channels = old.rank() == 4 ? old[3] : 1, count = old[0], size = old[1] * old[2] * channels;
    Tensor fitted = Tensor::uninitialised({given.dtype(), Shape{count} + shape_});
    for (std::int64_t i = 0; i < count; ++i) {
      Tensor picture = Tensor::uninitialised({given.dtype(), {old[1], old[2], channels}});
      copy_elements(given, i * size, size, picture, 0);
      if (old[1] != shape_[0] || old[2] != shape_[1]) picture = resize_bilinear(picture, shape_[0], shape_[1]);
      write(picture, fitted, i);
    }
    batch.inputs[0] = std::move(fitted);
  }

 private:
  void write(const Tensor& picture, Tensor& fitted, std::int64_t index) const {
    const std::int64_t pixels = shape_[0] * shape_[1], channels = shape_[2];
    if (picture.shape()[2] == channels) return copy_elements(picture, 0, picture.size(), fitted, index * pixels * channels);
    visit(fitted.dtype(), [&]<class T>(T*) {
      const auto from = picture.data<T>();
      const auto to = fitted.writable<T>().subspan(static_cast<std::size_t>(index * pixels * channels));
      for (std::size_t i = 0; i < from.size(); ++i)
        std::fill_n(to.begin() + static_cast<std::ptrdiff_t>(i) * channels, channels, from[i]);
    });
  }

  Shape shape_;
};

}  // namespace

std::int64_t count_classes(const Dataset& data, std::string_view instead) {
  const auto refuse = [&](const std::string& why) {
    return Error("cannot count the classes: {}", why).hint(fmt::format("give their number: {}", instead)).usage();
  };
  if (data.targets().size() != 1) throw refuse(fmt::format("the data has {} targets", data.targets().size()));
  const Column& target = data.targets().front();
  if (target.labels.size() == 1)
    throw Error("the data has one class, '{}': there is nothing to tell apart", target.labels.front())
        .hint("a folder for each class, two at least")
        .usage();
  if (!target.labels.empty()) return static_cast<std::int64_t>(target.labels.size());
  if (target.type.dtype == DType::string) throw refuse("the targets are texts");
  const std::int64_t width = target.type.shape.known() ? target.type.shape.elements() : 0;
  if (width > 1 && target.type.shape.rank() == 1) return width;
  if (width != 1) throw refuse(fmt::format("the targets have the shape {}", target.type.shape));
  double largest = -1;
  Batch batch;
  constexpr std::int64_t at_once = 256;
  for (std::int64_t begin = 0; begin < data.size(); begin += at_once) {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = begin; i < std::min(begin + at_once, data.size()); ++i) indices.push_back(i);
    data.read_targets(indices, batch);
    for (std::int64_t i = 0; i < batch.targets[0].size(); ++i) {
      const double label = batch.targets[0].at(i);
      if (!(label >= 0 && label < most_classes) || label != std::floor(label))
        throw refuse(fmt::format("sample {} has the target {}", begin + i, label));
      largest = std::max(largest, label);
    }
  }
  if (largest < 0) throw refuse("there are no samples");
  return std::max<std::int64_t>(2, static_cast<std::int64_t>(largest) + 1);
}

Shape InputForm::picture() const {
  Shape picture = shape;
  if (shape.rank() == 3 && preprocessing.size)
    for (const int axis : {0, 1})
      if (shape[axis] == unknown) picture.set(axis, (*preprocessing.size)[static_cast<std::size_t>(axis)]);
  return picture;
}

InputForm input_form(const FunctionalLayer& model) {
  InputForm form{{}, model.card().preprocessing, begins_with_preprocessing(model)};
  if (model.connected() && model.inputs().size() == 1) form.shape = model.inputs().front().shape().from(1);
  return form;
}

Ref<Source> sized_for(const Ref<Source>& source, const InputForm& form) {
  const Shape shape = form.picture();
  if (!source || source->class_name() != "images" || shape.rank() != 3) return source;
  Tree config = source->config_tree(Style::yaml);
  const auto is_open = [&](std::string_view key) {
    const Tree* given = config.find(key);
    return !given || given->is_null();
  };
  if (is_open("size") && shape[0] != unknown && shape[1] != unknown) config.set("size", Tree::Sequence{shape[0], shape[1]});
  if (is_open("fit")) config.set("fit", FieldKind<Fit>::write(form.preprocessing.fit, Style::yaml));
  if (is_open("antialias")) config.set("antialias", form.preprocessing.antialias);
  if (const std::int64_t channels = shape[2]; is_open("channels") && (channels == 1 || channels == 3 || channels == 4))
    config.set("channels", channels);
  return registry<Source>().get("images").make(config);
}

DatasetRef pictures_for(DatasetRef data, const Shape& picture) {
  if (!data || data->inputs().size() != 1 || data->inputs()[0].type.dtype == DType::string) return data;
  const auto shape = target_shape(data->inputs()[0].type.shape, picture);
  return shape ? std::make_shared<FittedPictures>(std::move(data), *shape) : data;
}

}  // namespace nacre
