// Losses beyond the golden vectors: weights, masks, reductions, logits, labels, names. Expected values are those of
// Keras 3.15 unless a comment says otherwise.
#include "api/train/losses.h"

#include <gtest/gtest.h>

#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "formats/json.h"
#include "tests/api/train/evaluate.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::evaluate;
using test::floats;
using test::message_of;

std::vector<double> weighted(Reduction reduction, bool weights, bool mask) {
  const losses::MeanSquaredError loss({}, {.reduction = reduction});
  const std::vector<Tensor> inputs{floats({3, 2}, {1, 2, 0, 1, 3, -1}), floats({3, 2}, {0.5f, 2.5f, 0, 2, 1, 1}),
                                   floats({3}, {1, 0.5f, 2}), Tensor::of<bool>({3}, {true, false, true})};
  return evaluate(inputs,
                  [&](const Values& in) {
                    return Values{loss(in[0], in[1], weights ? in[2] : Value(), mask ? in[3] : Value())};
                  })
      .front()
      .to_doubles();
}

TEST(Losses, ReduceWithWeightsAndMasks) {
  struct Expected {
    Reduction reduction;
    std::vector<double> plain, weights, mask, both;
  };
  const Expected cases[] = {
      {Reduction::sum_over_batch_size, {1.5833334}, {2.8333333}, {2.125}, {4.125}},
      {Reduction::sum, {4.75}, {8.5}, {4.25}, {8.25}},
      {Reduction::mean, {1.5833334}, {2.8333333}, {2.125}, {4.125}},
      {Reduction::mean_with_sample_weight, {1.5833334}, {2.4285715}, {2.125}, {2.75}},
      {Reduction::none, {0.25, 0.5, 4.0}, {0.25, 0.25, 8.0}, {0.25, 0.0, 4.0}, {0.25, 0.0, 8.0}},
  };
  const auto near = [](const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6);
  };
  for (const Expected& expected : cases) {
    SCOPED_TRACE(text_of(expected.reduction));
    near(weighted(expected.reduction, false, false), expected.plain);
    near(weighted(expected.reduction, true, false), expected.weights);
    near(weighted(expected.reduction, false, true), expected.mask);
    near(weighted(expected.reduction, true, true), expected.both);
  }
}

// One weight for each sample of sequences weighs all its steps.
TEST(Losses, SampleWeightsReachEveryStep) {
  const losses::MeanAbsoluteError loss({}, {.reduction = Reduction::none});
  const std::vector<Tensor> inputs{floats({2, 3, 1}, {1, 2, 3, 4, 5, 6}), floats({2, 3, 1}, {0, 0, 0, 0, 0, 0}),
                                   floats({2}, {1, 10})};
  const Tensor values = evaluate(inputs, [&](const Values& in) { return Values{loss(in[0], in[1], in[2])}; }).front();
  EXPECT_EQ(values.to_doubles(), (std::vector<double>{1, 2, 3, 40, 50, 60}));
}

TEST(Losses, AMaskThatLeavesNothingGivesZero) {
  const losses::MeanSquaredError loss;
  const std::vector<Tensor> inputs{floats({2, 1}, {1, 2}), floats({2, 1}, {3, 5}),
                                   Tensor::of<bool>({2}, {false, false})};
  EXPECT_EQ(evaluate(inputs, [&](const Values& in) { return Values{loss(in[0], in[1], {}, in[2])}; }).front().item(),
            0);
}

TEST(Losses, IgnoredClassesDoNotCount) {
  const losses::SparseCategoricalCrossentropy ignoring({.from_logits = true, .ignore_class = -1}),
      all({.from_logits = true});
  const Tensor logits = floats({3, 2}, {1, 2, 0.5f, -1, 3, 0}), two = floats({2, 2}, {1, 2, 3, 0});
  const auto value = [](const Loss& loss, const Tensor& labels, const Tensor& predictions) {
    return evaluate({labels, predictions}, [&](const Values& in) { return Values{loss(in[0], in[1])}; }).front().item();
  };
  EXPECT_NEAR(value(ignoring, Tensor::of<std::int32_t>({3}, {0, -1, 1}), logits),
              value(all, Tensor::of<std::int32_t>({2}, {0, 1}), two), 1e-6);
}

// Keras's rule on TensorFlow: probabilities that a softmax made are exact where exp underflows.
TEST(Losses, SeeThroughSoftmaxAndSigmoid) {
  const Tensor logits = floats({2, 3}, {1000, 0, -1000, 0, 200, 0}), labels = Tensor::of<std::int32_t>({2}, {2, 1});
  const Tensor one_hot = floats({2, 3}, {0, 0, 1, 0, 1, 0});
  const auto none = LossOptions{.reduction = Reduction::none};
  const auto values = [&](const Loss& loss, const Tensor& y_true, auto activation) {
    return evaluate({y_true, logits}, [&](const Values& in) { return Values{loss(in[0], activation(in[1]))}; })
        .front()
        .to_doubles();
  };
  const auto softmax = [](Value x) { return ops::softmax(x); };
  const auto half_softmax = [](Value x) { return ops::softmax(ops::cast(x, DType::bfloat16)); };
  EXPECT_EQ(values(losses::SparseCategoricalCrossentropy({}, none), labels, softmax), (std::vector<double>{2000, 0}));
  EXPECT_EQ(values(losses::CategoricalCrossentropy({}, none), one_hot, softmax), (std::vector<double>{2000, 0}));
  EXPECT_EQ(values(losses::SparseCategoricalCrossentropy({}, none), labels, half_softmax),
            (std::vector<double>{2000, 0}));
  EXPECT_NEAR(values(losses::BinaryCrossentropy({}, none), one_hot, [](Value x) { return ops::sigmoid(x); })[0],
              2000.0 / 3 + std::log(2.0) / 3, 1e-3);
}

