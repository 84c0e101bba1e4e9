// What a result depends on besides its description: program, processor, libraries.
#pragma once

#include "formats/tree.h"

namespace nacre {

// {version, processor, instruction_sets, threads, libraries: {name: version}}
Tree environment();

}  // namespace nacre
