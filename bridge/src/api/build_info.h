// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace aot {

/// The JSON text of aot_build_info(). Never null; "{}" when there is no memory for it.
const char* build_info() noexcept;

}  // namespace aot
