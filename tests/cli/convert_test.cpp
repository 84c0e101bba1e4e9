// nacre convert, and nacre summary of what it writes.
#include <gtest/gtest.h>

#include "api/nacre.h"
#include "formats/json.h"
#include "formats/zip.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

// A compiled model in a folder of its own.
class Convert : public testing::Test {
 protected:
  Convert() {
    Sequential model({Input({4}), Dense({.units = 3, .activation = "relu"}, {.name = "body"}), Dense({.units = 2}, {.name = "head"})}, {.name = "net"});
    model.compile({.optimizer = "adam", .loss = "mse"});
    model.initialize(5);
    model.save(folder_ / "m.keras");
  }
  Outcome nacre(const std::vector<std::string>& words) const { return run_nacre(words, folder_.path()); }
  // Throws away what the verb says when it is done.
  void done(const std::vector<std::string>& words) const {
    const Outcome outcome = nacre(words);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
  }
  std::vector<Tensor> weights(const std::string& name) const {
    std::vector<Tensor> values;
    for (const Weight& weight : load_model(folder_ / name).weights()) values.push_back(weight.variable->value());
    return values;
  }
  void expect_same_weights(const std::string& name) const {
    const std::vector<Tensor> got = weights(name), wanted = weights("m.keras");
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(wanted[i])) << name << " " << i;
  }

  TemporaryFolder folder_;
};

TEST_F(Convert, WholeModelsKeepTheirWeightsAndTraining) {
  done({"convert", "m.keras", "m.h5"});
  done({"convert", "m.h5", "again.keras"});
  expect_same_weights("m.h5");
  expect_same_weights("again.keras");
  EXPECT_TRUE(load_model(folder_ / "again.keras").trainer().options().has_value());
}

TEST_F(Convert, WeightsAndArchitectureMakeAWhole) {
  for (const std::string weights : {"w.weights.h5", "w.weights.json", "m.h5"})
    for (const std::string architecture : {"a.json", "a.yaml"}) {
      done({"convert", "m.keras", weights, "--overwrite"});
      done({"convert", "m.keras", architecture, "--overwrite"});
      done({"convert", architecture, "joined.keras", "--weights", weights, "--overwrite"});
      expect_same_weights("joined.keras");
    }
}

