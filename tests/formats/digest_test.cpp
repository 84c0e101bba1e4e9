#include "formats/digest.h"

#include <gtest/gtest.h>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

TEST(Digest, OfBytesAsTheyAre) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "abc", "abc");
  write_file_atomically(folder / "empty", "");
  // FIPS 180-2 and RFC 1321.
  EXPECT_EQ(digest_of_file(folder / "abc", Digest::sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of_file(folder / "abc", Digest::md5), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(digest_of_file(folder / "empty", Digest::md5), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(digest_of("abc", Digest::sha256), digest_of_file(folder / "abc", Digest::sha256));
  EXPECT_EQ(digest_of("", Digest::md5), digest_of_file(folder / "empty", Digest::md5));
  EXPECT_THROW(digest_of_file(folder / "none", Digest::md5), Error);
}

}  // namespace
}  // namespace nacre::test
