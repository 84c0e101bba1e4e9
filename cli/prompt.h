// The prompt of `nacre lua`, on the terminal of standard input and output.
#pragma once

namespace nacre::cli {

// Until the user leaves: the exit code.
int run_prompt(bool sandbox);

}  // namespace nacre::cli
