#include "formats/confined.h"

#ifdef __linux__

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <limits>

#include "formats/descriptor.h"
#include "formats/file.h"

namespace nacre {

namespace {

namespace fs = std::filesystem;

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t architecture = 0;  // no filter is known: the child refuses to run
#endif

// Sanitizers reserve address space by the terabyte.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool address_space_can_be_limited = false;
#else
constexpr bool address_space_can_be_limited = true;
#endif

// An Error, taken apart.
struct Report {
  std::string subject, message, hint;
  std::vector<std::string> scopes;
  std::string file;
  std::uint64_t line = 0, column = 0;
  bool usage = false;
};
void carry(auto& wire, Report& report) {
  wire(report.subject, report.message, report.hint, report.scopes, report.file, report.line, report.column, report.usage);
}

Report report_of(const Error& error) {
  return {error.subject(), error.message(), error.hint_text(), error.scopes(), error.mark().file,
          static_cast<std::uint64_t>(error.mark().line), static_cast<std::uint64_t>(error.mark().column),
          error.kind() == Error::Kind::usage};
}

Error error_of(Report report) {
  Error error(std::move(report.message));
  if (!report.subject.empty()) error.about(std::move(report.subject));
  for (std::string& scope : report.scopes) error.within(std::move(scope));
  if (!report.hint.empty()) error.hint(std::move(report.hint));
  if (!report.file.empty()) error.at({std::move(report.file), static_cast<int>(report.line), static_cast<int>(report.column)});
  if (report.usage) error.usage();
  return error;
}

// --- the child ---------------------------------------------------------------------------------------------------

void limit(__rlimit_resource resource, std::uint64_t value, std::uint64_t grace = 0) {
  const rlimit both{value, value + grace};
  need(setrlimit(resource, &both) == 0, "cannot limit the reading process: {}", std::strerror(errno));
}

std::uint64_t address_space_now() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0;
  file >> pages;
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void limit_resources(const Confinement& limits) {
  if (address_space_can_be_limited) limit(RLIMIT_AS, address_space_now() + limits.memory);
  limit(RLIMIT_CPU, static_cast<std::uint64_t>(limits.seconds), 5);  // SIGXCPU comes first and says why
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_CORE, 0);
}

// Keeps the result's descriptor alone and puts nothing behind the standard ones.
void close_other_descriptors(int result) {
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int number : {0, 1, 2})
    if (number != result && dup2(nothing, number) < 0) close(number);
  const auto close_between = [](int first, int last) {
    if (first <= last && syscall(SYS_close_range, first, last, 0) != 0)
      for (int number = first; number <= std::min(last, 65'536); ++number) close(number);
  };
  close_between(3, result - 1);
  close_between(std::max(result, 2) + 1, std::numeric_limits<int>::max());
}

// Only these files can be opened from now on. Kernels without Landlock pass over it.
void restrict_paths(const std::vector<fs::path>& files) {
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // all that the first version knows
  const Descriptor rules(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (rules.get() < 0) return;
  for (const fs::path& path : files) {
    const Descriptor file(open(path.c_str(), O_PATH | O_CLOEXEC));
    landlock_path_beneath_attr rule{};
    rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    if (std::error_code error; fs::is_directory(path, error)) rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
    rule.parent_fd = file.get();
    if (file.get() >= 0) syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  }
  syscall(SYS_landlock_restrict_self, rules.get(), 0);
}

// From now on every system call but those for reading files, memory and ending fails with EPERM.
void restrict_system_calls() {
  constexpr auto load = [](std::size_t offset) {
    return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  };
  constexpr auto result = [](std::uint32_t action) { return sock_filter BPF_STMT(BPF_RET | BPF_K, action); };
  constexpr auto low_half = [](int argument) { return offsetof(seccomp_data, args) + 8 * static_cast<std::size_t>(argument); };
  std::vector<sock_filter> program{
      load(offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0),
      result(SECCOMP_RET_KILL_PROCESS),
      load(offsetof(seccomp_data, nr)),
  };
  const auto allow = [&](long call) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    program.push_back(result(SECCOMP_RET_ALLOW));
  };
  // Allowed when the argument has none of the bits.
  const auto allow_without = [&](long call, int argument, std::uint32_t bits) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 4));
    program.push_back(load(low_half(argument)));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
    program.push_back(result(SECCOMP_RET_ERRNO | EPERM));
    program.push_back(result(SECCOMP_RET_ALLOW));
  };
  // Allowed when the argument has this value.
  const auto allow_with = [&](long call, int argument, std::uint32_t value) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 4));
    program.push_back(load(low_half(argument)));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
    program.push_back(result(SECCOMP_RET_ERRNO | EPERM));
    program.push_back(result(SECCOMP_RET_ALLOW));
  };
  for (const long call :
       {SYS_read, SYS_pread64, SYS_readv, SYS_write, SYS_lseek, SYS_close, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_getdents64, SYS_fcntl,
        SYS_flock, SYS_readlinkat, SYS_faccessat, SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise, SYS_futex, SYS_exit,
        SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_sigaltstack, SYS_clock_gettime,
        SYS_gettimeofday, SYS_getrandom, SYS_getpid, SYS_gettid, SYS_sched_getaffinity, SYS_sched_yield})
    allow(call);
  allow_with(SYS_tgkill, 0, static_cast<std::uint32_t>(getpid()));  // what abort() sends
  allow_without(SYS_mmap, 2, PROT_EXEC);
  allow_without(SYS_mprotect, 2, PROT_EXEC);
  constexpr std::uint32_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
  allow_without(SYS_openat, 2, writing);
