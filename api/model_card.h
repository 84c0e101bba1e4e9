// What a model's file says besides the network: what its classes are called, how data becomes its input, and where
// it is from. It is saved in .keras and .h5 files, where Keras ignores it.
#pragma once

#include <string>
#include <vector>

#include "api/data/preprocessing.h"
#include "formats/config.h"

namespace nacre {

struct ModelCard {
  std::vector<std::string> labels;  // of the classes, in the order of the output; empty: they have no names
  Preprocessing preprocessing;
  bool whole_files = false;  // a file of texts is one, as in training; else each of its lines is
  std::string source, licence;
  static void describe(auto&& field) {
    field("labels", &ModelCard::labels, "names of the classes");
    field("preprocessing", &ModelCard::preprocessing, "of data, before it reaches the network");
    field("whole_files", &ModelCard::whole_files, "whether a .txt file is one text; else each of its lines is");
    field("source", &ModelCard::source, "where the weights are from");
    field("licence", &ModelCard::licence, "under which they may be used");
  }
  bool operator==(const ModelCard&) const = default;
};

}  // namespace nacre
