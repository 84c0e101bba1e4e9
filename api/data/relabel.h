// Class numbers of one model under those of another data set.
#pragma once

#include "api/data/dataset.h"

namespace nacre {

// The samples of `dataset` with the class numbers that its names have in `labels`: a folder of pictures numbers its
// classes by itself, a model has its own order. Unchanged where the targets have no names, or there are no labels.
// Throws unknown_class for a class that is not among them, unless no sample is of it.
DatasetRef relabelled(DatasetRef dataset, const std::vector<std::string>& labels);
Error unknown_class(const std::string& name);  // of usage

}  // namespace nacre
