#include "api/inspect/plot.h"

#include <cairo/cairo-svg.h>
#include <cairo/cairo.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "api/inspect/axis.h"
#include "formats/file.h"
#include "formats/shared_library.h"

namespace nacre {

namespace {

constexpr double panel_width = 480, panel_height = 320, title_height = 44;
constexpr double left = 64, right = 18, top = 34, bottom = 46;

struct Color {
  double red, green, blue;
};
// Distinguishable also for those who do not see all colours (Okabe and Ito).
constexpr std::array<Color, 6> palette{{{0.0, 0.447, 0.698},
                                        {0.835, 0.369, 0.0},
                                        {0.0, 0.62, 0.451},
                                        {0.8, 0.475, 0.655},
                                        {0.337, 0.706, 0.914},
                                        {0.6, 0.5, 0.1}}};

// The functions of Cairo, which is loaded when the first curve is drawn.
struct Cairo {
  SharedLibrary library{"curves cannot be drawn", {"libcairo.so.2", "libcairo.2.dylib"}};
  decltype(&cairo_arc) arc = library["cairo_arc"];
  decltype(&cairo_create) create = library["cairo_create"];
  decltype(&cairo_destroy) destroy = library["cairo_destroy"];
  decltype(&cairo_fill) fill = library["cairo_fill"];
  decltype(&cairo_image_surface_create) image_surface_create = library["cairo_image_surface_create"];
  decltype(&cairo_line_to) line_to = library["cairo_line_to"];
  decltype(&cairo_move_to) move_to = library["cairo_move_to"];
  decltype(&cairo_rectangle) rectangle = library["cairo_rectangle"];
  decltype(&cairo_restore) restore = library["cairo_restore"];
  decltype(&cairo_save) save = library["cairo_save"];
  decltype(&cairo_scale) scale = library["cairo_scale"];
  decltype(&cairo_select_font_face) select_font_face = library["cairo_select_font_face"];
  decltype(&cairo_set_font_size) set_font_size = library["cairo_set_font_size"];
  decltype(&cairo_set_line_join) set_line_join = library["cairo_set_line_join"];
  decltype(&cairo_set_line_width) set_line_width = library["cairo_set_line_width"];
  decltype(&cairo_set_source_rgb) set_source_rgb = library["cairo_set_source_rgb"];
  decltype(&cairo_show_text) show_text = library["cairo_show_text"];
  decltype(&cairo_status_to_string) status_to_string = library["cairo_status_to_string"];
  decltype(&cairo_stroke) stroke = library["cairo_stroke"];
  decltype(&cairo_surface_destroy) surface_destroy = library["cairo_surface_destroy"];
  decltype(&cairo_surface_finish) surface_finish = library["cairo_surface_finish"];
  decltype(&cairo_surface_status) surface_status = library["cairo_surface_status"];
  decltype(&cairo_surface_write_to_png_stream) surface_write_to_png_stream = library["cairo_surface_write_to_png_stream"];
  decltype(&cairo_svg_surface_create_for_stream) svg_surface_create_for_stream = library["cairo_svg_surface_create_for_stream"];
  decltype(&cairo_text_extents) text_extents = library["cairo_text_extents"];
  decltype(&cairo_translate) translate = library["cairo_translate"];
};
const Cairo& cairo() {
  static const Cairo loaded;
  return loaded;
}

class Painter {
 public:
  explicit Painter(cairo_t* context) : context_(context) {
    cairo().select_font_face(context_, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  }

  void sheet(const std::vector<Panel>& panels, const std::string& title, double width, double height) {
    cairo().set_source_rgb(context_, 1, 1, 1);
    cairo().rectangle(context_, 0, 0, width, height);
    cairo().fill(context_);
    ink(0.1);
    text(title, width / 2, 28, 17, 0.5);
    for (std::size_t i = 0; i < panels.size(); ++i) {
      cairo().save(context_);
      cairo().translate(context_, static_cast<double>(i % 2) * panel_width, title_height + static_cast<double>(i / 2) * panel_height);
      panel(panels[i]);
      cairo().restore(context_);
    }
  }

 private:
  void ink(double grey) { cairo().set_source_rgb(context_, grey, grey, grey); }

  // `anchor`: 0 begins at x, 0.5 is centred on it, 1 ends there.
  void text(const std::string& words, double x, double y, double size, double anchor) {
    cairo().set_font_size(context_, size);
    cairo_text_extents_t extents;
    cairo().text_extents(context_, words.c_str(), &extents);
    cairo().move_to(context_, x - anchor * extents.x_advance, y);
    cairo().show_text(context_, words.c_str());
  }

  void line(double x1, double y1, double x2, double y2, double width) {
    cairo().set_line_width(context_, width);
    cairo().move_to(context_, x1, y1);
    cairo().line_to(context_, x2, y2);
    cairo().stroke(context_);
  }

  void panel(const Panel& panel) {
    AxisRange xs, ys;
    for (const Curve& curve : panel.curves)
      for (std::size_t i = 0; i < curve.x.size(); ++i)
        if (std::isfinite(curve.y[i])) xs.include(curve.x[i]), ys.include(curve.y[i]);
    xs.widen(0.02);
    ys.widen(0.06);
    const double inner_width = panel_width - left - right, inner_height = panel_height - top - bottom;
    const auto to_x = [&](double x) { return left + (x - xs.low) / (xs.high - xs.low) * inner_width; };
    const auto to_y = [&](double y) { return top + (ys.high - y) / (ys.high - ys.low) * inner_height; };

    ink(0.15);
    text(panel.title, left, top - 12, 13, 0);
    for (double tick : axis_ticks(ys, 5)) {
      ink(0.88);
      line(left, to_y(tick), left + inner_width, to_y(tick), 1);
      ink(0.35);
      text(fmt::format("{:.4g}", tick), left - 7, to_y(tick) + 4, 11, 1);
    }
    for (double tick : axis_ticks(xs, 6, 1)) {
      ink(0.35);
      line(to_x(tick), top + inner_height, to_x(tick), top + inner_height + 4, 1);
      text(fmt::format("{:.4g}", tick), to_x(tick), top + inner_height + 17, 11, 0.5);
    }
    ink(0.55);
    line(left, top + inner_height, left + inner_width, top + inner_height, 1.2);
    ink(0.35);
    text(panel.x_label, left + inner_width / 2, top + inner_height + 34, 11, 0.5);

    double legend = left + inner_width;
    for (std::size_t index = panel.curves.size(); index-- > 0;) {
      const Curve& curve = panel.curves[index];
      const Color color = palette[index % palette.size()];
      cairo().set_source_rgb(context_, color.red, color.green, color.blue);
      draw(curve, to_x, to_y);
      if (curve.name.empty()) continue;
      cairo().set_font_size(context_, 11);
      cairo_text_extents_t extents;
      cairo().text_extents(context_, curve.name.c_str(), &extents);
      text(curve.name, legend, top - 12, 11, 1);
      legend -= extents.x_advance + 24;
      line(legend, top - 16, legend + 18, top - 16, 2.2);
      legend -= 14;
    }
  }

  template <class ToX, class ToY>
  void draw(const Curve& curve, ToX&& to_x, ToY&& to_y) {
    bool down = false;
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      if (!std::isfinite(curve.y[i])) {
        down = false;
        continue;
      }
      if (down) cairo().line_to(context_, to_x(curve.x[i]), to_y(curve.y[i]));
      else cairo().move_to(context_, to_x(curve.x[i]), to_y(curve.y[i]));
      down = true;
    }
    cairo().set_line_width(context_, 2);
    cairo().set_line_join(context_, CAIRO_LINE_JOIN_ROUND);
    cairo().stroke(context_);
    if (curve.x.size() > 40) return;
    for (std::size_t i = 0; i < curve.x.size(); ++i)
      if (std::isfinite(curve.y[i])) {
        cairo().arc(context_, to_x(curve.x[i]), to_y(curve.y[i]), 2.6, 0, 6.2832);
        cairo().fill(context_);
      }
  }