TEST_F(Convert, WeightsAloneGoIntoShardsAndBack) {
  done({"convert", "m.keras", "w.weights.h5"});
  done({"convert", "w.weights.h5", "s.weights.json", "--max-shard-size", "0.0000001"});
  EXPECT_TRUE(std::filesystem::exists(folder_ / "s_00001.weights.h5"));
  done({"convert", "s.weights.json", "back.weights.h5"});
  Model model = load_model(folder_ / "m.keras");
  for (const Weight& weight : model.weights()) weight.variable->assign(Tensor(weight.variable->type()));
  model.load_weights(folder_ / "back.weights.h5");
  model.save(folder_ / "filled.keras");
  expect_same_weights("filled.keras");
  const Outcome outcome = nacre({"convert", "w.weights.h5", "x.keras"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("nacre convert ARCHITECTURE x.keras --weights w.weights.h5"), std::string::npos) << outcome.err;
}

TEST_F(Convert, NothingIsOverwrittenUnasked) {
  write_plainly(folder_ / "x.keras", "precious");
  const Outcome outcome = nacre({"convert", "m.keras", "x.keras"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err, "x.keras: there is such a file already\n  hint: --overwrite replaces it\n");
  EXPECT_EQ(read_file(folder_ / "x.keras"), "precious");
  done({"convert", "m.keras", "x.keras", "--overwrite"});
  expect_same_weights("x.keras");
}

TEST_F(Convert, SaysLayerByLayerWhatDoesNotFit) {
  Sequential other({Input({4}), Dense({.units = 3, .activation = "relu"}, {.name = "body"}), Dense({.units = 5}, {.name = "head"})});
  other.save(folder_ / "other.json");
  done({"convert", "m.keras", "w.weights.h5"});
  const Outcome refused = nacre({"convert", "other.json", "o.keras", "--weights", "w.weights.h5"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("layer 'head' (Dense): the file's weight 'layers/dense_1/vars/0' is (3, 2), 'head/kernel' is (3, 5)"), std::string::npos) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "o.keras"));
  const Outcome skipped = nacre({"convert", "other.json", "o.keras", "--weights", "w.weights.h5", "--skip-mismatch"});
  EXPECT_EQ(skipped.status, 0);
  EXPECT_NE(skipped.err.find("skipped: layer 'head' (Dense)"), std::string::npos) << skipped.err;
  EXPECT_TRUE(weights("o.keras")[0].identical(weights("m.keras")[0]));
}

TEST_F(Convert, MistakesAreUsageErrors) {
  EXPECT_EQ(nacre({"convert", "m.keras", "m.txt"}).status, 2);
  EXPECT_EQ(nacre({"convert", "m.keras"}).status, 2);
  EXPECT_EQ(nacre({"convert", "m.keras", "w.weights.json", "--max-shard-size", "0"}).status, 2);
  done({"convert", "m.keras", "a.json"});
  const Outcome outcome = nacre({"convert", "a.json", "x.keras"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("--weights names the file that has them"), std::string::npos) << outcome.err;
  write_plainly(folder_ / "m.onnx", "\x08\x07");
  EXPECT_NE(nacre({"convert", "m.onnx", "x.keras"}).err.find("m.onnx: this is an ONNX model"), std::string::npos);
}

TEST_F(Convert, SummaryOfWeightsAloneIsATable) {
  done({"convert", "m.keras", "w.weights.h5"});
  const Outcome table = nacre({"summary", "w.weights.h5"});
  EXPECT_EQ(table.status, 0);
  EXPECT_NE(table.out.find("layers/dense/vars/0"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("body"), std::string::npos);
  EXPECT_NE(table.out.find("(4, 3)"), std::string::npos);
  const Tree json = parse_json(nacre({"summary", "w.weights.h5", "--json"}).out);
  EXPECT_EQ(json["weights"].items()[0]["name"], Tree("layers/dense/vars/0"));
  EXPECT_EQ(json["weights"].items()[0]["shape"], Tree(Tree::Sequence{4, 3}));
  EXPECT_EQ(json["weights"].items()[0]["bytes"], Tree(48));
}

TEST_F(Convert, SummaryKnowsEveryFormat) {
  for (const char* name : {"m.h5", "a.json", "a.yaml"}) {
    done({"convert", "m.keras", name});
    const Outcome outcome = nacre({"summary", name, "--json"});
    EXPECT_EQ(outcome.status, 0) << name << outcome.err;
    EXPECT_EQ(parse_json(outcome.out)["layers"].items().size(), parse_json(nacre({"summary", "m.keras", "--json"}).out)["layers"].items().size());
  }
}

// A configuration that names a compiled model and no loss goes on with the model's own training.
TEST_F(Convert, TrainingGoesOnFromASavedModel) {
  write_plainly(folder_ / "x.csv", "a,b,c,d,p,q\n1,2,3,4,0,1\n2,1,0,1,1,0\n0,0,1,1,1,1\n3,1,2,2,0,0\n");
  write_plainly(folder_ / "t.yaml", "model: {file: m.keras}\ndata: {train: {csv: {file: x.csv, target: [p, q]}}}\ntrain: {epochs: 1, batch_size: 2}\n");
  const Outcome outcome = nacre({"train", "t.yaml", "--output", "run"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Model trained = load_model(folder_ / "run/model.h5");
  EXPECT_EQ(trained.trainer().optimizer().class_name(), "Adam");
  EXPECT_EQ(trained.trainer().optimizer().iterations(), 2);
  // A part of it, or one that is frozen in part, is another model.
  for (const char* change : {"model.trainable=[head]", "model.outputs=body", "model.weights=m.keras"}) {
    const Outcome changed = nacre({"train", "t.yaml", change});
    EXPECT_NE(changed.err.find("the key 'train.loss' is missing"), std::string::npos) << change << "\n" << changed.err;
  }
}

}  // namespace
}  // namespace nacre::test
