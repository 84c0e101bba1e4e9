#include "formats/libraries.h"

#include <fmt/core.h>
#include <hdf5.h>
#include <lua.h>
#include <png.h>
#include <zip.h>
#include <zlib.h>

namespace nacre {

std::vector<std::pair<std::string, std::string>> library_versions() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return {{"HDF5", fmt::format("{}.{}.{}", major, minor, release)},
          {"Lua", LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE},
          {"zlib", zlibVersion()},
          {"libzip", zip_libzip_version()},
          {"libpng", png_get_libpng_ver(nullptr)}};
}

}  // namespace nacre
