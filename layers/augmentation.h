// Layers on pictures: resizing, and augmentation in training. Each family has its own file.
#pragma once

#include "layers/augmentation_colour.h"
#include "layers/augmentation_filter.h"
#include "layers/augmentation_geometry.h"
#include "layers/augmentation_levels.h"
#include "layers/augmentation_mixing.h"
#include "layers/augmentation_policy.h"
#include "layers/bounding_boxes.h"
#include "layers/image_resize.h"
