// How processes that train together exchange numbers. Modules that are loaded at run time implement it (backend/mpi),
// so it needs nothing else of nacre.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nacre {

// All processes of a group call the same functions in the same order, with the same counts; each call returns when this
// process has its result. Failures throw std::runtime_error: a process that is gone, a lost connection. Used by one
// thread at a time. Numbers lie in the memory of the backend that the group was made for; those of a CPU's group on the
// host.
class Collective {
 public:
  enum class Number : std::uint8_t { float32, float64, int64 };
  enum class Combine : std::uint8_t { sum, max };

  // Leaves the group, which waits for all others to do so; not while an exception is under way, since they may wait
  // elsewhere: whoever started the processes ends them then.
  virtual ~Collective() = default;
  virtual int rank() const = 0;  // of this process, from 0
  virtual int size() const = 0;  // how many there are
  // Those of them that run on this machine; part of this object.
  virtual Collective& machine() = 0;
  // In place, element by element. Every process gets the same bits.
  virtual void all_reduce(void* numbers, std::size_t count, Number kind, Combine how) = 0;
  // Every process gets the bytes of one of them.
  virtual void broadcast(void* bytes, std::size_t count, int from) = 0;
};

// What a module exports under the name `nacre_open_collective`: joins the group that the environment puts the process
// into. Throws std::runtime_error. Once in a process.
extern "C" using OpenCollective = Collective * ();

}  // namespace nacre
