/* store - the services that activatorctl made, as files in state_dir/services: one document for
 * each service, NAME.conf, and one for each revision, NAME@REVISION.conf.
 *
 * A change is whole or not at all, whenever the process is killed or the disk is full: new
 * revisions are written first, then the document of the service, which is the commit, and what it
 * names no more is removed last.  Each document is written beside its place, synced, renamed, and
 * the folder is synced.  What a killed process has left is removed at the next start.  A document
 * that is broken is set aside with the suffix .broken; the log names it, and no other service is
 * harmed.
 *
 * Its calls block for as long as the disk takes.  They are as rare as an operator's commands.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_VERSIONS_STORE_H
#define AUTOSCALER_VERSIONS_STORE_H

#include <sys/types.h>

#include "autoscaler/versions/model.h"

#define STORE_SERVICES_MAX 10000

struct version_store; /* opaque */

/* Read the folder below state_dir; it is made with the first service.  NULL with err: the folder
 * cannot be read. */
NODISCARD struct version_store *version_store_open(const char *state_dir, struct err *);
void version_store_close(struct version_store **);

size_t version_store_n(const struct version_store *);
const struct stored_service *version_store_at(const struct version_store *, size_t i);
const struct stored_service *version_store_find(const struct version_store *, const char *name);

/* Commit a changed copy, or a new service; it is taken over, also on failure.  Its generation must
 * be that of the stored one (0: there is none): else another command was faster (EAGAIN).
 * -1 with err: nothing has changed. */
NODISCARD int version_store_put(struct version_store *, struct stored_service **, struct err *);
NODISCARD int version_store_remove(struct version_store *, const char *name, struct err *);

/* For tests: the calls that change the folder; NULL: those of the system. */
struct store_calls {
	int (*open)(const char *path, int flags, mode_t mode);
	ssize_t (*write)(int fd, const void *data, size_t n);
	int (*sync)(int fd);
	int (*rename)(const char *from, const char *to);
	int (*unlink)(const char *path);
};
void version_store_replace_calls(const struct store_calls *);

#endif
