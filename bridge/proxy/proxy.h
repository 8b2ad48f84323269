/* SPDX-License-Identifier: Apache-2.0
 *
 * libaot_proxy.so: libtorch's proxy executor, which runs the ops that have no C shim. The only part of the bridge that
 * speaks libtorch's C++, so it is a library of its own, made and shipped for models that need it. Only libaot_bridge.so
 * calls it. */
#ifndef AOT_PROXY_H
#define AOT_PROXY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aot_proxy aot_proxy;

/* `library` is a path that ends in .so and leads to libaot_proxy.so; the file of the same name that ends in .json
 * describes the ops. NULL on failure, with the reason in `error`. */
__attribute__((visibility("default"))) aot_proxy* aot_proxy_create(const char* library, const char* device, char* error,
                                                                   size_t error_size);

/* What AOTInductorModelContainerRun takes as its proxy executor; valid as long as the proxy. */
__attribute__((visibility("default"))) void* aot_proxy_executor(const aot_proxy* proxy);

/* Of a tensor of the C shim: `*resolved` becomes a new handle of its elements as they are to be read, or NULL when the
 * memory says them already. 0 on failure, with the reason in `error`. */
__attribute__((visibility("default"))) int aot_proxy_resolve(void* tensor, void** resolved, char* error,
                                                             size_t error_size);

__attribute__((visibility("default"))) void aot_proxy_delete(aot_proxy* proxy);

#ifdef __cplusplus
}
#endif
#endif /* AOT_PROXY_H */
