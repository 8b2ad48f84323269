#include "convolution.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "table.h"
#include "threads/parallel.h"
#include "tiling.h"

namespace slim::matrix {
namespace {

// Multiplications below which another thread costs more than it brings.
constexpr int64_t kWorthAThread = 1 << 17;

// Panels of a group that stay in the second-level cache: tiles then pass one after the other. Larger ones come from
// further away, and as many tiles as fit are packed before them.
constexpr int64_t kNearBytes = 3 << 18;
constexpr int64_t kFewLeftBytes = 1 << 17;
constexpr int64_t kMostLeftBytes = 3 << 19;

// Fewer channels than this are packed together with those of neighbouring taps.
constexpr int64_t kFewChannels = 16;

// Windows are multiplied where they lie in place of being packed. Places at distances of multiples of so many bytes
// share a few lines of the first-level cache, fewer than a tile has places; and a window of one tap is packed once for
// all panels, which pays from so many results on.
constexpr int64_t kColliding = 2048;
constexpr int64_t kManyOutputs = 192;

struct Tap {
  int64_t number;  // of the kernel's
  int64_t offset;  // from a position times `in_step` to the place that it is multiplied with
};

// One dim of a convolution, or of those of its results that are `out_step` apart.
struct Axis {
  int64_t positions;
  int64_t first;  // place of position 0 in the result
  int64_t out_step;
  int64_t in_step;
  int64_t size;  // of the source
  std::vector<Tap> taps;

  bool has(int64_t place) const { return place >= 0 && place < size; }
};

// Results of a transposed convolution with a stride take different taps, in turn: one axis for each turn.
std::vector<Axis> axes_of(const Geometry& geometry, int dim) {
  const int64_t stride = geometry.stride[dim];
  const int64_t padding = geometry.padding[dim];
  const int64_t turns = geometry.transposed ? std::min(stride, geometry.out[dim]) : 1;
  std::vector<Axis> axes;
  for (int64_t turn = 0; turn < turns; ++turn) {
    Axis axis{geometry.out[dim], 0, 1, stride, geometry.in[dim], {}};
    if (geometry.transposed) axis = {divided(geometry.out[dim] - turn, stride), turn, stride, 1, geometry.in[dim], {}};
    for (int64_t tap = 0; tap < geometry.kernel[dim]; ++tap) {
      const int64_t reach = tap * geometry.dilation[dim];
      if (!geometry.transposed) {
        axis.taps.push_back({tap, reach - padding});
      } else if ((turn + padding - reach) % stride == 0) {
        axis.taps.push_back({tap, (turn + padding - reach) / stride});
      }
    }
    axes.push_back(std::move(axis));
  }
  return axes;
}

// Taps that follow one another in the panels.
struct Stretch {
  int64_t first;  // tap of the kernel
  int64_t taps;
};

// The positions of one turn, and the taps that they take.
class Positions {
 public:
  Positions(const Geometry& geometry, const Axis* const (&axes)[kPlaces])
      : axes_{axes[0], axes[1], axes[2]},
        per_picture_(axes[0]->positions * axes[1]->positions * axes[2]->positions),
        count_(geometry.batch * per_picture_),
        kernel_{geometry.kernel[1], geometry.kernel[2]} {
    for (const Tap& a : axes[0]->taps) {
      for (const Tap& b : axes[1]->taps) {
        for (const Tap& c : axes[2]->taps) {
          const int64_t tap = number(a, b, c);
          ++taps_;
          if (!stretches_.empty() && stretches_.back().first + stretches_.back().taps == tap) {
            ++stretches_.back().taps;
          } else {
            stretches_.push_back({tap, 1});
          }
        }
      }
    }
  }

  struct Spot {
    int64_t picture;
    int64_t at[kPlaces];
  };

  Spot spot(int64_t position) const {
    const int64_t line = position / axes_[2]->positions;
    return {
        position / per_picture_,
        {line / axes_[1]->positions % axes_[0]->positions, line % axes_[1]->positions, position % axes_[2]->positions}};
  }
  // To the next position.
  void advance(Spot& spot) const {
    for (int d = kPlaces - 1; d >= 0; --d) {
      if (++spot.at[d] < axes_[d]->positions) return;
      spot.at[d] = 0;
    }
    ++spot.picture;
  }
  // Where a spot lies in the result.
  int64_t place(const Spot& spot, const Steps& to) const {
    int64_t place = spot.picture * to.batch;
    for (int d = 0; d < kPlaces; ++d) place += (axes_[d]->first + spot.at[d] * axes_[d]->out_step) * to.place[d];
    return place;
  }

