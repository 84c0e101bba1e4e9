// Data-parallel training: processes that were started together (mpirun, torchrun) hold one model, and each computes on
// its part of every batch.
#pragma once

#include <array>
#include <span>
#include <string>

#include "backend/core/tensor.h"
#include "backend/graph/ops/all_reduce.h"

namespace nacre {

// The processes that train together, as one of them sees them; by itself a process without others. A value; used by one
// thread at a time. Every function is called by all of them, in the same order. Throws Error when one is gone.
class Processes {
 public:
  Processes() = default;
  explicit Processes(CollectiveRef collective) : collective_(std::move(collective)) {}

  // The group that the environment puts this process into: mpirun's, or one that meets at an address, as torchrun's do.
  // Alone where it names none, or one of size 1. Throws an Error where it names one that cannot be joined. Once in a
  // program.
  static Processes of_environment();

  int rank() const;  // from 0
  int size() const;
  bool several() const { return size() > 1; }
  bool first() const { return rank() == 0; }                       // the one that talks to the user and writes files
  const CollectiveRef& collective() const { return collective_; }  // null: alone

  // Whether each of these holds for any process.
  template <std::size_t count>
  std::array<bool, count> any(const std::array<bool, count>& facts) const {
    std::array<bool, count> result = facts;
    any(std::span<bool>(result));
    return result;
  }
  bool any(bool fact) const { return any(std::array{fact})[0]; }
  void sum(std::span<double> numbers) const;  // over all, in each
  void take_first(Tensor& tensor) const;      // of numbers: every process gets the first one's elements
  // Threads for the kernels of each when the user names no number: the usual one, shared by those that run on the same
  // processors.
  int threads() const;

 private:
  void any(std::span<bool> facts) const;
  CollectiveRef collective_;
};

// What an environment says about a group of processes.
struct ProcessEnvironment {
  int rank = 0, size = 1;
  std::string_view variables{};  // that say so
  bool by_mpi = false;
  std::string address{};  // else: where the first process is found, and the port that it listens at
  int port = 0;
};
// OMPI_COMM_WORLD_…, PMI_…, or RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun sets them; size 1 where none
// of them stands.
ProcessEnvironment process_environment();

// The library that joins those which mpirun starts, with its version: "Open MPI v4.1.4". Throws an Error that says why
// there is none.
std::string mpi_library();

}  // namespace nacre
