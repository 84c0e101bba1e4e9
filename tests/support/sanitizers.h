// Whether this binary is instrumented: sanitizers have memory, signals and operators of their own.
#pragma once

namespace nacre::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace nacre::test
