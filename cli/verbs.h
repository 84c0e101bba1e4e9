// The verbs of the command line, as functions of their arguments. Each prints its result to standard output, throws
// Error for what a person should read, and returns the exit code: 0 done, 1 failed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "api/save.h"

namespace nacre::cli {

struct RunArguments {
  std::string device;  // "" takes what the configuration says, else cpu
  int threads = 0;     // 0: the default
};

struct TrainArguments : RunArguments {
  std::filesystem::path config;
  std::vector<std::string> overrides;
  std::optional<std::filesystem::path> output;
  bool resume = false;
  bool json = false;  // a program reads the output
};
int train(const TrainArguments& arguments);

struct FinetuneArguments : RunArguments {
  std::string base;                   // a name of the zoo, or a saved model
  std::string data;                   // a YAML file with `data:`, or a source
  std::optional<std::int64_t> classes;  // none: those of the data
  std::int64_t epochs = 10;
  std::string unfreeze;               // the layer from which on the base learns in the second phase; "": all of it
  std::vector<std::string> overrides;
  std::optional<std::filesystem::path> output;
  bool json = false;
};
int finetune(const FinetuneArguments& arguments);

struct EvaluateArguments : RunArguments {
  std::filesystem::path model;
  bool untrusted = false;  // the model's file is read in a confined process; so below
  std::string data;  // a YAML file with `data:`, or a source
  std::int64_t batch_size = 0, worst = 10;
  bool details = true;  // by class, errors, worst samples; else loss and metrics alone
  bool json = false;
};
int evaluate(const EvaluateArguments& arguments);

struct PredictArguments : RunArguments {
  std::filesystem::path model;
  bool untrusted = false;
  std::vector<std::string> inputs;
  std::optional<std::filesystem::path> output;
  std::int64_t batch_size = 32;
  std::size_t top = 3;  // classes named for each sample
  bool json = false;
};
int predict(const PredictArguments& arguments);

// A model to measure, as a configuration or a file has it.
struct SubjectArguments : RunArguments {
  std::filesystem::path model;
  bool untrusted = false;
  std::vector<std::string> overrides;  // of a configuration
  std::string dtype;                   // policy of all layers; "" leaves them as they are
};

struct BenchArguments : SubjectArguments {
  bool training = false, inference = false;  // one of them
  std::int64_t batch = 32;
  double seconds = 5;
  std::optional<MatmulPrecision> matmul_precision;  // none: as the configuration says
  bool fast = false;                                // not deterministic, whatever the configuration says
  bool recompute = false;                           // also where the configuration does not say so
  bool json = false, verbose = false, profile = false, stand_alone = false;
  std::optional<std::filesystem::path> trace;
};
int bench(const BenchArguments& arguments);

struct ParityArguments : SubjectArguments {
  std::string devices = "reference,cpu";  // the one that is trusted, and the one that is compared with it
  std::string data;  // as of evaluate; "": the configuration's training data, else made up; "random": made up
  std::int64_t batch = 4;
  std::optional<double> tolerance;  // none: by the dtype
  std::optional<std::uint64_t> seed;  // none: the configuration's, else 0
  std::optional<std::size_t> top;   // layers that are shown; none: all
  bool json = false;
};
int parity(const ParityArguments& arguments);

struct SummaryArguments {
  std::filesystem::path model;  // or a configuration
  bool untrusted = false;
  std::vector<std::string> overrides;
  bool json = false;
};
int summary(const SummaryArguments& arguments);

struct ConvertArguments {
  std::filesystem::path input, output;
  std::optional<std::filesystem::path> weights;
  bool by_name = false, skip_mismatch = false, overwrite = false, untrusted = false;
  SaveOptions save;
};
int convert(const ConvertArguments& arguments);

struct LuaArguments {
  int threads = 0;                 // 0: the default
  bool sandbox = false;            // see EngineOptions
  std::string script;              // "-" is standard input, "" a prompt, or standard input that is no terminal
  std::vector<std::string> words;  // the script's own arguments
};
int lua(const LuaArguments& arguments);

// The model zoo. Names may have arguments, and zoo: in front: "mobilenetv2?alpha=0.35".
int zoo_list(bool json);
int zoo_show(const std::string& text, bool json);
int zoo_get(const std::vector<std::string>& names, const std::string& mirror, bool json);
int zoo_verify(const std::vector<std::string>& names, bool json);  // of the models named, or all

struct ReportArguments : RunArguments {
  std::filesystem::path run_folder;
  std::optional<std::filesystem::path> output;  // default: report.html in the folder
  std::string data;                             // as of evaluate; "": what the run's configuration measures on
  std::int64_t batch_size = 0, samples = 12;
};
int report(const ReportArguments& arguments);

int plot(const std::filesystem::path& run_folder);
int render(const std::filesystem::path& config, const std::vector<std::string>& overrides, bool json);
int schema();
int reference(const std::filesystem::path& folder);
int doctor(bool json);

}  // namespace nacre::cli
