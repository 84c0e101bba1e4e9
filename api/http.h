// Sending over HTTP, with libcurl.
#pragma once

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

// text as part of a form: application/x-www-form-urlencoded.
std::string form_encoded(std::string_view text);

}  // namespace nacre
