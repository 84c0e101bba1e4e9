#include "api/keras_config.h"

#include "formats/config.h"

namespace nacre {

Tree modern_input_config(Tree config) {
  if (const Tree* shape = config.find("batch_input_shape")) {
    config.set("batch_shape", Tree(*shape));
    config.erase("batch_input_shape");
  }
  return config;
}

std::optional<Shape> take_batch_input_shape(Tree& layer) {
  Tree* config = layer.find("config");
  const Tree* written = config ? config->find("batch_input_shape") : nullptr;
  if (!written) return std::nullopt;
  Shape shape;
  FieldKind<Shape>::read(*written, shape);
  config->erase("batch_input_shape");
  return shape;
}

}  // namespace nacre
