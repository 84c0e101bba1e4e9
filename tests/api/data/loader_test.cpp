#include "api/data/loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <set>

#include "backend/core/parallel.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

// Sample i is the number i; one of them may be unreadable.
class Counting final : public Dataset {
 public:
  explicit Counting(std::int64_t size, std::int64_t unreadable = -1) : size_(size), unreadable_(unreadable) {}
  std::int64_t size() const override { return size_; }
  const std::vector<Column>& inputs() const override { return inputs_; }
  const std::vector<Column>& targets() const override { return targets_; }
  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    ++reads;
    threads_of_reading = threads();
    batch.size = static_cast<std::int64_t>(indices.size());
    batch.inputs = {Tensor(DType::int64, {batch.size})};
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] == unreadable_) throw Error("sample {} cannot be read", indices[i]);
      batch.inputs[0].writable<std::int64_t>()[i] = indices[i];
    }
  }
  std::string description() const override { return "counting"; }

  mutable std::atomic<int> reads{0}, threads_of_reading{0};

 private:
  std::int64_t size_, unreadable_;
  std::vector<Column> inputs_{{"", {DType::int64, {}}}}, targets_;
};

// What is left of the present epoch, one list per batch.
std::vector<std::vector<std::int64_t>> rest(Loader& loader) {
  std::vector<std::vector<std::int64_t>> batches;
  while (const Batch* batch = loader.next()) {
    const auto values = batch->inputs[0].data<std::int64_t>();
    batches.emplace_back(values.begin(), values.end());
  }
  return batches;
}

