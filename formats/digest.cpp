#include "formats/digest.h"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "formats/file.h"
#include "formats/shared_library.h"

namespace nacre {

namespace {

// The functions of libcrypto, which is loaded by the first use.
struct Crypto {
  SharedLibrary library{"checksums cannot be computed", {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.3.dylib"}};
  decltype(&EVP_MD_CTX_new) make = library["EVP_MD_CTX_new"];
  decltype(&EVP_MD_CTX_free) free = library["EVP_MD_CTX_free"];
  decltype(&EVP_DigestInit_ex) begin = library["EVP_DigestInit_ex"];
  decltype(&EVP_DigestUpdate) update = library["EVP_DigestUpdate"];
  decltype(&EVP_DigestFinal_ex) finish = library["EVP_DigestFinal_ex"];
  decltype(&EVP_sha256) sha256 = library["EVP_sha256"];
  decltype(&EVP_md5) md5 = library["EVP_md5"];
};

// One checksum that is being computed.
class Sum {
 public:
  explicit Sum(Digest kind) : context_(crypto().make(), crypto().free) {
    check(context_ ? 1 : 0);
    check(crypto().begin(context_.get(), kind == Digest::sha256 ? crypto().sha256() : crypto().md5(), nullptr));
  }
  void add(const void* bytes, std::size_t count) { check(crypto().update(context_.get(), bytes, count)); }
  std::string text() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    check(crypto().finish(context_.get(), digest.data(), &size));
    std::string digits;
    for (unsigned i = 0; i < size; ++i) digits += fmt::format("{:02x}", digest[i]);
    return digits;
  }

 private:
  static const Crypto& crypto() {
    static const Crypto loaded;
    return loaded;
  }
  static void check(int result) {
    if (result != 1) throw Error("checksums cannot be computed: libcrypto failed");
  }

  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string digest_of(std::string_view bytes, Digest kind) {
  Sum sum(kind);
  sum.add(bytes.data(), bytes.size());
  return sum.text();
}

std::string digest_of_file(const std::filesystem::path& path, Digest kind) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw file_error(path, "opened", errno);
  Sum sum(kind);
  std::array<unsigned char, 1 << 16> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) sum.add(buffer.data(), got);
  if (std::ferror(file.get())) throw file_error(path, "read", errno);
  return sum.text();
}

}  // namespace nacre
