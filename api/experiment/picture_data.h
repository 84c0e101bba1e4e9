// Data in the form that a network with a new head takes.
#pragma once

#include "api/data/source.h"
#include "api/functional.h"

namespace nacre {

// How many classes the only target has: as many as it has names, the width of vectors, or the largest number and one.
// Throws a usage Error for other targets.
std::int64_t count_classes(const Dataset& data);

// Pictures as a network takes them.
struct PictureInput {
  Shape shape;  // height, width, channels, where they may be unknown; another rank: it takes no single pictures
  Fit fit = Fit::stretch;
  bool antialias = false;
};
// What its input and its card say.
PictureInput picture_input(const FunctionalLayer& model);

// The source whose pictures are decoded like that, as far as it has folders of pictures and does not say so itself; any
// other source as it is.
Ref<Source> sized_for(const Ref<Source>& source, const PictureInput& picture);

// The same samples with their pictures, (height, width) or (height, width, channels), in this shape: resized bilinearly,
// grey ones in as many equal channels. Samples that are no single pictures, or fit already, come back unchanged.
DatasetRef pictures_for(DatasetRef data, const Shape& picture);

}  // namespace nacre
