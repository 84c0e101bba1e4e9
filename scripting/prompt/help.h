// What the prompt tells about names and values.
#pragma once

#include <string>

#include "scripting/state.h"

namespace nacre::scripting {

// Of no argument, a value or a name ("Dense", "nacre.ops.relu"), in lines of at most 80 columns. Throws Error about a
// name of which nothing is known.
std::string help_text(const Call& call);

}  // namespace nacre::scripting
