// A small convolutional network learns to read digits that nacre draws itself; then Keras can open digits.h5.
#include <cstdio>

#include "api/nacre.h"

int main() {
  using namespace nacre;
  try {
    Sequential model({Input({28, 28, 1}), Rescaling({.scale = 1.0 / 255}),
                      Conv2D({.filters = 16, .kernel_size = 3, .activation = "relu"}), MaxPooling2D(), Flatten(),
                      Dense({.units = 10, .activation = "softmax"})});
    model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
    model.fit(digits(4000, 1), {.epochs = 3, .validation = digits(1000, 2), .verbose = true});
    model.save("digits.h5");

    const Tensor classes = load_model("digits.h5").predict(digits(1, 3), {})[0];
    for (int digit = 0; digit < 10; ++digit) std::printf("%d: %.3f\n", digit, classes.at(digit));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
