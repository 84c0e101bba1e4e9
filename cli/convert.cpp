#include <cstdio>

#include "api/experiment/experiment.h"
#include "api/save.h"
#include "api/zoo.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/keras_weights.h"

namespace nacre::cli {

namespace {

void refuse_existing(const ConvertArguments& arguments) {
  if (!arguments.overwrite && std::filesystem::exists(arguments.output))
    throw Error("there is such a file already").at({arguments.output.string()}).hint("--overwrite replaces it").usage();
}

// Between one file and shards; this needs no model.
void convert_weights(const ConvertArguments& arguments, const WeightTree& tree, FileKind target) {
  if (!is_weights(target))
    throw Error("the file holds weights alone, without a model")
        .at({arguments.input.string()})
        .hint(fmt::format("nacre convert ARCHITECTURE {} --weights {}", arguments.output.string(), arguments.input.string()))
        .usage();
  if (target == FileKind::weights) write_keras_weights(arguments.output, tree);
  else write_sharded_keras_weights(arguments.output, tree, shard_bytes(arguments.save));
}

}  // namespace

int convert(const ConvertArguments& arguments) {
  const FileKind target = kind_of_name(arguments.output);
  refuse_existing(arguments);
  // An experiment is the user's own: nothing of an untrusted file is read in this process.
  const bool experiment = !arguments.untrusted && is_experiment(arguments.input);
  const ModelFile file = experiment ? ModelFile{.kind = FileKind::yaml} : read_model_file(arguments.input, arguments.untrusted);
  const FileKind source = file.kind;
  std::vector<std::string> skipped, notes;
  if (is_weights(source) && !arguments.weights) {
    convert_weights(arguments, file.weights, target);
  } else {
    if (is_architecture(source) && !arguments.weights && !is_architecture(target) && !zoo_name(arguments.input))
      throw Error("the file holds an architecture without weights").at({arguments.input.string()}).hint("--weights names the file that has them").usage();
    const LoadOptions options{.by_name = arguments.by_name, .skip_mismatch = arguments.skip_mismatch,
                              .untrusted = arguments.untrusted, .skipped = &skipped, .notes = &notes};
    // A model of the zoo is wanted with what it has learned, unless it gets other weights or loses them.
    const bool learned = zoo_name(arguments.input) && !is_architecture(target) && !arguments.weights;
    Model model =
        learned ? load_model(arguments.input, options)
        : experiment
            ? Model(Experiment::load(arguments.input).build_model(!is_architecture(target) && !arguments.weights))
        : is_architecture(source) ? load_architecture(file, options)
                                  : load_model(file, options);
    if (arguments.weights) {
      model.load_weights(*arguments.weights, options);
      model.initialize(0);  // what the file has nothing for
    }
    for (const std::string& line : notes) say(stderr, "note: " + line);
    for (const std::string& line : skipped) say(stderr, "skipped: " + line);
    if (is_weights(target)) save_weights(model, arguments.output, arguments.save);
    else save_model(model, arguments.output, arguments.save);
  }
  say(stdout, fmt::format("wrote {}", arguments.output.string()));
  return 0;
}

}  // namespace nacre::cli
