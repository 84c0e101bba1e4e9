// Data in the form that a network takes.
#pragma once

#include "api/data/source.h"
#include "api/functional.h"

namespace nacre {

// How many classes the only target has: as many as it has names, the width of vectors, or the largest number and one.
// Throws a usage Error for other targets, with a hint to write their number: `instead`.
std::int64_t count_classes(const Dataset& data, std::string_view instead = "head: {classes: 10}");

// What a network asks of data: its input, and what its card says of numbers and pictures before they reach it.
struct InputForm {
  Shape shape;  // of the only input, without the batch axis; pictures are (height, width, channels)
  Preprocessing preprocessing;
  bool begins_with_preprocessing = false;  // of a base, as layers: with_head() has put them in front
  // The shape that pictures come to: where the network takes any, of the size that it was trained on.
  Shape picture() const;
};
InputForm input_form(const FunctionalLayer& model);

// The source whose pictures are decoded like that, as far as it has folders of pictures and does not say so itself; any
// other source as it is.
Ref<Source> sized_for(const Ref<Source>& source, const InputForm& form);

// The same samples with their pictures, (height, width) or (height, width, channels), in this shape: resized bilinearly,
// grey ones in as many equal channels. Samples that are no single pictures, or fit already, come back unchanged.
DatasetRef pictures_for(DatasetRef data, const Shape& picture);

}  // namespace nacre
