#include "api/train/name_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "backend/core/error.h"

namespace nacre {

namespace {

constexpr std::size_t longest = 1000;
constexpr std::uint32_t most_steps = 1'000'000, most_kibibytes = 65'536;

std::string reason_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct NamePattern::Code {
  explicit Code(std::string text) : expression(std::move(text)) {
    if (expression.size() > longest)
      throw Error("got a regular expression of {} characters, wanted at most {}", expression.size(), longest).usage();
    int problem = 0;
    std::size_t place = 0;
    compiled.reset(pcre2_compile(units(expression), expression.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF,
                                 &problem, &place, nullptr));
    if (!compiled)
      throw Error("'{}' is no regular expression: {} (character {})", expression, reason_of(problem), place + 1)
          .usage();
  }

  std::string expression;
  std::unique_ptr<pcre2_code, decltype([](pcre2_code* code) { pcre2_code_free(code); })> compiled;
};

NamePattern::NamePattern(std::string expression) : code_(std::make_shared<Code>(std::move(expression))) {}

bool NamePattern::applies(std::string_view name, unsigned options) const {
  const std::unique_ptr<pcre2_match_data, decltype([](pcre2_match_data* data) { pcre2_match_data_free(data); })> found(
      pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context,
                        decltype([](pcre2_match_context* context) { pcre2_match_context_free(context); })>
      limits(pcre2_match_context_create(nullptr));
  if (!found || !limits) throw std::bad_alloc();
  pcre2_set_match_limit(limits.get(), most_steps);
  pcre2_set_heap_limit(limits.get(), most_kibibytes);
  const int result =
      pcre2_match(code_->compiled.get(), units(name), name.size(), 0, options, found.get(), limits.get());
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result >= 0) return true;
  throw Error("the regular expression '{}' cannot be tried on '{}': {}", code_->expression, name, reason_of(result))
      .hint("repetitions within repetitions, as in (a+)+, take too many steps")
      .usage();
}

bool NamePattern::found_in(std::string_view name) const { return applies(name, 0); }

bool NamePattern::matches(std::string_view name) const { return applies(name, PCRE2_ANCHORED | PCRE2_ENDANCHORED); }

}  // namespace nacre