  // Of a tap among all of the kernel.
  int64_t number(const Tap& a, const Tap& b, const Tap& c) const {
    return (a.number * kernel_[0] + b.number) * kernel_[1] + c.number;
  }

  const Axis& axis(int dim) const { return *axes_[dim]; }
  int64_t count() const { return count_; }
  int64_t per_picture() const { return per_picture_; }
  int64_t taps() const { return taps_; }
  const std::vector<Stretch>& stretches() const { return stretches_; }

 private:
  const Axis* axes_[kPlaces];
  int64_t per_picture_;
  int64_t count_;
  int64_t kernel_[2];  // sizes of its last dims
  int64_t taps_ = 0;
  std::vector<Stretch> stretches_;
};

// The left side of the products: for each position, all taps of the picture around it, zeros where there is none.
class Windows {
 public:
  Windows(const Geometry& geometry, const Kernels& kernels, const TileTable& table, const Positions& positions,
          const float* source, const Steps& from)
      : kernels_(kernels),
        in_block_(table.in_block),
        positions_(positions),
        source_(source),
        from_(from),
        channels_(geometry.inputs),
        taps_in_line_(static_cast<int64_t>(positions.axis(2).taps.size())) {
    bool neighbours = in_block_ == 1 && from.channel == 1 && from.place[2] == channels_ && channels_ < kFewChannels;
    const std::vector<Tap>& taps = positions.axis(2).taps;
    for (size_t i = 1; i < taps.size(); ++i) neighbours = neighbours && taps[i].offset == taps[i - 1].offset + 1;
    whole_lines_ = neighbours && taps_in_line_ > 0;
    const bool collides = from.place[2] * positions.axis(2).in_step * 4 % kColliding == 0;
    const bool pays = positions.taps() > 1 || geometry.outputs < kManyOutputs;
    in_place_ = table.in_place[0][0] != nullptr && from.channel == 1 && steps() >= kFewChannels &&
                positions.stretches().size() == 1 && !collides && pays;
  }

  // Windows that are multiplied where they lie are so many stretches of so many steps.
  int64_t stretches() const { return whole_lines_ ? positions_.taps() / taps_in_line_ : positions_.taps(); }
  int64_t steps() const { return whole_lines_ ? taps_in_line_ * channels_ : channels_; }

  // Words that what is known of a position takes.
  int64_t words() const {
    if (in_place_ && !whole_lines_) return positions_.taps() * kWordsOfPlace;
    const int64_t words = positions_.taps() * channels_;
    // Some tiles hold pointers there.
    return in_place_ ? (words + kWordsOfPlace - 1) / kWordsOfPlace * kWordsOfPlace : words;
  }

  // Of the memory that `pack` works in.
  int64_t scratch_words() const { return whole_lines_ ? kMostRows * taps_in_line_ * channels_ : channels_; }

  // What has become of a tile of positions.
  struct Packed {
    bool all_inside;  // all taps lie in the picture
    bool in_place;    // only where the stretches are is known, [stretches][rows]; else as the table wants it
  };

  // Packs positions from `first` on. The scratch memory is zeros at first and stays the caller's, as long as tiles are
  // used.
  Packed pack(int64_t group, int64_t first, int64_t rows, uint32_t* scratch, uint32_t* to) const {
    Row row[kMostRows];
    bool all_inside = true;
    Positions::Spot spot = positions_.spot(first);
    for (int64_t i = 0; i < rows; ++i, positions_.advance(spot)) {
      row[i] = row_of(group, spot);
      for (int d = 0; d < kPlaces; ++d) {
        for (const Tap& tap : positions_.axis(d).taps)
          all_inside = all_inside && positions_.axis(d).has(row[i].at[d] + tap.offset);
      }
    }
    const bool in_place = in_place_ && (all_inside || !whole_lines_);
    for (const Tap& a : positions_.axis(0).taps) {
      for (const Tap& b : positions_.axis(1).taps) {
        const float* line[kMostRows];  // of the source, null where there is none
        for (int64_t i = 0; i < rows; ++i) {
          const int64_t x = row[i].at[0] + a.offset;
          const int64_t y = row[i].at[1] + b.offset;
          const bool inside = positions_.axis(0).has(x) && positions_.axis(1).has(y);
          line[i] = inside ? row[i].base + x * from_.place[0] + y * from_.place[1] : nullptr;
        }
        if (in_place) {
          to = point_to_stretches(row, line, rows, scratch, to);
        } else {
          to = whole_lines_ ? pack_line(row, line, rows, scratch, to) : pack_taps(row, line, rows, scratch, to);
        }
      }
    }
    return {all_inside, in_place};
  }

