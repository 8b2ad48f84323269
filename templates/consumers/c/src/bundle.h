/* Where the bundle is. */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <aot_bridge.h>
#include <stddef.h>

/* Writes the folder of a model of the bundle into `path`; `name` may be NULL when the bundle holds one model.
 *
 * The bundle is the folder that AOT_BUNDLE names, else the one that libaot_bridge.so was loaded from.
 * Returns AOT_USAGE, with three lines on stderr, when there is no such model. */
aot_status find_model(const char* name, char* path, size_t size);

#endif
