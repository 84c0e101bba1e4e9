#include "tests/api/models.h"

namespace nacre::test {
namespace {

TEST(Sequential, IsBuiltForTheFirstData) {
  Sequential model({Dense({.units = 3}), Dense({.units = 2})});
  EXPECT_TRUE(model.weights().empty());
  EXPECT_EQ(model.predict(Tensor(DType::float32, {5, 4})).shape(), (Shape{5, 2}));
  EXPECT_EQ(model.weights().size(), 4u);
  EXPECT_EQ(model.graph().inputs()[0].shape(), (Shape{unknown, 4}));
}

TEST(Sequential, LayersCanBeAddedAndTakenAway) {
  Sequential model({Input({4}), Dense({.units = 3})});
  model.add(Dense({.units = 2}));
  EXPECT_EQ(model.graph().outputs()[0].shape(), (Shape{unknown, 2}));
  EXPECT_EQ(model.pop()->name(), "dense_1");
  EXPECT_EQ(model.graph().outputs()[0].shape(), (Shape{unknown, 3}));
}

TEST(Sequential, PredictsWithTheLayersItHasNow) {
  Tensor data(DType::float32, {2, 3});
  std::fill_n(data.writable<float>().begin(), 6, -1.0f);
  Sequential model({Input({3}), Identity(), ReLU()});
  EXPECT_EQ(model.predict(data).at(0), 0);
  model.pop();
  EXPECT_EQ(model.predict(data).at(0), -1);
}

TEST(Sequential, ABuiltModelAtTheBottomGivesTheInput) {
  const Sequential base({Input({4}), Dense({.units = 3})}, {.name = "base"});
  const Sequential model({base, Dense({.units = 2})});
  EXPECT_EQ(model.graph().inputs()[0].shape(), (Shape{unknown, 4}));
  EXPECT_EQ(model.weights()[0].variable->path(), "base/dense/kernel");
}

TEST(Sequential, MistakesAreExplained) {
  EXPECT_EQ(message_of([] { Sequential({Input({8, 8, 1}), Conv2D({.filters = 2, .kernel_size = 3}), Dense({.units = 1}), Input({3})}); }),
            "the model 'sequential' has an input of shape (None, 8, 8, 1) already\n  while building model 'sequential'\n"
            "  hint: an Input stands at the top of a Sequential, once");
  EXPECT_EQ(message_of([] { Sequential model({Dense({.units = 2})}, {.name = "m"}); model.save("m.h5"); }),
            "the model 'm' does not know the shape of its input yet\n  hint: put an Input first, or build it for a shape");
  EXPECT_EQ(message_of([] { Sequential model; model.predict(Tensor(DType::float32, {1, 2})); }),
            "layer 'sequential' (Sequential): the model has no layers\n  while predicting with model 'sequential'");
}

}  // namespace
}  // namespace nacre::test