  // Calls f(number of the tap) for each tap that a position has in the picture, with its channels at `to`.
  template <class F>
  void each_tap(int64_t group, int64_t position, uint32_t* to, const F& f) const {
    const Row row = row_of(group, positions_.spot(position));
    for (const Tap& a : positions_.axis(0).taps) {
      const int64_t x = row.at[0] + a.offset;
      for (const Tap& b : positions_.axis(1).taps) {
        const int64_t y = row.at[1] + b.offset;
        for (const Tap& c : positions_.axis(2).taps) {
          const int64_t z = row.at[2] + c.offset;
          if (!positions_.axis(0).has(x) || !positions_.axis(1).has(y) || !positions_.axis(2).has(z)) continue;
          const float* at = row.base + x * from_.place[0] + y * from_.place[1] + z * from_.place[2];
          for (int64_t i = 0; i < channels_; ++i) std::memcpy(to + i, at + i * from_.channel, 4);
          f(positions_.number(a, b, c));
        }
      }
    }
  }

 private:
  static constexpr int64_t kWordsOfPlace = sizeof(const char*) / 4;

  struct Row {
    const float* base;
    int64_t at[kPlaces];
  };

  // Where the taps of a line are, or its first one that all follow.
  uint32_t* point_to_stretches(const Row* row, const float* const* line, int64_t rows, const uint32_t* zeros,
                               uint32_t* to) const {
    const Axis& axis = positions_.axis(2);
    for (int64_t tap = 0; tap < (whole_lines_ ? 1 : taps_in_line_); ++tap) {
      for (int64_t i = 0; i < rows; ++i, to += kWordsOfPlace) {
        const int64_t x = row[i].at[2] + axis.taps[static_cast<size_t>(tap)].offset;
        const bool inside = line[i] != nullptr && axis.has(x);
        const void* const at = inside ? static_cast<const void*>(line[i] + x * from_.place[2]) : zeros;
        std::memcpy(to, reinterpret_cast<const char*>(&at), sizeof at);
      }
    }
    return to;
  }

  Row row_of(int64_t group, const Positions::Spot& spot) const {
    Row row{source_ + spot.picture * from_.batch + group * channels_ * from_.channel, {}};
    for (int d = 0; d < kPlaces; ++d) row.at[d] = spot.at[d] * positions_.axis(d).in_step;
    return row;
  }

  // All taps of a line at once.
  uint32_t* pack_line(const Row* row, const float* const* line, int64_t rows, uint32_t* scratch, uint32_t* to) const {
    const Axis& axis = positions_.axis(2);
    const int64_t words = taps_in_line_ * channels_;
    const char* at[kMostRows];
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t begin = row[i].at[2] + axis.taps[0].offset;
      const int64_t low = std::clamp<int64_t>(-begin, 0, taps_in_line_);
      const int64_t high = line[i] == nullptr ? low : std::clamp(axis.size - begin, low, taps_in_line_);
      if (line[i] != nullptr && low == 0 && high == taps_in_line_) {
        at[i] = reinterpret_cast<const char*>(line[i] + begin * channels_);
        continue;
      }
      uint32_t* filled = scratch + i * words;
      std::memset(filled, 0, static_cast<size_t>(words) * 4);
      if (high > low) {
        std::memcpy(filled + low * channels_, line[i] + (begin + low) * channels_,
                    static_cast<size_t>((high - low) * channels_) * 4);
      }
      at[i] = reinterpret_cast<const char*>(filled);
    }
    kernels_.gather(at, rows, words, rows, to);
    return to + words * rows;
  }

  uint32_t* pack_taps(const Row* row, const float* const* line, int64_t rows, uint32_t* zeros, uint32_t* to) const {
    const Axis& axis = positions_.axis(2);
    for (const Tap& tap : axis.taps) {
      const char* at[kMostRows];
      int64_t step[kMostRows];  // in bytes
      bool together = true;     // all are there, one behind the other
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t x = row[i].at[2] + tap.offset;
        const bool inside = line[i] != nullptr && axis.has(x);
        at[i] = reinterpret_cast<const char*>(zeros);
        step[i] = 0;
        if (inside) {
          at[i] = reinterpret_cast<const char*>(line[i] + x * from_.place[2]);
          step[i] = from_.channel * 4;
        }
        together = together && inside && at[i] == at[0] + i * 4;
      }
      if (from_.channel == 1) {
        if (positions_.taps() == 1) fetch_next(at, rows);
        if (in_block_ > 1) {
          gather_blocks(at, rows, to);
        } else {
          kernels_.gather(at, rows, channels_, rows, to);
        }
      } else if (rows > 0 && together) {
        for (int64_t c = 0; c < channels_; ++c) copy_words(at[0] + c * step[0], rows, to + c * rows);
      } else {
        for (int64_t c = 0; c < channels_; ++c) {
          for (int64_t i = 0; i < rows; ++i) std::memcpy(to + c * rows + i, at[i] + c * step[i], 4);
        }
      }
      to += channels_ * rows;
    }
    return to;
  }

