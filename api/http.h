// Sending over HTTP, with libcurl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nacre {

struct HttpPost {
  std::string url, body;
  std::vector<std::pair<std::string, std::string>> headers{};
  double seconds = 5;  // how long the whole exchange may take
};

// The status of the answer, such as 200. Throws Error with the reason when there is none.
long post(const HttpPost& request);

struct HttpDownload {
  std::string address;                 // http, https or file
  std::filesystem::path file;          // where it will lie, when it is complete
  std::optional<std::uint64_t> size{}; // in bytes, when it is known: no more is taken
  double patience = 30;                // seconds without a byte after which it is given up
  int attempts = 3;                    // made when the connection breaks; each goes on where the last one ended
  // Called now and then with the bytes that are there and those in all (0: not known); false stops.
  std::function<bool(std::uint64_t done, std::uint64_t all)> progress{};
};

// Fetches to FILE.part and leaves it there, complete: the caller checks it and gives it its name. What an earlier download
// left there is gone on with, when the server can. One process at a time writes to it. Throws Error with address and reason.
// Returns the path of the part.
std::filesystem::path download(const HttpDownload& request);

// text as part of a form: application/x-www-form-urlencoded.
std::string form_encoded(std::string_view text);

}  // namespace nacre
