// Downloads from servers that stall, break off, lie about lengths and send something else.
#include <gtest/gtest.h>

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
  wanted.progress = [&](std::uint64_t done, std::uint64_t of) { return seen = done, all = of, true; };
  const auto part = download(wanted);
  EXPECT_EQ(part, folder / "weights.h5.part");
  EXPECT_TRUE(read_file(part) == whole);
  EXPECT_FALSE(std::filesystem::exists(folder / "weights.h5"));
  EXPECT_LE(seen, whole.size());
  EXPECT_EQ(all, whole.size());
  download(wanted);  // all is there
  EXPECT_EQ(server.requests(), 1);
}

TEST(Download, GoesOnWhereTheConnectionBroke) {
  const TemporaryFolder folder;
  std::vector<std::size_t> offsets;
  FileServer server([&](const auto& asked) {
    offsets.push_back(asked.offset);
    return FileServer::file(whole, asked, asked.number == 2 ? std::string::npos : asked.number == 0 ? 30'200 : 20'200);
  });
  EXPECT_TRUE(read_file(download(request(server, folder))) == whole);
  ASSERT_EQ(offsets.size(), 3u);
  EXPECT_EQ(offsets[0], 0u);
  EXPECT_GT(offsets[1], 0u);
  EXPECT_GT(offsets[2], offsets[1]);
}

TEST(Download, GoesOnAfterTheProgramEnded) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "weights.h5.part", whole.substr(0, 40'000));
  std::size_t offset = 0;
  FileServer server([&](const auto& asked) { return offset = asked.offset, FileServer::file(whole, asked); });
  EXPECT_TRUE(read_file(download(request(server, folder))) == whole);
  EXPECT_EQ(offset, 40'000u);
}

TEST(Download, BeginsAnewWhereTheServerCannotGoOn) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "weights.h5.part", std::string(40'000, 'x'));
  FileServer server([&](const auto&) { return FileServer::file(whole, {}); });
  EXPECT_TRUE(read_file(download(request(server, folder))) == whole);
}

TEST(Download, BeginsAnewWhereTheServerKnowsNoSuchRange) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "weights.h5.part", std::string(40'000, 'x'));
  FileServer server([&](const auto& asked) {
    return asked.offset ? FileServer::status("416 Range Not Satisfiable") : FileServer::file(whole, asked);
  });
  EXPECT_TRUE(read_file(download(request(server, folder))) == whole);
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
  wanted.progress = [](std::uint64_t done, std::uint64_t) { return done < 1000; };
  EXPECT_NE(message_of([&] { download(wanted); }).find("stopped after "), std::string::npos);
}

TEST(Download, OneProcessAtATime) {
  const TemporaryFolder folder;
  FileServer server([](const auto& asked) { return FileServer::file(whole, asked); });
  HttpDownload wanted = request(server, folder);
  std::string inner;
  wanted.progress = [&](std::uint64_t, std::uint64_t) {
    if (inner.empty()) inner = message_of([&] { download(request(server, folder)); });
    return true;
  };
  download(wanted);
  EXPECT_NE(inner.find("another process is fetching this file"), std::string::npos);
}

TEST(Download, FilesOfThisMachine) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "there.h5", whole);
  EXPECT_TRUE(read_file(download(
                  {.address = "file://" + (folder / "there.h5").string(), .file = folder / "here.h5"})) == whole);
}

}  // namespace
}  // namespace nacre::test
