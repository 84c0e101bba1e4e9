// Downloads from servers that stall, break off, lie about lengths and send something else.
#include <gtest/gtest.h>

#include <future>

#include "api/http.h"
#include "formats/file.h"
#include "tests/api/models.h"
#include "tests/support/file_server.h"

namespace nacre::test {
namespace {

std::string bytes_of(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += static_cast<char>((i * 7919) >> 3);
  return bytes;
}
const std::string whole = bytes_of(100'000);

HttpDownload request(const FileServer& server, const TemporaryFolder& folder) {
  return {.address = server.address(), .file = folder / "weights.h5", .size = whole.size(), .patience = 1};
}

// What lies in the folder.
std::vector<std::string> names_in(const TemporaryFolder& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    names.push_back(entry.path().filename().string());
  return names;
}

std::string fetched(const HttpDownload& wanted) {
  download(wanted);
  return read_file(wanted.file);
}

// Throws unless the file is `whole`, as a checksum does.
void check_whole(const std::filesystem::path& file) {
  if (read_file(file) != whole) throw Error("the file is not whole");
}

// Sends half of the file, and then nothing for long.
FileServer::Answer half_and_silence(const FileServer::Request& asked) {
  FileServer::Answer answer = FileServer::file(whole, asked, 50'000);
  answer.silence = 20;
  return answer;
}

TEST(Download, WholeAtOnce) {
  const TemporaryFolder folder;
  FileServer server([](const auto& asked) { return FileServer::file(whole, asked); });
  HttpDownload wanted = request(server, folder);
  std::uint64_t seen = 0, all = 0;
  wanted.progress = [&](const DownloadState& state) { return seen = state.done, all = state.all, !state.waiting; };
  EXPECT_TRUE(fetched(wanted) == whole);
  EXPECT_EQ(names_in(folder), std::vector<std::string>{"weights.h5"});
  EXPECT_LE(seen, whole.size());
  EXPECT_EQ(all, whole.size());
  download(wanted);  // all is there
  EXPECT_EQ(server.requests(), 1);
  EXPECT_EQ(names_in(folder), std::vector<std::string>{"weights.h5"});
}

TEST(Download, GoesOnWhereTheConnectionBroke) {
  const TemporaryFolder folder;
  std::vector<std::size_t> offsets;
  FileServer server([&](const auto& asked) {
    offsets.push_back(asked.offset);
    return FileServer::file(whole, asked, asked.number == 2 ? std::string::npos : asked.number == 0 ? 30'200 : 20'200);
  });
  EXPECT_TRUE(fetched(request(server, folder)) == whole);
  ASSERT_EQ(offsets.size(), 3u);
  EXPECT_EQ(offsets[0], 0u);
  EXPECT_GT(offsets[1], 0u);
  EXPECT_GT(offsets[2], offsets[1]);
}

// The first request is answered with some bytes, `begun` of them, and a broken connection.
FileServer::Answer begin(const FileServer::Request& asked, const std::string& begun) {
  return FileServer::file(begun + std::string(whole.size() - begun.size(), ' '), asked, begun.size());
}
void begin(HttpDownload wanted) {
  wanted.attempts = 1;
  EXPECT_NE(message_of([&] { download(wanted); }).find("bytes are there already"), std::string::npos);
}

TEST(Download, GoesOnAfterTheProgramEnded) {
  const TemporaryFolder folder;
  std::size_t offset = 0;
  FileServer server([&](const auto& asked) {
    offset = asked.offset;
    return FileServer::file(whole, asked, asked.number == 0 ? 40'000 : std::string::npos);
  });
  begin(request(server, folder));
  EXPECT_TRUE(fetched(request(server, folder)) == whole);
  EXPECT_GT(offset, 30'000u);
}

TEST(Download, BeginsAnewWhereTheServerCannotGoOn) {
  const TemporaryFolder folder;
  FileServer server([&](const auto& asked) {
    return asked.number == 0 ? begin(asked, std::string(40'000, 'x')) : FileServer::file(whole, {});
  });
  begin(request(server, folder));
  EXPECT_TRUE(fetched(request(server, folder)) == whole);
}

TEST(Download, BeginsAnewWhereTheServerKnowsNoSuchRange) {
  const TemporaryFolder folder;
  FileServer server([&](const auto& asked) {
    if (asked.number == 0) return begin(asked, std::string(40'000, 'x'));
    return asked.offset ? FileServer::status("416 Range Not Satisfiable") : FileServer::file(whole, asked);
  });
  begin(request(server, folder));
  HttpDownload wanted = request(server, folder);
  wanted.attempts = 1;  // the server's answer was no broken connection
  EXPECT_TRUE(fetched(wanted) == whole);
}

TEST(Download, BeginsAnewWhereAFileOfThisMachineBecameShorter) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "there.h5", std::string(1'000'000, 'x'));
  HttpDownload wanted{.address = "file://" + (folder / "there.h5").string(), .file = folder / "here.h5"};
  wanted.progress = [](const DownloadState& state) { return state.done == 0; };
  EXPECT_NE(message_of([&] { download(wanted); }).find("stopped after "), std::string::npos);
  write_file_atomically(folder / "there.h5", "short");
  wanted.progress = {};
  EXPECT_EQ(fetched(wanted), "short");
}

// A mirror that breaks leaves nothing that another address would go on with.
TEST(Download, APartBelongsToOneAddress) {
  const TemporaryFolder folder;
  FileServer mirror([](const auto& asked) { return begin(asked, std::string(40'000, 'x')); });
  FileServer server([](const auto& asked) { return FileServer::file(whole, asked); });
  HttpDownload first = request(mirror, folder), second = request(server, folder);
  first.size = second.size = std::nullopt;
  begin(first);
  EXPECT_TRUE(fetched(second) == whole);
}

TEST(Download, WhatFailsItsCheckAfterItWasGoneOnWithIsFetchedAnew) {
  const TemporaryFolder folder;
  std::vector<std::size_t> offsets;
  FileServer server([&](const auto& asked) {
    offsets.push_back(asked.offset);
    return asked.number == 0 ? begin(asked, std::string(40'000, 'x')) : FileServer::file(whole, asked);
  });
  HttpDownload wanted = request(server, folder);
  wanted.check = check_whole;
  begin(wanted);
  EXPECT_TRUE(fetched(wanted) == whole);
  ASSERT_EQ(offsets.size(), 3u);
  EXPECT_GT(offsets[1], 0u);
  EXPECT_EQ(offsets[2], 0u);
}

TEST(Download, WhatFailsItsCheckIsNotKept) {
  const TemporaryFolder folder;
  FileServer server([](const auto& asked) { return FileServer::file(std::string(whole.size(), 'x'), asked); });
  HttpDownload wanted = request(server, folder);
  wanted.check = check_whole;
  const std::string message = message_of([&] { download(wanted); });
  EXPECT_NE(message.find("the file is not whole\n  while checking what " + server.address() + " sent"),
            std::string::npos)
      << message;
  EXPECT_TRUE(names_in(folder).empty());
  EXPECT_EQ(server.requests(), 1);
}

TEST(Download, AWrongFileUnderTheNameIsReplaced) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "weights.h5", std::string(whole.size(), 'x'));
  FileServer server([](const auto& asked) { return FileServer::file(whole, asked); });
  HttpDownload wanted = request(server, folder);
  wanted.check = check_whole;
  EXPECT_TRUE(fetched(wanted) == whole);
  EXPECT_TRUE(fetched(wanted) == whole);
  EXPECT_EQ(server.requests(), 1);
}

TEST(Download, AStalledServerIsGivenUp) {
  const TemporaryFolder folder;
  FileServer server(half_and_silence);
  HttpDownload wanted = request(server, folder);
  wanted.attempts = 1;
  const std::string message = message_of([&] { download(wanted); });
  EXPECT_NE(message.find(server.address() + ": "), std::string::npos) << message;
  EXPECT_NE(message.find("hint: try again: "), std::string::npos) << message;
}

TEST(Download, ABrokenConnectionIsGivenUpAfterSomeAttempts) {
  const TemporaryFolder folder;
  FileServer server([](const auto& asked) { return FileServer::file(whole, asked, 300); });
  EXPECT_NE(message_of([&] { download(request(server, folder)); }).find("bytes are there already"), std::string::npos);
  EXPECT_EQ(server.requests(), 3);
}

TEST(Download, LengthsThatAreLies) {
  const TemporaryFolder folder;
  // A shorter file under a right length is a broken connection; here the server itself says less.
  FileServer less([](const auto& asked) { return FileServer::file(whole.substr(0, 500), asked); });
  EXPECT_NE(message_of([&] { download(request(less, folder)); }).find("the server sent 500 bytes, wanted 100000"),
            std::string::npos);
  FileServer more([](const auto&) { return FileServer::file(whole + whole, {}); });
  EXPECT_NE(message_of([&] { download(request(more, folder)); }).find("the server sends more than the 100000 bytes"),
            std::string::npos);
  // Without a length of its own the server may send for ever.
  FileServer endless([](const auto&) {
    return FileServer::Answer{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + whole + whole, 0};
  });
  EXPECT_NE(message_of([&] { download(request(endless, folder)); }).find("the server sends more than"),
            std::string::npos);
}

TEST(Download, WhatIsNotThereIsSaidAtOnce) {
  const TemporaryFolder folder;
  FileServer server([](const auto&) { return FileServer::status("404 Not Found"); });
  EXPECT_NE(message_of([&] { download(request(server, folder)); }).find("the server answers 404"), std::string::npos);
  EXPECT_EQ(server.requests(), 1);
  EXPECT_NE(
      message_of([&] { download({.address = "ftp://127.0.0.1/x", .file = folder / "x"}); }).find("ftp://127.0.0.1/x: "),
      std::string::npos);
  EXPECT_NE(message_of([&] {
              download({.address = "http://127.0.0.1:9/x", .file = folder / "x", .attempts = 1});
            }).find("hint: is there a network?"),
            std::string::npos);
}

TEST(Download, MayBeStopped) {
  const TemporaryFolder folder;
  FileServer server(half_and_silence);
  HttpDownload wanted = request(server, folder);
  wanted.patience = 30;
  wanted.progress = [](const DownloadState& state) { return state.done < 1000; };
  EXPECT_NE(message_of([&] { download(wanted); }).find("stopped after "), std::string::npos);
}

// The lock is held until the file has its name: the second comes while the first checks what it has.
TEST(Download, ASecondOneWaitsInAThreadAndUsesTheFile) {
  const TemporaryFolder folder;
  FileServer server([](const auto& asked) { return FileServer::file(whole, asked); });
  std::promise<void> waits;
  HttpDownload first = request(server, folder), second = request(server, folder);
  second.check = check_whole;
  second.progress = [&, told = false](const DownloadState& state) mutable {
    EXPECT_TRUE(state.waiting);
    EXPECT_EQ(state.done, whole.size());
    if (!std::exchange(told, true)) waits.set_value();
    return true;
  };
  std::future<std::string> found;
  first.check = [&](const std::filesystem::path& file) {
    check_whole(file);
    if (found.valid()) return;
    found = std::async(std::launch::async, [&] { return fetched(second); });
    EXPECT_EQ(waits.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  };
  EXPECT_TRUE(fetched(first) == whole);
  EXPECT_TRUE(found.get() == whole);
  EXPECT_EQ(server.requests(), 1);
  EXPECT_EQ(names_in(folder), std::vector<std::string>{"weights.h5"});
}

TEST(Download, OneThatWaitsMayBeStopped) {
  const TemporaryFolder folder;
  FileServer server([](const auto& asked) { return FileServer::file(whole, asked); });
  HttpDownload first = request(server, folder), second = request(server, folder);
  second.progress = [](const DownloadState& state) { return !state.waiting; };
  std::string message;
  first.check = [&](const std::filesystem::path&) { message = message_of([&] { download(second); }); };
  download(first);
  EXPECT_NE(message.find("stopped while another process fetches it"), std::string::npos) << message;
}

TEST(Download, FilesOfThisMachine) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "there.h5", whole);
  EXPECT_TRUE(fetched({.address = "file://" + (folder / "there.h5").string(), .file = folder / "here.h5"}) == whole);
}

}  // namespace
}  // namespace nacre::test
