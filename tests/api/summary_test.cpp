#include "api/inspect/summary.h"

#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

TEST(Summary, IsKerasTable) {
  Sequential model({Input({28, 28, 1}), Conv2D({.filters = 8, .kernel_size = 3}), Flatten(), Dense({.units = 10})}, {.name = "small"});
  const std::string text = summarize(model, {.measure_memory = false}).text();
  EXPECT_EQ(text, R"(Model: "small"
┏━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┓
┃ Layer (type)          ┃ Input Shape        ┃ Output Shape       ┃    Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━┩
│ conv2d (Conv2D)       │ (None, 28, 28, 1)  │ (None, 26, 26, 8)  │         80 │
├───────────────────────┼────────────────────┼────────────────────┼────────────┤
│ flatten (Flatten)     │ (None, 26, 26, 8)  │ (None, 5408)       │          0 │
├───────────────────────┼────────────────────┼────────────────────┼────────────┤
│ dense (Dense)         │ (None, 5408)       │ (None, 10)         │     54,090 │
└───────────────────────┴────────────────────┴────────────────────┴────────────┘
 Total params: 54,170 (211.60 KB)
 Trainable params: 54,170 (211.60 KB)
 Non-trainable params: 0 (0.00 B)
 Input 'input_layer': float32(None, 28, 28, 1)
 Output 'dense': float32(None, 10)
 FLOPs per sample: 210.92 k
)");
}

TEST(Summary, CountsWork) {
  const ModelSummary summary = summarize(Sequential({Input({28, 28, 1}), Conv2D({.filters = 8, .kernel_size = 3}), Flatten(), Dense({.units = 10})}),
                                         {.measure_memory = false});
  EXPECT_EQ(summary.rows[0].flops, 26 * 26 * 8 * (2 * 9 + 1));
  EXPECT_EQ(summary.rows[2].flops, 10 * (2 * 5408 + 1));
  EXPECT_EQ(summarize(Sequential({Input({unknown, 3}), Dense({.units = 2})}), {}).flops, std::nullopt);
}

TEST(Summary, BranchesShowConnections) {
  const Symbol a = Input({4}, "a"), b = Input({4}, "b");
  const LayerRef shared = Dense({.units = 3}, {.name = "shared"});
  const ModelSummary summary = summarize(Model({a, b}, {Add({.name = "sum"})({shared(a), shared(b)})}), {.measure_memory = false});
  EXPECT_TRUE(summary.branches);
  EXPECT_EQ(summary.rows[2].connected_to, (std::vector<std::string>{"a[0][0]", "b[0][0]"}));
  EXPECT_EQ(summary.rows[3].connected_to, (std::vector<std::string>{"shared[0][0]", "shared[1][0]"}));
  EXPECT_NE(summary.text().find("shared[0][0],"), std::string::npos);
}

TEST(Summary, MeasuresMemoryWithoutTouchingTheModel) {
  Sequential model = classifier();
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  const ModelSummary summary = summarize(model, {.batch_size = 64});
  ASSERT_TRUE(summary.prediction && summary.training);
  EXPECT_GT(summary.training->variables, 3 * summary.trainable_bytes);  // weights and the two slots of Adam
  EXPECT_FALSE(model.weights()[0].variable->has_value());
  EXPECT_FALSE(model.trainer().optimizer().built());
}

TEST(Summary, IsATreeForPrograms) {
  const Tree tree = summarize(classifier(), {.measure_memory = false}).tree();
  EXPECT_EQ(tree["layers"].items()[0]["params"], Tree(40));
  EXPECT_EQ(write_json(tree["inputs"]), R"([{"name": "input_layer", "dtype": "float32", "shape": [null, 4]}])");
}

}  // namespace
}  // namespace nacre::test
