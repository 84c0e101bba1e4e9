// Connectionist temporal classification against Keras 3.15.
#include "layers/ctc.h"

#include <gtest/gtest.h>

#include <cmath>

#include "api/train/losses.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "tests/api/train/evaluate.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::evaluate;
using test::floats;
using test::message_of;

Tensor waves(const Shape& shape) {
  Tensor tensor(DType::float32, shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor.writable<float>()[static_cast<std::size_t>(i)] = static_cast<float>(std::sin(1.3 * static_cast<double>(i)));
  return tensor;
}

Tensor labels_of(Shape shape, std::initializer_list<std::int32_t> labels) {
  return Tensor::of<std::int32_t>(std::move(shape), labels);
}

TEST(CTC, LossAndGradientAreKeras) {
  for (const Backend* backend : backends()) {
    SCOPED_TRACE(backend->name());
    const auto results = evaluate({labels_of({2, 3}, {1, 2, 2, 3, 1, 0}), waves({2, 5, 4})}, [](const Values& in) {
      const Value loss = emit::ctc(in[0], in[1]);
      const Value sum[] = {ops::sum(loss)}, wrt[] = {in[1]};
      return Values{loss, gradients(in[1].graph(), sum, {}, wrt).front()};
    }, *backend);
    EXPECT_NEAR(results[0].at(0), 5.3330326, 1e-5);
    EXPECT_NEAR(results[0].at(1), 5.2800627, 1e-5);
    const double first_steps[] = {0.117439, -0.492932, 0.288794, 0.086699, 0.023889, 0.016635, -0.280076, 0.239552};
    for (int i = 0; i < 8; ++i) EXPECT_NEAR(results[1].at(i), first_steps[i], 1e-5) << i;
  }
}

// The probabilities of all label sequences that two steps can give add up to 1.
TEST(CTC, SequencesShareOneProbability) {
  double total = 0;
  const Tensor logits = waves({1, 2, 3});
  for (const auto& labels : {labels_of({1, 2}, {0, 0}), labels_of({1, 2}, {1, 0}), labels_of({1, 2}, {2, 0}),
                             labels_of({1, 2}, {1, 2}), labels_of({1, 2}, {2, 1})})
    total += std::exp(-evaluate({labels, logits}, [](const Values& in) { return Values{emit::ctc(in[0], in[1])}; })[0].at(0));
  EXPECT_NEAR(total, 1, 1e-6);
}

TEST(CTC, TooFewStepsAreFarFromProbable) {
  const auto loss = evaluate({labels_of({1, 2}, {1, 1}), waves({1, 2, 3})},
                             [](const Values& in) { return Values{emit::ctc(in[0], in[1])}; });
  EXPECT_GT(loss[0].at(0), 700);
  EXPECT_LT(loss[0].at(0), 720);
}

TEST(CTC, SaysWhatShapesItWants) {
  EXPECT_EQ(message_of([] {
              evaluate({labels_of({2}, {1, 2}), waves({2, 5, 4})},
                       [](const Values& in) { return Values{losses::CTC()(in[0], in[1])}; });
            }),
            "loss 'ctc': wants labels of shape (batch, places), got (2,)");
}

}  // namespace
}  // namespace nacre
