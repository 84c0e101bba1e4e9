// The feature cache: what frozen layers make of each sample is computed once, and training goes on above them.
#pragma once

#include <atomic>

#include "api/data/dataset.h"
#include "api/train/progress.h"
#include "api/train/steps.h"

namespace nacre {

// When features are cached.
enum class CacheFeatures : std::uint8_t {
  automatic,  // where samples and frozen layers are the same in each epoch: nothing random comes before the learning layers
  always,     // also where something random comes before: augmentation and random layers below rest then
  never,
};
// auto, true, false
template <> struct FieldKind<CacheFeatures> {
  static void read(const Tree& tree, CacheFeatures& value);
  static Tree write(CacheFeatures value, Style style);
  static Tree schema();
};

// A model in two, which share its layers.
struct SplitModel {
  std::shared_ptr<FunctionalLayer> below;  // no step changes what it gives; it has one output
  std::shared_ptr<FunctionalLayer> above;  // takes that, and gives what the model gives
};
// As high as can be. Nothing where no layer with weights lies below one tensor that all outputs depend on alone. `resting`:
// random layers may lie below; they do nothing there.
std::optional<SplitModel> split_below_learning(const FunctionalLayer& model, const RandomState& random, bool resting);

struct FeatureOptions {
  std::int64_t batch_size = 32;
  std::filesystem::path folder{};  // where they are kept for later runs; "": nowhere
  std::string_view what{};         // for messages: "training"
  Numerics numerics{};
  std::uintmax_t most_bytes = std::uintmax_t{8} << 30;  // of the folder's files together
};
// The samples with the features in place of their inputs, in memory; targets and weights are theirs. Files hold whole sets or
// are not there; they are found again by everything that the features depend on: contents of the samples, the layers below,
// and what computes them (backend, numerics, number of threads, version of nacre), for runs have the same bits whether they
// find a file or not. The oldest make room when there is not enough, and a set that takes all of it is not kept (the listener
// is told). Nothing when `stop` became true, or (the listener is told why) when they would take more than a quarter of the
// machine's memory or the targets are texts.
DatasetRef features_of(const DatasetRef& data, const std::shared_ptr<FunctionalLayer>& below, const RandomState& random,
                       const Backend& backend, const FeatureOptions& options, ProgressListener& listener,
                       const std::atomic<bool>* stop);

}  // namespace nacre