  // [channels / in_block][rows][in_block]
  void gather_blocks(const char* const* at, int64_t rows, uint32_t* to) const {
    for (int64_t c = 0; c < channels_; c += in_block_) {
      for (int64_t i = 0; i < rows; ++i, to += in_block_)
        std::memcpy(to, at[i] + c * 4, static_cast<size_t>(in_block_) * 4);
    }
  }

  // Fetches what the next tile has where these rows are.
  void fetch_next(const char* const* at, int64_t rows) const {
    const int64_t distance = rows * positions_.axis(2).in_step * from_.place[2] * 4;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t byte = 0; byte < channels_ * 4; byte += kLine) __builtin_prefetch(at[i] + distance + byte, 0, 2);
    }
  }

  static void copy_words(const char* from, int64_t words, uint32_t* to) {
    for (; words >= 4; words -= 4, from += 16, to += 4) std::memcpy(to, from, 16);
    for (; words > 0; --words, from += 4, ++to) std::memcpy(to, from, 4);
  }

  const Kernels& kernels_;
  const int64_t in_block_;
  const Positions& positions_;
  const float* const source_;
  const Steps& from_;
  const int64_t channels_;
  const int64_t taps_in_line_;
  bool whole_lines_ = false;
  bool in_place_ = false;
};

// Where sums go: rows of the result that lie one behind the other at equal distances go at once.
class Target {
 public:
  Target(const Geometry& geometry, const Kernels& kernels, const Positions& positions, const Steps& to,
         const Result& result)
      : kernels_(kernels), positions_(positions), to_(to), result_(result), outputs_(geometry.outputs) {
    step_ = positions.axis(2).out_step * to.place[2];
    const int64_t line = positions.axis(1).out_step * to.place[1];
    const int64_t plane = positions.axis(0).out_step * to.place[0];
    const int64_t lines = positions.axis(2).positions * step_;
    const int64_t planes = positions.axis(1).positions * lines;
    // Positions that follow each other over the ends of lines do so at the same distance.
    if (line == lines || positions.axis(1).positions == 1) unbroken_ = positions.axis(2).positions;
    if (unbroken_ > 0) unbroken_ *= positions.axis(1).positions;
    if (unbroken_ > 0 && (plane == planes || positions.axis(0).positions == 1)) {
      unbroken_ *= positions.axis(0).positions;
    }
    if (unbroken_ == 0) unbroken_ = positions.axis(2).positions;
    origin_ = positions.place({}, to);
  }

  int64_t most_columns() const { return to_.channel == 1 ? INT64_MAX : kColumns; }

  // Fetches what sums will be added to, which comes from further away, while they are summed up: `finish` will be given
  // the same.
  void fetch(int64_t group, int64_t first, int64_t column, int64_t rows, int64_t columns) const {
    if (result_.binary == Binary::kNone || to_.channel != 1) return;
    for (int64_t row = 0; row < rows;) {
      const int64_t count = at_once(first + row, rows - row);
      int64_t at = place(first + row) + group * outputs_ + column;
      for (int64_t i = 0; i < count; ++i, at += step_) {
        for (int64_t c = at; c < at + columns; c += kPanel) __builtin_prefetch(result_.other + c, 0, 3);
      }
      row += count;
    }
  }

  // Sums [rows][stride] of positions from `first` on, and of a group's channels from `column` on.
  void finish(const float* sums, int64_t stride, int64_t group, int64_t first, int64_t column, int64_t rows,
              int64_t columns) const {
    Result result = result_;
    const int64_t channel = (group * outputs_ + column) * to_.channel;
    result.out += channel;
    if (result.binary != Binary::kNone) result.other += channel;
    if (result.bias != nullptr) result.bias += group * outputs_ + column;
    result.row_stride = result.other_row_stride = step_;
    for (int64_t row = 0; row < rows;) {
      const int64_t count = at_once(first + row, rows - row);
      const int64_t at = place(first + row);
      Result here = result;
      here.out += at;
      if (result.binary != Binary::kNone) here.other += at;
      const Place sums_here{sums + row * stride, stride, 0, 0, count, columns};
      if (to_.channel == 1) {
        kernels_.finish(sums_here, here);
      } else {
        finish_apart(sums_here, here);
      }
      row += count;
    }
  }

