#include "api/http.h"

#include <curl/curl.h>

#include <cctype>
#include <memory>

#include "backend/core/error.h"

namespace nacre {

namespace {

// libcurl's own state, made once, by the first who needs it.
void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw Error("HTTP cannot be used: {}", curl_easy_strerror(started));
}

std::size_t ignore_answer(const char*, std::size_t size, std::size_t count, void*) { return size * count; }

struct FreeHeaders {
  void operator()(curl_slist* headers) const { curl_slist_free_all(headers); }
};

}  // namespace

long post(const HttpPost& request) {
  start_curl();
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) throw Error("HTTP cannot be used: out of memory");
  std::unique_ptr<curl_slist, FreeHeaders> headers;
  for (const auto& [name, value] : request.headers) {
    curl_slist* const longer = curl_slist_append(headers.get(), fmt::format("{}: {}", name, value).c_str());
    if (!longer) throw Error("HTTP cannot be used: out of memory");
    headers.release();
    headers.reset(longer);
  }
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_POSTFIELDS, request.body.data());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_WRITEFUNCTION, ignore_answer);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.seconds * 1000));
  set(CURLOPT_NOSIGNAL, 1L);
  if (const CURLcode result = curl_easy_perform(curl.get()); result != CURLE_OK)
    throw Error("{}: {}", request.url, curl_easy_strerror(result));
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  return status;
}

std::string form_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') encoded += c;
    else encoded += c == ' ' ? "+" : fmt::format("%{:02X}", byte);
  }
  return encoded;
}

}  // namespace nacre
