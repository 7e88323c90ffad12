/* auditing - the autoscaler's audit (common/audit.h): where its file is, and how the changes end
 * that an earlier autoscaler has left without an outcome: by what the store, the drivers and the
 * conf file show now.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_AUDITING_H
#define AUTOSCALER_AUDITING_H

#include "common/audit.h"

struct auditing; /* opaque */
struct facts;
struct reload;
struct settings;
struct version_store;

typedef struct facts auditing_facts_fn(void *arg);

/* All but settings is borrowed until auditing_close().  NULL with err: the file cannot be opened.
 */
NODISCARD struct auditing *auditing_open(struct loop *, const struct settings *,
					 auditing_facts_fn *, void *arg, struct err *);
void auditing_close(struct auditing **);
/* That of a conf file is ended by it. */
void auditing_set_reload(struct auditing *, struct reload *);
/* The store, as it was read; NULL: it cannot be. */
void auditing_set_store(struct auditing *, const struct version_store *);

/* Go over to the file of these settings.  -1 with err, which has file and line: nothing has
 * changed. */
NODISCARD int auditing_adopt(struct auditing *, const struct settings *, struct err *);
void auditing_tick(struct auditing *); /* each second */
/* The file that the settings name, the caller's to free; NULL: none. */
NODISCARD char *auditing_file(const struct settings *);

/* Another program is about to take the place of this one (false: one is already); or it does not.
 */
NODISCARD bool auditing_upgrade(struct auditing *, const char *signal);
void auditing_upgrade_failed(struct auditing *, const char *why);

struct audit *auditing_audit(const struct auditing *); /* NULL of NULL */

#endif
