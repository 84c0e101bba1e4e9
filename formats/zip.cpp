#include "formats/zip.h"

#include <zip.h>

#include <algorithm>
#include <utility>

namespace nacre {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t best_deflate_ratio = 1032;
constexpr zip_int64_t most_entries = 1'000'000;

}  // namespace

struct ZipReader::State {
  fs::path path;
  zip_t* archive = nullptr;
  std::vector<std::string> names;

  ~State() {
    if (archive) zip_discard(archive);
  }

  Error error(std::string message) const {
    return Error(std::move(message)).at(Mark{path.string()}).hint("the archive is damaged or hostile: copy or download it again");
  }
};

ZipReader::ZipReader(const fs::path& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  { const FileReader reader(path); }  // says best what keeps a file from being opened
  int problem = 0;
  state_->archive = zip_open(path.c_str(), ZIP_RDONLY, &problem);
  if (!state_->archive) {
    zip_error_t error;
    zip_error_init_with_code(&error, problem);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    if (problem == ZIP_ER_NOZIP) throw Error("this is no zip archive, or its end is cut off").at(Mark{path.string()}).hint("copy or download it again");
    throw state_->error("cannot be opened as a zip archive: " + reason);
  }
  std::error_code ignored;
  const std::uint64_t size = fs::file_size(path, ignored);
  const zip_int64_t count = zip_get_num_entries(state_->archive, 0);
  if (count > most_entries) throw state_->error(fmt::format("the archive has {} entries", count));
  std::uint64_t packed = 0;
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t entry;
    if (zip_stat_index(state_->archive, static_cast<zip_uint64_t>(i), 0, &entry) != 0 || !(entry.valid & ZIP_STAT_NAME))
      throw state_->error("the archive's directory cannot be read");
    // Entries that share their bytes are the way to pack more into an archive than it holds.
    if (!(entry.valid & ZIP_STAT_COMP_SIZE) || (packed += std::min(entry.comp_size, size + 1)) > size)
      throw state_->error("the archive's entries are larger than the archive");
    state_->names.emplace_back(entry.name);
  }
}

ZipReader::~ZipReader() = default;
ZipReader::ZipReader(ZipReader&&) noexcept = default;
ZipReader& ZipReader::operator=(ZipReader&&) noexcept = default;

const std::vector<std::string>& ZipReader::names() const { return state_->names; }

std::string ZipReader::read(std::string_view name, std::uint64_t limit) const {
  const auto found = std::find(state_->names.begin(), state_->names.end(), name);
  if (found == state_->names.end()) {
    const std::vector<std::string_view> known(state_->names.begin(), state_->names.end());
    throw Error("there is no entry '{}' in the archive", name).at(Mark{state_->path.string()}).hint(suggestion(name, known)).usage();
  }
  const auto index = static_cast<zip_uint64_t>(found - state_->names.begin());
  const auto fail = [&](std::string_view reason) { return state_->error(fmt::format("the entry '{}' {}", name, reason)); };
  zip_stat_t entry;
  if (zip_stat_index(state_->archive, index, 0, &entry) != 0 || !(entry.valid & ZIP_STAT_SIZE)) throw fail("does not say its size");
  if ((entry.valid & ZIP_STAT_ENCRYPTION_METHOD) && entry.encryption_method != ZIP_EM_NONE) throw fail("is encrypted");
  if (entry.comp_method != ZIP_CM_STORE && entry.comp_method != ZIP_CM_DEFLATE) throw fail("is packed with an unknown method");
  if (entry.size > (entry.comp_size + 1) * best_deflate_ratio || (entry.comp_method == ZIP_CM_STORE && entry.size != entry.comp_size))
    throw fail(fmt::format("declares {} bytes, but {} are stored", entry.size, entry.comp_size));
  if (entry.size > limit) throw fail(fmt::format("has {} bytes; {} may be read here", entry.size, limit));
  zip_file_t* file = zip_fopen_index(state_->archive, index, 0);
  if (!file) throw fail(std::string("cannot be read: ") + zip_strerror(state_->archive));
  const std::unique_ptr<zip_file_t, decltype([](zip_file_t* open) { zip_fclose(open); })> closer(file);
  std::string bytes(entry.size, '\0');
  std::uint64_t done = 0;
  char more = 0;
  while (true) {  // one byte beyond the end is asked for, which makes the library check the checksum
    const bool full = done == entry.size;
    const zip_int64_t got = full ? zip_fread(file, &more, 1) : zip_fread(file, bytes.data() + done, entry.size - done);
    if (got < 0) throw fail(std::string("cannot be unpacked: ") + zip_file_strerror(file));
    if (got == 0) break;
    if (full) throw fail("is longer than it says");
    done += static_cast<std::uint64_t>(got);
  }
  if (done < entry.size) throw fail("is shorter than it says");
  return bytes;
}

namespace {

// Where the library puts an archive: it would replace the file in its own way.
struct Sink {
  AtomicFile& output;
  zip_uint64_t place = 0, size = 0;
  std::exception_ptr failure;
  zip_error_t error;

  explicit Sink(AtomicFile& file) : output(file) { zip_error_init(&error); }
  ~Sink() { zip_error_fini(&error); }
  Sink(const Sink&) = delete;

