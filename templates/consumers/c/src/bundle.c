#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT */
#include "bundle.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bundle's folder, without a slash at its end. */
static void bundle_path(char* path, size_t size) {
  const char* named = getenv("AOT_BUNDLE");
  if (named != NULL && *named != '\0') {
    snprintf(path, size, "%s", named);
    return;
  }
  Dl_info library = {0};
  dladdr(dlsym(RTLD_DEFAULT, "aot_build_info"), &library);
  snprintf(path, size, "%s", library.dli_fname != NULL ? library.dli_fname : ""); /* BUNDLE/lib/libaot_bridge.so */
  for (int level = 0; level < 2; ++level) {
    char* slash = strrchr(path, '/');
    if (slash != NULL) *slash = '\0';
  }
}

aot_status find_model(const char* name, char* path, size_t size) {
  char bundle[4096];
  bundle_path(bundle, sizeof bundle);
  if ((size_t)snprintf(path, size, "%s/models", bundle) >= size) {
    fprintf(stderr, "error: %s: the path is too long\nthe model cannot be opened\nmove the bundle\n", bundle);
    return AOT_USAGE;
  }

  char found[256] = "";
  char known[1024] = ""; /* names, for the message */
  int matches = 0;
  DIR* models = opendir(path);
  for (struct dirent* entry; models != NULL && (entry = readdir(models)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    const size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", entry->d_name);
    if (name != NULL && strcmp(name, entry->d_name) != 0) continue;
    snprintf(found, sizeof found, "%s", entry->d_name);
    ++matches;
  }
  if (models != NULL) closedir(models);

  if (matches != 1) {
    fprintf(stderr, "error: %s%s; %s holds %s\n", name != NULL ? "no model is named " : "no model was named",
            name != NULL ? name : "", path, known[0] != '\0' ? known : "none");
    fputs("a bundle has a folder per model\nname one of them with --model, or set AOT_BUNDLE to a bundle\n", stderr);
    return AOT_USAGE;
  }
  const size_t length = strlen(path);
  if ((size_t)snprintf(path + length, size - length, "/%s", found) >= size - length) {
    fprintf(stderr, "error: %s: the path is too long\nthe model cannot be opened\nmove the bundle\n", bundle);
    return AOT_USAGE;
  }
  return AOT_OK;
}
