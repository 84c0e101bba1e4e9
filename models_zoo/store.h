// Where weights lie: beside the program those that come with it, in a folder of the user's those that were fetched.
#pragma once

#include <functional>

#include "api/http.h"
#include "models_zoo/manifest.h"

namespace nacre::zoo {

// What is fetched goes here: NACRE_HOME/zoo, else XDG_CACHE_HOME/nacre/zoo, else ~/.cache/nacre/zoo. It may be copied
// to a machine without a network.
std::filesystem::path fetched_folder();

// The file of the weights, when it is there already.
std::optional<std::filesystem::path> find(const ZooModel& model, const Weights& weights);

// How well a file is known to be the one that was published.
enum class Known {
  by_checksum,
  by_opening,  // no checksum is published: it can be opened, and its size is right where that is known
};
// Throws an Error when the file is not the one of the manifest: by its size and its checksum, or when it cannot be
// opened.
Known verify(const std::filesystem::path& file, const Weights& weights);

// The same error, which tells what to do about it in this way.
Error with_hint(const Error& error, std::string hint);

// Called with what is fetched and how far it has come; false stops.
using FetchProgress = std::function<bool(const std::string& name, const DownloadState& state)>;
// The file of the weights, fetched and verified when it is not there; with `again` also when it is there and wrong.
// NACRE_ZOO_MIRROR, or `mirror`, is the address of a folder that has files of the same names, which is tried first.
// Where nothing comes the Error tells of each address.
std::filesystem::path fetch(const ZooModel& model, const Weights& weights, const FetchProgress& progress = {},
                            const std::string& mirror = "", bool again = false);

}  // namespace nacre::zoo
