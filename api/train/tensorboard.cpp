#include "api/train/tensorboard.h"

#include <algorithm>
#include <cmath>

#include "api/functional.h"
#include "backend/core/clock.h"
#include "formats/file.h"
#include "formats/image.h"
#include "formats/json.h"
#include "layers/core.h"

namespace nacre {

namespace callbacks {

namespace {

std::vector<double> values_of(const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.size(); ++i) values.push_back(tensor.at(i));
  return values;
}

// A weight as pictures: (pictures, height, width, channels), each value between 0 and 1 a shade. A vector is one row, a
// matrix lies on its longer side, of a tensor of rank 3 each slice of the last axis is a picture; others have none.
struct Pictures {
  std::int64_t count = 0, height = 1, width = 1, channels = 1;
  std::vector<std::int64_t> strides{0, 0, 0, 0};  // of the tensor's elements, along these axes
};

std::optional<Pictures> pictures_of(const Shape& whole) {
  Shape shape;
  for (const std::int64_t size : whole)
    if (size != 1) shape.append(size);
  switch (shape.rank()) {
    case 1: return Pictures{1, shape[0], 1, 1, {0, 1, 1, 1}};
    case 2:
      if (shape[0] > shape[1]) return Pictures{1, shape[1], shape[0], 1, {0, 1, shape[1], 1}};
      return Pictures{1, shape[0], shape[1], 1, {0, shape[1], 1, 1}};
    case 3: return Pictures{shape[2], shape[0], shape[1], 1, {1, shape[1] * shape[2], shape[2], 1}};
    case 4:
      if (shape[3] != 3 && shape[3] != 4) return {};
      return Pictures{shape[0], shape[1], shape[2], shape[3],
                      {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1}};
    default: return {};
  }
}

constexpr std::int64_t most_pictures = 3;  // of one weight, as Keras has it

std::vector<std::string> draw(const Tensor& weight, const Pictures& pictures) {
  std::vector<std::string> pngs;
  for (std::int64_t i = 0; i < std::min(pictures.count, most_pictures); ++i) {
    Tensor picture = Tensor::uninitialised({DType::uint8, {pictures.height, pictures.width, pictures.channels}});
    std::size_t place = 0;
    for (std::int64_t y = 0; y < pictures.height; ++y)
      for (std::int64_t x = 0; x < pictures.width; ++x)
        for (std::int64_t c = 0; c < pictures.channels; ++c) {
          const auto& stride = pictures.strides;
          const double value = weight.at(i * stride[0] + y * stride[1] + x * stride[2] + c * stride[3]);
          const double shade = std::isnan(value) ? 0 : std::clamp(value, 0.0, 1.0);
          picture.writable<std::uint8_t>()[place++] = static_cast<std::uint8_t>(std::min(255.0, shade * 255.5));
        }
    pngs.push_back(encode_png(picture));
  }
  return pngs;
}

void each_embedding(const Layer& layer, const std::function<void(const Layer&)>& visit) {
  if (layer.class_name() == EmbeddingConfig::class_name) visit(layer);
  for (const auto& inner : layer.sublayers()) each_embedding(*inner, visit);
}

const VariableRef& table_of(const Layer& embedding) { return embedding.own_weights().front().variable; }

// The file beside which the projector looks for it.
std::string table_file(const Layer& embedding) {
  std::string name = table_of(embedding)->path();
  std::ranges::replace(name, '/', '_');
  return name + ".tsv";
}

std::string literal(std::string_view text) { return write_json(Tree(text)); }

}  // namespace

EventFile& TensorBoard::train() {
  if (!train_) train_.emplace(std::filesystem::path(config_.log_dir) / "train");
  return *train_;
}

EventFile& TensorBoard::validation() {
  if (!validation_) validation_.emplace(std::filesystem::path(config_.log_dir) / "validation");
  return *validation_;
}

void TensorBoard::on_train_begin(TrainingControl& control) {
  batch_ = 0;
  if (config_.write_graph) {
    train().keras_model("keras", write_json(write_object<Layer>(control.model(), Style::keras)));
    train().flush();
  }
  if (config_.embeddings_freq > 0) write_projector_config(control);
}

void TensorBoard::on_train_batch_begin(TrainingControl&, std::int64_t) {
  ++batch_;
  batch_started_ = now();
}

void TensorBoard::on_train_batch_end(TrainingControl&, std::int64_t, const Logs& logs) {
  const auto& frequency = config_.update_freq.batches;
  if (!frequency || batch_ % *frequency != 0) return;
  if (config_.write_steps_per_second) train().scalar("batch_steps_per_second", batch_, 1 / (now() - batch_started_));
  for (const auto& [name, value] : logs) train().scalar("batch_" + name, batch_, value);
}

void TensorBoard::on_test_end(TrainingControl& control, const Logs& logs) {
  for (const auto& [name, value] : logs)
    validation().scalar(fmt::format("evaluation_{}_vs_iterations", name), control.iterations(), value);
}

void TensorBoard::on_epoch_begin(TrainingControl& control, std::int64_t) {
  epoch_started_ = now();
  iterations_ = control.iterations();
}

void TensorBoard::on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) {
  constexpr std::string_view validated = "val_";
  for (const auto& [name, value] : logs) {
    if (name.starts_with(validated)) validation().scalar("epoch_" + name.substr(validated.size()), epoch, value);
    else train().scalar("epoch_" + name, epoch, value);
  }
  if (config_.write_steps_per_second)
    train().scalar("epoch_steps_per_second", epoch,
                   static_cast<double>(control.iterations() - iterations_) / (now() - epoch_started_));
  if (config_.histogram_freq > 0 && epoch % config_.histogram_freq == 0) write_weights(control, epoch);
  if (config_.embeddings_freq > 0 && epoch % config_.embeddings_freq == 0) write_embeddings(control);
  train().flush();
  if (validation_) validation_->flush();
}

