// The model zoo: networks by name, with arguments and with weights.
//
//   enable_zoo();                                            // once, in a program of one's own
//   Model model = load_model("zoo:mobilenetv2?alpha=0.35&input_shape=96,96,3&include_top=false");
//
// Not synchronised; enable_zoo() is called before anything else is.
#pragma once

#include "api/model.h"
#include "api/zoo.h"
#include "models_zoo/store.h"

namespace nacre {

// Makes names "zoo:NAME" known wherever models are named (api/zoo.h). `progress` hears of weights that are fetched.
void enable_zoo(zoo::FetchProgress progress = {});

namespace zoo {

// "mobilenetv2?alpha=0.35&weights=none". `weights`: none, the name of some in the manifest, or a file; by default the
// first in the manifest that fit the arguments.
struct Reference {
  std::string name;
  Tree arguments = Tree::mapping();
  std::optional<std::string> weights;
};
Reference parse_reference(std::string_view text);

// What a reference stands for. Throws usage Errors for unknown names and arguments, and where no weights fit.
struct Choice {
  ZooModel model;
  Tree config;                      // the architecture with the arguments in it
  std::optional<Weights> weights;   // of the manifest
  std::vector<std::string> labels;  // that belong to them
  std::optional<std::string> file;  // of weights that the user names
};
Choice choose(const Reference& reference);

// The model, which has its card too. Fetches weights that are not there. Without its top it is the architecture with
// include_top=false where there are weights for that, else what lies below the top.
std::shared_ptr<FunctionalLayer> open(std::string_view reference, const ZooOptions& options = {},
                                      const FetchProgress& progress = {});

}  // namespace zoo
}  // namespace nacre
