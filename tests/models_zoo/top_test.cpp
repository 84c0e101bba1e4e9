// Models of the zoo without their top, for a new head.
#include <gtest/gtest.h>

#include "api/experiment/model_builder.h"
#include "formats/yaml.h"
#include "models_zoo/zoo.h"

namespace nacre {
namespace {

Shape output_without_top(std::string_view reference) {
  return zoo::open(reference, {.with_weights = false, .with_top = false})->outputs().front().shape();
}

TEST(WithoutTop, IsTheArchitecturesOwnOrWhatLiesBelowTheLastLayer) {
  EXPECT_EQ(output_without_top("mobilenetv2_cifar?weights=none").rank(), 4);
  EXPECT_EQ(output_without_top("mobilenetv2_cifar?weights=none&include_top=false&pooling=avg").rank(), 2);
  EXPECT_EQ(output_without_top("lenet?weights=none&units=[7]"), (Shape{unknown, 7}));
}

TEST(WithoutTop, IsWhatAHeadInYamlStandsOn) {
  enable_zoo();
  const auto model = build_model(parse_yaml("{zoo: 'mobilenetv2_cifar?weights=none', freeze: true, head: {classes: 3}}"), {}, "", "pets", false);
  EXPECT_EQ(model->name(), "pets");
  EXPECT_EQ(model->outputs().front().shape(), (Shape{unknown, 3}));
  EXPECT_EQ(model->trainable_weights().size(), 2u);
  EXPECT_EQ(model->layer("head_pool")->class_name(), "GlobalAveragePooling2D");
}

}  // namespace
}  // namespace nacre
