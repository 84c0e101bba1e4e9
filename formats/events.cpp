#include "formats/events.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ranges>

#include "formats/file.h"

namespace nacre {

namespace {

constexpr std::uint32_t crc32c_polynomial = 0x82f63b78;  // reversed bits

constexpr std::array<std::uint32_t, 256> crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? crc32c_polynomial : 0);
    table[byte] = crc;
  }
  return table;
}();

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// A protocol buffer while it is being written. Source: protobuf.dev, "Encoding".
class Message {
 public:
  Message& integer(int field, std::uint64_t value) { return key(field, 0).varint(value); }
  Message& real(int field, double value) { return key(field, 1).raw(little_endian(value)); }
  Message& real(int field, float value) { return key(field, 5).raw(little_endian(value)); }
  Message& bytes(int field, std::string_view value) { return key(field, 2).varint(value.size()).raw(value); }
  Message& message(int field, const Message& value) { return bytes(field, value.text_); }
  const std::string& text() const { return text_; }

 private:
  Message& key(int field, unsigned kind) { return varint(static_cast<std::uint64_t>(field) << 3 | kind); }
  Message& varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
    return *this;
  }
  Message& raw(std::string_view value) {
    text_ += value;
    return *this;
  }
  std::string text_;
};

// Numbers of TensorFlow's schemas: DataType, and DataClass of SummaryMetadata.
enum Element { float_element = 1, double_element = 2, string_element = 7 };
enum DataClass { no_class = 0, scalar_class = 1, tensor_class = 2, blob_class = 3 };

// A TensorProto without its elements.
Message tensor_of(Element element, std::initializer_list<std::size_t> sizes) {
  Message shape;
  for (const std::size_t size : sizes) shape.message(2, Message().integer(1, size));
  return Message().integer(1, element).message(2, shape);
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "localhost";
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) crc = (crc >> 8) ^ crc32c_table[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

EventFile::EventFile(const std::filesystem::path& folder) {
  static std::atomic<int> files = 0;
  make_folder(folder);
  path_ = folder / fmt::format("events.out.tfevents.{}.{}.{}.{}.v2", static_cast<std::int64_t>(wall_time()), host_name(),
                               ::getpid(), files++);
  file_.reset(std::fopen(path_.c_str(), "wb"));
  if (!file_) throw file_error(path_, "written", errno);
  record(Message().real(1, wall_time()).bytes(3, "brain.Event:2").text());
  flush();
}

void EventFile::record(std::string_view event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  const std::string framed = length + little_endian(masked_crc32c(length)) + std::string(event) +
                             little_endian(masked_crc32c(event));
  if (std::fwrite(framed.data(), 1, framed.size(), file_.get()) != framed.size())
    throw file_error(path_, "written", errno);
}

void EventFile::flush() {
  if (std::fflush(file_.get()) != 0) throw file_error(path_, "written", errno);
}

void EventFile::summary(std::string_view tag, std::int64_t step, std::string_view plugin, std::string_view content,
                        int data_class, std::string_view tensor) {
  Message metadata, value;
  metadata.message(1, Message().bytes(1, plugin).bytes(2, content));
  if (data_class != no_class) metadata.integer(4, static_cast<std::uint64_t>(data_class));
  value.bytes(1, tag).bytes(8, tensor).message(9, metadata);
  record(Message()
             .real(1, wall_time())
             .integer(2, static_cast<std::uint64_t>(step))
             .message(5, Message().message(1, value))
             .text());
}

void EventFile::scalar(std::string_view tag, std::int64_t step, double value) {
  summary(tag, step, "scalars", "", scalar_class,
          tensor_of(float_element, {}).real(5, static_cast<float>(value)).text());
}

void EventFile::histogram(std::string_view tag, std::int64_t step, std::span<const double> values) {
  constexpr std::size_t buckets = 30;
  struct Bucket {
    double from = 0, to = 0, count = 0;
  };
  std::array<Bucket, buckets> table{};
  constexpr auto is_number = [](double value) { return std::isfinite(value); };
  if (auto numbers = values | std::views::filter(is_number); !numbers.empty()) {
    const auto [least, most] = std::ranges::minmax(numbers);
    const double width = (most - least) / buckets;
    for (std::size_t i = 0; i < buckets; ++i)
      table[i] = {least + static_cast<double>(i) * width,
                  i + 1 == buckets ? most : least + static_cast<double>(i + 1) * width};
    for (const double value : numbers) {
      const double place = width > 0 ? (value - least) / width : buckets;  // equal values are all in the last bucket
      ++table[std::min(buckets - 1, static_cast<std::size_t>(std::min<double>(place, buckets)))].count;
    }
  }
  const std::string_view elements(reinterpret_cast<const char*>(table.data()), sizeof table);
  summary(tag, step, "histograms", "", tensor_class, tensor_of(double_element, {buckets, 3}).bytes(4, elements).text());
}

void EventFile::images(std::string_view tag, std::int64_t step, std::int64_t width, std::int64_t height,
                       std::span<const std::string> pngs) {
  Message tensor = tensor_of(string_element, {pngs.size() + 2});
  tensor.bytes(8, std::to_string(width)).bytes(8, std::to_string(height));
  for (const std::string& png : pngs) tensor.bytes(8, png);
  summary(tag, step, "images", "", blob_class, tensor.text());
}

void EventFile::keras_model(std::string_view tag, std::string_view json) {
  summary(tag, 0, "graph_keras_model", "1", no_class, tensor_of(string_element, {}).bytes(8, json).text());
}

}  // namespace nacre
