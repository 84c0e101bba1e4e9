// TensorBoard's event files: records of protocol buffers, each framed by its length and two checksums.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nacre {

// CRC-32C (Castagnoli), and as records hold it: rotated by 15 bits and offset, so that checksums of checksums differ.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);

// A new event file in a folder, which is made when it is missing. Records are complete on the disk after flush(), which
// the destructor calls too. Used by one thread.
class EventFile {
 public:
  explicit EventFile(const std::filesystem::path& folder);
  const std::filesystem::path& path() const { return path_; }

  void scalar(std::string_view tag, std::int64_t step, double value);
  // How the finite ones of the values are distributed over 30 buckets of one width.
  void histogram(std::string_view tag, std::int64_t step, std::span<const double> values);
  // Pictures of one size, as PNG.
  void images(std::string_view tag, std::int64_t step, std::int64_t width, std::int64_t height,
              std::span<const std::string> pngs);
  // A model as Keras's JSON: the graph page draws its layers.
  void keras_model(std::string_view tag, std::string_view json);
  void flush();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void record(std::string_view event);
  void summary(std::string_view tag, std::int64_t step, std::string_view plugin, std::string_view content, int data_class,
               std::string_view tensor);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace nacre
