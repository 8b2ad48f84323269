// SPDX-License-Identifier: Apache-2.0
#include "base/amx.h"

#include <cerrno>

#include "base/cpu_features.h"
#include "check.h"

namespace {

TEST(code_that_uses_tiles_is_told_by_its_features) {
  CHECK(aot::uses_tiles({"avx2", "amx_bf16"}));
  CHECK(aot::uses_tiles({"AMX_TILE"}));
  CHECK(aot::uses_tiles({"amx-int8"}));
  CHECK(!aot::uses_tiles({"avx512_bf16", "avx2"}));
  CHECK(!aot::uses_tiles({}));
}

TEST(the_kernel_gives_tiles_where_there_are_any) {
  const bool has_them = aot::missing_cpu_features({"amx_tile"}).empty();
  CHECK_EQUAL(aot::ask_for_tiles() == 0, has_them);
  CHECK_EQUAL(aot::ask_for_tiles() == 0, has_them);  // asking twice does no harm
}

TEST(refused_tiles_are_the_machines_fault_and_say_whose) {
  aot::check_tiles("model.pt2", 0);
  for (const int refusal : {EINVAL, ENOSYS, EOPNOTSUPP, EPERM}) {
    CHECK_THROWS(AOT_MACHINE_MISMATCH, "model.pt2 uses AMX", aot::check_tiles("model.pt2", refusal));
    CHECK_THROWS(AOT_MACHINE_MISMATCH, "sandbox", aot::check_tiles("model.pt2", refusal));
  }
  CHECK_THROWS(AOT_MACHINE_MISMATCH, "sigaltstack", aot::check_tiles("model.pt2", ENOSPC));
}

}  // namespace