 private:
  static constexpr int64_t kColumns = kMostPanels * kPanel;

  // Where a position lies in the result.
  int64_t place(int64_t position) const {
    if (unbroken_ != positions_.per_picture()) return positions_.place(positions_.spot(position), to_);
    return position / unbroken_ * to_.batch + position % unbroken_ * step_ + origin_;
  }
  // Of some positions from one on, how many lie at equal distances.
  int64_t at_once(int64_t position, int64_t rows) const { return std::min(rows, unbroken_ - position % unbroken_); }

  // For channels that lie apart: finished elsewhere, then turned.
  void finish_apart(const Place& sums, Result here) const {
    alignas(kLine) float made[kMostRows * kColumns];
    alignas(kLine) float other[kMostRows * kColumns];
    alignas(kLine) uint32_t turned[kMostRows * kColumns];
    float* const out = here.out;
    if (here.binary != Binary::kNone) {
      for (int64_t c = 0; c < sums.columns; ++c) {
        for (int64_t i = 0; i < sums.rows; ++i)
          other[i * kColumns + c] = here.other[i * here.other_row_stride + c * to_.channel];
      }
      here.other = other;
      here.other_row_stride = kColumns;
    }
    here.out = made;
    here.row_stride = kColumns;
    kernels_.finish(sums, here);
    kernels_.pack(reinterpret_cast<const char*>(made), kColumns * 4, sums.rows, sums.columns, sums.rows, turned);
    for (int64_t c = 0; c < sums.columns; ++c) {
      float* to = out + c * to_.channel;
      const uint32_t* from = turned + c * sums.rows;
      if (step_ == 1) {
        std::memcpy(to, from, static_cast<size_t>(sums.rows) * 4);
      } else {
        for (int64_t i = 0; i < sums.rows; ++i) std::memcpy(to + i * step_, from + i, 4);
      }
    }
  }

  const Kernels& kernels_;
  const Positions& positions_;
  const Steps& to_;
  const Result& result_;
  const int64_t outputs_;
  int64_t step_;          // from one position to the next in a line
  int64_t unbroken_ = 0;  // so many positions of a picture lie at that distance
  int64_t origin_;        // where the first one lies
};

// Products of the windows of tiles of positions with groups of panels.
class Products {
 public:
  Products(const Geometry& geometry, const Kernels& kernels, const TileTable& table, const Positions& positions,
           const Windows& windows, const void* panels, const Target& target)
      : geometry_(geometry),
        kernels_(kernels),
        table_(table),
        positions_(positions),
        windows_(windows),
        panels_(static_cast<const char*>(panels)),
        target_(target),
        words_(positions.taps() * geometry.inputs),
        panel_words_(geometry.taps() * geometry.inputs),
        panels_in_all_(divided(geometry.outputs, kPanel)),
        tiles_(positions.count(), table_.rows),
        panels_at_once_(std::min<int64_t>(table_.panels(static_cast<int>(tiles_.highest())), panels_in_all_)),
        sweeps_(divided(panels_in_all_, panels_at_once_)),
        near_(panels_in_all_ * panel_words_ * kPanel * 4 <= kNearBytes) {
    const int64_t tile_bytes = std::max<int64_t>(words_ * 4 * tiles_.highest(), 1);
    tiles_in_block_ = std::clamp<int64_t>((near_ ? kFewLeftBytes : kMostLeftBytes) / tile_bytes, 1, tiles_.count);
    const int64_t threads = aot_slim_threads();
    const int64_t wanted = divided(2 * threads, geometry.groups * (near_ ? 1 : sweeps_));
    if (threads > 1) tiles_in_block_ = std::min(tiles_in_block_, divided(tiles_.count, std::min(wanted, tiles_.count)));
    blocks_ = divided(tiles_.count, tiles_in_block_);
    // What is near takes all panels in one task, so that no window is packed twice.
    sweeps_in_task_ = near_ || threads == 1 ? sweeps_ : 1;
    const int64_t tasks_in_block = divided(sweeps_, sweeps_in_task_);
    const int64_t tasks = geometry.groups * blocks_ * tasks_in_block;
    const int64_t work = std::max<int64_t>(positions.count() * geometry.outputs * geometry.groups * words_, 1);
    const int64_t grain = std::max<int64_t>(1, kWorthAThread * tasks / work);
    parallel_for(0, tasks, grain, [&](int64_t begin, int64_t end) { run(begin, end, tasks_in_block); });
  }