class Prefetch : public testing::TestWithParam<int> {
 protected:
  LoaderOptions options(LoaderOptions options) const {
    options.prefetch = GetParam();
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(Loader, Prefetch, testing::Values(0, 1, 2, 5));

TEST_P(Prefetch, BatchesComeInOrderAndTheLastIsSmaller) {
  Loader loader(std::make_shared<Counting>(7), options({.batch_size = 3}));
  EXPECT_EQ(loader.batches(), 3);
  for (int epoch = 0; epoch < 3; ++epoch) {
    loader.start(epoch);
    EXPECT_EQ(rest(loader), (std::vector<std::vector<std::int64_t>>{{0, 1, 2}, {3, 4, 5}, {6}}));
    EXPECT_EQ(loader.next(), nullptr);
  }
}

TEST_P(Prefetch, TheRemainderCanBeLeftOut) {
  Loader loader(std::make_shared<Counting>(7), options({.batch_size = 3, .drop_remainder = true}));
  loader.start(0);
  EXPECT_EQ(rest(loader).size(), 2u);
}

TEST_P(Prefetch, AnEpochCanBeEnteredInItsMiddle) {
  Loader whole(std::make_shared<Counting>(50), options({.batch_size = 8, .shuffle = true, .seed = 4}));
  Loader resumed(std::make_shared<Counting>(50), options({.batch_size = 8, .shuffle = true, .seed = 4}));
  whole.start(3);
  whole.next(), whole.next();
  resumed.start(3, 2);
  EXPECT_EQ(rest(whole), rest(resumed));
}

TEST_P(Prefetch, ShufflingIsAPermutationOfItsOwnInEachEpoch) {
  Loader loader(std::make_shared<Counting>(100), options({.batch_size = 100, .shuffle = true, .seed = 1}));
  std::set<std::vector<std::int64_t>> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    loader.start(epoch);
    std::vector<std::int64_t> order = rest(loader).at(0);
    orders.insert(order);
    std::sort(order.begin(), order.end());
    for (std::int64_t i = 0; i < 100; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
  }
  EXPECT_EQ(orders.size(), 3u);
}

TEST_P(Prefetch, AnEpochCanBeLeftAtAnyBatch) {
  Loader loader(std::make_shared<Counting>(40), options({.batch_size = 4}));
  for (int left_at = 0; left_at < 10; ++left_at) {
    loader.start(left_at);
    for (int i = 0; i < left_at; ++i) ASSERT_NE(loader.next(), nullptr);
    loader.start(left_at, 9);
    EXPECT_EQ(rest(loader), (std::vector<std::vector<std::int64_t>>{{36, 37, 38, 39}}));
  }
}

TEST_P(Prefetch, ErrorsOfReadingReachTheCallerAndTheNextEpochGoesOn) {
  Loader loader(std::make_shared<Counting>(9, 4), options({.batch_size = 3}));
  for (int epoch = 0; epoch < 2; ++epoch) {
    loader.start(epoch);
    ASSERT_NE(loader.next(), nullptr) << "what was read before the mistake is delivered";
    EXPECT_EQ(test::message_of([&] { loader.next(); }), "sample 4 cannot be read");
  }
  loader.start(2, 2);
  EXPECT_EQ(rest(loader), (std::vector<std::vector<std::int64_t>>{{6, 7, 8}}));
}

TEST_P(Prefetch, NoMoreIsReadThanAskedFor) {
  const auto data = std::make_shared<Counting>(1000);
  {
    Loader loader(data, options({.batch_size = 1}));
    loader.start(0);
    for (int i = 0; i < 5; ++i) loader.next();
  }
  EXPECT_GE(data->reads, 5);
  EXPECT_LE(data->reads, 5 + GetParam() + 1);
}

TEST_P(Prefetch, WhatIsReadAheadLeavesTheCoresToTheKernels) {
  const auto data = std::make_shared<Counting>(6);
  Loader loader(data, options({.batch_size = 3}));
  set_threads(3);
  loader.start(0);
  rest(loader);
  EXPECT_EQ(data->threads_of_reading, GetParam() ? 1 : 3);
  EXPECT_EQ(threads(), 3);
  set_threads(0);
}

TEST_P(Prefetch, ALoaderCanBeDroppedBeforeItStarts) { Loader loader(std::make_shared<Counting>(3), options({})); }

TEST(PrefetchByWorkers, TheirNumberChangesNothing) {
  const auto walk = [](int workers, std::int64_t first) {
    Loader loader(std::make_shared<Counting>(100), {.batch_size = 7, .shuffle = true, .seed = 3, .workers = workers});
    std::vector<std::vector<std::int64_t>> all;
    for (int epoch = 0; epoch < 3; ++epoch) {
      loader.start(epoch, first);
      for (auto& batch : rest(loader)) all.push_back(std::move(batch));
    }
    return all;
  };
  const auto one = walk(1, 0);
  for (const int workers : {2, 3, 8}) EXPECT_EQ(walk(workers, 0), one) << workers;
  EXPECT_EQ(walk(4, 5), walk(1, 5));
}

TEST(PrefetchByWorkers, AnErrorComesInThePlaceOfItsBatch) {
  Loader loader(std::make_shared<Counting>(40, 21), {.batch_size = 4, .workers = 4});
  for (int epoch = 0; epoch < 5; ++epoch) {
    loader.start(epoch);
    for (int i = 0; i < 5; ++i) ASSERT_NE(loader.next(), nullptr);
    EXPECT_EQ(test::message_of([&] { loader.next(); }), "sample 21 cannot be read");
  }
}

TEST(PrefetchByWorkers, TheyStopAtOnceAndReadNoMoreThanAskedFor) {
  const auto data = std::make_shared<Counting>(1000);
  {
    Loader loader(data, {.batch_size = 1, .prefetch = 2, .workers = 4});
    loader.start(0);
    for (int i = 0; i < 5; ++i) loader.next();
  }
  EXPECT_LE(data->reads, 5 + 2 + 3);
}

// What several processes read of an epoch: 38 samples, in batches of 3 · 4 and one of 2.
TEST(Loader, PartsOfABatchAreTheWhole) {
  const auto data = std::make_shared<Counting>(38);
  Loader whole(data, {.batch_size = 12, .shuffle = true, .seed = 3});
  std::vector<Loader> parts;
  for (int part = 0; part < 3; ++part) parts.emplace_back(data, LoaderOptions{.batch_size = 4, .part = part, .parts = 3, .shuffle = true, .seed = 3});
  ASSERT_EQ(parts[0].batches(), whole.batches());
  for (Loader& part : parts) part.start(2);
  whole.start(2);
  std::set<std::int64_t> steps;
  while (const Batch* batch = whole.next()) {
    std::vector<std::int64_t> together;
    for (Loader& part : parts) {
      const Batch& own = *part.next();
      EXPECT_TRUE(steps.insert(own.step).second) << "random changes must differ";
      EXPECT_EQ(part.counts().whole, batch->size);
      EXPECT_EQ(own.size, std::max<std::int64_t>(part.counts().own, 1));
      const auto samples = own.inputs[0].data<std::int64_t>();
      together.insert(together.end(), samples.begin(), samples.begin() + part.counts().own);
    }
    const auto samples = batch->inputs[0].data<std::int64_t>();
    EXPECT_EQ(together, std::vector<std::int64_t>(samples.begin(), samples.end()));
  }
  for (Loader& part : parts) EXPECT_EQ(part.next(), nullptr);
}

TEST(Loader, ABatchSizeOfNothingIsRefused) {
  EXPECT_EQ(test::message_of([] { Loader(std::make_shared<Counting>(3), {.batch_size = 0}); }), "a batch size of 0, wanted at least 1");
}

}  // namespace
}  // namespace nacre
