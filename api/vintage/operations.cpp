// Calls of TensorFlow's functions on tensors, which tf.keras writes as layers.
#include "api/vintage/parts.h"

namespace nacre::vintages {

bool is_tensorflow_operation(const Tree& layer) {
  for (std::string_view name : {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "InstanceProperty"})
    if (layer["class_name"] == Tree(name)) return true;
  return false;
}

std::vector<Tree> modern_operation(Tree entry) {
  throw Error("operations of TensorFlow are not supported").about(label_of(entry)).usage();
}

}  // namespace nacre::vintages