 private:
  void run(int64_t begin, int64_t end, int64_t tasks_in_block) const {
    Scratch packed(tiles_in_block_ * tiles_.highest() * windows_.words());
    Scratch scratch(windows_.scratch_words());
    std::memset(scratch.words(), 0, static_cast<size_t>(windows_.scratch_words()) * 4);
    std::vector<Windows::Packed> kinds(static_cast<size_t>(tiles_in_block_));
    const Using used(table_);
    int64_t at = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / (blocks_ * tasks_in_block);
      const int64_t block = task / tasks_in_block % blocks_;
      const int64_t first = block * tiles_in_block_;
      const int64_t tiles = std::min(tiles_in_block_, tiles_.count - first);
      if (task / tasks_in_block != at) {
        uint32_t* to = packed.words();
        for (int64_t tile = first; tile < first + tiles; ++tile) {
          kinds[static_cast<size_t>(tile - first)] =
              windows_.pack(group, tiles_.begin(tile), tiles_.rows(tile), scratch.words(), to);
          to += tiles_.rows(tile) * windows_.words();
        }
        at = task / tasks_in_block;
      }
      const int64_t sweep = task % tasks_in_block * sweeps_in_task_;
      for (int64_t s = sweep; s < std::min(sweeps_, sweep + sweeps_in_task_); ++s)
        multiply(group, first, tiles, kinds, s, packed.words());
    }
  }

  // The tiles of a block times one group of panels.
  void multiply(int64_t group, int64_t first, int64_t tiles, const std::vector<Windows::Packed>& kinds, int64_t sweep,
                const uint32_t* left) const {
    alignas(kLine) float sums[kMostRows * kMostPanels * kPanel];
    const int64_t column = sweep * panels_at_once_ * kPanel;
    const int64_t columns = std::min(geometry_.outputs - column, panels_at_once_ * kPanel);
    const int64_t panels = divided(columns, kPanel);
    const int64_t panel_bytes = panel_words_ * kPanel * 4;
    const char* right = panels_ + (group * panels_in_all_ + column / kPanel) * panel_bytes;
    const bool last = sweep + 1 == sweeps_ && group + 1 == geometry_.groups;
    Tile tile{nullptr, right, 0, kPanel * 4, panel_bytes, nullptr, 0, sums};
    const bool fetches_places = near_ && first > 0 && sweep == 0;
    if (!last && (first == 0 || !near_))
      tile.lines_ahead = divided(panels * panel_bytes / tiles / kLine, std::max<int64_t>(1, words_ / kFetchEvery));
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t rows = tiles_.rows(first + t);
      tile.ahead = right + panels * panel_bytes + panels * panel_bytes / tiles * t;
      tile.adds = false;
      const uint32_t* packed = left;
      const Windows::Packed kind = kinds[static_cast<size_t>(t)];
      target_.fetch(group, tiles_.begin(first + t), column, rows, columns);
      if (words_ == 0) std::fill(sums, sums + rows * panels * kPanel, 0.0F);
      for (const Stretch& stretch : positions_.stretches()) {
        tile.right = right + stretch.first * geometry_.inputs * kPanel * 4;
        if (kind.in_place) {
          tile.rows = reinterpret_cast<const char* const*>(left);
          if (fetches_places) {
            const bool has_next = t + 1 < tiles && kinds[static_cast<size_t>(t + 1)].in_place;
            tile.lines_ahead = 0;
            if (has_next) fetch_places(tile, left + rows * windows_.words(), tiles_.rows(first + t + 1));
          }
          tile.stretches = windows_.stretches();
          tile.steps = windows_.steps();
          table_.in_place[rows - 1][panels - 1](tile);
          continue;
        }
        tile.left = packed;
        tile.steps = stretch.taps * geometry_.inputs;
        table_.of[rows - 1][panels - 1](tile);
        packed += tile.steps * rows;
        tile.ahead += tile.steps / kFetchEvery * tile.lines_ahead * kLine;
        tile.adds = true;
      }
      left += rows * windows_.words();
      const int64_t numbers = rows * panels * kPanel;
      if (!kind.all_inside && kernels_.has_nan(sums, numbers))
        sum_inside(group, tiles_.begin(first + t), rows, panels, right, sums);
      target_.finish(sums, panels * kPanel, group, tiles_.begin(first + t), column, rows, columns);
    }
  }

  // Lets a tile fetch what the next one, of so many rows, has that is new to it: the last stretch of its rows, which
  // follow one another in channels last.
  void fetch_places(Tile& tile, const uint32_t* next, int64_t rows) const {
    tile.ahead = reinterpret_cast<const char* const*>(next)[(windows_.stretches() - 1) * rows];
    const int64_t lines = divided(rows * windows_.steps() * 4, kLine);
    tile.lines_ahead = divided(lines, std::max<int64_t>(1, words_ / kFetchEvery));
  }

  // Sums up the rows of a tile once more, tap by tap, of those in the picture alone: of an infinite weight, the zeros
  // beside the picture have made NaN.
  void sum_inside(int64_t group, int64_t first, int64_t rows, int64_t panels, const char* right, float* sums) const {
    Scratch channels(geometry_.inputs);
    std::fill(sums, sums + rows * panels * kPanel, 0.0F);
    for (int64_t row = 0; row < rows; ++row, sums += panels * kPanel) {
      Tile tile{channels.words(), nullptr, geometry_.inputs, kPanel * 4, panel_words_ * kPanel * 4, nullptr, 0, sums};
      tile.adds = true;
      windows_.each_tap(group, first + row, channels.words(), [&](int64_t number) {
        tile.right = right + number * geometry_.inputs * kPanel * 4;
        table_.of[0][panels - 1](tile);
      });
    }
  }

  const Geometry& geometry_;
  const Kernels& kernels_;
  const TileTable& table_;
  const Positions& positions_;
  const Windows& windows_;
  const char* const panels_;
  const Target& target_;
  const int64_t words_;        // of a row of the left side
  const int64_t panel_words_;  // of a column in a panel: taps of other turns too
  const int64_t panels_in_all_;
  const Tiling tiles_;
  const int64_t panels_at_once_;
  const int64_t sweeps_;
  const bool near_;
  int64_t sweeps_in_task_ = 1;
  int64_t tiles_in_block_ = 1;
  int64_t blocks_ = 1;
};

