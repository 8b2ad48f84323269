// SPDX-License-Identifier: Apache-2.0
#include "package/prepared.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/mapped_file.h"
#include "base/text.h"
#include "package/json.h"

namespace aot {
namespace {

constexpr std::string_view kMagic = "aotpack weights 1 ";
constexpr size_t kDigits = 20;
constexpr size_t kLine = kMagic.size() + kDigits + 1;
constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 64;  // oneDNN's and AOTInductor's own

size_t up_to(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

Error not_whole(const std::string& path, Pieces what) {
  return {AOT_DAMAGED,
          {path, " ", concat(what)},
          {"What aotrun prepare writes is there as a whole or not at all: it was cut off or changed since."},
          {"Delete it, or write it again: aotrun prepare --output FOLDER"}};
}

Error of_another(const std::string& path, Pieces what) {
  return {
      AOT_MODEL_MISMATCH,
      {path, " ", concat(what)},
      {"It bears a name that it was not written under: the weights in it are not this model's, or not for this CPU."},
      {"Delete it, or write this model's: aotrun prepare --output FOLDER"}};
}

Error cannot_write(const std::string& path, int reason) {
  return {AOT_FAILED,
          {path, " cannot be written: ", std::strerror(reason)},
          {"Nothing is left in the folder that could be taken for the whole; models load as without it."},
          {"Give the folder room and this user the right to write there, or name another one."}};
}

std::string head_of(const Preparation& made, const std::vector<PackedWeight>& weights) {
  std::string rows;
  size_t end = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    rows += concat({rows.empty() ? "" : ", ", "{\"of\": ", json_quote(made.weights[i]), ", \"layout\": \"",
                    to_hex(weights[i].layout), "\", \"begin\": ", end, ", \"size\": ", weights[i].size, "}"});
    end = up_to(end + weights[i].size, kAlignment);
  }
  return concat({"{\"cpu\": ", json_quote(made.cpu), ", \"features\": ", json_quote(made.features),
                 ", \"threads\": ", made.threads, ", \"torch\": ", json_quote(made.torch), ", \"size\": ", end,
                 ", \"weights\": [", rows, "]}\n"});
}

/// A file on its way to its name: another process that writes the same one is told to wait, and what one left that was
/// ended is written over by the next.
class Unfinished {
 public:
  explicit Unfinished(const std::string& path) : path_(path), place_(concat({path, ".part"})) {
    for (;;) {
      constexpr mode_t kReadable = 0644;
      // Non-blocking, so that a FIFO in its place cannot hang the process.
      file_ = File(open(place_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kReadable));
      if (!file_.is_open()) throw cannot_write(place_, errno);
      if (flock(file_.descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        throw Error(AOT_FAILED, {place_, " is being written by another process"},
                    {"Somebody else prepares the same weights in this folder."}, {"Wait until that has ended."});
      }
      // Whoever held the lock before may have given the file its name meanwhile.
      struct stat ours {};
      struct stat there {};
      if (fstat(file_.descriptor(), &ours) != 0) throw cannot_write(place_, errno);
      if (!S_ISREG(ours.st_mode) || ours.st_nlink > 1) {
        throw Error(AOT_FAILED, {place_, " is not a file of its own"},
                    {"No prepare that was ended left it there; what else bears that name would be written over."},
                    {"Delete it, or name another folder."});
      }
      if (stat(place_.c_str(), &there) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev) break;
    }
    if (ftruncate(file_.descriptor(), 0) != 0) fail();
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    if (!place_.empty()) unlink(place_.c_str());
  }

  void write(const void* data, size_t size) {
    if (!write_all(file_, static_cast<const uint8_t*>(data), size)) fail();
  }

  void fill_to(size_t multiple, size_t written) {
    const std::string zeros(up_to(written, multiple) - written, '\0');
    write(zeros.data(), zeros.size());
  }

  /// Gives it its name, once the disk has it.
  void finish(const std::string& folder) {
    if (fsync(file_.descriptor()) != 0 || rename(place_.c_str(), path_.c_str()) != 0) fail();
    place_.clear();
    const File entries(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (entries.is_open()) fsync(entries.descriptor());  // some file systems cannot, and lose at worst the whole file
  }

 private:
  [[noreturn]] void fail() {
    const int reason = errno;
    unlink(place_.c_str());
    place_.clear();
    throw cannot_write(path_, reason);
  }

  std::string path_;
  std::string place_;  // empty: it is gone from there
  File file_;
};

}  // namespace

std::string Preparation::path_in(const std::string& folder) const {
  std::string all = concat({cpu, "\n", features, "\n", threads, "\n", torch, "\n"});
  for (const std::string& weight : weights) all.append(weight).append("\n");
  return concat({folder, "/", cpu, "-", threads, "-", fingerprint(all), ".weights"});
}

MappedFile map_prepared(const std::string& path) {
  struct stat there {};
  if (stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) throw not_whole(path, {"is not a regular file"});
  try {
    return MappedFile(path);
  } catch (const Error& error) {
    if (error.status() != AOT_MACHINE_MISMATCH) throw;
    throw Error(AOT_MACHINE_MISMATCH, {path, " may not be read by this user"},
                {"Whoever ran aotrun prepare kept it for himself: files are made with his umask."},
                {"Run: chmod a+r ", path, ". With AOT_PREPARED= the model is loaded without it."});
  }
}

Error described_larger(const std::string& path, const std::string& weight) {
  return not_whole(path, {"describes the weight ", weight, " larger than it is"});
}

std::vector<PackedWeight> read_prepared(const uint8_t* data, size_t size, const Preparation& wanted,
                                        const std::string& path) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.substr(0, kMagic.size()) != kMagic || size < kLine) throw not_whole(path, {"does not begin as it should"});
  size_t head = 0;
  for (const char c : text.substr(kMagic.size(), kDigits)) {
    constexpr size_t kMost = size_t{1} << 40U;
    if (c < '0' || c > '9' || head > kMost) throw not_whole(path, {"has a head of no size"});
    head = head * 10 + static_cast<size_t>(c - '0');
  }
  if (head > size - kLine) throw not_whole(path, {"has ", size, " bytes, fewer than its head alone"});
  const size_t begin = up_to(kLine + head, kPage);
  try {
    const Json document = Json::parse(text.substr(kLine, head));
    const int64_t all = document.at("size").integer();
    if (begin > size || all < 0 || static_cast<uint64_t>(all) != size - begin) {
      throw not_whole(path, {"has ", size, " bytes, and by its head ", begin, " and ", all});
    }
    const auto said = [](const std::string& cpu, const std::string& features, int64_t threads,
                         const std::string& torch) {
      return concat({cpu, " (", features, "), ", threads, " threads and torch ", torch});
    };
    const std::string found = said(document.at("cpu").text(), document.at("features").text(),
                                   document.at("threads").integer(), document.at("torch").text());
    const std::string here = said(wanted.cpu, wanted.features, wanted.threads, wanted.torch);
    if (found != here) throw of_another(path, {"is for ", found, "; this is ", here});
    const std::vector<Json>& rows = document.at("weights").items();
    bool is_same = rows.size() == wanted.weights.size();
    for (size_t i = 0; is_same && i < rows.size(); ++i) is_same = rows[i].at("of").text() == wanted.weights[i];
    if (!is_same) throw of_another(path, {"was made from other weights"});
    std::vector<PackedWeight> weights;
    for (const Json& row : rows) {
      const int64_t first = row.at("begin").integer();
      const int64_t bytes = row.at("size").integer();
      if (first < 0 || bytes < 0 || first > all || bytes > all - first ||
          static_cast<size_t>(first) % kAlignment != 0) {
        throw not_whole(path, {"has a weight of ", bytes, " bytes at ", first, " of ", all});
      }
      weights.push_back(
          {from_hex(row.at("layout").text()), data + begin + static_cast<size_t>(first), static_cast<size_t>(bytes)});
    }
    return weights;
  } catch (const JsonError& error) {
    throw not_whole(path, {"has a head that is malformed: ", error.what()});
  }
}

void write_prepared(const std::string& path, const Preparation& made, const std::vector<PackedWeight>& weights) {
  const std::string head = head_of(made, weights);
  const std::string digits = std::to_string(head.size());
  const std::string line = concat({kMagic, std::string(kDigits - digits.size(), '0'), digits, "\n"});
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  constexpr mode_t kReadable = 0755;
  if (mkdir(folder.c_str(), kReadable) != 0 && errno != EEXIST) throw cannot_write(folder, errno);
  Unfinished file(path);
  file.write(line.data(), line.size());
  file.write(head.data(), head.size());
  file.fill_to(kPage, kLine + head.size());
  for (const PackedWeight& weight : weights) {
    file.write(weight.data, weight.size);
    file.fill_to(kAlignment, weight.size);
  }
  file.finish(folder);
}

}  // namespace aot
