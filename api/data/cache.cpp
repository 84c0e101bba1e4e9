#include "api/data/cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "api/data/workers.h"
#include "backend/core/memory.h"
#include "backend/core/parallel.h"
#include "formats/descriptor.h"
#include "formats/file.h"

namespace nacre {

namespace {

std::size_t bytes_of(const Column& column) {
  return static_cast<std::size_t>(column.type.shape.elements()) * size_of(column.type.dtype);
}

std::size_t bytes_of(const std::vector<Column>& columns) {
  std::size_t sum = 0;
  for (const Column& column : columns) sum += bytes_of(column);
  return sum;
}

// Rows of inputs one after the other, each with all columns.
void take_row(const std::vector<Column>& columns, const std::byte* row, std::size_t place, std::vector<Tensor>& inputs) {
  for (std::size_t c = 0; c < columns.size(); row += bytes_of(columns[c++]))
    std::memcpy(static_cast<std::byte*>(inputs[c].raw_writable()) + place * bytes_of(columns[c]), row, bytes_of(columns[c]));
}

void give_row(const std::vector<Column>& columns, const std::vector<Tensor>& inputs, std::size_t place, std::byte* row) {
  for (std::size_t c = 0; c < columns.size(); row += bytes_of(columns[c++]))
    std::memcpy(row, static_cast<const std::byte*>(inputs[c].raw()) + place * bytes_of(columns[c]), bytes_of(columns[c]));
}

// The targets come from the data set itself, which has them without decoding.
class Cached : public ChangedDataset {
 public:
  using ChangedDataset::ChangedDataset;
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override { raw_->read_targets(indices, batch); }
  std::string fingerprint() const override { return raw_->fingerprint(); }

 protected:
  void begin(std::span<const std::int64_t> indices, Batch& batch) const {
    raw_->read_targets(indices, batch);
    batch.inputs.resize(inputs_.size());
    for (std::size_t c = 0; c < inputs_.size(); ++c) {
      const Type wanted{inputs_[c].type.dtype, Shape{batch.size} + inputs_[c].type.shape};
      if (batch.inputs[c].type() != wanted) batch.inputs[c] = Tensor::uninitialised(wanted);
    }
  }
};

class CachedInMemory final : public Cached {
 public:
  explicit CachedInMemory(DatasetRef raw) : Cached(std::move(raw)), row_(bytes_of(inputs_)) {
    const auto count = static_cast<std::size_t>(raw_->size());
    if (count * row_ > available_memory() / 4 * 3)
      throw Error("{} samples take {} MiB when they are decoded, and {} MiB of memory are free", count, (count * row_) >> 20,
                  available_memory() >> 20)
          .about("'cache'")
          .hint("cache: FOLDER keeps them in a file, a smaller size takes less")
          .usage();
    rows_ = Tensor::uninitialised({DType::uint8, {raw_->size(), static_cast<std::int64_t>(row_)}});
    bytes_ = static_cast<std::byte*>(rows_.raw_writable());
    states_ = std::make_unique<std::atomic<State>[]>(count);
  }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    begin(indices, batch);
    std::vector<std::int64_t> missing;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const auto index = static_cast<std::size_t>(indices[i]);
      if (states_[index].load(std::memory_order_acquire) == State::present) {
        take_row(inputs_, bytes_ + index * row_, i, batch.inputs);
      } else {
        missing.push_back(indices[i]);
        places.push_back(i);
      }
    }
    if (missing.empty()) return;
    Batch decoded;
    raw_->read(missing, decoded);
    std::vector<std::byte> row(row_);
    for (std::size_t i = 0; i < missing.size(); ++i) {
      const auto index = static_cast<std::size_t>(missing[i]);
      give_row(inputs_, decoded.inputs, i, row.data());
      take_row(inputs_, row.data(), places[i], batch.inputs);
      State none = State::absent;  // another thread may be at it
      if (!states_[index].compare_exchange_strong(none, State::coming)) continue;
      std::memcpy(bytes_ + index * row_, row.data(), row_);
      states_[index].store(State::present, std::memory_order_release);
    }
  }
  std::string description() const override { return raw_->description() + ", kept in memory"; }