#ifdef SYS_open  // older architectures have these besides
  allow_without(SYS_open, 1, writing);
  for (const long call : {SYS_stat, SYS_lstat, SYS_access, SYS_readlink}) allow(call);
#endif
  program.push_back(result(SECCOMP_RET_ERRNO | EPERM));

  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  need(architecture != 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0,
       "this system cannot confine the reading process ({})", std::strerror(errno));
}

void send(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = write(descriptor, bytes.data(), bytes.size());
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) _exit(3);  // the parent has gone
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

[[noreturn]] void run_child(const Confinement& limits, const std::function<std::string()>& work, int result) {
  Report failure;
  try {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const int number : {SIGINT, SIGTERM, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) signal(number, SIG_DFL);
    close_other_descriptors(result);
    limit_resources(limits);
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "cannot confine the reading process: {}", std::strerror(errno));
    restrict_paths(limits.files);
    restrict_system_calls();
    const std::string bytes = work();
    send(result, "+");
    send(result, bytes);
    _exit(0);
  } catch (const Error& error) {
    failure = report_of(error);
  } catch (const std::bad_alloc&) {
    failure.message = fmt::format("reading it needs more than the {} MB that are allowed", limits.memory >> 20);
  } catch (const std::exception& error) {
    failure.message = error.what();
  }
  send(result, "-");
  send(result, to_wire(std::move(failure)));
  _exit(0);
}

// --- the parent --------------------------------------------------------------------------------------------------

std::string describe_end(int status, const Confinement& limits) {
  if (WIFEXITED(status)) return fmt::format("the reading process ended early with code {}", WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  if (number == SIGXCPU) return fmt::format("reading it takes more than {} s", limits.seconds);
  if (number == SIGKILL) return "reading it was ended by the system, which may have too little memory";
  return fmt::format("reading it crashed ({})", strsignal(number));
}

// What the child sends until it ends; nothing when it takes too long or sends too much.
std::string receive(int descriptor, const Confinement& limits, std::string& problem) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(2 * limits.seconds);
  std::string bytes;
  std::vector<char> buffer(std::size_t{1} << 18);
  while (problem.empty()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd wait{descriptor, POLLIN, 0};
    const int ready = left > 0 ? poll(&wait, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      problem = fmt::format("reading it takes more than {} s", 2 * limits.seconds);
      break;
    }
    const ssize_t got = read(descriptor, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (bytes.size() + static_cast<std::size_t>(got) > limits.result) problem = fmt::format("it holds more than {} MB of data", limits.result >> 20);
    else bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return bytes;
}

}  // namespace

std::string confined_bytes(const Confinement& limits, const std::function<std::string()>& work) {
  int ends[2];
  need(pipe2(ends, O_CLOEXEC) == 0, "cannot start the reading process: {}", std::strerror(errno));
  Descriptor from_child(ends[0]), to_parent(ends[1]);
  const pid_t child = fork();
  need(child >= 0, "cannot start the reading process: {}", std::strerror(errno));
  if (child == 0) run_child(limits, work, to_parent.get());
  to_parent.close();
  std::string problem, bytes;
  try {
    bytes = receive(from_child.get(), limits, problem);
  } catch (...) {
    kill(child, SIGKILL);
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {}
    throw;
  }
  if (!problem.empty()) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (problem.empty() && !(WIFEXITED(status) && WEXITSTATUS(status) == 0 && !bytes.empty())) problem = describe_end(status, limits);
  if (!problem.empty()) throw Error(std::move(problem)).hint("the file is damaged or hostile");
  const bool failed = bytes.front() != '+';
  if (failed) throw error_of(from_wire<Report>(std::string_view(bytes).substr(1)));
  bytes.erase(0, 1);
  return bytes;
}

Confinement Confinement::for_files(std::vector<fs::path> files) {
  std::uint64_t size = 0;
  const auto add = [&](const fs::path& path) {
    std::error_code error;
    if (const std::uintmax_t bytes = fs::file_size(path, error); !error) size += bytes;
  };
  for (const fs::path& path : files) {
    std::error_code error;
    if (!fs::is_directory(path, error)) add(path);
    else
      for (auto entry = fs::recursive_directory_iterator(path, error); !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
        add(entry->path());
  }
  Confinement limits{std::move(files)};
  limits.memory += 16 * size;
  limits.result += 8 * size;
  limits.seconds += static_cast<int>(size >> 23);  // 8 MiB per second
  return limits;
}

}  // namespace nacre

#else

namespace nacre {

std::string confined_bytes(const Confinement&, const std::function<std::string()>&) {
  throw Error("files that nobody vouches for can be read on Linux only");
}
Confinement Confinement::for_files(std::vector<std::filesystem::path> files) { return {std::move(files)}; }

}  // namespace nacre

#endif
