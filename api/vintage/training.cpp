// How older models were compiled: optimizers, losses and metrics under their old names.
#include <algorithm>
#include <iterator>

#include "api/vintage/parts.h"

namespace nacre {

namespace {

using namespace vintages;

struct Word {
  std::string_view old, present;
};
constexpr Word words[] = {
    {"acc", "accuracy"},
    {"crossentropy", "categorical_crossentropy"},
    {"kullback_leibler_divergence", "kl_divergence"},
    {"cosine_proximity", "cosine_similarity"},
    {"cosine", "cosine_similarity"},
    {"logcosh", "log_cosh"},
    {"binary_crossentropy_v2", "binary_crossentropy"},
    {"rmse", "RootMeanSquaredError"},
};

constexpr std::string_view obsolete[] = {"sample_weight_mode", "run_eagerly",       "steps_per_execution", "jit_compile",
                                         "experimental_run_tf_function", "distribute_strategy"};

// --- optimizers ------------------------------------------------------------------------------------------------------

// The rate falls as lr / (1 + decay·step), which is a schedule today.
void make_decay_a_schedule(Tree& config) {
  const Tree* decay = config.find("decay");
  if (decay && decay->is_number() && decay->as_number() != 0) {
    Tree rate, schedule;
    rate.set("initial_learning_rate", config.find("learning_rate") ? config["learning_rate"] : Tree(0.01));
    rate.set("decay_steps", 1);
    rate.set("decay_rate", *decay);
    schedule.set("class_name", "InverseTimeDecay");
    schedule.set("config", std::move(rate));
    config.set("learning_rate", std::move(schedule));
  }
  config.erase("decay");
}

Tree modern_optimizer(Tree optimizer) {
  constexpr Rename renames[] = {{"lr", "learning_rate"}};
  constexpr std::string_view nothing[] = {"is_legacy_optimizer", "jit_compile",      "schedule_decay", "experimental_aggregate_gradients",
                                          "initial_accumulator", "inner_optimizer_state"};
  std::string name = optimizer["class_name"].as_string();
  for (std::string_view prefix : {"Custom>", "Addons>", "Keras>"})
    if (name.starts_with(prefix)) name.erase(0, prefix.size());
  if (name == "RMSProp") name = "RMSprop";
  optimizer.set("class_name", name);
  optimizer.erase("module");
  optimizer.erase("registered_name");
  Tree* config = optimizer.find("config");
  if (!config || !config->is_mapping()) return optimizer;
  rename_keys(*config, renames);
  make_decay_a_schedule(*config);
  erase_keys(*config, nothing);
  if (Tree* inner = config->find("inner_optimizer"); inner && inner->find("class_name")) *inner = modern_optimizer(std::move(*inner));
  if (const Tree* epsilon = config->find("epsilon"); epsilon && epsilon->is_null()) config->erase("epsilon");
  return optimizer;
}

// --- losses and metrics ----------------------------------------------------------------------------------------------

// A word, an object, or several of them in lists and mappings.
Tree modern_measure(Tree measure) {
  if (measure.is_sequence()) {
    for (Tree& item : measure.items()) item = modern_measure(std::move(item));
    return measure;
  }
  if (measure.is_string()) {
    const auto known = std::find_if(std::begin(words), std::end(words), [&](const Word& word) { return measure == Tree(word.old); });
    return known == std::end(words) ? measure : Tree(known->present);
  }
  if (!measure.is_mapping()) return measure;
  const Tree* class_name = measure.find("class_name");
  Tree* config = measure.find("config");
  if (!class_name) {
    for (Tree::Entry& entry : measure.entries()) entry.value = modern_measure(std::move(entry.value));
    return measure;
  }
  // A function with a mean around it.
  if (config && (*class_name == Tree("MeanMetricWrapper") || *class_name == Tree("LossFunctionWrapper")))
    if (const Tree* function = config->find("fn")) {
      // Keras chose the function behind the word "accuracy".
      if (const Tree* name = config->find("name"); name && (*name == Tree("accuracy") || *name == Tree("acc"))) return Tree("accuracy");
      return modern_measure(Tree(*function));
    }
  if (*class_name == Tree("function") && config) return modern_measure(Tree(*config));
  measure.erase("module");
  measure.erase("registered_name");
  if (config && config->is_mapping()) {
    config->erase("fn");
    if (const Tree* reduction = config->find("reduction"); reduction && (*reduction == Tree("auto") || *reduction == Tree("sum_over_batch_size_v2")))
      config->erase("reduction");
    if (const Tree* dtype = config->find("dtype"); dtype && dtype->is_null()) config->erase("dtype");
  }
  return measure;
}

// tf.keras wraps the metrics of each output in a list, also where there is one output.
Tree modern_metrics(Tree metrics) {
  metrics = modern_measure(std::move(metrics));
  if (metrics.is_sequence() && metrics.items().size() == 1 && metrics.items()[0].is_sequence()) return Tree(metrics.items()[0]);
  return metrics;
}

}  // namespace

Tree modern_training_config(Tree config, const Vintage& vintage) {
  if (vintage.major >= 3 || !config.is_mapping()) return config;
  erase_keys(config, obsolete);
  if (Tree* optimizer = config.find("optimizer_config")) *optimizer = modern_optimizer(std::move(*optimizer));
  if (Tree* loss = config.find("loss")) *loss = modern_measure(std::move(*loss));
  for (std::string_view key : {"metrics", "weighted_metrics"})
    if (Tree* metrics = config.find(key)) *metrics = modern_metrics(std::move(*metrics));
  for (std::string_view key : {"loss", "metrics", "weighted_metrics", "loss_weights"})
    if (const Tree* value = config.find(key); value && value->is_null()) config.erase(key);
  return config;
}

}  // namespace nacre
