// How processes that train together exchange numbers. Modules that are loaded at run time implement it (backend/mpi),
// so it needs nothing else of nacre.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace nacre {

// All processes of a group call the same functions in the same order, with the same counts; each call returns when this
// process has its result. Failures throw std::runtime_error: a process that is gone, a lost connection. Used by one
// thread at a time. Numbers lie in the memory of the backend that the group was made for; those of a CPU's group on the
// host.
class Collective {
 public:
  enum class Number : std::uint8_t { float32, float64, int64 };
  enum class Combine : std::uint8_t { sum, max };

  // An all_reduce that goes on beside other work, again and again. Several of a group may be under way; until the last of
  // them is over nothing but these is asked of the group, which outlives them.
  class Exchange {
   public:
    // What is still under way is given up, and the group is good for nothing then.
    virtual ~Exchange() = default;
    // Returns at once, or soon. All processes start the exchanges of a group in the same order. The numbers are left alone
    // until they have been waited for.
    virtual void start(void* numbers) = 0;
    // In any order.
    virtual void wait() = 0;
  };

  // Leaves the group, which waits for all others to do so; not while an exception is under way, since they may wait
  // elsewhere: whoever started the processes ends them then.
  virtual ~Collective() = default;
  virtual int rank() const = 0;  // of this process, from 0
  virtual int size() const = 0;  // how many there are
  // Those of them that run on this machine; part of this object.
  virtual Collective& machine() = 0;
  // In place, element by element. Every process gets the same bits.
  virtual void all_reduce(void* numbers, std::size_t count, Number kind, Combine how) = 0;
  virtual std::unique_ptr<Exchange> exchange(std::size_t count, Number kind, Combine how) = 0;
  // Every process gets the bytes of one of them.
  virtual void broadcast(void* bytes, std::size_t count, int from) = 0;
};

inline std::size_t size_of(Collective::Number kind) { return kind == Collective::Number::float32 ? 4 : 8; }

// Raised with every change of Collective, so that a module of another build is refused.
inline constexpr int collective_interface = 2;

// What a module exports under the name `nacre_open_collective`: joins the group that the environment puts the process
// into. Throws std::runtime_error. Once in a process. Null when the interfaces differ.
extern "C" using OpenCollective = Collective*(int interface);
// Under the name `nacre_describe_collective`: the library and its version, "Open MPI v4.1.4".
extern "C" using DescribeCollective = const char*();

}  // namespace nacre
