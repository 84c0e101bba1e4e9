// The collective of processes that mpirun starts: a module, so that nacre itself needs no MPI.
// Source: MPI: A Message-Passing Interface Standard, version 3.1 (2015), chapters 5, 6 and 8.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "backend/exchange_queue.h"

namespace nacre {
namespace {

void check(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw std::runtime_error(std::string(what) + ": " + std::string(text, static_cast<std::size_t>(length)));
}

MPI_Datatype type_of(Collective::Number kind) {
  switch (kind) {
    case Collective::Number::float32: return MPI_FLOAT;
    case Collective::Number::float64: return MPI_DOUBLE;
    case Collective::Number::int64: break;
  }
  return MPI_INT64_T;
}

MPI_Op operation_of(Collective::Combine how) { return how == Collective::Combine::sum ? MPI_SUM : MPI_MAX; }

// Whether threads may take turns.
bool threads_take_turns() {
  int level = MPI_THREAD_SINGLE;
  check(MPI_Query_thread(&level), "MPI_Query_thread");
  return level >= MPI_THREAD_SERIALIZED;
}

// Counts of MPI are ints.
void in_pieces(void* memory, std::size_t count, std::size_t size, auto&& call) {
  constexpr std::size_t most = std::size_t{1} << 28;
  for (std::size_t begin = 0; begin < count; begin += most)
    call(static_cast<std::byte*>(memory) + begin * size, static_cast<int>(std::min(most, count - begin)));
}

class Group : public Collective {
 public:
  explicit Group(MPI_Comm communicator)
      : communicator_(communicator),
        queue_([this](const ExchangeQueue::Work& work,
                      const ExchangeQueue::Progress& progress) { perform(work, progress); },
               threads_take_turns()) {
    check(MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(communicator_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(communicator_, &size_), "MPI_Comm_size");
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Collective& machine() override { return *this; }
  void all_reduce(void* numbers, std::size_t count, Number kind, Combine how) override {
    in_pieces(numbers, count, size_of(kind), [&](void* piece, int length) {
      check(MPI_Allreduce(MPI_IN_PLACE, piece, length, type_of(kind), operation_of(how), communicator_),
            "MPI_Allreduce");
    });
  }
  std::unique_ptr<Exchange> exchange(std::size_t count, Number kind, Combine how) override {
    return queue_.exchange(count, kind, how);
  }
  void broadcast(void* bytes, std::size_t count, int from) override {
    in_pieces(bytes, count, 1, [&](void* piece, int length) {
      check(MPI_Bcast(piece, length, MPI_BYTE, from, communicator_), "MPI_Bcast");
    });
  }

 protected:
  MPI_Comm communicator_;

 private:
  // MPI moves data while it is called. Between the calls, processors belong to those who compute.
  void perform(const ExchangeQueue::Work& work, const ExchangeQueue::Progress& progress) {
    in_pieces(work.numbers, work.count, size_of(work.kind), [&](void* piece, int length) {
      MPI_Request request;
      check(MPI_Iallreduce(MPI_IN_PLACE, piece, length, type_of(work.kind), operation_of(work.how), communicator_,
                           &request),
            "MPI_Iallreduce");
      for (int done = 0;;) {
        check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Iallreduce");
        if (done) return;
        if (progress.given_up) throw std::runtime_error("given up");
        if (progress.waited_for) std::this_thread::yield();
        else std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    });
  }

  ExchangeQueue queue_;
  int rank_ = 0, size_ = 1;
};

// Of a program that uses MPI itself the library stays as it is.
bool initialise() {
  int initialised = 0, provided = 0;
  check(MPI_Initialized(&initialised), "MPI_Initialized");
  if (!initialised) check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  return !initialised;
}

MPI_Comm duplicate() {
  MPI_Comm communicator;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &communicator), "MPI_Comm_dup");
  return communicator;
}

class World final : public Group {
 public:
  explicit World(bool initialised) : Group(duplicate()), initialised_(initialised) {
    MPI_Comm local;
    check(MPI_Comm_split_type(communicator_, MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &local),
          "MPI_Comm_split_type");
    machine_ = std::make_unique<Group>(local);
  }
  ~World() override {
    if (initialised_ && std::uncaught_exceptions() == 0) MPI_Finalize();
  }
  Collective& machine() override { return *machine_; }

 private:
  bool initialised_;
  std::unique_ptr<Group> machine_;
};

}  // namespace
}  // namespace nacre

extern "C" __attribute__((visibility("default"))) nacre::Collective* nacre_open_collective(int interface) {
  if (interface != nacre::collective_interface) return nullptr;
  return new nacre::World(nacre::initialise());
}

extern "C" __attribute__((visibility("default"))) const char* nacre_describe_collective() {
  static char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  return MPI_Get_library_version(text, &length) == MPI_SUCCESS ? text : "";
}
