#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "api/classify.h"
#include "api/data/source.h"
#include "api/save.h"
#include "backend/core/parallel.h"
#include "backend/core/unicode.h"
#include "cli/interrupt.h"
#include "cli/predict_inputs.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/csv.h"
#include "formats/file.h"
#include "formats/json.h"
#include "formats/npy.h"

namespace nacre::cli {

namespace {

// A float32 in as few digits as tell it from its neighbours, not in those of the double that holds it.
double shortest(double value) { return std::strtod(fmt::format("{}", static_cast<float>(value)).c_str(), nullptr); }

// Nested lists of the shape of a tensor.
Tree lists_of(const Tensor& tensor, int axis, std::int64_t& index) {
  if (axis == tensor.shape().rank()) {
    if (tensor.dtype() == DType::string) return tensor.data<std::string>()[static_cast<std::size_t>(index++)];
    const double value = tensor.at(index++);
    if (!is_floating(tensor.dtype())) return static_cast<std::int64_t>(value);
    return tensor.dtype() == DType::float64 ? value : shortest(value);
  }
  Tree list = Tree::sequence();
  for (std::int64_t i = 0; i < tensor.shape()[axis]; ++i) list.push(lists_of(tensor, axis + 1, index));
  return list;
}

// One output: a list with an element per sample; several: an object of such lists by name.
std::string json_of(const std::vector<std::string>& names, const std::vector<Tensor>& outputs) {
  Tree result;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::int64_t index = 0;
    Tree list = lists_of(outputs[i], 0, index);
    if (outputs.size() == 1) result = std::move(list);
    else result.set(names[i], std::move(list));
  }
  return write_json(result, 0) + "\n";
}

void write_outputs(const std::filesystem::path& path, const std::vector<std::string>& names, const std::vector<Tensor>& outputs) {
  const std::string extension = path.extension().string();
  const auto only_one = [&] {
    if (outputs.size() != 1) throw Error("{} outputs do not fit into a {} file", outputs.size(), extension).at({path.string(), 0, 0}).hint("name a .npz or .json file").usage();
  };
  if (extension == ".npz") {
    NamedArrays arrays;
    for (std::size_t i = 0; i < outputs.size(); ++i) arrays.emplace_back(names[i], outputs[i]);
    write_npz(path, arrays);
  } else if (extension == ".npy") {
    only_one();
    write_npy(path, outputs.front());
  } else if (extension == ".csv") {
    only_one();
    const Tensor& rows = outputs.front();
    const std::int64_t count = rows.shape()[0];
    write_csv(path, {}, rows.reshaped({count, count ? rows.size() / count : 0}));
  } else if (extension == ".json") {
    write_file_atomically(path, json_of(names, outputs));
  } else {
    throw Error("'{}' is no kind of file that predict writes", extension).at({path.string(), 0, 0}).hint(".npy .npz .csv .json").usage();
  }
}

// What the samples are called: pictures and texts by what was written for each, others by their number.
std::vector<std::string> sample_names(const std::vector<std::string>& words, std::size_t count, bool whole_files) {
  const bool lines =
      !whole_files &&  // whose number may be that of the files by chance
      std::ranges::any_of(words, [](const std::string& word) { return source_kind_of(word) == "lines"; });
  if (words.size() == count && words.front() != "-" && (count == 1 || !lines)) return words;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(std::to_string(i + 1));
  return names;
}

void print_answers(const PredictArguments& arguments, const std::vector<std::vector<ClassAnswer>>& answers,
                   bool whole_files) {
  const std::vector<std::string> names = sample_names(arguments.inputs, answers.size(), whole_files);
  if (arguments.json) {
    Tree list = Tree::sequence();
    for (std::size_t i = 0; i < answers.size(); ++i) {
      Tree sample, classes = Tree::sequence();
      sample.set("input", names[i]);
      sample.set("label", answers[i].empty() ? Tree() : Tree(answers[i].front().label));
      sample.set("probability", answers[i].empty() ? Tree() : Tree(shortest(answers[i].front().probability)));
      for (const ClassAnswer& answer : answers[i]) {
        Tree entry;
        entry.set("label", answer.label);
        entry.set("probability", shortest(answer.probability));
        classes.push(std::move(entry));
      }
      sample.set("classes", std::move(classes));
      list.push(std::move(sample));
    }
    std::puts(write_json(list, 2).c_str());
    return;
  }
  std::size_t width = 0;
  for (const std::string& name : names) width = std::max(width, escaped(name).size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    std::string line = fmt::format("{:<{}}", escaped(names[i]), width);
    for (const ClassAnswer& answer : answers[i]) line += fmt::format("  {} {:.1f}%", answer.label, 100 * answer.probability);
    if (answers[i].empty()) line += "  no answer: the network gives NaN";
    say(stdout, line);
  }
}

// Networks that average over the words of a text have nothing to average where there are none.
void tell_undefined(const std::vector<std::vector<ClassAnswer>>& answers, bool texts) {
  const auto undefined = std::ranges::count_if(answers, [](const auto& answer) { return answer.empty(); });
  if (undefined > 0)
    say(stderr, fmt::format("warning: {} of {} samples have no answer: the network gives NaN{}", undefined, answers.size(),
                            texts ? ", as for texts without a word that it reads" : ""));
}

}  // namespace

int predict(const PredictArguments& arguments) {
  set_threads(arguments.threads);
  Model model = load_model(arguments.model, {.compile = false, .untrusted = arguments.untrusted});
  if (!arguments.device.empty()) model.set_device(arguments.device);
  const ModelSummary shape = summarize(model, {.measure_memory = false});
  std::vector<std::string> names;
  for (const Port& port : shape.outputs) names.push_back(port.name);
  const Interrupt interrupt;
  PredictOptions options{.batch_size = arguments.batch_size};
  options.stop = interrupt.flag();
  const ModelCard& card = model.graph().card();
  std::vector<Tensor> inputs = read_inputs(arguments.inputs, shape.inputs, card);
  for (Tensor& input : inputs) input = preprocessed(card.preprocessing, input);
  const DatasetRef data = array_dataset({.inputs = std::move(inputs), .targets = {}, .weights = {},
                                         .input_names = {}, .target_names = {}, .description = ""});
  const std::vector<Tensor> outputs = model.predict(data, options);
  if (interrupt.flag()->load()) throw Error("interrupted before all {} samples were seen", data->size());
  if (arguments.output) {
    write_outputs(*arguments.output, names, outputs);
  } else if (outputs.size() == 1 && are_classes(card.labels, outputs.front().shape())) {
    const auto answers = classify(card.labels, outputs.front(), arguments.top);
    print_answers(arguments, answers, card.whole_files);
    tell_undefined(answers, std::ranges::any_of(shape.inputs, [](const Port& port) { return port.type.dtype == DType::string; }));
  } else {
    std::fputs(json_of(names, outputs).c_str(), stdout);
  }
  return 0;
}

}  // namespace nacre::cli