 private:
  enum class State : std::uint8_t { absent, coming, present };
  std::size_t row_;
  Tensor rows_;
  std::byte* bytes_ = nullptr;
  std::unique_ptr<std::atomic<State>[]> states_;
};

// --- on disk ------------------------------------------------------------------------------------------------------

constexpr std::string_view magic = "nacre cache 1\n";

// FNV-1a, from two beginnings: no guard against malice, but fingerprints are the user's own.
std::string digest(std::string_view text) {
  std::string digits;
  for (std::uint64_t hash : {0xcbf29ce484222325ull, 0x9ae16a3b2f90404full}) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    digits += fmt::format("{:016x}", hash);
  }
  return digits;
}

class CachedOnDisk final : public Cached {
 public:
  CachedOnDisk(DatasetRef raw, const std::filesystem::path& folder)
      : Cached(std::move(raw)), row_(bytes_of(inputs_)), key_(digest(raw_->fingerprint())), path_(folder / (key_ + ".cache")) {
    file_ = opened();
    if (file_.get() >= 0) return;
    make_folder(folder);
    write();
    file_ = opened();
    if (file_.get() < 0) throw Error("the cache that was just written cannot be read").at({path_.string()});
  }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    begin(indices, batch);
    std::vector<std::byte> row(row_);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const auto place = header().size() + static_cast<std::size_t>(indices[i]) * row_;
      for (std::size_t got = 0; got < row_;) {
        const ssize_t count = ::pread(file_.get(), row.data() + got, row_ - got, static_cast<off_t>(place + got));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw file_error(path_, "read", errno);
        if (count == 0) throw Error("the cache was cut short while it was used").at({path_.string()});
        got += static_cast<std::size_t>(count);
      }
      take_row(inputs_, row.data(), i, batch.inputs);
    }
  }
  std::string description() const override { return raw_->description() + ", kept in " + path_.string(); }

 private:
  std::string header() const { return std::string(magic) + key_ + "\n"; }

  // The file when it is there and whole.
  Descriptor opened() const {
    Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    const std::string wanted = header();
    std::string found(wanted.size(), '\0');
    std::error_code failure;
    const bool whole = file.get() >= 0 &&
                       std::filesystem::file_size(path_, failure) == wanted.size() + static_cast<std::size_t>(raw_->size()) * row_ &&
                       ::pread(file.get(), found.data(), found.size(), 0) == static_cast<ssize_t>(found.size()) && found == wanted;
    return whole ? std::move(file) : Descriptor();
  }

  void write() const {
    constexpr std::int64_t chunk = 32;
    const std::int64_t size = raw_->size();
    const int workers = raw_->workers();
    AtomicFile file(path_);
    file.write(header());
    std::vector<std::byte> rows(static_cast<std::size_t>(chunk * workers) * row_);
    for (std::int64_t begin = 0; begin < size; begin += chunk * workers) {
      const std::int64_t count = std::min(chunk * workers, size - begin);
      in_workers(workers, divide_up(count, chunk), [&](std::int64_t part) {
        std::vector<std::int64_t> indices;
        for (std::int64_t i = part * chunk; i < std::min((part + 1) * chunk, count); ++i) indices.push_back(begin + i);
        Batch batch;
        raw_->read(indices, batch);
        for (std::size_t i = 0; i < indices.size(); ++i)
          give_row(inputs_, batch.inputs, i, rows.data() + static_cast<std::size_t>(indices[i] - begin) * row_);
      });
      file.write(std::span<const std::byte>(rows).first(static_cast<std::size_t>(count) * row_));
    }
    file.commit();
  }

  std::size_t row_;
  std::string key_;
  std::filesystem::path path_;
  Descriptor file_;
};

}  // namespace

DatasetRef cached(DatasetRef dataset) {
  if (dataset->fingerprint().empty()) return dataset;
  return std::make_shared<CachedInMemory>(std::move(dataset));
}

DatasetRef cached(DatasetRef dataset, const std::filesystem::path& folder) {
  if (dataset->fingerprint().empty()) return dataset;
  return std::make_shared<CachedOnDisk>(std::move(dataset), folder);
}

}  // namespace nacre
