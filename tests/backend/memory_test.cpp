// Sizes that no machine has room for are refused by name, before anything is allocated.
#include "backend/core/memory.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/executable.h"
#include "backend/graph/ops/ops.h"
#include "tests/support/paths.h"
#include "tests/support/sanitizers.h"

namespace nacre {
namespace {

TEST(Memory, TensorsThatDoNotFitSayTheirSize) {
  EXPECT_NE(test::message_of([] {
              Tensor(DType::float32, {1 << 24, 1 << 24});
            }).find("float32(16777216, 16777216) takes 1125899906842624 bytes, and this machine has "),
            std::string::npos);
}

TEST(Memory, ResultsThatDoNotFitNameTheirLayer) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {1, 1}});
  {
    const Graph::Label label(graph, "layer 'wide' (Dense)");
    graph.output("y", ops::sum(ops::exp(ops::broadcast_to(x, {1 << 24, 1 << 24}))));
  }
  const std::string message = test::message_of([&] { Executable(graph, reference_backend()); });
  EXPECT_TRUE(message.starts_with("layer 'wide' (Dense): float32(16777216, 16777216) takes 1125899906842624 bytes"))
      << message;
}

TEST(Memory, ResultsThatDoNotFitTogetherNameTheLargest) {
  const auto most = static_cast<std::int64_t>(machine_memory() / 10 * 6 / sizeof(float));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {1}});
  const Graph::Label label(graph, "layer 'wide' (Dense)");
  const Value one = ops::broadcast_to(x, {most}), other = ops::reverse(one, {0});
  graph.output("y", ops::sum(one * other));
  const std::string message = test::message_of([&] { Executable(graph, reference_backend()); });
  EXPECT_NE(message.find("what the layers compute at a time takes "), std::string::npos) << message;
  EXPECT_NE(message.find(fmt::format("most of it layer 'wide' (Dense): {} bytes", most * 4)), std::string::npos)
      << message;
}

TEST(Memory, WhatTheProcessTakesFollowsItsLargeBlocks) {
  constexpr std::size_t size = std::size_t{96} << 20;
  if (test::sanitized) GTEST_SKIP() << "a sanitizer has memory of its own";
  const std::size_t before = resident_memory();
  ASSERT_GT(before, 0u);
  {
    const auto block = allocate_bytes(size + 3);
    EXPECT_LT(resident_memory(), before + size / 4) << "only promised";
    std::fill_n(block.get(), size + 3, std::byte{1});
    EXPECT_GE(resident_memory(), before + size);
    EXPECT_LT(resident_memory(), before + size + size / 8);
  }
  EXPECT_LT(resident_memory(), before + size / 8);
  EXPECT_GE(peak_resident_memory(), before + size / 8 * 7);
}

}  // namespace
}  // namespace nacre
