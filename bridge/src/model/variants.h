// SPDX-License-Identifier: Apache-2.0
// Which of a model's variants runs here: the last of those that this machine can run, for the more demanding come last.
#pragma once

#include <string>
#include <vector>

#include "aot_bridge.h"
#include "device/device.h"
#include "package/metadata.h"

namespace aot {

/// Takes one of the model's variants, where it has any.
///
/// `options.variant`, or else the environment variable AOT_VARIANT, names it; one that is named is taken whether this
/// machine can run it or not. `options.device` leaves those of that kind of device. Where this machine can run none,
/// the least demanding is taken: whoever checks it says what is missing. Throws AOT_USAGE for a name that the model
/// does not have, and for one in the options of a model that has no variants.
void choose_variant(const aot_load_options& options, Metadata* metadata, const std::string& path);

/// What choose_variant() would do and why, as aot_model_variants() documents.
std::string explain_variants(const aot_load_options& options, const Metadata& metadata, const std::string& path);

/// Throws AOT_MODEL_MISMATCH unless code for some of `archs` runs on the device, or that cannot be told.
void check_gpu(const std::string& path, const std::vector<std::string>& archs, const Device& device);

}  // namespace aot
