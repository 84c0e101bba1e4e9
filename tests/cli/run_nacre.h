// Runs the nacre binary as a user would.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace nacre::test {

struct Outcome {
  int status = -1;  // exit code; 128 + signal when it was killed
  std::string out, err;
};

// In `folder`, with `input` on standard input. No terminal is attached.
Outcome run_nacre(const std::vector<std::string>& words, const std::filesystem::path& folder, const std::string& input = "");

// Another program, found as a shell finds it; its name comes first.
Outcome run_program(const std::vector<std::string>& words, const std::filesystem::path& folder, const std::string& input = "");
// nacre in several processes, which mpirun starts; where it is installed.
bool has_mpirun();
Outcome run_processes(int count, const std::vector<std::string>& words, const std::filesystem::path& folder);

// One that goes on while the test does something to it.
class RunningNacre {
 public:
  // In that many processes, where it is not one alone.
  RunningNacre(const std::vector<std::string>& words, const std::filesystem::path& folder, int processes = 1);
  ~RunningNacre();  // kills it
  RunningNacre(const RunningNacre&) = delete;
  RunningNacre& operator=(const RunningNacre&) = delete;

  void signal(int number) const;
  Outcome wait();
  // Whether `path` comes to exist within `seconds`.
  static bool appears(const std::filesystem::path& path, double seconds);
  // Whether it says that on standard output within `seconds`.
  bool says(const std::string& text, double seconds) const;

 private:
  pid_t process_ = -1;
  std::filesystem::path out_, err_;
};

}  // namespace nacre::test
