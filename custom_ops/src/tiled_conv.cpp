#include "tiled_conv.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <optional>

#include "quantizer.h"
#include "scratch_buffer.h"

namespace onnxbin {
namespace {

// Most tiles of one task: few enough to share out evenly, and for reals enough to be worth
// expanding a block of weights.
constexpr int64_t kTaskTiles = 16, kTaskTilesOfReals = 32;
// Sums, or outputs, of a tile.
constexpr int64_t kTileSize = kMaxPixels * kMaxPanel;
// Most pixels that one task packs.
constexpr int64_t kTaskPixels = 64;
// Words of a block for each lane: 64 KiB, which stay in the second-level cache, for 32 lanes.
constexpr int64_t kBlockWords = 512;
// Large images are computed in strips, each by one thread, which finds what it has packed in its
// second-level cache: packed bytes of a strip, strips that are enough for the threads to share
// evenly, and rows of a strip for each that its neighbour packs too.
constexpr int64_t kStripBytes = int64_t{256} << 10, kLeastStrips = 8, kStripOverlap = 8;

// Most output channels for which reals are read where they are, if there is a single tap: so few
// reads do not pay for packing.
constexpr int64_t kOutputsOfPlanes = 128;

// Where outputs of neighbouring tiles wait, to leave as longer rows. For planes whole pages apart:
// all rows of a tile go to the same place of the first-level cache, and where these are more than
// it has room for there, it loses them again before the next tile fills up their lines.
class WaitingRows {
 public:
  WaitingRows(int lanes, int64_t plane_pixels)
      : lanes_(lanes),
        plane_pixels_(plane_pixels),
        used_(lanes > kWays && plane_pixels * static_cast<int64_t>(sizeof(float)) % kPage == 0) {}
  ~WaitingRows() { Leave(); }

  // Lets the epilogue of a tile write here, where that is of use.
  void Take(Epilogue* epilogue) {
    if (!used_ || epilogue->pixel_step != 1) return;
    if (epilogue->out != out_ + pixels_ || pixels_ + epilogue->pixels > kPixels) {
      Leave();
      out_ = epilogue->out;
    }
    epilogue->out = rows_ + pixels_;
    epilogue->channel_step = kPixels;
    pixels_ += epilogue->pixels;
  }

 private:
  static constexpr int64_t kPage = 4096;
  static constexpr int kWays = 16;  // at most, on most processors
  static constexpr int kPixels = 96;

  void Leave() {
    for (int lane = 0; lane < lanes_ && pixels_; ++lane) {
      std::copy_n(rows_ + lane * kPixels, pixels_, out_ + lane * plane_pixels_);
    }
    pixels_ = 0;
  }