// Groups of one channel: sums of neighbouring places over the taps that are there.
class Depthwise {
 public:
  Depthwise(const Geometry& geometry, const Kernels& kernels, const Positions& positions, const float* source,
            const Steps& from, const void* panels, const Target& target)
      : geometry_(geometry),
        kernels_(kernels),
        positions_(positions),
        source_(source),
        from_(from),
        panels_(static_cast<const float*>(panels)),
        target_(target),
        width_(divided(geometry.groups, kPanel) * kPanel) {
    const int64_t line = positions.axis(2).positions;
    const int64_t lines = line == 0 ? 0 : positions.count() / line;
    const int64_t grain = divided(kWorthAThread, std::max<int64_t>(line * width_ * positions.taps(), 1));
    parallel_for(0, lines, grain, [&](int64_t begin, int64_t end) {
      Scratch sums(kMostPlaces * width_);
      std::vector<const float*> pointers(static_cast<size_t>(2 * positions.taps()));
      for (int64_t i = begin; i < end; ++i)
        sum_line(i * line, reinterpret_cast<float*>(sums.words()), pointers.data(), pointers.data() + positions.taps());
    });
  }

 private:
  void sum_line(int64_t first, float* sums, const float** at, const float** weights) const {
    const int64_t positions = positions_.axis(2).positions;
    int64_t low = positions;  // from here to `high` all taps of the line are there
    int64_t high = positions;
    inner(low, high);
    for (int64_t position = 0; position < positions;) {
      int64_t count = 1;
      if (position >= low && position < high) count = std::min<int64_t>(kMostPlaces, high - position);
      sum(first + position, count, sums, at, weights);
      position += count;
    }
  }

  void inner(int64_t& low, int64_t& high) const {
    const Axis& axis = positions_.axis(2);
    const auto whole = [&](int64_t position) {
      return std::all_of(axis.taps.begin(), axis.taps.end(),
                         [&](const Tap& tap) { return axis.has(position * axis.in_step + tap.offset); });
    };
    low = 0;
    while (low < axis.positions && !whole(low)) ++low;
    high = axis.positions;
    while (high > low && !whole(high - 1)) --high;
  }

