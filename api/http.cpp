#include "api/http.h"

#include <curl/curl.h>

#include <cctype>
#include <memory>

#include "backend/core/error.h"
#include "formats/shared_library.h"

namespace nacre {

namespace {

// The functions of libcurl, which is loaded, and its own state made, by the first request.
struct Curl {
  SharedLibrary library{"HTTP cannot be used", {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib"}};
  decltype(&curl_global_init) global_init = library["curl_global_init"];
  decltype(&curl_easy_init) init = library["curl_easy_init"];
  decltype(&curl_easy_cleanup) cleanup = library["curl_easy_cleanup"];
  decltype(&curl_easy_setopt) setopt = library["curl_easy_setopt"];
  decltype(&curl_easy_perform) perform = library["curl_easy_perform"];
  decltype(&curl_easy_getinfo) getinfo = library["curl_easy_getinfo"];
  decltype(&curl_easy_strerror) strerror = library["curl_easy_strerror"];
  decltype(&curl_slist_append) append = library["curl_slist_append"];
  decltype(&curl_slist_free_all) free_all = library["curl_slist_free_all"];
  CURLcode started = global_init(CURL_GLOBAL_DEFAULT);
};
const Curl& curl() {
  static const Curl loaded;
  if (loaded.started != CURLE_OK) throw Error("HTTP cannot be used: {}", loaded.strerror(loaded.started));
  return loaded;
}

std::size_t ignore_answer(const char*, std::size_t size, std::size_t count, void*) { return size * count; }

struct FreeHeaders {
  void operator()(curl_slist* headers) const { curl().free_all(headers); }
};

}  // namespace

long post(const HttpPost& request) {
  const std::unique_ptr<CURL, void (*)(CURL*)> session(curl().init(), curl().cleanup);
  if (!session) throw Error("HTTP cannot be used: out of memory");
  std::unique_ptr<curl_slist, FreeHeaders> headers;
  for (const auto& [name, value] : request.headers) {
    curl_slist* const longer = curl().append(headers.get(), fmt::format("{}: {}", name, value).c_str());
    if (!longer) throw Error("HTTP cannot be used: out of memory");
    headers.release();
    headers.reset(longer);
  }
  const auto set = [&](CURLoption option, auto value) { curl().setopt(session.get(), option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_POSTFIELDS, request.body.data());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_WRITEFUNCTION, ignore_answer);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.seconds * 1000));
  set(CURLOPT_NOSIGNAL, 1L);
  if (const CURLcode result = curl().perform(session.get()); result != CURLE_OK)
    throw Error("{}: {}", request.url, curl().strerror(result));
  long status = 0;
  curl().getinfo(session.get(), CURLINFO_RESPONSE_CODE, &status);
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
