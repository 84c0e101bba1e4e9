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

// How far a download has come.
struct DownloadState {
  std::uint64_t done = 0, all = 0;  // bytes that are there, and in all; 0: not known
  bool waiting = false;             // another process fetches the file: this one will use it
};

struct HttpDownload {
  std::string address;                 // http, https or file
  std::filesystem::path file;          // where it will lie, when it is complete
  std::optional<std::uint64_t> size{}; // in bytes, when it is known: no more is taken
  // Throws an Error where the complete file, which lies at the path given, is not what is wanted.
  std::function<void(const std::filesystem::path&)> check{};
  double patience = 30;                // seconds without a byte after which it is given up
  int attempts = 3;                    // made when the connection breaks; each goes on where the last one ended
  std::function<bool(const DownloadState&)> progress{};  // called now and then; false stops
};

// Fetches the file, checks it and gives it its name. It grows in FILE.DIGITS.part, whose digits stand for the address, so
// that nothing of another address is gone on with; what an earlier download of this one left there is, when the server
// can. A file that fails its check though parts of it were there before is fetched once more from its beginning.
// One process at a time fetches from an address: another waits, and takes the file when it passes the check. A file that
// does so is not fetched again. Throws Error with address and reason.
void download(const HttpDownload& request);

// text as part of a form: application/x-www-form-urlencoded.
std::string form_encoded(std::string_view text);

}  // namespace nacre
