#include "api/version.h"

namespace nacre {

std::string_view version() { return NACRE_VERSION; }  // of CMakeLists.txt

}  // namespace nacre
