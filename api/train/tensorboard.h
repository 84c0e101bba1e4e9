#pragma once

#include "api/train/callback.h"
#include "api/train/frequency.h"
#include "formats/events.h"
#include "formats/named_values.h"

namespace nacre::callbacks {

// One file for all embeddings, or one for each layer; none when empty.
struct EmbeddingsMetadata {
  std::string file;
  NamedValues<std::string> files;
};

struct TensorBoardConfig {
  static constexpr std::string_view class_name = "TensorBoard";
  static constexpr std::string_view doc = "Writes event files, which TensorBoard shows as curves, histograms and graphs.";
  std::string log_dir = "logs";
  std::int64_t histogram_freq = 0;
  bool write_graph = true, write_images = false, write_steps_per_second = false;
  UpdateFrequency update_freq{};
  Only<std::int64_t{0}> profile_batch;
  std::int64_t embeddings_freq = 0;
  EmbeddingsMetadata embeddings_metadata{};
  static void describe(auto&& field) {
    using Self = TensorBoardConfig;
    field("log_dir", &Self::log_dir, "folder of the files: train/ and validation/ within it");
    field("histogram_freq", &Self::histogram_freq, "epochs between histograms of the weights; 0: none", at_least(0));
    field("write_graph", &Self::write_graph, "write the model's layers for the graph page");
    field("write_images", &Self::write_images, "write the weights as pictures too, with the histograms");
    field("write_steps_per_second", &Self::write_steps_per_second, "write the speed of training");
    field("update_freq", &Self::update_freq, "epoch; or batch, or a number of batches, for curves within epochs too");
    field("profile_batch", &Self::profile_batch, "profiles are not written: see `nacre bench`");
    field("embeddings_freq", &Self::embeddings_freq, "epochs between tables of the Embedding layers; 0: none", at_least(0));
    field("embeddings_metadata", &Self::embeddings_metadata,
          "file with a label for each row, or {layer: file}, for the projector page");
  }
};

class TensorBoard final : public Configured<Callback, TensorBoardConfig> {
 public:
  using Configured::Configured;
  bool on_every_process() const override { return false; }
  void on_train_begin(TrainingControl& control) override;
  void on_train_batch_begin(TrainingControl& control, std::int64_t batch) override;
  void on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override;
  void on_test_end(TrainingControl& control, const Logs& logs) override;
  void on_epoch_begin(TrainingControl& control, std::int64_t epoch) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  void on_train_end(TrainingControl& control, const Logs& logs) override;
  bool reads_batch_logs() const override { return config_.update_freq.batches.has_value(); }
  CallbackState save_state() const override;
  void load_state(const CallbackState& state) override;

 private:
  EventFile& train();  // made when first needed
  EventFile& validation();
  void write_weights(TrainingControl& control, std::int64_t epoch);
  void write_projector_config(TrainingControl& control);
  void write_embeddings(TrainingControl& control);

  std::optional<EventFile> train_, validation_;
  std::int64_t batch_ = 0;                         // of the whole run, from 1
  double batch_started_ = 0, epoch_started_ = 0;   // seconds of a steady clock
  std::int64_t iterations_ = 0;                    // when the epoch began
};

}  // namespace nacre::callbacks

namespace nacre {

template <>
struct FieldKind<callbacks::EmbeddingsMetadata> {
  static void read(const Tree& tree, callbacks::EmbeddingsMetadata& value);
  static Tree write(const callbacks::EmbeddingsMetadata& value, Style style);
  static Tree schema();
};

}  // namespace nacre
