// Threads beside those of kernels, for data that takes time to read.
#pragma once

#include <functional>

#include "api/data/dataset.h"

namespace nacre {

// How many are worth decoding where nothing else is said: half the threads of kernels, from 1 to 8.
int decoding_workers();

// Calls body(i) for 0 … count-1, each once, from so many threads at the same time. When some throw, the exception of the
// smallest i reaches the caller; all smaller ones were called.
void in_workers(int workers, std::int64_t count, const std::function<void(std::int64_t)>& body);

// The same samples, which so many threads read ahead.
DatasetRef with_workers(DatasetRef dataset, int workers);

}  // namespace nacre
