// A group of processes that find each other by an address, as torchrun names it to those that it starts: no MPI is
// needed. The first process listens, the others connect, and everything goes through the first one. That is right for a
// few processes and for GPUs, which exchange their gradients by themselves; many processes on CPUs are better served by
// MPI.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "backend/collective.h"

namespace nacre {

struct Rendezvous {
  std::string address;  // of the first process: a host's name or number
  int port = 0;
  int rank = 0, size = 1;
  std::chrono::milliseconds patience = std::chrono::minutes(5);  // for all to come
};

// Whoever else connects, says something else, or says nothing is sent away; nothing is allocated on the word of others.
// Throws std::runtime_error, which names the address and who is missing, when the group does not come together in time.
// Nothing is encrypted: the network between the processes is one's own.
std::shared_ptr<Collective> join_tcp_group(const Rendezvous& rendezvous);

}  // namespace nacre
