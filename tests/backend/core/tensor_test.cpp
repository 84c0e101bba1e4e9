#include "backend/core/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nacre {

namespace {

TEST(Tensor, CopiesShareUntilOneIsWrittenTo) {
  Tensor a = Tensor::of<float>({3}, {1, 2, 3});
  const Tensor b = a;
  EXPECT_EQ(a.raw(), b.raw());
  a.writable<float>()[1] = 7;
  EXPECT_NE(a.raw(), b.raw());
  EXPECT_EQ(a.at(1), 7);
  EXPECT_EQ(b.at(1), 2);
}

TEST(Tensor, TheOnlyHolderIsWrittenInPlace) {
  Tensor a(DType::float32, {3});
  const void* before = a.raw();
  a.writable<float>()[0] = 1;
  EXPECT_EQ(a.raw(), before);
}

TEST(Tensor, StartsAsZerosAtAnAlignedPlace) {
  const Tensor a(DType::float64, {5});
  EXPECT_EQ(a.to_doubles(), std::vector<double>(5, 0));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.raw()) % buffer_alignment, 0u);
}

TEST(Tensor, ReshapedSharesElements) {
  const Tensor a = Tensor::of<std::int32_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor b = a.reshaped({3, 2});
  EXPECT_EQ(a.raw(), b.raw());
  EXPECT_EQ(b.shape(), (Shape{3, 2}));
  EXPECT_THROW(a.reshaped({4}), Error);
}

TEST(Tensor, RowsAreCopies) {
  const Tensor a = Tensor::of<std::int32_t>({3, 2}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(a.rows(1, 3).to_doubles(), (std::vector<double>{3, 4, 5, 6}));
  EXPECT_EQ(a.rows(1, 1).shape(), (Shape{0, 2}));
  EXPECT_THROW(a.rows(2, 4), InternalError);
}

TEST(Tensor, IsReadAsItsDtypeOnly) {
  Tensor a(DType::float32, {1});
  EXPECT_THROW(a.data<double>(), InternalError);
  EXPECT_THROW(a.writable<std::int32_t>(), InternalError);
  EXPECT_THROW(Tensor::of<float>({2}, {1}), InternalError);
}

TEST(Tensor, CastsBetweenAllDtypes) {
  constexpr DType dtypes[] = {DType::boolean, DType::uint8,    DType::int32,   DType::int64,
                              DType::float16, DType::bfloat16, DType::float32, DType::float64};
  for (DType from : dtypes)
    for (DType to : dtypes) {
      const Tensor a = Tensor::of<double>({3}, {0, 1, 1}).cast(from).cast(to);
      EXPECT_EQ(a.dtype(), to);
      EXPECT_EQ(a.to_doubles(), (std::vector<double>{0, 1, 1}));
    }
  EXPECT_EQ(Tensor::of<double>({2}, {0.5, 0}).cast(DType::boolean).to_doubles(), (std::vector<double>{1, 0}));
}

TEST(Tensor, IdenticalComparesTypeAndBits) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(Tensor::scalar(nan).identical(Tensor::scalar(nan)));
  EXPECT_FALSE(Tensor::scalar(0.0).identical(Tensor::scalar(-0.0)));
  EXPECT_FALSE(Tensor::scalar(0.0f).identical(Tensor::scalar(0.0)));
}

TEST(DType, NamesGoBothWays) {
  for (std::string_view name : {"bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"})
    EXPECT_EQ(name_of(dtype_named(name)), name);
  try {
    dtype_named("flaot32");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "unknown dtype 'flaot32'\n  hint: did you mean 'float32'?");
  }
}

TEST(BFloat16, RoundsToNearestEven) {
  auto rounded = [](float value) { return static_cast<float>(BFloat16(value)); };
  EXPECT_EQ(rounded(1.0f), 1.0f);
  EXPECT_EQ(rounded(1.0f + 0x1p-8f), 1.0f);                   // half way, to the even neighbour below
  EXPECT_EQ(rounded(1.0f + 3 * 0x1p-8f), 1.0f + 0x1p-6f);     // half way, to the even neighbour above
  EXPECT_EQ(rounded(1.0f + 0x1p-8f + 0x1p-20f), 1.0f + 0x1p-7f);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7f800001u))));  // a signalling one stays a NaN
}

}  // namespace

}  // namespace nacre
