#include "api/http.h"

#include <curl/curl.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>

#include "formats/descriptor.h"
#include "formats/digest.h"
#include "formats/file.h"
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

// The file that a download grows in; locked, so that no two processes write to it. Only who has the lock removes or
// renames it.
class PartialFile {
 public:
  // Waits for the lock; `wait` is called now and then meanwhile with the bytes that are there.
  PartialFile(std::filesystem::path path, const std::function<void(std::uint64_t)>& wait)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (descriptor_.get() < 0) throw file_error(path_, "written", errno);
    while (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) throw file_error(path_, "locked", errno);
      wait(status().size);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    size_ = status().size;
  }

  // Whether the path still leads to this file: who had the lock before may have given it its name, or removed it.
  bool is_there() const {
    struct stat named {};
    const Status own = status();
    return ::stat(path_.c_str(), &named) == 0 && named.st_dev == own.device && named.st_ino == own.inode;
  }
  void rename(const std::filesystem::path& name) {
    if (::rename(path_.c_str(), name.c_str()) != 0) throw file_error(name, "written", errno);
  }
  void remove() { ::unlink(path_.c_str()); }

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // Errors are kept, for the callbacks of libcurl may not throw.
  bool append(const char* bytes, std::size_t count) {
    while (count > 0) {
      const ssize_t written = ::pwrite(descriptor_.get(), bytes, count, static_cast<off_t>(size_));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return error_ = errno, false;
      bytes += written, count -= static_cast<std::size_t>(written), size_ += static_cast<std::uint64_t>(written);
    }
    return true;
  }
  bool clear() {
    size_ = 0;
    if (::ftruncate(descriptor_.get(), 0) == 0) return true;
    error_ = errno;
    return false;
  }
  void flush() {
    if (::fsync(descriptor_.get()) != 0) error_ = errno;
    check();
  }
  void check() const {
    if (error_) throw file_error(path_, "written", error_);
  }

 private:
  struct Status {
    std::uint64_t size = 0;
    dev_t device{};
    ino_t inode{};
  };
  Status status() const {
    struct stat found {};
    if (::fstat(descriptor_.get(), &found) != 0) throw file_error(path_, "read", errno);
    return {static_cast<std::uint64_t>(found.st_size), found.st_dev, found.st_ino};
  }

  std::filesystem::path path_;
  Descriptor descriptor_;
  std::uint64_t size_ = 0;
  int error_ = 0;
};

// One request for what a file lacks.
class Transfer {
 public:
  Transfer(const HttpDownload& request, PartialFile& part) : request_(request), part_(part), first_(part.size()) {}

