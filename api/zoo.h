// Names of the model zoo, which may stand wherever a model's file or a configuration is named:
//   zoo:mobilenetv2                                          with the weights that it is published with
//   zoo:mobilenetv2?alpha=0.35&input_shape=96,96,3&weights=none
// What is behind them belongs to models_zoo/, which lies above this folder: it fills in the hook.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/functional.h"

namespace nacre {

// What comes after "zoo:"; nothing where a path is no such name.
std::optional<std::string> zoo_name(const std::filesystem::path& path);

// What becomes of a model for which no weights are known, where its name does not say weights=none.
enum class RandomWeights : std::uint8_t {
  refused,   // it is to compute something: a usage Error
  told,      // it is to be trained as one that has learned: whoever listens hears of it
  accepted,  // it is to be trained from the beginning, or measured
};

struct ZooOptions {
  bool with_weights = true;  // false: only the form is asked for, weights have no values
  bool with_top = true;      // false: what a new head stands on (api/head.h)
  RandomWeights random = RandomWeights::refused;
};
using ZooOpener = std::function<std::shared_ptr<FunctionalLayer>(const std::string& name, const ZooOptions& options)>;
// Empty until models_zoo/zoo.h's enable_zoo() is called.
ZooOpener& zoo_opener();
// Throws a usage Error when this program has no zoo, or that has no such model.
std::shared_ptr<FunctionalLayer> open_zoo_model(const std::string& name, const ZooOptions& options = {});

}  // namespace nacre