void TensorBoard::on_train_end(TrainingControl&, const Logs&) {
  train_.reset();
  validation_.reset();
}

void TensorBoard::write_weights(TrainingControl& control, std::int64_t epoch) {
  for (const Weight& weight : control.model().weights()) {
    const std::string& path = weight.variable->path();
    const Tensor value = weight.variable->value();
    train().histogram(path + "/histogram", epoch, values_of(value));
    if (!config_.write_images) continue;
    if (const auto pictures = pictures_of(value.shape()))
      train().images(path + "/image", epoch, pictures->width, pictures->height, draw(value, *pictures));
  }
}

void TensorBoard::write_projector_config(TrainingControl& control) {
  std::string text;
  const EmbeddingsMetadata& metadata = config_.embeddings_metadata;
  std::vector<std::string> layers;
  each_embedding(control.model(), [&](const Layer& layer) {
    layers.push_back(layer.name());
    text += fmt::format("embeddings {{\n  tensor_name: {}\n  tensor_path: {}\n", literal(table_of(layer)->path()),
                        literal(table_file(layer)));
    const auto own = std::ranges::find(metadata.files.entries, layer.name(), &std::pair<std::string, std::string>::first);
    const std::string& file = own == metadata.files.entries.end() ? metadata.file : own->second;
    text += file.empty() ? "}\n" : fmt::format("  metadata_path: {}\n}}\n", literal(file));
  });
  for (const auto& [name, file] : metadata.files.entries)
    if (std::ranges::find(layers, name) == layers.end())
      throw Error("embeddings_metadata names '{}', which is no Embedding layer of the model", name)
          .hint(suggestion(name, {layers.begin(), layers.end()}))
          .usage();
  make_folder(config_.log_dir);
  write_file_atomically(std::filesystem::path(config_.log_dir) / "projector_config.pbtxt", text);
}

void TensorBoard::write_embeddings(TrainingControl& control) {
  each_embedding(control.model(), [&](const Layer& layer) {
    const Tensor table = table_of(layer)->value();
    const std::int64_t columns = table.shape()[1];
    std::string text;
    for (std::int64_t i = 0; i < table.size(); ++i)
      text += fmt::format("{}{}", static_cast<float>(table.at(i)), (i + 1) % columns == 0 ? "\n" : "\t");
    write_file_atomically(std::filesystem::path(config_.log_dir) / table_file(layer), text);
  });
}

CallbackState TensorBoard::save_state() const {
  CallbackState state;
  state.values.set("batch", batch_);
  return state;
}

void TensorBoard::load_state(const CallbackState& state) { batch_ = state.values["batch"].as_integer(); }

}  // namespace callbacks

void FieldKind<callbacks::EmbeddingsMetadata>::read(const Tree& tree, callbacks::EmbeddingsMetadata& value) {
  value = {};
  if (tree.is_string()) value.file = tree.as_string();
  else if (!tree.is_null()) FieldKind<NamedValues<std::string>>::read(tree, value.files);
}
Tree FieldKind<callbacks::EmbeddingsMetadata>::write(const callbacks::EmbeddingsMetadata& value, Style style) {
  if (!value.file.empty()) return value.file;
  return value.files.entries.empty() ? Tree() : FieldKind<NamedValues<std::string>>::write(value.files, style);
}
Tree FieldKind<callbacks::EmbeddingsMetadata>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("string"), FieldKind<NamedValues<std::string>>::schema(), schema_type("null")});
  return schema;
}

}  // namespace nacre