// log(1 + exp x) is made of two branches that meet at 0; the derivative there is 1/2 (a fresh model has logits 0).
TEST(Losses, BinaryCrossentropyHasItsGradientAtZero) {
  for (const Backend* backend : backends()) {
    const losses::BinaryCrossentropy loss({.from_logits = true}, {.reduction = Reduction::sum});
    const std::vector<Tensor> results = evaluate(
        {floats({1, 2}, {0, 1}), floats({1, 2}, {0, 0})},
        [&](const Values& in) {
          const Value wrt[] = {in[1]};
          return gradients(loss(in[0], in[1]), wrt);
        },
        *backend);
    EXPECT_NEAR(results[0].at(0), 0.25, 1e-6) << backend->name();
    EXPECT_NEAR(results[0].at(1), -0.25, 1e-6) << backend->name();
  }
}

TEST(Losses, LabelsMayBeOfAnyType) {
  const losses::SparseCategoricalCrossentropy loss;
  const Tensor predictions = floats({2, 2}, {0.25f, 0.75f, 0.5f, 0.5f});
  const double expected = (-std::log(0.75) - std::log(0.5)) / 2;
  for (const Tensor& labels : {Tensor::of<std::int32_t>({2}, {1, 0}), Tensor::of<std::int64_t>({2, 1}, {1, 0}),
                               Tensor::of<std::uint8_t>({2}, {1, 0}), floats({2, 1}, {1, 0})})
    EXPECT_NEAR(
        evaluate({labels, predictions}, [&](const Values& in) { return Values{loss(in[0], in[1])}; }).front().item(),
        expected, 1e-6)
        << labels.type().text();
}

TEST(Losses, SayWhichShapesDoNotFit) {
  const auto message = [](const Loss& loss, Shape labels, Shape predictions) {
    Graph graph;
    const Value y_true = graph.input("y", {DType::float32, std::move(labels)}),
                y_pred = graph.input("p", {DType::float32, std::move(predictions)});
    return message_of([&] { loss(y_true, y_pred); });
  };
  EXPECT_EQ(message(losses::CategoricalCrossentropy(), {8}, {8, 10}),
            "loss 'categorical_crossentropy': labels of shape (8,) do not fit predictions of shape (8, 10)\n"
            "  hint: categorical_crossentropy wants one-hot labels, which data: {one_hot: auto} makes; for integers "
            "there is sparse_categorical_crossentropy");
  EXPECT_EQ(message(losses::SparseCategoricalCrossentropy(), {8, 10}, {8, 10}),
            "loss 'sparse_categorical_crossentropy': labels of shape (8, 10) do not fit predictions of shape (8, 10)\n"
            "  hint: sparse_categorical_crossentropy wants integer labels; for one-hot ones there is "
            "categorical_crossentropy");
}

TEST(Losses, TheWordCrossentropyTakesTheKindOfTheLabels) {
  const auto name = [](Shape labels, Shape predictions) {
    return resolve_loss(Tree("crossentropy"), {DType::float32, std::move(labels)},
                        {DType::float32, std::move(predictions)})
        ->name();
  };
  EXPECT_EQ(name({unknown, 1}, {unknown, 1}), "binary_crossentropy");
  EXPECT_EQ(name({unknown}, {unknown, 10}), "sparse_categorical_crossentropy");
  EXPECT_EQ(name({unknown, 1}, {unknown, 10}), "sparse_categorical_crossentropy");
  EXPECT_EQ(name({unknown, 10}, {unknown, 10}), "categorical_crossentropy");
}

TEST(Losses, ConfigIsKerass) {
  EXPECT_EQ(
      write_json(write_object<Loss>(losses::SparseCategoricalCrossentropy(), Style::keras)),
      R"({"module": "keras.losses", "class_name": "SparseCategoricalCrossentropy", "config": {"name": "sparse_categorical_crossentropy", )"
      R"("reduction": "sum_over_batch_size", "from_logits": false, "ignore_class": null, "axis": -1}, "registered_name": null})");
  EXPECT_EQ(write_object<Loss>(*read_object<Loss>("mse"), Style::yaml).text(), "'MeanSquaredError'");
  EXPECT_EQ(write_object<Loss>(losses::Huber({.delta = 0.5}), Style::yaml).text(), "{Huber: {delta: 0.5}}");
  for (const auto& info : registry<Loss>().classes())
    EXPECT_EQ(read_object<Loss>(Tree(info.class_name))->name().empty(), false) << info.class_name;
}

TEST(Losses, ComputeInTheirDtype) {
  const auto dtype_of = [](const char* config) {
    const auto loss = read_object<Loss>(parse_json(config));
    return test::evaluate({test::floats({2, 1}, {1, 2}), test::floats({2, 1}, {2, 4})},
                          [&](const Values& in) { return Values{(*loss)(in[0], in[1])}; })[0].dtype();
  };
  EXPECT_EQ(dtype_of(R"({"MeanSquaredError": {}})"), DType::float32);
  EXPECT_EQ(dtype_of(R"({"MeanSquaredError": {"dtype": "float64"}})"), DType::float64);
  const auto plain = read_object<Loss>(Tree("mse"));
  EXPECT_FALSE(plain->config_tree(Style::keras).find("dtype"));
}

}  // namespace
}  // namespace nacre
