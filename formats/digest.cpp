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

}  // namespace

std::string digest_of_file(const std::filesystem::path& path, Digest kind) {
  static const Crypto crypto;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw file_error(path, "opened", errno);
  const std::unique_ptr<EVP_MD_CTX, decltype(crypto.free)> context(crypto.make(), crypto.free);
  const auto check = [](int result) {
    if (result != 1) throw Error("checksums cannot be computed: libcrypto failed");
  };
  if (!context) check(0);
  check(crypto.begin(context.get(), kind == Digest::sha256 ? crypto.sha256() : crypto.md5(), nullptr));
  std::array<unsigned char, 1 << 16> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get()))
    check(crypto.update(context.get(), buffer.data(), got));
  if (std::ferror(file.get())) throw file_error(path, "read", errno);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  check(crypto.finish(context.get(), digest.data(), &size));
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace nacre
