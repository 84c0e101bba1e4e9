#include "formats/hdf5_objects.h"

#include <algorithm>
#include <charconv>

namespace nacre::hdf5 {

namespace {

Handle open_root(const OpenFile& file) {
  Handle root(H5Gopen2(file.id, "/", H5P_DEFAULT), H5Gclose);
  if (!root) throw damaged(file, "/", "opened");
  return root;
}

}  // namespace

std::string library_reason() {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* text) -> herr_t {
        if (n == 0 && error->desc) *static_cast<std::string*>(text) = error->desc;
        return 0;
      },
      &reason);
  H5Eclear2(H5E_DEFAULT);
  return reason.empty() ? "no reason given" : reason;
}

Error error_in(const OpenFile& file, std::string_view path, std::string message) {
  Error error(std::move(message));
  error.at(Mark{file.path.string()});
  if (!path.empty()) error.about(fmt::format("'{}'", path));
  return error;
}

Error damaged(const OpenFile& file, std::string_view path, std::string_view action) {
  return error_in(file, path, fmt::format("cannot be {}: {}", action, library_reason())).hint("the file is damaged: copy or download it again");
}

Error write_error(const OpenFile& file, std::string_view path) {
  const std::string reason = library_reason();
  constexpr std::string_view key = "errno = ";
  if (const std::size_t position = reason.find(key); position != std::string::npos) {
    int number = 0;
    std::from_chars(reason.data() + position + key.size(), reason.data() + reason.size(), number);
    if (number > 0) return file_error(file.path, "written", number);
  }
  return error_in(file, path, "cannot be written: " + reason);
}

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string joined(std::string_view parent, std::string_view child) {
  std::string path(parent);
  for (const std::string& part : parts_of(child)) path += (path.ends_with('/') ? "" : "/") + part;
  return path;
}

namespace {

// The object of that name in a group; an empty handle when there is none.
Handle step_into(const OpenFile& file, hid_t group, const std::string& name, const std::string& reached) {
  const htri_t exists = H5Lexists(group, name.c_str(), H5P_DEFAULT);
  if (exists < 0) throw damaged(file, reached, "read");
  if (exists == 0) return {};
  const std::string path = joined(reached, name);
  H5L_info_t link{};
  if (H5Lget_info(group, name.c_str(), &link, H5P_DEFAULT) < 0) throw damaged(file, path, "read");
  if (link.type != H5L_TYPE_HARD)
    throw error_in(file, path, fmt::format("it is {} link, which is not followed", link.type == H5L_TYPE_SOFT ? "a soft" : "an external"))
        .hint("store the object itself at this place");
  Handle next(H5Oopen(group, name.c_str(), H5P_DEFAULT), H5Oclose);
  if (!next) throw damaged(file, path, "opened");
  return next;
}

Handle shared(const Handle& object) {
  H5Iinc_ref(object.get());
  return Handle(object.get(), H5Oclose);
}

constexpr std::size_t longest_trail = 64;  // objects that stay open

}  // namespace

Handle find_object(const OpenFile& file, std::string_view path) {
  const std::vector<std::string> parts = parts_of(path);
  auto& trail = file.trail;
  std::size_t known = 0;
  while (known < parts.size() && known < trail.size() && trail[known].first == parts[known]) ++known;
  trail.resize(known);
  Handle object = known ? shared(trail.back().second) : open_root(file);
  std::string reached = "/";
  for (std::size_t i = 0; i < known; ++i) reached = joined(reached, parts[i]);
  for (std::size_t i = known; i < parts.size(); ++i) {
    if (H5Iget_type(object.get()) != H5I_GROUP || parts[i] == ".") return {};
    object = step_into(file, object.get(), parts[i], reached);
    if (!object) return {};
    reached = joined(reached, parts[i]);
    // What is written to may change below its way.
    if (file.heap && trail.size() == i && i < longest_trail) trail.emplace_back(parts[i], shared(object));
  }
  return object;
}

std::vector<std::string> list_names(const OpenFile& file, hid_t group, std::string_view path) {
  Names found;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* user) -> herr_t {
    auto& names = *static_cast<Names*>(user);
    try {
      if (names.names.size() < most_names) {
        names.names.emplace_back(name);
        return 0;
      }
    } catch (...) {  // may not pass through the library
    }
    names.failed = true;
    return -1;
  };
  hsize_t position = 0;
  if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, &position, add, &found) < 0) {
    if (found.failed) throw error_in(file, path, fmt::format("it holds more than {} names", most_names));
    throw damaged(file, path, "listed");
  }
  return std::move(found.names);
}

bool natural_less(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      while (i + 1 < a.size() && a[i] == '0' && digit(a[i + 1])) ++i;
      while (j + 1 < b.size() && b[j] == '0' && digit(b[j + 1])) ++j;
      std::size_t m = i, n = j;
      while (m < a.size() && digit(a[m])) ++m;
      while (n < b.size() && digit(b[n])) ++n;
      if (m - i != n - j) return m - i < n - j;
      if (const int order = a.compare(i, m - i, b, j, n - j); order != 0) return order < 0;
      i = m, j = n;
    } else {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
    }
  }
  if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
  return a < b;
}

Handle require_object(const OpenFile& file, std::string_view path, H5I_type_t kind, std::string_view kind_name) {
  Handle object = find_object(file, path);
  if (object && H5Iget_type(object.get()) == kind) return object;
  if (object) throw error_in(file, path, fmt::format("it is no {}", kind_name));
  // The nearest group above that is there, to name what it holds.
  std::vector<std::string> parts = parts_of(path);
  std::string parent = "/";
  Handle above = open_root(file);
  std::string missing;
  for (const std::string& part : parts) {
    missing = part;
    Handle next = find_object(file, joined(parent, part));
    if (!next) break;
    parent = joined(parent, part);
    above = std::move(next);
  }
  Error error = error_in(file, "", fmt::format("there is no {} '{}'", kind_name, path));
  if (H5Iget_type(above.get()) == H5I_GROUP) {
    const std::vector<std::string> names = list_names(file, above.get(), parent);
    if (const std::vector<std::string_view> known(names.begin(), names.end()); !known.empty())
      error.hint(suggestion(missing, known));
  }
  throw error;
}

Handle require_any(const OpenFile& file, std::string_view path) {
  Handle object = find_object(file, path);
  if (!object) throw error_in(file, path, "it is gone");
  return object;
}

void ensure_writing(const OpenFile& file) { ensure(!file.heap, "'{}' is open for reading and written to", file.path.string()); }

}  // namespace nacre::hdf5
