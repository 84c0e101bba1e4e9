// How files become models and weights.
#pragma once

#include <string>
#include <vector>

namespace nacre {

struct LoadOptions {
  bool compile = true;         // when the file has a training config
  bool by_name = false;        // weights go to the layers of the same names; the others are left as they are
  bool skip_mismatch = false;  // layers that the weights do not fit are left as they are
  bool allow_lua = false;      // layers that hold Lua code are run; else a file with such is refused
  // The file comes from somewhere else: it is read in a confined child process (see formats/confined.h).
  bool untrusted = false;
  // Gets a line for each layer that was left as it was, with the reason: "layer 'fc' (Dense): the file has …".
  std::vector<std::string>* skipped = nullptr;
  // Gets a line for each thing of the file that does not stop the model from predicting and could not be carried over:
  // how it was compiled, a regularizer that nobody knows, the state of an optimizer. Null: they go to standard error.
  std::vector<std::string>* notes = nullptr;
};

}  // namespace nacre
