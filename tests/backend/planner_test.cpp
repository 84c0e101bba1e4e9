#include "backend/planner.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "backend/core/tensor.h"

namespace nacre {
namespace {

std::size_t aligned(std::size_t bytes) { return (bytes + buffer_alignment - 1) / buffer_alignment * buffer_alignment; }

std::vector<PlannedBuffer> random_buffers() {
  const int count = *rc::gen::inRange(0, 60);
  std::vector<PlannedBuffer> buffers;
  for (int i = 0; i < count; ++i) {
    const int first = *rc::gen::inRange(0, 40), length = *rc::gen::inRange(0, 12);
    buffers.push_back(
        {.bytes = static_cast<std::size_t>(*rc::gen::inRange(0, 5000)), .first = first, .last = first + length});
  }
  return buffers;
}

RC_GTEST_PROP(Planner, BuffersThatLiveTogetherDoNotOverlap, ()) {
  auto buffers = random_buffers();
  const std::size_t arena = plan_arena(buffers);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const PlannedBuffer& a = buffers[i];
    RC_ASSERT(a.offset % buffer_alignment == 0u);
    RC_ASSERT(a.offset + a.bytes <= arena || a.bytes == 0u);
    for (std::size_t j = 0; j < i; ++j) {
      const PlannedBuffer& b = buffers[j];
      const bool together = a.first <= b.last && b.first <= a.last;
      RC_ASSERT(!together || a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset || !a.bytes || !b.bytes);
    }
  }
}

RC_GTEST_PROP(Planner, ArenaLiesBetweenTheLargestMomentAndTheSum, ()) {
  auto buffers = random_buffers();
  const std::size_t arena = plan_arena(buffers);
  std::size_t sum = 0, most = 0;
  for (const PlannedBuffer& buffer : buffers) sum += aligned(buffer.bytes);
  for (int step = 0; step < 60; ++step) {
    std::size_t live = 0;
    for (const PlannedBuffer& buffer : buffers)
      if (buffer.first <= step && step <= buffer.last) live += aligned(buffer.bytes);
    most = std::max(most, live);
  }
  RC_ASSERT(arena >= most);
  RC_ASSERT(arena <= sum);
}

RC_GTEST_PROP(Planner, SamePlanTwice, ()) {
  auto a = random_buffers();
  auto b = a;
  RC_ASSERT(plan_arena(a) == plan_arena(b));
  for (std::size_t i = 0; i < a.size(); ++i) RC_ASSERT(a[i].offset == b[i].offset);
}

TEST(Planner, AChainNeedsTwoBuffers) {
  std::vector<PlannedBuffer> chain;
  for (int step = 0; step < 10; ++step) chain.push_back({.bytes = 1024, .first = step, .last = step + 1});
  EXPECT_EQ(plan_arena(chain), 2048u);
}

}  // namespace
}  // namespace nacre
