#include "api/train/checkpoint.h"

#include "api/keras/file.h"
#include "api/layer_names.h"

namespace nacre {

namespace {

constexpr std::int64_t format = 2;  // 1: which layers learn was written in another way

// Logs as [[name, value], …]: their order matters.
Tree write_logs(const Logs& logs) {
  Tree list = Tree::sequence();
  for (const auto& [name, value] : logs) list.push(Tree::Sequence{name, value});
  return list;
}

Logs read_logs(const Tree& tree) {
  Logs logs;
  for (const Tree& entry : tree.items()) logs.set(entry.items().at(0).as_string(), entry.items().at(1).as_number());
  return logs;
}

void put(KerasFile& file, const std::string& group, const std::vector<Tensor>& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) file.state_tensors.push_back({fmt::format("{}/{}", group, i), tensors[i]});
}

std::vector<Tensor> take(const KerasFile& file, const std::string& group) {
  std::vector<Tensor> tensors;
  for (const NamedTensor& named : file.state_tensors)
    if (named.name == fmt::format("{}/{}", group, tensors.size())) tensors.push_back(named.tensor);
  return tensors;
}

std::vector<Tensor> values_of(const std::vector<VariableRef>& variables) {
  std::vector<Tensor> values;
  for (const VariableRef& variable : variables) values.push_back(variable->value());
  return values;
}

// Which layers learn, and since when, where that changed while the model was trained.
Tree write_learning(const Trainer& trainer) {
  Tree trainable = Tree::sequence(), joined = Tree::sequence(), learning;
  for (const Layer* layer : all_layers(trainer.model())) trainable.push(layer->trainable());
  for (const std::int64_t updates : trainer.optimizer().joined()) joined.push(updates);
  learning.set("trainable", std::move(trainable));
  learning.set("joined", std::move(joined));
  return learning;
}

// Setting it for a layer sets it for those inside, which come later.
void read_trainable(FunctionalLayer& model, const Tree& learning) {
  const std::vector<Layer*> layers = all_layers(model);
  const Tree::Sequence& trainable = learning["trainable"].items();
  need(trainable.size() == layers.size(), "the checkpoint tells of {} layers, the model has {}", trainable.size(), layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i]->set_trainable(trainable[i].as_bool());
}

std::vector<std::int64_t> read_joined(const Tree& learning) {
  std::vector<std::int64_t> joined;
  for (const Tree& updates : learning["joined"].items()) joined.push_back(updates.as_integer());
  return joined;
}

KerasFile read_checkpoint_file(const std::filesystem::path& path) {
  KerasFile file = read_keras_h5(path);
  const Tree* version = file.state.find("format");
  if (!version) throw Error("this is no checkpoint").at({path.string()}).hint("resume from a file that training wrote").usage();
  if (version->as_integer() != format)
    throw Error("the checkpoint has format {}, this program reads {}", version->as_integer(), format)
        .at({path.string()})
        .hint("another version of nacre wrote it: go on with that one, or train anew")
        .usage();
  return file;
}

}  // namespace

void check_checkpoint(const std::filesystem::path& path) { read_checkpoint_file(path); }

void write_checkpoint(const std::filesystem::path& path, const Trainer& trainer, const Checkpoint& checkpoint) {
  KerasFile file = model_file(trainer);
  Tree& state = file.state;
  state.set("format", format);
  state.set("learning", write_learning(trainer));
  state.set("epoch", checkpoint.position.epoch);
  state.set("batch", checkpoint.position.batch);
  state.set("first_step", checkpoint.first_step);
  if (checkpoint.processes > 1) state.set("processes", checkpoint.processes);
  if (checkpoint.told_of_cache) state.set("told_of_cache", true);
  if (checkpoint.position.epoch_logs) state.set("epoch_logs", write_logs(*checkpoint.position.epoch_logs));

  Tree epochs = Tree::sequence(), warnings = Tree::sequence(), callbacks = Tree::sequence();
  for (const History::Epoch& epoch : checkpoint.history.epochs) epochs.push(Tree::Sequence{epoch.epoch, write_logs(epoch.logs)});
  for (const std::string& warning : checkpoint.history.warnings) warnings.push(warning);
  state.set("history", std::move(epochs));
  state.set("stopped", checkpoint.history.stopped);
  state.set("warnings", std::move(warnings));
  for (std::size_t i = 0; i < checkpoint.callbacks.size(); ++i) {
    callbacks.push(checkpoint.callbacks[i].values);
    put(file, fmt::format("callback{}", i), checkpoint.callbacks[i].tensors);
  }
  state.set("callbacks", std::move(callbacks));

  put(file, "metrics", checkpoint.metrics);
  put(file, "random", {trainer.random().seed->value(), trainer.random().step->value()});
  put(file, "states", values_of(trainer.model().states()));
  write_keras_h5(path, file);
}

Checkpoint read_checkpoint(const std::filesystem::path& path, Trainer& trainer) {
  return within([&] { return fmt::format("while resuming from {}", path.string()); }, [&] {
    const KerasFile file = read_checkpoint_file(path);
    if (const Tree* learning = file.state.find("learning")) {
      if (learning->find("trainable")) read_trainable(trainer.model(), *learning);
      trainer.retrain();
      trainer.optimizer().set_joined(read_joined(*learning));
    }
    load_weights(trainer.model(), file);
    load_optimizer(trainer.optimizer(), file);
    restore_variables(trainer.model().states(), take(file, "states"), "states");
    restore_variables({trainer.random().seed, trainer.random().step}, take(file, "random"), "random numbers");

    const Tree& state = file.state;
    Checkpoint checkpoint;
    checkpoint.position = {.epoch = state["epoch"].as_integer(), .batch = state["batch"].as_integer()};
    if (const Tree* logs = state.find("epoch_logs")) checkpoint.position.epoch_logs = read_logs(*logs);
    for (const Tree& epoch : state["history"].items())
      checkpoint.history.epochs.push_back({epoch.items().at(0).as_integer(), read_logs(epoch.items().at(1))});
    checkpoint.history.stopped = state["stopped"].as_string();
    for (const Tree& warning : state["warnings"].items()) checkpoint.history.warnings.push_back(warning.as_string());
    const Tree::Sequence& callbacks = state["callbacks"].items();
    for (std::size_t i = 0; i < callbacks.size(); ++i)
      checkpoint.callbacks.push_back({callbacks[i], take(file, fmt::format("callback{}", i))});
    checkpoint.metrics = take(file, "metrics");
    if (const Tree* first = state.find("first_step")) checkpoint.first_step = first->as_integer();
    if (const Tree* processes = state.find("processes")) checkpoint.processes = processes->as_integer();
    checkpoint.told_of_cache = state.find("told_of_cache") != nullptr;
    return checkpoint;
  });
}

}  // namespace nacre