  zip_int64_t fail(int code) {
    zip_error_set(&error, code, 0);
    return -1;
  }
  zip_int64_t write(const void* data, zip_uint64_t length) {
    try {
      output.write_at(place, std::as_bytes(std::span(static_cast<const char*>(data), length)));
    } catch (...) {  // which the library cannot hand on
      failure = std::current_exception();
      return fail(ZIP_ER_WRITE);
    }
    size = std::max(size, place += length);
    return static_cast<zip_int64_t>(length);
  }
  zip_int64_t seek(void* data, zip_uint64_t length) {
    const zip_int64_t to = zip_source_seek_compute_offset(place, size, data, length, &error);
    if (to < 0) return -1;
    place = static_cast<zip_uint64_t>(to);
    return 0;
  }
  zip_int64_t operator()(void* data, zip_uint64_t length, zip_source_cmd_t command) {
    switch (command) {
      case ZIP_SOURCE_WRITE: return write(data, length);
      case ZIP_SOURCE_SEEK_WRITE: return seek(data, length);
      case ZIP_SOURCE_TELL_WRITE: return static_cast<zip_int64_t>(place);
      case ZIP_SOURCE_STAT: zip_stat_init(static_cast<zip_stat_t*>(data)); return sizeof(zip_stat_t);
      case ZIP_SOURCE_ERROR: return zip_error_to_data(&error, data, length);
      case ZIP_SOURCE_OPEN:
      case ZIP_SOURCE_CLOSE:
      case ZIP_SOURCE_FREE:
      case ZIP_SOURCE_TELL:
      case ZIP_SOURCE_SEEK:
      case ZIP_SOURCE_READ:  // of the archive that it replaces: it has none
      case ZIP_SOURCE_BEGIN_WRITE:
      case ZIP_SOURCE_COMMIT_WRITE:
      case ZIP_SOURCE_ROLLBACK_WRITE:
      case ZIP_SOURCE_REMOVE: return 0;
      case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_BEGIN_WRITE, ZIP_SOURCE_COMMIT_WRITE,
                                              ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE, ZIP_SOURCE_SEEK_WRITE,
                                              ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE, -1);
      default: return fail(ZIP_ER_OPNOTSUPP);
    }
  }
};

constexpr zip_uint32_t plain_file = 0100644U << 16;  // -rw-r--r--, whatever the file's own rights are

}  // namespace

struct ZipWriter::State {
  struct Entry {
    std::string name, bytes;
    fs::path file;  // in the place of bytes
  };
  AtomicFile output;
  std::vector<Entry> entries;
};

ZipWriter::ZipWriter(const fs::path& path) : state_(new State{AtomicFile(path), {}}) {
  if (state_->output.temporary().empty())
    throw Error("archives can be written to files only").at(Mark{path.string()}).usage();
}
ZipWriter::~ZipWriter() = default;

void ZipWriter::add(std::string_view name, std::string bytes) {
  state_->entries.push_back({std::string(name), std::move(bytes), {}});
}

void ZipWriter::add_file(std::string_view name, fs::path file) {
  state_->entries.push_back({std::string(name), {}, std::move(file)});
}

void ZipWriter::commit() {
  if (state_->entries.empty()) {  // the library would write no file at all
    state_->output.write(std::string("PK\x05\x06").append(18, '\0'));
    return state_->output.commit();
  }
  Sink sink(state_->output);
  zip_error_t error;
  zip_error_init(&error);
  const auto fail = [&](zip_t* archive) {
    const std::string reason = archive ? zip_strerror(archive) : zip_error_strerror(&error);
    zip_error_fini(&error);
    if (sink.failure) std::rethrow_exception(sink.failure);
    return Error("the archive cannot be written: {}", reason).at(Mark{state_->output.target().string()});
  };
  const auto pass = [](void* to, void* data, zip_uint64_t length, zip_source_cmd_t command) {
    return (*static_cast<Sink*>(to))(data, length, command);
  };
  zip_source_t* target = zip_source_function_create(pass, &sink, &error);
  if (!target) throw fail(nullptr);
  zip_t* archive = zip_open_from_source(target, ZIP_TRUNCATE, &error);
  if (!archive) {
    zip_source_free(target);
    throw fail(nullptr);
  }
  std::unique_ptr<zip_t, decltype([](zip_t* open) { zip_discard(open); })> closer(archive);
  for (const auto& [name, bytes, file] : state_->entries) {
    zip_source_t* source = file.empty() ? zip_source_buffer(archive, bytes.data(), bytes.size(), 0)
                                        : zip_source_file(archive, file.c_str(), 0, 0);
    const zip_int64_t index = source ? zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
      zip_source_free(source);
      throw fail(archive);
    }
    const auto entry = static_cast<zip_uint64_t>(index);
    zip_set_file_compression(archive, entry, ZIP_CM_STORE, 0);
    zip_file_set_dostime(archive, entry, 0, (1 << 5) | 1, 0);  // 1980-01-01, the first day that zip knows
    zip_file_set_external_attributes(archive, entry, 0, ZIP_OPSYS_UNIX, plain_file);
  }
  if (zip_close(archive) != 0) throw fail(archive);
  (void)closer.release();
  state_->output.commit();
}

}  // namespace nacre
