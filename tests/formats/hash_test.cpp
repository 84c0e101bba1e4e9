// Values of TensorFlow's string_to_hash_bucket_fast and _strong, of its cross_hashed, and of the paper on SipHash.
#include "formats/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace nacre {
namespace {

constexpr std::uint64_t buckets = std::uint64_t{1} << 62;

TEST(Hash, FarmFingerprintIsTensorFlows) {
  EXPECT_EQ(farm_fingerprint("") % buckets, 1936946117179621455u);
  EXPECT_EQ(farm_fingerprint("hello") % buckets, 3786372426573024488u);
  EXPECT_EQ(farm_fingerprint("0123456789abcdef") % buckets, 1493332391325024359u);
  EXPECT_EQ(farm_fingerprint(std::string(33, 'x')) % buckets, 3046993373088323127u);
  EXPECT_EQ(farm_fingerprint(std::string(64, 'y')) % buckets, 4471793200125962424u);
  EXPECT_EQ(farm_fingerprint(std::string(1000, 'q')) % buckets, 4178784377876605292u);
  EXPECT_EQ(farm_fingerprint("日本語") % buckets, 1846174170784512071u);
}

TEST(Hash, SipHashIsTensorFlowsAndThatOfItsPaper) {
  EXPECT_EQ(sip_hash("", {133, 137}) % buckets, 316627932347062996u);
  EXPECT_EQ(sip_hash("hello", {133, 137}) % buckets, 1067426241479190957u);
  EXPECT_EQ(sip_hash("0123456789abcdef", {133, 137}) % buckets, 4045071960732599654u);
  EXPECT_EQ(sip_hash(std::string(130, 'w'), {133, 137}) % buckets, 140327272584030369u);
  std::string bytes;
  for (char byte = 0; byte < 15; ++byte) bytes += byte;
  EXPECT_EQ(sip_hash(bytes, {0x0706050403020100, 0x0f0e0d0c0b0a0908}), 0xa129ca6149be45e5u);
}

TEST(Hash, PairsAreJoinedAsInTensorFlowsCrossings) {
  constexpr std::uint64_t key = 0xDECAFCAFFE;
  EXPECT_EQ(joined_fingerprint(joined_fingerprint(key, farm_fingerprint("A")), 101) % 1'000'000'000'000, 151188794891u);
  EXPECT_EQ(joined_fingerprint(joined_fingerprint(key, 1), 101) % 1'000'000'000'000, 210635831870u);
}

}  // namespace
}  // namespace nacre
