// Tensors of texts: values like those of numbers, but never bytes.
#include <gtest/gtest.h>

#include "backend/core/tensor.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

const std::string long_text(100, 'x');  // lies on the heap

TEST(TextTensor, CopiesShareUntilOneIsWrittenTo) {
  Tensor a = Tensor::of<std::string>({2}, {"a", long_text});
  const Tensor b = a;
  EXPECT_EQ(a.data<std::string>().data(), b.data<std::string>().data());
  a.writable<std::string>()[1] += "y";
  EXPECT_EQ(a.data<std::string>()[1], long_text + "y");
  EXPECT_EQ(b.data<std::string>()[1], long_text);
  EXPECT_FALSE(a.identical(b));
  EXPECT_TRUE(b.identical(Tensor::of<std::string>({2}, {"a", long_text})));
  EXPECT_FALSE(b.identical(b.reshaped({2, 1})));
}

TEST(TextTensor, StartsEmptyAndHandsOutRows) {
  Tensor a(DType::string, {3, 2});
  for (const std::string& text : a.data<std::string>()) EXPECT_EQ(text, "");
  a.writable<std::string>()[4] = long_text;
  const Tensor row = a.rows(2, 3);
  EXPECT_EQ(row.shape(), (Shape{1, 2}));
  EXPECT_EQ(row.data<std::string>()[0], long_text);
  Tensor b(DType::string, {3});
  copy_elements(a, 3, 3, b, 0);
  EXPECT_EQ(b.data<std::string>()[1], long_text);
}

TEST(TextTensor, IsNeverTakenForNumbersOrBytes) {
  Tensor a(DType::string, {1}), numbers(DType::float32, {1});
  EXPECT_EQ(test::message_of([&] { a.cast(DType::float32); }), "got texts, wanted numbers");
  EXPECT_EQ(test::message_of([&] { numbers.cast(DType::string); }), "got texts, wanted numbers");
  EXPECT_EQ(test::message_of([&] { a.at(0); }), "got texts, wanted numbers");
  EXPECT_THROW(a.raw(), InternalError);
  EXPECT_THROW(a.raw_writable(), InternalError);
  EXPECT_THROW(copy_elements(a, 0, 1, numbers, 0), InternalError);
  EXPECT_THROW(copy_elements(a, 0, 2, a, 0), InternalError);
  EXPECT_EQ(dtype_named("string"), DType::string);
  EXPECT_FALSE(is_floating(DType::string));
}

}  // namespace
}  // namespace nacre