  const int lanes_;
  const int64_t plane_pixels_;
  const bool used_;
  float* out_ = nullptr;  // of lane 0 and the first pixel that waits
  int pixels_ = 0;
  alignas(64) float rows_[kMaxPanel * kPixels];
};

const TileKernel& ChooseKernel(const ConvParams& params, const KernelFamily& family) {
  if (params.input == InputKind::kReal) return family.reals;
  return params.x_bits >= family.bytes_from ? family.bytes : family.bits;
}

}  // namespace

TiledConv::TiledConv(const ConvParams& params, const ConvConstants& constants,
                     const KernelFamily& family)
    : params_(params),
      kernel_(ChooseKernel(params, family)),
      planes_(kernel_.element == Element::kBits ? params.x_bits : 1),
      weights_(params, constants.signs, kernel_),
      packs_(params.input != InputKind::kReal || params.taps() > 1 ||
             params.group_outputs() > kOutputsOfPlanes),
      blocks_(CutIntoBlocks()),
      bias_(PanelOrder(params, constants.bias, kernel_)),
      thresholds_(CopyThresholds(params, constants)) {
  quantizer_ = MakeQuantizer(params, constants, thresholds_);
  for (int64_t b = 0; b < params.bases; ++b) {
    for (float scale : PanelOrder(params, constants.scale + b * params.out_channels, kernel_)) {
      scale_.push_back(params.input == InputKind::kReal ? scale : scale * constants.x_step);
    }
  }
}

std::vector<TiledConv::Block> TiledConv::CutIntoBlocks() const {
  const Range rows{0, params_.kernel[0]}, columns{0, params_.kernel[1]}, words{0, weights_.words()};
  // Bits and bytes come from the second-level cache fast enough: one block.
  if (kernel_.element != Element::kReals) return {{rows, columns, words}};
  std::vector<Block> blocks;
  const int64_t words_at_once = std::min(words.last, kBlockWords);
  const int64_t columns_at_once = std::min(columns.last, kBlockWords / words_at_once);
  const int64_t rows_at_once =
      columns_at_once < columns.last
          ? 1
          : std::min(rows.last, kBlockWords / (words_at_once * columns.last));
  for (int64_t row = 0; row < rows.last; row += rows_at_once) {
    for (int64_t column = 0; column < columns.last; column += columns_at_once) {
      for (int64_t word = 0; word < words.last; word += words_at_once) {
        blocks.push_back({Intersection(rows, {row, row + rows_at_once}),
                          Intersection(columns, {column, column + columns_at_once}),
                          Intersection(words, {word, word + words_at_once})});
      }
    }
  }
  return blocks;
}

TiledConv::Panel TiledConv::MakePanel(const Image& image, int64_t index) const {
  const int64_t group = index / weights_.panels();
  const int64_t first =
      index % weights_.panels() * kernel_.panel;  // of the group's output channels
  const int64_t m = group * params_.group_outputs() + first;
  return {
      index, static_cast<int>(std::min<int64_t>(params_.group_outputs() - first, kernel_.panel)),
      image.words + group * image.group, image.y + m * image.y_shape.height * image.y_shape.width};
}

void TiledConv::PackRows(const Image& image, unsigned char* packed,
                         const Parallel& parallel) const {
  const int64_t width = image.x_shape.width;
  const int64_t image_pixels = image.x_shape.height * width, pixels = image.x_rows.size() * width;
  const int64_t tasks = (pixels + kTaskPixels - 1) / kTaskPixels;
  parallel.For(static_cast<size_t>(params_.group * tasks), [&](size_t index) {
    const int64_t group = static_cast<int64_t>(index) / tasks;
    PackJob job{};
    job.quantizer = quantizer_;
    if (quantizer_.thresholds) {
      job.quantizer.thresholds += group * params_.group_channels * quantizer_.threshold_step;
    }
    job.planes = planes_;
    job.x = image.x + group * params_.group_channels * image_pixels + image.x_rows.first * width;
    job.plane_pixels = image_pixels;
    job.channels = params_.group_channels;
    const int64_t task = static_cast<int64_t>(index) % tasks;
    job.first = pixels * task / tasks;
    job.count = pixels * (task + 1) / tasks - job.first;
    job.words = packed + group * image.group;
    job.pixel_words = weights_.words();
    job.plane_step = image.plane;
    kernel_.pack(job);
  });
}

TiledConv::BlockWeights TiledConv::Weights(const Block& block, const Panel& panel,
                                           float* expanded) const {
  const unsigned char* weights = weights_.Panel(0, panel.index);
  if (kernel_.element != Element::kReals) {
    return {weights, params_.kernel[1] * weights_.tap_bytes(), weights_.tap_bytes()};  // one block
  }
  const int64_t sign_bytes = static_cast<int64_t>(sizeof(uint32_t));
  float* out = expanded;
  for (int64_t row = block.rows.first; row < block.rows.last; ++row) {
    for (int64_t column = block.columns.first; column < block.columns.last; ++column) {
      const unsigned char* signs = weights +
                                   (row * params_.kernel[1] + column) * weights_.tap_bytes() +
                                   block.words.first * sign_bytes;
      kernel_.expand(reinterpret_cast<const uint32_t*>(signs), weights_.base_bytes() / sign_bytes,
                     scale_.data() + panel.index * kernel_.panel,
                     static_cast<int64_t>(bias_.size()), params_.bases, block.words.size(), out);
      out += block.words.size() * kernel_.panel;
    }
  }
  const int64_t column = block.words.size() * kernel_.panel * kernel_.word_bytes;
  return {reinterpret_cast<const unsigned char*>(expanded), block.columns.size() * column, column};
}

TiledConv::Placement TiledConv::PlaceTaps(const OutputTile& tile, const Block& block,
                                          const BlockWeights& weights, const Image& image,
                                          const Panel& panel) const {
  const Range rows = Intersection(tile.rows, block.rows);
  const Range columns = Intersection(tile.columns, block.columns);
  const int64_t line = image.x_shape.width * image.pixel;
  Placement placement;
  placement.rows = tile.rows;
  placement.columns = tile.columns;
  placement.any = rows.size() > 0 && columns.size() > 0;
  if (!placement.any) return placement;
  placement.x = panel.x + block.words.first * image.word;
  placement.row = rows.first * params_.dilation[0] - params_.pad_begin[0] - image.x_rows.first;
  placement.column = columns.first * params_.dilation[1] - params_.pad_begin[1];
  placement.line = line;
  placement.pixel = image.pixel;
  placement.stride = params_.stride;

  Tile& placed = placement.tile;
  placed.x_pixel = 0;
  placed.lanes = panel.lanes;
  placed.planes = planes_;
  placed.rows = rows.size();
  placed.columns = columns.size();
  placed.words = block.words.size();
  placed.x_row = placed.rows > 1 ? params_.dilation[0] * line : 0;
  placed.x_column = placed.columns > 1 ? params_.dilation[1] * image.pixel : 0;
  placed.x_word = image.word;
  placed.x_plane = image.plane;
  placed.w = weights.first + (rows.first - block.rows.first) * weights.row +
             (columns.first - block.columns.first) * weights.column;
  placed.w_row = weights.row;
  placed.w_column = weights.column;
  // Taps that are neighbours in the image and in the weights are one longer run of words.
  if (placed.columns > 1 && placed.x_column == placed.words * image.word &&
      placed.w_column == placed.words * kernel_.panel * kernel_.word_bytes) {
    placed.words *= placed.columns;
    placed.columns = 1;
  }
  return placement;
}

// With S the integer sum of sign * v over the taps inside the image, T that of the signs alone, X
// what the kernel gives, and K the number of weights that count:
//   kSign         v = -1 or +1       S = K - 2 X
//   bit-planes    v = q              S = max_quantum * (T + K) / 2 - X
//   bytes         v = q              S = X + byte_zero * T
// and a quantum stands for q - x_zero: what remains to be taken away is x_zero * T.
TiledConv::Offsets TiledConv::ComputeOffsets(const OutputTile& tile, int64_t base,
                                             const Panel& panel) const {
  const int lanes = kernel_.panel;
  const int32_t k =
      static_cast<int32_t>(tile.rows.size() * tile.columns.size() * params_.group_channels);
  Offsets offsets{};
  if (params_.input == InputKind::kSign) {
    std::fill_n(offsets.sum, lanes, k);
    return offsets;
  }

  int32_t signs[kMaxPanel] = {};
  const int32_t* tap_sums = weights_.TapSums(base, panel.index);
  for (int64_t row = tile.rows.first; row < tile.rows.last; ++row) {
    for (int64_t column = tile.columns.first; column < tile.columns.last; ++column) {
      const int32_t* tap = tap_sums + (row * params_.kernel[1] + column) * lanes;
      for (int lane = 0; lane < lanes; ++lane) signs[lane] += tap[lane];
    }
  }
  for (int lane = 0; lane < lanes; ++lane) {
    if (kernel_.element == Element::kBits) {
      offsets.sum[lane] = params_.max_quantum() * ((signs[lane] + k) / 2);
    } else {
      offsets.sum[lane] = kernel_.byte_zero * signs[lane];
    }
    offsets.zero[lane] = quantizer_.zero * static_cast<float>(signs[lane]);
  }
  return offsets;
}

void TiledConv::RunIntegers(const OutputTile* tiles, int64_t count, const Image& image,
                            const Panel& panel) const {
  alignas(64) int32_t sums[kTileSize] = {};
  alignas(64) float y[kTileSize] = {};  // what the bases before have summed to
  const int64_t base_lanes = static_cast<int64_t>(bias_.size());
  const Block& block = blocks_.front();  // the only one
  WaitingRows waiting(panel.lanes, image.y_shape.height * image.y_shape.width);
  Placement placement;
  Offsets offsets;
  for (int64_t i = 0; i < count; ++i) {
    const OutputTile& tile = tiles[i];
    const bool other_taps = !placement.Suits(tile);
    if (other_taps)
      placement = PlaceTaps(tile, block, Weights(block, panel, nullptr), image, panel);
    for (int64_t b = 0; b < params_.bases; ++b) {
      if (placement.any) {
        Tile placed = placement.At(tile);
        placed.w += b * weights_.base_bytes();
        kernel_.run(placed, sums);
      } else {
        std::fill_n(sums, kTileSize, 0);
      }
      if (other_taps || params_.bases > 1) offsets = ComputeOffsets(tile, b, panel);
      Epilogue epilogue = MakeEpilogue(tile, image, panel);
      epilogue.offset = offsets.sum;
      epilogue.zero = offsets.zero;
      epilogue.scale = scale_.data() + b * base_lanes + panel.index * kernel_.panel;
      epilogue.start = b == 0 ? nullptr : y;
      if (b + 1 < params_.bases) {
        epilogue.out = y;
        epilogue.channel_step = 1;
        epilogue.pixel_step = kernel_.panel;
        epilogue.activation = Activation{};
      } else {
        waiting.Take(&epilogue);
      }
      kernel_.finish(sums, epilogue);
    }
  }
}

void TiledConv::RunReals(const OutputTile* tiles, int64_t count, const Image& image,
                         const Panel& panel) const {
  alignas(64) float expanded[kBlockWords * kMaxPanel];
  alignas(64) float sums[kTaskTilesOfReals * kTileSize];
  bool begun[kTaskTilesOfReals] = {};
  WaitingRows waiting(panel.lanes, image.y_shape.height * image.y_shape.width);
  for (const Block& block : blocks_) {
    const BlockWeights weights = Weights(block, panel, expanded);
    Placement placement;
    for (int64_t i = 0; i < count; ++i) {
      float* tile_sums = sums + i * kTileSize;
      if (!placement.Suits(tiles[i])) placement = PlaceTaps(tiles[i], block, weights, image, panel);
      if (placement.any) {
        Tile placed = placement.At(tiles[i]);
        placed.add = begun[i];
        kernel_.run(placed, tile_sums);
        begun[i] = true;
      }
      if (&block != &blocks_.back()) continue;
      if (!begun[i]) std::fill_n(tile_sums, kTileSize, 0.0f);  // nothing but padding
      Epilogue epilogue = MakeEpilogue(tiles[i], image, panel);
      waiting.Take(&epilogue);
      kernel_.finish(tile_sums, epilogue);
    }
  }
}

Epilogue TiledConv::MakeEpilogue(const OutputTile& tile, const Image& image,
                                 const Panel& panel) const {
  const ImageShape& shape = image.y_shape;
  Epilogue epilogue{};
  epilogue.pixels = tile.pixels;
  epilogue.lanes = panel.lanes;
  epilogue.factor =
      params_.input == InputKind::kSign ? -2 : (kernel_.element == Element::kBits ? -1 : 1);
  epilogue.bias = bias_.data() + panel.index * kernel_.panel;
  epilogue.out = panel.y + tile.row * shape.width + tile.column;
  epilogue.channel_step = shape.height * shape.width;
  epilogue.pixel_step = tile.down ? shape.width : 1;
  epilogue.activation = params_.activation;
  return epilogue;
}

Range TiledConv::RowsOfInput(Range y_rows, int64_t height) const {
  const int64_t first = y_rows.first * params_.stride[0] - params_.pad_begin[0];
  const int64_t last = (y_rows.last - 1) * params_.stride[0] - params_.pad_begin[0] +
                       (params_.kernel[0] - 1) * params_.dilation[0] + 1;
  return Intersection({0, height}, {first, last});
}

int64_t TiledConv::RowsOfStrip(const ImageShape& x_shape, const ImageShape& y_shape) const {
  const int64_t row_bytes = std::max<int64_t>(
      planes_ * params_.group * x_shape.width * weights_.words() * kernel_.word_bytes, 1);
  const int64_t task_pixels = kTaskTilesOfReals * kernel_.pixels;
  // The rows that two neighbours both pack.
  const int64_t shared =
      std::max<int64_t>((params_.kernel[0] - 1) * params_.dilation[0] + 1 - params_.stride[0], 0);
  const int64_t x_rows = std::max(kStripBytes / row_bytes, kStripOverlap * shared);
  return std::max(
      {x_rows / params_.stride[0], task_pixels / std::max<int64_t>(y_shape.width, 1), int64_t{1}});
}

void TiledConv::UsePlanes(Image* image) const {
  image->pixel = static_cast<int64_t>(sizeof(float));
  image->word = image->x_shape.height * image->x_shape.width * image->pixel;
  image->group = params_.group_channels * image->word;
  image->plane = 0;  // the only one
  image->words = reinterpret_cast<const unsigned char*>(image->x) +
                 image->x_rows.first * image->x_shape.width * image->pixel;
}

void TiledConv::RunRows(Image image, const Parallel& parallel) const {
  image.x_rows = RowsOfInput(image.y_rows, image.x_shape.height);
  std::optional<ScratchBuffer> packed;
  if (packs_) {
    const int64_t pixels = image.x_rows.size() * image.x_shape.width;
    image.word = kernel_.word_bytes;
    image.pixel = weights_.words() * image.word;
    image.group = CheckedProduct(pixels, image.pixel, "the packed input");
    image.plane = CheckedProduct(params_.group, image.group, "the packed input");
    packed.emplace(static_cast<size_t>(CheckedProduct(image.plane, planes_, "the packed input")));
    image.words = packed->data();
    PackRows(image, packed->data(), parallel);
  } else {
    UsePlanes(&image);
  }

  const std::vector<OutputTile> tiles =
      CutIntoTiles(params_, image.x_shape, image.y_shape, image.y_rows, kernel_.pixels);
  const int64_t panels = params_.group * weights_.panels();
  const int64_t tile_count = static_cast<int64_t>(tiles.size());
  const bool reals = kernel_.element == Element::kReals;
  const int64_t task_tiles = reals ? kTaskTilesOfReals : kTaskTiles;
  const int64_t tasks = (tile_count + task_tiles - 1) / task_tiles;
  // Neighbouring tasks share a panel of weights.
  parallel.For(static_cast<size_t>(panels * tasks), [&](size_t index) {
    const Panel panel = MakePanel(image, static_cast<int64_t>(index) / tasks);
    const int64_t task = static_cast<int64_t>(index) % tasks;
    const int64_t first = tile_count * task / tasks;
    const int64_t count = tile_count * (task + 1) / tasks - first;
    if (reals) {
      RunReals(tiles.data() + first, count, image, panel);
    } else {
      RunIntegers(tiles.data() + first, count, image, panel);
    }
  });
}

void TiledConv::Run(const float* x, const ImageShape& x_shape, float* y, const ImageShape& y_shape,
                    const Parallel& parallel) const {
  // Where pixels have nothing to do with their neighbours, an image is one long column: longer
  // tiles, and strips of any length.
  if (params_.IsPointwise() && x_shape.width > 1) {
    const int64_t pixels = x_shape.height * x_shape.width;
    return Run(x, {x_shape.batch, x_shape.channels, pixels, 1}, y,
               {y_shape.batch, y_shape.channels, pixels, 1}, parallel);
  }
  Image image;
  image.x_shape = x_shape;
  image.y_shape = y_shape;
  const int64_t strips = y_shape.height / RowsOfStrip(x_shape, y_shape);
  for (int64_t n = 0; n < x_shape.batch; ++n) {
    image.x = x + n * x_shape.channels * x_shape.height * x_shape.width;
    image.y = y + n * y_shape.channels * y_shape.height * y_shape.width;
    if (strips < kLeastStrips) {
      image.y_rows = {0, y_shape.height};
      RunRows(image, parallel);
      continue;
    }
    std::atomic<bool> out_of_memory{false};
    parallel.For(static_cast<size_t>(strips), [&](size_t index) {
      const int64_t strip = static_cast<int64_t>(index);
      Image part = image;
      part.y_rows = {y_shape.height * strip / strips, y_shape.height * (strip + 1) / strips};
      try {
        RunRows(part, Serial());
      } catch (const std::bad_alloc&) {
        out_of_memory = true;
      }
    });
    if (out_of_memory) throw std::bad_alloc();
  }
}

}  // namespace onnxbin
