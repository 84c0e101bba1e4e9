#include "formats/file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/support/paths.h"

namespace nacre {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::TemporaryFolder;
using test::write_plainly;

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string pseudo_random(std::size_t count) {
  std::string bytes(count, '\0');
  std::uint32_t state = 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return bytes;
}

std::size_t files_in(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(File, ReadsWhatWasWritten) {
  const TemporaryFolder folder;
  for (const std::string& bytes : {std::string(), std::string("abc"), pseudo_random(300'000)}) {
    write_file_atomically(folder / "x", bytes);
    EXPECT_EQ(read_file(folder / "x"), bytes);
    EXPECT_EQ(read_file_unpacked(folder / "x"), bytes);
  }
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(File, ReadsFilesThatDoNotKnowTheirSize) { EXPECT_NE(read_file("/proc/self/status").find("Pid:"), std::string::npos); }

TEST(File, RefusesLargerOnesThanAllowed) {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  write_plainly(path, std::string(1000, 'x'));
  const std::string wanted = path + ": the file is larger than the 999 bytes that may be read here";
  EXPECT_EQ(message_of([&] { read_file(path, 999); }), wanted);
  EXPECT_EQ(message_of([&] { read_file_unpacked(path, 999); }), wanted);
  write_plainly(path, gzip(std::string(1'000'000, 'x')));
  EXPECT_EQ(message_of([&] { read_file_unpacked(path, 999'999); }),
            path + ": the file is larger than the 999999 bytes that may be read here");
  EXPECT_EQ(read_file_unpacked(path, 1'000'000).size(), 1'000'000u);
}

TEST(File, SaysThatItIsMissing) {
  EXPECT_EQ(message_of([] { read_file("/nowhere/x.csv"); }),
            "/nowhere/x.csv: cannot be opened: no such file or folder\n"
            "  hint: check the path");
  EXPECT_EQ(message_of([] { FileReader("/nowhere/x.csv"); }), message_of([] { read_file("/nowhere/x.csv"); }));
  const TemporaryFolder folder;
  EXPECT_EQ(message_of([&] { read_file(folder.path()); }),
            folder.path().string() + ": cannot be read: it is a folder\n  hint: name a file in it");
  EXPECT_EQ(message_of([&] { FileReader reader(folder.path()); }), message_of([&] { read_file(folder.path()); }));
}

TEST(File, UnpacksGzip) {
  const TemporaryFolder folder;
  const std::string bytes = pseudo_random(500'000) + std::string(500'000, 'x');
  write_plainly(folder / "x.gz", gzip(bytes));
  EXPECT_EQ(read_file_unpacked(folder / "x.gz"), bytes);
  write_plainly(folder / "x.gz", gzip(bytes) + gzip("and more") + std::string(100, '\0'));
  EXPECT_EQ(read_file_unpacked(folder / "x.gz"), bytes + "and more");
  write_plainly(folder / "x.gz", gzip(""));
  EXPECT_EQ(read_file_unpacked(folder / "x.gz"), "");
}

TEST(File, SaysWhereGzipIsCutOff) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.gz", packed = gzip(pseudo_random(100'000));
  write_plainly(path, packed.substr(0, packed.size() / 2));
  const std::string message = message_of([&] { read_file_unpacked(path); });
  EXPECT_TRUE(message.starts_with(path + ": the gzip data ends too early, after " + std::to_string(packed.size() / 2) + " bytes ("))
      << message;
  EXPECT_TRUE(message.ends_with(" unpacked)\n  hint: the file was cut off: copy or download it again")) << message;
  // Every other place too: in the header, the data, the checksum.
  for (std::size_t size : {std::size_t{2}, std::size_t{9}, std::size_t{11}, packed.size() - 8, packed.size() - 1}) {
    write_plainly(path, packed.substr(0, size));
    EXPECT_NE(message_of([&] { read_file_unpacked(path); }).find("ends too early"), std::string::npos) << size;
  }
}

TEST(File, SaysThatGzipIsDamaged) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.gz";
  std::string packed = gzip("hello hello hello hello");
  packed[packed.size() - 6] ^= 1;  // the checksum
  write_plainly(path, packed);
  EXPECT_NE(message_of([&] { read_file_unpacked(path); }).find("the gzip data is damaged near byte"), std::string::npos);
  write_plainly(path, gzip("hello") + "garbage");
  EXPECT_NE(message_of([&] { read_file_unpacked(path); }).find("damaged"), std::string::npos);
}

TEST(File, StreamsWithBounds) {
  const TemporaryFolder folder;
  const std::string bytes = pseudo_random(200'000);
  for (const bool packed : {false, true}) {
    write_plainly(folder / "x", packed ? gzip(bytes) : bytes);
    FileReader reader(folder / "x");
    EXPECT_EQ(reader.gzipped(), packed);
    std::string got(bytes.size(), '\0');
    std::size_t done = 0;
    for (std::size_t step = 1; done < bytes.size(); step = step * 3 + 1) {
      EXPECT_FALSE(reader.at_end());
      EXPECT_GE(reader.remaining_at_most(), bytes.size() - done);
      EXPECT_TRUE(packed || reader.remaining_at_most() == bytes.size() - done);
      const std::size_t count = std::min(step, bytes.size() - done);
      reader.read_exactly(std::as_writable_bytes(std::span(got).subspan(done, count)), "the test");
      done += count;
      EXPECT_EQ(reader.position(), done);
    }
    EXPECT_TRUE(reader.at_end());
    EXPECT_EQ(got, bytes);
    EXPECT_EQ(message_of([&] { reader.read_exactly(std::as_writable_bytes(std::span(got).first(7)), "the tail"); }),
              (folder / "x").string() + ": the file ends after 200000 bytes, within the tail (7 bytes more wanted)\n"
                                        "  hint: the file was cut off: copy or download it again");
  }
}

TEST(File, DiscardsWhatIsNotCommitted) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x", "old");
  {
    AtomicFile file(folder / "x");
    file.write("new");
    EXPECT_EQ(read_file(folder / "x"), "old");
    EXPECT_EQ(files_in(folder.path()), 2u);
  }
  EXPECT_EQ(read_file(folder / "x"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(File, KeepsModeAndFollowsLinks) {
  const TemporaryFolder folder;
  write_plainly(folder / "real", "old");
  ::chmod((folder / "real").c_str(), 0640);
  fs::create_symlink("real", folder / "link");
  write_file_atomically(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "real"), "new");
  struct stat status {};
  ASSERT_EQ(::stat((folder / "real").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777u, 0640u);
}

TEST(File, FollowsLinksToNothingYet) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "disk");
  fs::create_symlink("disk/second", folder / "first");
  fs::create_symlink(folder / "disk" / "real", folder / "disk" / "second");
  write_file_atomically(folder / "first", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "first"));
  EXPECT_TRUE(fs::is_symlink(folder / "disk" / "second"));
  EXPECT_EQ(read_file(folder / "disk/real"), "new");
  fs::create_symlink("loop", folder / "loop");
  EXPECT_NO_THROW(write_file_atomically(folder / "loop", "x"));
  EXPECT_EQ(read_file(folder / "loop"), "x");
}

TEST(File, SaysWhyItCannotBeWritten) {
  const TemporaryFolder folder;
  write_plainly(folder / "file", "x");
  const std::string below = folder / "file/x.h5", missing = folder / "missing/x.h5";
  EXPECT_EQ(message_of([&] { write_file_atomically(below, "x"); }),
            below + ": cannot be written: a part of its path is a file, not a folder\n  hint: choose another folder");
  EXPECT_EQ(message_of([&] { write_file_atomically(missing, "x"); }),
            missing + ": cannot be written: no such file or folder\n  hint: create the folder first");
  EXPECT_EQ(message_of([&] { write_file_atomically(folder.path(), "x"); }),
            folder.path().string() + ": cannot be written: it is a folder\n  hint: name a file in it");
  EXPECT_TRUE(message_of([&] { write_file_atomically("/proc/x", "x"); }).starts_with("/proc/x: cannot be written: "));
}

TEST(File, SaysThatThereIsNoPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "skipped: root may write everywhere";
  const TemporaryFolder folder;
  fs::create_directory(folder / "mine");
  ::chmod((folder / "mine").c_str(), 0555);
  const std::string path = folder / "mine/x";
  EXPECT_EQ(message_of([&] { write_file_atomically(path, "x"); }),
            path + ": cannot be written: permission denied\n  hint: choose a folder that you may write to");
}

TEST(File, SaysThatTheDiskIsFull) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "skipped: there is no /dev/full";
  EXPECT_EQ(message_of([] { write_file_atomically("/dev/full", "x"); }),
            "/dev/full: cannot be written: no space left on the device\n"
            "  hint: free some space or choose a folder on another disk");
}

// `kill -9` in the middle of a save: what was there before is whole, and the next save cleans up.
TEST(File, SurvivesBeingKilledWhileWriting) {
  const TemporaryFolder folder;
  const std::string old = pseudo_random(100'000);
  write_file_atomically(folder / "x", old);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    AtomicFile file(folder / "x");
    file.write(std::string(50'000, 'n'));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_file(folder / "x"), old);
  EXPECT_EQ(files_in(folder.path()), 2u);
  // The leftover goes with the next save, once it is old enough to belong to nobody.
  for (const auto& entry : fs::directory_iterator(folder.path()))
    if (entry.path().filename() != "x") fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
  write_file_atomically(folder / "x", "new");
  EXPECT_EQ(read_file(folder / "x"), "new");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

}  // namespace
}  // namespace nacre
