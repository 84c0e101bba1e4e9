// What a call is given: its tensors, and a text that tells its other arguments from those of other calls.
#pragma once

#include "scripting/tensors/compute.h"

namespace nacre::scripting {

// Seen once from the first argument to the last, in the order of Call::tree.
class GivenArguments {
 public:
  GivenArguments(const Call& call, std::string_view function);

  const std::vector<Object>& objects() const { return objects_; }
  // Whether they are all arrays or weights, and such that the call can be told from others. While a function is traced,
  // weights are read when it runs.
  bool at_once(bool tracing) const { return plain_ && arrays_ && !(tracing && (weights_ || objects_.empty())); }
  // Beside the types of the objects.
  std::string_view key() const { return key_; }

 private:
  void meet(int index, int depth);
  void meet_table(int index, int depth);
  template <class Number>
  void append(char tag, Number number);

  const Call& call_;
  lua_State* lua_;
  std::string key_;
  std::vector<Object> objects_;
  bool plain_ = true, arrays_ = true, weights_ = false;
};

}  // namespace nacre::scripting