  // broken: it may be tried again; cleared: from the beginning, for what was there does not begin this file.
  enum class Result { done, broken, cleared, stopped };
  // Throws Error where trying again is of no use.
  Result run() {
    const std::unique_ptr<CURL, void (*)(CURL*)> session(curl().init(), curl().cleanup);
    if (!session) throw Error("HTTP cannot be used: out of memory");
    session_ = session.get();
    const auto set = [&](CURLoption option, auto value) { curl().setopt(session_, option, value); };
    set(CURLOPT_URL, request_.address.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https,file");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, 8L);
    set(CURLOPT_FAILONERROR, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, "nacre");
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.patience * 1000));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(request_.patience)));
    set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(first_));
    set(CURLOPT_WRITEFUNCTION, &take);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &tell);
    set(CURLOPT_XFERINFODATA, this);
    const CURLcode result = curl().perform(session_);
    part_.check();
    if (stopped_) return Result::stopped;
    const long status = answer();
    // The server cannot send the rest alone, or has no such rest.
    const bool no_rest = result == CURLE_RANGE_ERROR || result == CURLE_BAD_DOWNLOAD_RESUME || status == 416;
    if (first_ > 0 && (too_long_ || no_rest) && part_.clear()) return Result::cleared;
    if (too_long_ && part_.clear())
      throw Error("{}: the server sends more than the {} bytes that the file has", request_.address, most());
    part_.check();
    if (result == CURLE_OK) return Result::done;
    reason_ = status >= 400 ? fmt::format("the server answers {}", status) : curl().strerror(result);
    constexpr CURLcode final_ones[] = {CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT, CURLE_FILE_COULDNT_READ_FILE, CURLE_TOO_MANY_REDIRECTS,
                                       CURLE_PEER_FAILED_VERIFICATION};
    if ((status >= 400 && status < 500) || std::ranges::find(final_ones, result) != std::end(final_ones)) throw error();
    return Result::broken;
  }

  Error error() const {
    return Error("{}: {}", request_.address, reason_)
        .hint(part_.size() ? fmt::format("try again: {} bytes are there already", part_.size()) : "is there a network?");
  }

 private:
  std::uint64_t most() const { return request_.size.value_or(std::uint64_t{1} << 36); }

  long answer() const {
    long status = 0;
    curl().getinfo(session_, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  static std::size_t take(const char* bytes, std::size_t size, std::size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    if (transfer.part_.size() + size * count > transfer.most()) {
      transfer.too_long_ = true;
      return 0;
    }
    return transfer.part_.append(bytes, size * count) ? size * count : 0;
  }

  static int tell(void* self, curl_off_t expected, curl_off_t, curl_off_t, curl_off_t) {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::uint64_t done = transfer.part_.size();
    const std::uint64_t all = transfer.request_.size.value_or(expected > 0 ? transfer.first_ + static_cast<std::uint64_t>(expected) : 0);
    transfer.stopped_ = transfer.request_.progress && !transfer.request_.progress({.done = done, .all = all});
    return transfer.stopped_ ? 1 : 0;
  }

  const HttpDownload& request_;
  PartialFile& part_;
  std::uint64_t first_;
  CURL* session_ = nullptr;
  bool too_long_ = false, stopped_ = false;
  std::string reason_;
};

// Takes what the part lacks. Returns whether some of it was there before this transfer, which may be of another file.
bool complete(const HttpDownload& request, PartialFile& part) {
  const auto whole = [&] { return request.size && part.size() == *request.size; };
  bool resumed = part.size() > 0;
  for (int attempt = 1; !whole();) {
    resumed = part.size() > 0;
    Transfer transfer(request, part);
    const Transfer::Result result = transfer.run();
    if (result == Transfer::Result::stopped)
      throw Error("{}: stopped after {} bytes", request.address, part.size()).hint("the next time it goes on from there");
    if (result == Transfer::Result::done) break;
    if (result == Transfer::Result::cleared) continue;
    if (attempt >= request.attempts) throw transfer.error();
    std::this_thread::sleep_for(std::chrono::milliseconds(300 * attempt++));
  }
  part.flush();
  return resumed;
}

void check(const HttpDownload& request, const std::filesystem::path& file, std::uint64_t size) {
  if (request.size && size != *request.size)
    throw Error("{}: the server sent {} bytes, wanted {}", request.address, size, *request.size);
  within([&] { return fmt::format("while checking what {} sent", request.address); },
         [&] {
           if (request.check) request.check(file);
         });
}

bool is_there(const HttpDownload& request) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(request.file, error)) return false;
  const std::uintmax_t size = std::filesystem::file_size(request.file, error);
  if (error) return false;
  try {
    check(request, request.file, size);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void download(const HttpDownload& request) {
  const std::string digits = digest_of(request.address, Digest::sha256).substr(0, 8);
  const auto wait = [&](std::uint64_t done) {
    if (request.progress && !request.progress({.done = done, .all = request.size.value_or(0), .waiting = true}))
      throw Error("{}: stopped while another process fetches it", request.address);
  };
  for (;;) {
    PartialFile part(fmt::format("{}.{}.part", request.file.string(), digits), wait);
    if (!part.is_there()) continue;
    if (is_there(request)) return part.remove();
    if (request.size && part.size() > *request.size) part.clear();
    for (bool again = false;; again = true) {
      bool resumed = true;
      try {
        resumed = complete(request, part);
      } catch (...) {
        if (part.size() == 0) part.remove();
        throw;
      }
      try {
        check(request, part.path(), part.size());
      } catch (const Error&) {
        if (resumed && !again && part.clear()) continue;
        part.remove();  // going on with it would never end well
        throw;
      }
      return part.rename(request.file);
    }
  }
}

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
