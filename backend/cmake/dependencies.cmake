# What nacre's libraries link to. Read by the build and, once installed, by find_package(nacre).
# Everything that is missing is named in one line with the package that brings it.
set(nacre_missing "")

find_package(PkgConfig QUIET)
# nacre_need(zlib "zlib" zlib1g-dev): the target PkgConfig::nacre_zlib
macro(nacre_need name modules debian_package)
  if(PKG_CONFIG_FOUND)
    pkg_search_module(nacre_${name} QUIET IMPORTED_TARGET GLOBAL ${modules})
  endif()
  if(NOT nacre_${name}_FOUND)
    list(APPEND nacre_missing "${debian_package}")
  endif()
endmacro()

if(NOT PKG_CONFIG_FOUND)
  list(APPEND nacre_missing pkg-config)
endif()
nacre_need(fmt "fmt" libfmt-dev)
if(NOT CMAKE_FIND_PACKAGE_NAME)  # headers that building nacre needs, not using it
  nacre_need(eigen "eigen3" libeigen3-dev)
  nacre_need(cairo "cairo" libcairo2-dev)  # this library and the next ones are loaded when they are needed
  nacre_need(curl "libcurl" libcurl4-openssl-dev)
  nacre_need(crypto "libcrypto" libssl-dev)
  nacre_need(webp "libwebp" libwebp-dev)
  nacre_need(gif "libgif7;libgif;giflib" libgif-dev)
endif()
nacre_need(yaml "yaml-cpp" libyaml-cpp-dev)
nacre_need(hdf5 "hdf5-serial;hdf5" libhdf5-dev)
nacre_need(zlib "zlib" zlib1g-dev)
nacre_need(zip "libzip" libzip-dev)
nacre_need(jpeg "libjpeg" libjpeg-dev)
nacre_need(png "libpng" libpng-dev)
nacre_need(lua "lua5.4;lua-5.4" liblua5.4-dev)
find_path(NACRE_FARMHASH_HEADERS farmhash.h)  # it has no pkg-config file
find_library(NACRE_FARMHASH_LIBRARY farmhash)
mark_as_advanced(NACRE_FARMHASH_HEADERS NACRE_FARMHASH_LIBRARY)
if(NOT NACRE_FARMHASH_HEADERS OR NOT NACRE_FARMHASH_LIBRARY)
  list(APPEND nacre_missing libfarmhash-dev)
elseif(NOT TARGET FarmHash::farmhash)
  add_library(FarmHash::farmhash UNKNOWN IMPORTED GLOBAL)
  set_target_properties(FarmHash::farmhash PROPERTIES IMPORTED_LOCATION "${NACRE_FARMHASH_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${NACRE_FARMHASH_HEADERS}")
endif()
nacre_need(pcre "libpcre2-8" libpcre2-dev)

if(NACRE_MPI AND PKG_CONFIG_FOUND AND NOT CMAKE_FIND_PACKAGE_NAME)  # a module's alone, which is left out where there is none
  pkg_search_module(nacre_mpi QUIET IMPORTED_TARGET GLOBAL ompi-c mpich)
endif()

if(nacre_missing)
  list(REMOVE_DUPLICATES nacre_missing)
  list(JOIN nacre_missing " " nacre_missing)
  message(FATAL_ERROR "nacre needs Debian packages that are not installed: apt-get install ${nacre_missing}")
endif()

find_package(Threads REQUIRED)
if(NACRE_OPENMP)
  find_package(OpenMP QUIET COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    message(FATAL_ERROR "nacre needs a compiler with OpenMP: apt-get install g++ (or configure with -DNACRE_OPENMP=OFF)")
  endif()
endif()
if(NOT TARGET DNNL::dnnl)
  find_package(dnnl 3.2 CONFIG QUIET)
  if(NOT dnnl_FOUND)
    message(FATAL_ERROR "nacre needs oneDNN >= 3.2 in ${NACRE_DEPS}/onednn: bash tests/setup.sh")
  endif()
endif()
