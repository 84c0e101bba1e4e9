// Layers that belong to several models of one file: Keras gives their descriptions a common shared_object_id, and then
// cannot open the file. What is written here has an id that Keras passes over: it makes layers of their own, with the
// same weights.
#pragma once

#include <functional>

#include "api/functional.h"

namespace nacre {

// While one lives, read_layer() gives descriptions of one shared_object_id the same layer. Keras often loses the id of
// the first one, which is then the one of the same class and name. Of the thread that made it; they may nest.
class SharedLayers {
 public:
  SharedLayers();
  ~SharedLayers();
  SharedLayers(const SharedLayers&) = delete;
  SharedLayers& operator=(const SharedLayers&) = delete;

 private:
  friend std::shared_ptr<Layer> read_layer(const Tree& object);
  std::map<std::int64_t, std::shared_ptr<Layer>> layers_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<Layer>> unmarked_;  // by class and name
  SharedLayers* outer_;
};

std::shared_ptr<Layer> read_layer(const Tree& object);

// Calls visit(description, layer) for the layers within a layer whose descriptions stand in that of the layer itself.
void each_inner_object(Tree& object, const Layer& layer, const std::function<void(Tree&, Layer&)>& visit);

// Whether `to` is the layer itself, or lies within it at any depth.
bool reaches(const Layer& from, const Layer& to);

// The description of a model, {module, class_name, config, registered_name}, with our ids of what is shared and the names
// under which KerasHub registers its classes.
Tree describe_model(const FunctionalLayer& model);

}  // namespace nacre
