#include "tests/cli/run_nacre.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

namespace nacre::test {

namespace {

std::string contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::vector<std::string> command(const std::vector<std::string>& words, int processes = 1) {
  std::vector<std::string> all{NACRE_BINARY};
  // Tests may be root's, on machines with fewer cores.
  if (processes > 1) all = {"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", std::to_string(processes), NACRE_BINARY};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

pid_t start(const std::vector<std::string>& words, const std::filesystem::path& folder, const std::filesystem::path& in,
            const std::filesystem::path& out, const std::filesystem::path& err) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t process = ::fork();
  if (process != 0) return process;
  if (::chdir(folder.c_str()) != 0) ::_exit(126);
  ::dup2(::open(in.c_str(), O_RDONLY), 0);
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
  ::execvp(arguments.front(), arguments.data());
  ::_exit(127);
}

int status_of(pid_t process) {
  int status = 0;
  ::waitpid(process, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::filesystem::path stream_file(const char* kind) {
  static std::atomic<int> count{0};
  return std::filesystem::temp_directory_path() / ("nacre-cli-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + kind);
}

// Whether it does within `seconds`.
bool happens(auto&& what, double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!what()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace

RunningNacre::RunningNacre(const std::vector<std::string>& words, const std::filesystem::path& folder, int processes)
    : out_(stream_file(".out")), err_(stream_file(".err")) {
  process_ = start(command(words, processes), folder, "/dev/null", out_, err_);
}

RunningNacre::~RunningNacre() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    status_of(process_);
  }
  std::filesystem::remove(out_);
  std::filesystem::remove(err_);
}

void RunningNacre::signal(int number) const { ::kill(process_, number); }

Outcome RunningNacre::wait() {
  const int status = status_of(process_);
  process_ = -1;
  return {status, contents(out_), contents(err_)};
}

bool RunningNacre::appears(const std::filesystem::path& path, double seconds) {
  return happens([&] { return std::filesystem::exists(path); }, seconds);
}

bool RunningNacre::says(const std::string& text, double seconds) const {
  return happens([&] { return contents(out_).find(text) != std::string::npos; }, seconds);
}

Outcome run_program(const std::vector<std::string>& words, const std::filesystem::path& folder, const std::string& input) {
  const std::filesystem::path in = stream_file(".in"), out = stream_file(".out"), err = stream_file(".err");
  std::ofstream(in, std::ios::binary) << input;
  const int status = status_of(start(words, folder, in, out, err));
  Outcome outcome{status, contents(out), contents(err)};
  for (const auto& path : {in, out, err}) std::filesystem::remove(path);
  return outcome;
}

Outcome run_nacre(const std::vector<std::string>& words, const std::filesystem::path& folder, const std::string& input) {
  return run_program(command(words), folder, input);
}

bool has_mpirun() { return run_program({"mpirun", "--version"}, "/").status == 0; }

Outcome run_processes(int count, const std::vector<std::string>& words, const std::filesystem::path& folder) {
  return run_program(command(words, count), folder);
}

}  // namespace nacre::test