  cairo_t* context_;
};

using Surface = std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)>;

cairo_status_t append_bytes(void* closure, const unsigned char* bytes, unsigned int length) {
  static_cast<std::string*>(closure)->append(reinterpret_cast<const char*>(bytes), length);
  return CAIRO_STATUS_SUCCESS;
}

void check(cairo_status_t status, const std::filesystem::path& path) {
  if (status != CAIRO_STATUS_SUCCESS)
    throw Error("the curves could not be drawn: {}", cairo().status_to_string(status)).at({path.string(), 0, 0});
}

struct Size {
  double width, height;
};
Size size_of_sheet(const std::vector<Panel>& panels) {
  const auto rows = static_cast<double>((panels.size() + 1) / 2);
  return {panel_width * (panels.size() > 1 ? 2 : 1), title_height + rows * panel_height};
}

// Paints on a surface, which is finished then, so that all its bytes have been given.
void paint(const Surface& surface, const std::vector<Panel>& panels, const std::string& title, Size size, double scale) {
  const std::unique_ptr<cairo_t, decltype(&cairo_destroy)> context(cairo().create(surface.get()), cairo().destroy);
  cairo().scale(context.get(), scale, scale);
  Painter(context.get()).sheet(panels, title, size.width, size.height);
}

}  // namespace

void plot_svg(const std::vector<Panel>& panels, const std::string& title, const std::filesystem::path& path) {
  const Size size = size_of_sheet(panels);
  std::string bytes;
  {
    const Surface surface(cairo().svg_surface_create_for_stream(append_bytes, &bytes, size.width, size.height), cairo().surface_destroy);
    paint(surface, panels, title, size, 1);
    cairo().surface_finish(surface.get());
    check(cairo().surface_status(surface.get()), path);
  }
  write_file_atomically(path, bytes);
}

void plot_png(const std::vector<Panel>& panels, const std::string& title, const std::filesystem::path& path) {
  constexpr double scale = 1.5;  // sharp enough on dense screens
  const Size size = size_of_sheet(panels);
  const Surface surface(cairo().image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(size.width * scale),
                                                   static_cast<int>(size.height * scale)),
                        cairo().surface_destroy);
  paint(surface, panels, title, size, scale);
  std::string bytes;
  check(cairo().surface_write_to_png_stream(surface.get(), append_bytes, &bytes), path);
  write_file_atomically(path, bytes);
}

}  // namespace nacre
