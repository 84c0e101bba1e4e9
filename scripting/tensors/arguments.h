// Arguments of functions that Keras has too: by place in Keras's order, or by name in a table at the end.
//
//   nacre.random.normal({2, 3}, 0, 1)    nacre.random.normal({2, 3}, {stddev = 2})    nacre.randn{2, 3, dtype =
//   "float16"}
#pragma once

#include "scripting/bindings.h"

namespace nacre::scripting {

// Arguments by the keys of fields. `objects`: see Call::tree.
Tree argument_tree(const Call& call, const FieldTable& fields, const Call::ObjectReader& objects = {});

template <Described Config>
Config read_arguments(const Call& call, std::string_view function, const Call::ObjectReader& objects = {}) {
  return about(std::string(function),
               [&] { return read_config<Config>(argument_tree(call, fields_of<Config>(), objects)); });
}

// Throws a usage Error unless all sizes are known and the machine has memory for it.
void check_shape(const Type& type);

}  // namespace nacre::scripting
