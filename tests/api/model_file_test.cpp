#include "api/model_file.h"

#include <gtest/gtest.h>

#include "api/save.h"
#include "formats/file.h"
#include "layers/layers.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::TemporaryFolder;

Sequential small_model() {
  Sequential model({Input({3}), Dense({.units = 4, .activation = "relu"}), Dense({.units = 1})});
  model.compile({.optimizer = "adam", .loss = "mean_squared_error"});
  return model;
}

TEST(UntrustedFile, GivesTheSameModel) {
  const TemporaryFolder folder;
  const Sequential model = small_model();
  const Tensor x = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  for (const char* name : {"m.keras", "m.h5"}) {
    save_model(model, folder / name);
    Model trusted = load_model(folder / name), untrusted = load_model(folder / name, {.untrusted = true});
    EXPECT_TRUE(untrusted.trainer().options()) << name;
    EXPECT_TRUE(untrusted.predict(x).identical(trusted.predict(x))) << name;
  }
}

TEST(UntrustedFile, GivesWeightsOfEveryLayout) {
  const TemporaryFolder folder;
  const Sequential model = small_model();
  const Tensor x = Tensor::of<float>({1, 3}, {1, 2, 3});
  for (const char* name : {"w.weights.h5", "w.h5", "s.weights.json"}) {
    save_weights(model, folder / name, {.max_shard_size = 50.0 / (1 << 30)});
    Sequential other = small_model();
    load_weights(other, folder / name, {.untrusted = true});
    EXPECT_TRUE(other.predict(x).identical(Model(model).predict(x))) << name;
  }
  ASSERT_TRUE(std::filesystem::exists(folder / "s_00001.weights.h5"));
}

TEST(UntrustedFile, ErrorsAreThoseOfTrustedOnes) {
  const TemporaryFolder folder;
  save_model(small_model(), folder / "m.h5");
  const std::string bytes = read_file(folder / "m.h5");
  for (const std::string& damaged : {bytes.substr(0, bytes.size() / 2), std::string("PK\x03\x04nonsense"), std::string(), std::string("{\"a\":")}) {
    test::write_plainly(folder / "x.h5", damaged);
    const std::string trusted = message_of([&] { load_model(folder / "x.h5"); });
    EXPECT_FALSE(trusted.empty());
    EXPECT_EQ(message_of([&] { load_model(folder / "x.h5", {.untrusted = true}); }), trusted);
  }
  EXPECT_EQ(message_of([&] { load_model(folder / "none.h5", {.untrusted = true}); }), message_of([&] { load_model(folder / "none.h5"); }));
}

}  // namespace
}  // namespace nacre
