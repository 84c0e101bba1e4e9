// Errors a person can act on: what was being done, where, what came, what was wanted, what to do about it.
#pragma once

#include <fmt/core.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nacre {

// A place in a source text. Lines and columns count from 1; 0 means that the place is not known so exactly.
struct Mark {
  std::string file;
  int line = 0;
  int column = 0;

  explicit operator bool() const { return !file.empty() || line > 0; }
  bool operator==(const Mark&) const = default;
  std::string text() const;  // "mnist.yaml:14:7"
};

// The one exception of the library's surface. It is thrown with what went wrong and gathers, on its way up,
// the mark, the subject ("layer 'fc1' (Dense)"), the scopes ("while building model 'mnist'") and a hint:
//
//   mnist.yaml:14:7: layer 'fc1' (Dense): got input (None, 26, 26, 32), wanted rank 2
//     while building model 'mnist'
//     hint: put a Flatten layer before it
class Error : public std::exception {
 public:
  // `usage` is a mistake in what the user wrote (exit code 2), `failure` anything else (exit code 1).
  enum class Kind { failure, usage };

  explicit Error(std::string message);
  template <class First, class... Rest>
  explicit Error(fmt::format_string<First, Rest...> format, First&& first, Rest&&... rest)
      : Error(fmt::format(format, std::forward<First>(first), std::forward<Rest>(rest)...)) {}

  // Each of these keeps what is already known: the innermost mark, subject and hint win.
  Error& at(Mark mark) &;
  Error& about(std::string subject) &;
  Error& within(std::string scope) &;
  Error& hint(std::string hint) &;
  Error& usage() &;
  Error&& at(Mark mark) && { return std::move(at(std::move(mark))); }
  Error&& about(std::string subject) && { return std::move(about(std::move(subject))); }
  Error&& within(std::string scope) && { return std::move(within(std::move(scope))); }
  Error&& hint(std::string hint) && { return std::move(this->hint(std::move(hint))); }
  Error&& usage() && { return std::move(usage()); }

  Kind kind() const { return kind_; }
  const Mark& mark() const { return mark_; }
  const std::string& message() const { return message_; }
  const std::string& subject() const { return subject_; }
  const std::vector<std::string>& scopes() const { return scopes_; }
  const std::string& hint_text() const { return hint_; }
  const char* what() const noexcept override { return text_.c_str(); }  // the whole text, as above, each part escaped
  // Mark, subject and message: the reason within another Error's message.
  std::string line() const;

 private:
  void compose();

  Kind kind_ = Kind::failure;
  Mark mark_;
  std::string subject_, message_, hint_, text_;
  std::vector<std::string> scopes_;
};

// A broken promise inside nacre (a graph that fails its verifier, a kernel with the wrong operands): never the
// user's fault, so it says that it should be reported.
class InternalError : public std::exception {
 public:
  explicit InternalError(std::string_view message);
  template <class First, class... Rest>
  explicit InternalError(fmt::format_string<First, Rest...> format, First&& first, Rest&&... rest)
      : InternalError(std::string_view(fmt::format(format, std::forward<First>(first), std::forward<Rest>(rest)...))) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// Runs `work`; an Error that leaves it gains the scope that `scope()` returns (a string made only when needed).
template <class ScopeText, class Work>
decltype(auto) within(ScopeText&& scope, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (Error& error) {
    error.within(scope());
    throw;
  }
}

// Throws Error unless `condition`.
template <class... Args>
void need(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws InternalError unless `condition`.
template <class... Args>
void ensure(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw InternalError(std::string_view(fmt::format(format, std::forward<Args>(args)...)));
}

// The candidate nearest to `word` (edit distance, case ignored), or "" when none is near enough to be meant.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// "did you mean 'filters'?" for the nearest candidate, else "known: a, b, c" (at most twelve of them).
std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace nacre
