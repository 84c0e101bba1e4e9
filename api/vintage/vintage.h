// Keras's configs of all vintages, from 1.0 on, rewritten into the present form before anything reads them.
//
// Everything here turns trees into trees; what the present form is, the descriptions of the classes say. Sources: Keras
// 1.2.2 and 2.0 to 2.15 (keras/legacy/interfaces.py and the get_config of every layer), tf.keras of the same versions.
#pragma once

#include <string>
#include <vector>

#include "formats/keras_h5.h"
#include "formats/tree.h"

namespace nacre {

// Which Keras wrote a file.
struct Vintage {
  int major = 3;
  std::string backend;  // "tensorflow", "theano", "cntk", …; "" when nothing in the file tells
};

// From the version that a file or its config names ("1.2.2", "2.2.4-tf"), else from what only older ones write. Keras 1
// names no backend, but its TensorFlow weights end in ":0" and those of Theano do not.
Vintage vintage_of(const KerasFile& file);
Vintage vintage_of(const Tree& model);

// What could not be carried over and does not stop a model from predicting, as sentences for the user.
using Notes = std::vector<std::string>;

// A model, or any other layer, {class_name, config}: what its Keras wrote as the present one would. Throws an Error
// that names the layer when it holds something that has no counterpart.
Tree modern_layer(Tree layer, const Vintage& vintage, Notes& notes);

// {optimizer_config, loss, metrics, …} of an older Keras.
Tree modern_training_config(Tree config, const Vintage& vintage);

}  // namespace nacre
