/* scale_audit - the changes of a revision's scale in the audit (common/audit.h): an intent when the
 * driver is asked for another number, by the rule or the command that wants it, and an outcome when
 * the driver shows it, or why it does not.  Instances that are started in place of others change no
 * scale.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SCALE_AUDIT_H
#define AUTOSCALER_RECONCILE_SCALE_AUDIT_H

#include "common/audit.h"

struct scaled_revision;

/* Of one revision. */
struct scale_audit {
	struct audit *audit;	   /* borrowed; NULL: off */
	struct audit_entry entry;  /* the change under way */
	char *service;		   /* of the revision; NULL until the first change */
	uint32_t to;		   /* it leads there */
	bool is_raise, has_failed; /* has_failed: the audit has why */
	struct audit_by asked_by;  /* rules `woken` and `asleep`: who has asked; names a constant */
};

void scale_audit_fini(struct scale_audit *);

/* The driver is about to be asked for `to` instances in place of `from`. */
void scale_audit_change(struct scaled_revision *, const struct audit_by *, uint32_t from,
			uint32_t to);
/* … by the rule of what is wanted now. */
void scale_audit_decided(struct scaled_revision *, uint32_t from, uint32_t to);
/* Another client has set the number. */
void scale_audit_foreign(struct scaled_revision *, const char *by, uint32_t from, uint32_t to);
/* … and the driver is about to set ours again. */
void scale_audit_overruled(struct scaled_revision *, const char *by, uint32_t to);
/* What is known of its instances may have changed: is the change done, or has it failed? */
void scale_audit_look(struct scaled_revision *);
/* The revision is not configured any more. */
void scale_audit_forget(struct scaled_revision *);

#endif
