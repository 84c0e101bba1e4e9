#include "layers/bounding_boxes.h"

#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

class MaxNumBoundingBoxesLayer final : public PictureLayer<MaxNumBoundingBoxesConfig> {
 public:
  using PictureLayer::PictureLayer;
  int input_count() const override { return 0; }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(inputs.size() >= 1 && inputs.size() <= 3, "got {} inputs, wanted pictures, boxes and labels, or all three",
         inputs.size());
    if (inputs.size() != 2) image::want_pictures(inputs[0]);
    if (inputs.size() == 1) return;
    const Shape &boxes = inputs[inputs.size() - 2], &labels = inputs.back();
    need(boxes.rank() == 3 && same(boxes[2], 4), "got boxes {}, wanted (batch, boxes, 4)", boxes);
    need(labels.rank() == 2 && same(labels, boxes.first(2)), "got labels {} for boxes {}, wanted (batch, boxes)",
         labels, boxes);
  }
  Values call(Context&, const CallArguments& arguments) override {
    Values results = arguments.inputs;
    if (results.size() > 1)
      for (Value& listed : std::span(results).last(2)) listed = cut_or_filled(listed);
    return results;
  }

 private:
  Value cut_or_filled(Value x) const {
    const std::int64_t size = x.shape()[1];
    if (size == unknown) {
      Shape shape = x.shape();
      shape.set(1, config_.max_number);
      return emit::zeros(x.graph(), {x.dtype(), shape});
    }
    if (size >= config_.max_number) return ops::slice_axis(x, 1, 0, config_.max_number);
    std::vector<std::int64_t> before(static_cast<std::size_t>(x.shape().rank()), 0), after = before;
    after[1] = config_.max_number - size;
    return ops::pad(x, before, after, static_cast<double>(config_.fill_value));
  }
};

}  // namespace

LayerRef MaxNumBoundingBoxes(MaxNumBoundingBoxesConfig config, LayerOptions options) {
  return std::make_shared<MaxNumBoundingBoxesLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> box_layers() { return {layer_info<MaxNumBoundingBoxesLayer>()}; }

}  // namespace nacre
