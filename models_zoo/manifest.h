// What the zoo has: models by name, and the weights that there are for them.
//
// manifest.yaml of this folder is the manifest. The environment variable NACRE_ZOO names the manifest of somebody's own
// models, which come first; its paths are relative to it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "api/model_card.h"
#include "formats/config.h"

namespace nacre::zoo {

// How well weights do, and how they came to be.
struct Measured {
  std::string metric, data;               // "accuracy", "CIFAR-10's test pictures, from JPEG"
  std::optional<double> value, training;  // on that data, and on what was trained on
  std::optional<double> top_5;            // the share of which the right class is among the five most probable
  std::string command;
  std::optional<std::int64_t> seed, epochs;
  std::string time;
  static void describe(auto&& field) {
    field("metric", &Measured::metric, "what was measured");
    field("data", &Measured::data, "on what");
    field("value", &Measured::value, "the result");
    field("training", &Measured::training, "the same on the training data");
    field("top_5", &Measured::top_5, "share whose class is among the five most probable");
    field("command", &Measured::command, "that trained them");
    field("seed", &Measured::seed, "of the training");
    field("epochs", &Measured::epochs, "of the training");
    field("time", &Measured::time, "that the training took, and where");
  }
};

struct Weights {
  std::string name;
  Tree arguments = Tree::mapping();
  std::optional<std::string> file, address;
  std::optional<std::int64_t> size;
  std::optional<std::string> sha256, md5;
  std::string source, licence;
  Preprocessing preprocessing;
  std::string labels;
  Measured measured;
  static void describe(auto&& field) {
    field("name", &Weights::name, "what they are asked for by: weights=NAME", required());
    field("arguments", &Weights::arguments, "of the model that they belong to");
    field("file", &Weights::file, "of the weights, beside the program");
    field("address", &Weights::address, "where they are published: http, https or file");
    field("size", &Weights::size, "in bytes", at_least(1));
    field("sha256", &Weights::sha256, "checksum of the file");
    field("md5", &Weights::md5, "checksum of the file, where its publisher has no other");
    field("source", &Weights::source, "who made them, and who published them");
    field("licence", &Weights::licence, "under which they may be used");
    field("preprocessing", &Weights::preprocessing, "of pictures, before they reach the network");
    field("labels", &Weights::labels, "list of the names of the classes");
    field("measured", &Weights::measured, "how well they do");
  }
  // The file's name in the folder of what was fetched.
  std::string file_name() const;
};

struct ZooModel {
  std::string name;
  std::string architecture;  // NAME of ours, or NAME.yaml beside the manifest
  std::string description, paper;
  Tree arguments = Tree::mapping();
  std::optional<Extent<2>> size{};  // of pictures, where the architecture takes any
  std::vector<Weights> weights;
  std::filesystem::path folder;  // of the manifest that it is from; empty: this one
  static void describe(auto&& field) {
    field("architecture", &ZooModel::architecture, "a configuration whose variables are the model's arguments",
          required());
    field("description", &ZooModel::description, "in a sentence");
    field("paper", &ZooModel::paper, "that it is from");
    field("arguments", &ZooModel::arguments, "of the architecture, other than its own");
    field("size", &ZooModel::size, "height and width of the pictures that its weights were trained on");
    field("weights", &ZooModel::weights, "what there is, the usual ones first");
  }
  // The architecture as text, and a name for messages.
  std::pair<std::string, std::string> text() const;
};

class Manifest {
 public:
  // The zoo's own, under the one that NACRE_ZOO names. Throws usage Errors with marks.
  static Manifest load();

  const std::vector<ZooModel>& models() const { return models_; }
  // Throws a usage Error with the nearest name.
  const ZooModel& model(std::string_view name) const;
  // A list of names of classes; empty for "".
  std::vector<std::string> labels(std::string_view list) const;
  // Arguments that weights are right for with any value, unless they list them.
  const std::vector<std::string>& any_value() const { return any_value_; }

 private:
  void add(const Tree& tree, const std::filesystem::path& folder);

  struct Labels {
    std::string name;
    std::vector<std::string> words;
    std::filesystem::path file;
  };
  std::vector<ZooModel> models_;
  std::vector<Labels> labels_;
  std::vector<std::string> any_value_;
};

}  // namespace nacre::zoo
