/* conf_watch - notices that a conf file may have changed, by inotify(7) on its folder: editors and
 * package managers replace a file, and a watch on the file itself would stay with the old one.
 *
 * Of a ConfigMap that Kubernetes mounts, the file is a symbolic link by way of `..data`, and a
 * change replaces that link for all files at once.  So each event in the folder counts.  What
 * comes in quick succession is one change.
 * Thread: the loop's. */
#ifndef COMMON_CONF_WATCH_H
#define COMMON_CONF_WATCH_H

#include "common/err.h"

struct conf_watch; /* opaque */
struct loop;

/* Is the file part of a mounted ConfigMap or Secret? */
bool conf_watch_is_mounted(const char *file);

/* Call on_change() after changes in the folder of the file.  NULL with err: the kernel has no more
 * room for watches. */
NODISCARD struct conf_watch *conf_watch_new(struct loop *, const char *file,
					    void (*on_change)(void *arg), void *arg, struct err *);
void conf_watch_free(struct conf_watch **);

#endif
