#include "api/distribute/processes.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <stdexcept>

#include "api/distribute/tcp_group.h"
#include "backend/collective.h"
#include "backend/core/processors.h"
#include "formats/shared_library.h"

namespace nacre {

namespace {

std::optional<int> number_in(const char* variable) {
  const char* const text = std::getenv(variable);
  if (!text) return std::nullopt;
  const std::string_view digits(text);
  int number = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failure != std::errc() || end != digits.data() + digits.size() || number < 0) return std::nullopt;
  return number;
}

template <class Work>
void exchange(Work&& work) {
  try {
    work();
  } catch (const std::runtime_error& error) {
    throw Error("the processes that train together have lost each other: {}", error.what());
  }
}

}  // namespace

ProcessEnvironment process_environment() {
  struct Names {
    const char *rank, *size;
    std::string_view variables;
    bool by_mpi;
  };
  static constexpr Names known[] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", true},
                                    {"PMI_RANK", "PMI_SIZE", "PMI_SIZE", true},
                                    {"RANK", "WORLD_SIZE", "RANK and WORLD_SIZE", false}};
  for (const Names& names : known) {
    const std::optional<int> rank = number_in(names.rank), size = number_in(names.size);
    if (!rank || !size || *size < 2 || *rank >= *size) continue;
    ProcessEnvironment environment{*rank, *size, names.variables, names.by_mpi};
    if (names.by_mpi) return environment;
    if (const char* const address = std::getenv("MASTER_ADDR")) environment.address = address;
    environment.port = number_in("MASTER_PORT").value_or(0);
    // Then torchrun itself listens at that port.
    const char* const taken = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
    if (environment.port > 0 && taken && std::string_view(taken) == "True") ++environment.port;
    return environment;
  }
  return {};
}

namespace {

// Stays loaded for good: the group's code is its.
const SharedLibrary& mpi_module() {
  static const SharedLibrary module("several processes cannot train together", {"libnacre_mpi.so"});
  return module;
}

CollectiveRef join_by_mpi(int size) {
  OpenCollective* const open = mpi_module()["nacre_open_collective"];
  CollectiveRef collective(open(collective_interface));
  if (!collective) throw Error("libnacre_mpi.so belongs to another build of nacre");
  if (collective->size() == size) return collective;
  throw Error("MPI sees {} process{}", collective->size(), collective->size() == 1 ? "" : "es")
      .hint("mpirun must be that of the MPI which nacre was built with: Debian's openmpi-bin");
}

}  // namespace

std::string mpi_library() {
  DescribeCollective* const describe = mpi_module()["nacre_describe_collective"];
  const std::string text = describe();  // "Open MPI v4.1.4, package: …"
  return text.substr(0, text.find_first_of(",\n"));
}

Processes Processes::of_environment() {
  const ProcessEnvironment environment = process_environment();
  if (environment.size == 1) return {};
  const std::string place =
      fmt::format("this is process {} of {} ({})", environment.rank, environment.size, environment.variables);
  if (!environment.by_mpi) {
    if (environment.address.empty() || environment.port < 1 || environment.port > 65535)
      throw Error("{}, but MASTER_ADDR and MASTER_PORT do not say where the first one listens", place)
          .hint(fmt::format("start them with torchrun, or with mpirun -n {} nacre train …", environment.size))
          .usage();
    try {
      return Processes(join_tcp_group({environment.address, environment.port, environment.rank, environment.size}));
    } catch (const std::runtime_error& error) {
      throw Error("{}, and they do not come together: {}", place, error.what())
          .hint("MASTER_ADDR and MASTER_PORT name the machine of process 0 and a port there that is free");
    }
  }
  try {
    return Processes(join_by_mpi(environment.size));
  } catch (Error& error) {
    throw Error("{}, and {}", place, error.message())
        .hint(error.hint_text() == "install the library"
                  ? "build nacre where libopenmpi-dev is installed (-DNACRE_MPI=ON)"
                  : error.hint_text())
        .usage();
  } catch (const std::runtime_error& error) {
    throw Error("{}, and MPI does not start: {}", place, error.what());
  }
}

int Processes::rank() const { return collective_ ? collective_->rank() : 0; }
int Processes::size() const { return collective_ ? collective_->size() : 1; }

void Processes::any(std::span<bool> facts) const {
  if (!several()) return;
  std::vector<std::int64_t> numbers(facts.begin(), facts.end());
  exchange([&] {
    collective_->all_reduce(numbers.data(), numbers.size(), Collective::Number::int64, Collective::Combine::max);
  });
  for (std::size_t i = 0; i < facts.size(); ++i) facts[i] = numbers[i] != 0;
}

void Processes::sum(std::span<double> numbers) const {
  if (!several()) return;
  exchange([&] {
    collective_->all_reduce(numbers.data(), numbers.size(), Collective::Number::float64, Collective::Combine::sum);
  });
}

void Processes::take_first(Tensor& tensor) const {
  if (!several()) return;
  exchange([&] { collective_->broadcast(tensor.raw_writable(), tensor.bytes(), 0); });
}

int Processes::threads() const {
  const int usual = default_threads();
  if (!several() || std::getenv("OMP_NUM_THREADS")) return usual;
  // How many processes of this machine each processor may run.
  Collective& machine = collective_->machine();
  const std::vector<int> mine = allowed_processors();
  if (mine.empty()) return std::max(1, usual / machine.size());
  std::int64_t last = *std::ranges::max_element(mine);
  std::vector<std::int64_t> shared;
  exchange([&] {
    machine.all_reduce(&last, 1, Collective::Number::int64, Collective::Combine::max);
    shared.assign(static_cast<std::size_t>(last) + 1, 0);
    for (const int processor : mine) shared[static_cast<std::size_t>(processor)] = 1;
    machine.all_reduce(shared.data(), shared.size(), Collective::Number::int64, Collective::Combine::sum);
  });
  std::int64_t most = 1;
  for (const int processor : mine) most = std::max(most, shared[static_cast<std::size_t>(processor)]);
  return static_cast<int>(std::max<std::int64_t>(1, usual / most));
}

}  // namespace nacre
