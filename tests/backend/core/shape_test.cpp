#include "backend/core/shape.h"

#include <gtest/gtest.h>

namespace nacre {

namespace {

TEST(Shape, TextIsPythons) {
  EXPECT_EQ((Shape{unknown, 26, 32}).text(), "(None, 26, 32)");
  EXPECT_EQ((Shape{3}).text(), "(3,)");
  EXPECT_EQ(Shape{}.text(), "()");
  EXPECT_EQ((Type{DType::bfloat16, {2, unknown}}).text(), "bfloat16(2, None)");
}

TEST(Shape, AxesCountFromEitherEnd) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape.checked(-3), 0);
  EXPECT_THROW(shape[3], Error);
  EXPECT_THROW(shape[-4], Error);
  EXPECT_THROW(Shape{}[0], Error);
}

TEST(Shape, CountsElements) {
  EXPECT_EQ((Shape{2, 3, 4}).elements(), 24);
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((Shape{5, 0}).elements(), 0);
  EXPECT_THROW((Shape{2, unknown}).elements(), InternalError);
  EXPECT_THROW((Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}).elements(), Error);
}

TEST(Shape, IsCutAndJoined) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.first(2), (Shape{2, 3}));
  EXPECT_EQ(shape.from(1), (Shape{3, 4}));
  EXPECT_EQ(shape.from(3), Shape{});
  EXPECT_EQ(shape.first(1) + shape.from(2), (Shape{2, 4}));
}

TEST(Shape, SameTakesUnknownForAnything) {
  EXPECT_TRUE(same(Shape{2, unknown}, Shape{unknown, 3}));
  EXPECT_FALSE(same(Shape{2, 3}, Shape{2, 4}));
  EXPECT_FALSE(same(Shape{2}, Shape{2, 1}));
}

TEST(Shape, BroadcastsByNumPysRule) {
  EXPECT_EQ(broadcast({2, 3}, {3}), (Shape{2, 3}));
  EXPECT_EQ(broadcast({2, 1}, {1, 5}), (Shape{2, 5}));
  EXPECT_EQ(broadcast({}, {4}), Shape{4});
  EXPECT_EQ(broadcast({unknown, 3}, {1, 3}), (Shape{unknown, 3}));
  EXPECT_EQ(broadcast({unknown}, {5}), Shape{5});
  EXPECT_EQ(broadcast({0}, {1}), Shape{0});
  EXPECT_THROW(broadcast({2}, {3}), Error);
}

TEST(Shape, RowMajorStrides) {
  EXPECT_EQ(row_major_strides({2, 3, 4}), (std::vector<std::int64_t>{12, 4, 1}));
  EXPECT_TRUE(row_major_strides({}).empty());
}

}  // namespace

}  // namespace nacre
