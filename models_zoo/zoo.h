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

namespace zoo {
// Called with a line for the user.
using Note = std::function<void(const std::string& line)>;
}  // namespace zoo

// Makes names "zoo:NAME" known wherever models are named (api/zoo.h). `progress` hears of weights that are fetched,
// `note` of models that begin at random though something is to be built on what they have learned.
void enable_zoo(zoo::FetchProgress progress = {}, zoo::Note note = {});

namespace zoo {

// "mobilenetv2?alpha=0.35&weights=none". `weights`: none, the name of some in the manifest, or a file; by default the
// first in the manifest that fit the arguments. Weights fit when every argument that they list has their value, and
// every other one its default, unless it is among the manifest's `any_value`.
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
  std::optional<std::string> file;  // of weights that the user names
  // Of weights in a file it is that of the manifest's that fit the same arguments, but for source and licence; where
  // they are of other classes the labels are left out too.
  ModelCard card;
};
// `must_fit`: false where the form alone is asked for, which may be one that there are no weights for.
Choice choose(const Reference& reference, bool must_fit = true);

// The model, which has its card too. Fetches weights that are not there. Without its top it is the architecture with
// include_top=false where there are weights for that, else what lies below the top; where only the weights of the whole
// model are here, those are taken.
std::shared_ptr<FunctionalLayer> open(std::string_view reference, const ZooOptions& options = {},
                                      const FetchProgress& progress = {}, const Note& note = {});

}  // namespace zoo
}  // namespace nacre