  void sum(int64_t first, int64_t places, float* sums, const float** at, const float** weights) const {
    const Positions::Spot spot = positions_.spot(first);
    const float* base = source_ + spot.picture * from_.batch;
    int64_t taps = 0;
    for (const Tap& a : positions_.axis(0).taps) {
      const int64_t x = spot.at[0] * positions_.axis(0).in_step + a.offset;
      if (!positions_.axis(0).has(x)) continue;
      for (const Tap& b : positions_.axis(1).taps) {
        const int64_t y = spot.at[1] * positions_.axis(1).in_step + b.offset;
        if (!positions_.axis(1).has(y)) continue;
        for (const Tap& c : positions_.axis(2).taps) {
          const int64_t z = spot.at[2] * positions_.axis(2).in_step + c.offset;
          if (!positions_.axis(2).has(z)) continue;
          const int64_t number = positions_.number(a, b, c);
          at[taps] = base + x * from_.place[0] + y * from_.place[1] + z * from_.place[2];
          weights[taps] = panels_ + number * kPanel;
          ++taps;
        }
      }
    }
    kernels_.depthwise({at, weights, taps, positions_.axis(2).in_step * from_.place[2], geometry_.taps() * kPanel,
                        places, geometry_.groups, sums, width_});
    const int64_t at_once = target_.most_columns();
    for (int64_t channel = 0; channel < geometry_.groups; channel += std::min(at_once, geometry_.groups))
      target_.finish(sums + channel, width_, 0, first, channel, places, std::min(at_once, geometry_.groups - channel));
  }

  const Geometry& geometry_;
  const Kernels& kernels_;
  const Positions& positions_;
  const float* const source_;
  const Steps& from_;
  const float* const panels_;
  const Target& target_;
  const int64_t width_;  // channels, in whole panels
};

// Windows are packed in whole blocks of channels that follow one another, or word by word.
const TileTable& table_for(const Geometry& geometry, const Kernels& kernels, const Positions& positions,
                           const Steps& from) {
  const TileTable& table = kernels.table(geometry.numbers, positions.count());
  const bool fits = from.channel == 1 && geometry.inputs % table.in_block == 0;
  return fits ? table : kernels.table(geometry.numbers, 1);
}

void convolve_turn(const Geometry& geometry, const Kernels& kernels, const Positions& positions, const float* source,
                   const Steps& from, const void* panels, const Steps& to, const Result& result) {
  if (positions.count() == 0) return;
  const Target target(geometry, kernels, positions, to, result);
  if (geometry.is_depthwise()) {
    const Depthwise done(geometry, kernels, positions, source, from, panels, target);
  } else {
    const TileTable& table = table_for(geometry, kernels, positions, from);
    const Windows windows(geometry, kernels, table, positions, source, from);
    const Products done(geometry, kernels, table, positions, windows, panels, target);
  }
}

}  // namespace

int64_t panel_bytes(const Geometry& geometry) {
  if (geometry.is_depthwise()) return divided(geometry.groups, kPanel) * kPanel * geometry.taps() * 4;
  return geometry.groups * panel_bytes(geometry.numbers, geometry.outputs, geometry.taps() * geometry.inputs);
}

void pack_panels(const Geometry& geometry, const void* weights, void* panels) {
  if (geometry.is_depthwise())
    return pack_panels(Numbers::kFloat32, {weights, 1, geometry.taps()}, geometry.groups, geometry.taps(), panels);
  const int64_t depth = geometry.taps() * geometry.inputs;
  const int64_t step = panel_bytes(geometry.numbers, geometry.outputs, depth);
  const int64_t bytes = geometry.numbers == Numbers::kFloat32 ? 4 : 2;
  for (int64_t group = 0; group < geometry.groups; ++group) {
    const char* from = static_cast<const char*>(weights) + group * geometry.outputs * depth * bytes;
    pack_panels(geometry.numbers, {from, 1, depth}, geometry.outputs, depth, static_cast<char*>(panels) + group * step);
  }
}

void convolve(const Geometry& given, const void* source, const Steps& steps, const void* panels, const Steps& to,
              const Result& result, Isa isa) {
  if (given.batch <= 0 || given.groups <= 0 || given.outputs <= 0) return;
  // From here on all is counted in words of 32 bits: of bfloat16, each holds two inputs.
  Geometry geometry = given;
  Steps from = steps;
  if (given.numbers == Numbers::kBfloat16) {
    geometry.inputs /= 2;
    from.batch /= 2;
    for (int64_t& step : from.place) step /= 2;
  }
  for (const Axis& a : axes_of(geometry, 0)) {
    for (const Axis& b : axes_of(geometry, 1)) {
      for (const Axis& c : axes_of(geometry, 2)) {
        const Positions positions(geometry, {&a, &b, &c});
        convolve_turn(geometry, kernels_of(isa), positions, static_cast<const float*>(source), from, panels, to,
                      result);
      }
    }
  }
}

}  // namespace slim::matrix
