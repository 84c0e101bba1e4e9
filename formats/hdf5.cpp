#include "formats/hdf5.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "formats/hdf5_values.h"

namespace nacre::hdf5 {

namespace fs = std::filesystem;

// --- groups ------------------------------------------------------------------------------------------------------

bool Group::has(std::string_view path) const {
  const Session session;
  return static_cast<bool>(find_object(*file_, joined(path_, path)));
}

bool Group::has_group(std::string_view path) const {
  const Session session;
  const Handle object = find_object(*file_, joined(path_, path));
  return object && H5Iget_type(object.get()) == H5I_GROUP;
}

bool Group::has_dataset(std::string_view path) const {
  const Session session;
  const Handle object = find_object(*file_, joined(path_, path));
  return object && H5Iget_type(object.get()) == H5I_DATASET;
}

Group Group::group(std::string_view path) const {
  const Session session;
  std::string whole = joined(path_, path);
  require_object(*file_, whole, H5I_GROUP, "group");
  return Group(file_, std::move(whole));
}

Dataset Group::dataset(std::string_view path) const {
  const Session session;
  std::string whole = joined(path_, path);
  require_object(*file_, whole, H5I_DATASET, "dataset");
  return Dataset(file_, std::move(whole));
}

std::vector<std::string> Group::native_names() const {
  const Session session;
  const Handle group = require_object(*file_, path_, H5I_GROUP, "group");
  return list_names(*file_, group.get(), path_);
}

std::vector<std::string> Group::names() const {
  std::vector<std::string> names = native_names();
  std::sort(names.begin(), names.end(), natural_less);
  return names;
}

namespace {

constexpr int deepest = 64;

// Appends the paths of all objects of the kind.
void collect(const OpenFile& file, H5I_type_t wanted, hid_t group, const std::string& path, const std::string& relative, int depth,
             std::set<haddr_t>& visited, std::vector<std::string>& found) {
  H5O_info_t info{};
  if (H5Oget_info(group, &info) < 0) throw damaged(file, path, "read");
  if (depth > deepest) throw error_in(file, path, fmt::format("groups are nested deeper than {} levels", deepest));
  if (!visited.insert(info.addr).second)
    throw error_in(file, path, "the group stands at two places of the file").hint("the file is damaged or hostile");
  std::vector<std::string> names = list_names(file, group, path);
  std::sort(names.begin(), names.end(), natural_less);
  for (const std::string& name : names) {
    const std::string below = joined(path, name);
    const Handle object = find_object(file, below);
    if (!object) throw damaged(file, below, "opened");
    const H5I_type_t kind = H5Iget_type(object.get());
    const std::string inner = relative.empty() ? name : relative + "/" + name;
    if (kind == wanted) found.push_back(inner);
    if (kind == H5I_GROUP) collect(file, wanted, object.get(), below, inner, depth + 1, visited, found);
    if (found.size() > most_names) throw error_in(file, path, fmt::format("there are more than {} objects", most_names));
  }
}

std::vector<std::string> paths_below(const OpenFile& file, const std::string& path, H5I_type_t wanted) {
  const Session session;
  const Handle group = require_object(file, path, H5I_GROUP, "group");
  std::set<haddr_t> visited;
  std::vector<std::string> found;
  collect(file, wanted, group.get(), path, "", 0, visited, found);
  return found;
}

}  // namespace

std::vector<std::string> Group::dataset_paths() const { return paths_below(*file_, path_, H5I_DATASET); }

std::vector<std::string> Group::group_paths() const { return paths_below(*file_, path_, H5I_GROUP); }

Group Group::make_group(std::string_view path) {
  const Session session;
  ensure_writing(*file_);
  std::string whole = path_;
  Handle object = require_object(*file_, path_, H5I_GROUP, "group");
  for (const std::string& part : parts_of(path)) {
    whole = joined(whole, part);
    const bool exists = H5Lexists(object.get(), part.c_str(), H5P_DEFAULT) > 0;
    Handle next(exists ? H5Gopen2(object.get(), part.c_str(), H5P_DEFAULT) : H5Gcreate2(object.get(), part.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    if (!next) throw write_error(*file_, whole);
    object = std::move(next);
  }
  return Group(file_, std::move(whole));
}

namespace {

void write_dataset(const OpenFile& file, const std::string& path, hid_t type, hid_t space, const void* values) {
  ensure_writing(file);
  const Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(properties.get(), false);  // the same model gives the same bytes
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links.get(), 1);
  const Handle dataset(H5Dcreate2(file.id, path.c_str(), type, space, links.get(), properties.get(), H5P_DEFAULT), H5Dclose);
  if (!dataset) throw write_error(file, path);
  if (H5Sget_simple_extent_npoints(space) > 0 && H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    throw write_error(file, path);
}

}  // namespace

Dataset Group::write(std::string_view path, const Tensor& values) {
  const Session session;
  Dataset dataset(file_, joined(path_, path));
  write_dataset(*file_, dataset.path(), memory_type(values.dtype()).get(), space_of(values.shape()).get(), values.raw());
  if (values.dtype() == DType::bfloat16) dataset.set_attribute("dtype", "bfloat16");
  return dataset;
}

Dataset Group::write(std::string_view path, const std::vector<std::string>& texts) {
  const Session session;
  Dataset dataset(file_, joined(path_, path));
  const std::vector<const char*> pointers = pointers_of(*file_, dataset.path(), texts);
  write_dataset(*file_, dataset.path(), text_type(Encoding::utf8).get(), list_space(texts.size()).get(), pointers.data());
  return dataset;
}

// --- files -------------------------------------------------------------------------------------------------------

namespace {

Handle access_properties() {
  Handle properties(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fclose_degree(properties.get(), H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(properties.get(), false, true);  // a file being replaced by rename needs no lock
#endif
  return properties;
}

// What a file that the library does not know might be.
[[noreturn]] void explain_unknown(const fs::path& path, FileReader& reader) {
  std::array<std::byte, 4> first{};
  const std::size_t got = reader.read(first);
  const std::string_view start(reinterpret_cast<const char*>(first.data()), got);
  Error error("this is not an HDF5 file");
  error.at(Mark{path.string()}).usage();
  if (got == 0) throw Error("the file is empty, wanted HDF5").at(Mark{path.string()});
  if (start.starts_with("PK")) error.hint("it is a zip archive, as .keras files are");
  else if (start.starts_with("\x89HDF")) throw Error("the HDF5 file is cut off within its first bytes").at(Mark{path.string()}).hint("copy or download it again");
  throw error;
}

[[noreturn]] void explain_failure(const OpenFile& file, const std::string& reason) {
  std::uint64_t wanted = 0;
  constexpr std::string_view key = "stored_eof = ";
  const Mark mark{file.path.string()};
  if (const std::size_t position = reason.find(key); reason.starts_with("truncated file") && position != std::string::npos) {
    std::from_chars(reason.data() + position + key.size(), reason.data() + reason.size(), wanted);
    throw Error("the HDF5 file is cut off: {} bytes of {}", file.size, wanted).at(mark).hint("copy or download it again");
  }
  throw Error("cannot be opened as HDF5: {}", reason).at(mark).hint("the file is damaged: copy or download it again");
}

// The size of the user block, when the addresses in the file are of the kind that is supported.
std::uint64_t user_block_of(const OpenFile& file) {
  const Handle creation(H5Fget_create_plist(file.id), H5Pclose);
  hsize_t user_block = 0;
  std::size_t address_size = 0, length_size = 0;
  H5Pget_userblock(creation.get(), &user_block);
  H5Pget_sizes(creation.get(), &address_size, &length_size);
  if (address_size != 8 || length_size != 8)
    throw Error("the HDF5 file has addresses of {} bytes, 8 are supported", address_size).at(Mark{file.path.string()});
  return user_block;
}

constexpr std::size_t memory_step = std::size_t{1} << 20;  // by which a file in memory grows

// The library takes files in memory for the same when their names are.
std::string name_in_memory(const OpenFile& file) { return fmt::format("{}#{}", file.path.string(), reinterpret_cast<std::uintptr_t>(&file)); }

// The library reads the bytes where they lie instead of copying them twice.
H5FD_file_image_callbacks_t reading_in_place(std::string& bytes) {
  H5FD_file_image_callbacks_t callbacks{};
  callbacks.image_malloc = [](size_t, H5FD_file_image_op_t, void* data) -> void* { return static_cast<std::string*>(data)->data(); };
  callbacks.image_memcpy = [](void* target, const void*, size_t, H5FD_file_image_op_t, void*) { return target; };
  callbacks.image_realloc = [](void*, size_t, H5FD_file_image_op_t, void*) -> void* { return nullptr; };
  callbacks.image_free = [](void*, H5FD_file_image_op_t, void*) -> herr_t { return 0; };
  callbacks.udata_copy = [](void* data) { return data; };
  callbacks.udata_free = [](void*) -> herr_t { return 0; };
  callbacks.udata = &bytes;
  return callbacks;
}

}  // namespace

File File::open(const fs::path& path) {
  FileReader reader(path);  // says best what keeps a file from being opened
  std::error_code error;
  const std::uint64_t size = fs::file_size(path, error);
  const Session session;
  auto file = std::make_shared<OpenFile>();
  file->path = path;
  file->size = error ? 0 : size;
  const Handle properties = access_properties();  // closing it would forget the reason of a failure
  file->id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, properties.get());
  if (file->id < 0) {
    const std::string reason = library_reason();
    if (H5Fis_hdf5(path.c_str()) <= 0) explain_unknown(path, reader);
    explain_failure(*file, reason);
  }
  file->heap = std::make_unique<HeapChecker>(path, user_block_of(*file));
  return File(std::move(file));
}

File File::open_bytes(std::string bytes, const fs::path& place) {
  const Session session;
  auto file = std::make_shared<OpenFile>();
  file->path = place;
  file->bytes = std::move(bytes);
  file->size = file->bytes.size();
  if (file->bytes.empty()) throw Error("the file is empty, wanted HDF5").at(Mark{place.string()});
  const Handle properties = access_properties();
  H5FD_file_image_callbacks_t callbacks = reading_in_place(file->bytes);
  if (H5Pset_fapl_core(properties.get(), memory_step, false) < 0 || H5Pset_file_image_callbacks(properties.get(), &callbacks) < 0 ||
      H5Pset_file_image(properties.get(), file->bytes.data(), file->bytes.size()) < 0)
    throw InternalError("the HDF5 library does not read from memory: {}", library_reason());
  file->id = H5Fopen(name_in_memory(*file).c_str(), H5F_ACC_RDONLY, properties.get());
  if (file->id < 0) explain_failure(*file, library_reason());
  file->heap = std::make_unique<HeapChecker>(std::string_view(file->bytes), user_block_of(*file));
  return File(std::move(file));
}

File File::create_beside(const fs::path& archive, const fs::path& place) {
  const Session session;
  auto file = std::make_shared<OpenFile>();
  file->path = place;
  file->output.emplace(archive);
  if (file->output->temporary().empty())
    throw Error("HDF5 can be written to files only").at(Mark{place.string()}).usage();
  const Handle properties = access_properties();
  file->id = H5Fcreate(file->output->temporary().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, properties.get());
  if (file->id < 0) throw write_error(*file, "");
  return File(std::move(file));
}

File File::create(const fs::path& path) { return create_beside(path, path); }

Group File::root() const { return Group(file_, "/"); }

fs::path File::finish() {
  const Session session;
  ensure_writing(*file_);
  ensure(file_->output && file_->id >= 0, "'{}' is finished twice, or is no new file", file_->path.string());
  if (H5Fflush(file_->id, H5F_SCOPE_GLOBAL) < 0) throw write_error(*file_, "");
  if (H5Fclose(std::exchange(file_->id, H5I_INVALID_HID)) < 0) throw write_error(*file_, "");
  return file_->output->temporary();
}

void File::flush() {
  finish();
  file_->output->flush();
}

void File::commit() {
  if (file_->id >= 0) finish();
  file_->output->commit();
}

}  // namespace nacre::hdf5
