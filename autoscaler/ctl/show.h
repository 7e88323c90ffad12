/* show - answers as tables and pages for people, and as names or JSON for programs. */
#ifndef AUTOSCALER_CTL_SHOW_H
#define AUTOSCALER_CTL_SHOW_H

#include "autoscaler/ctl/session.h"

enum show_kind {
	SHOW_SERVICES,	/* a row for each service */
	SHOW_SERVICE,	/* a page of one */
	SHOW_REVISIONS, /* a row for each revision of the services */
	SHOW_LOAD,	/* the same, with what they do now */
	SHOW_EXPORT,	/* the text of conf files */
	SHOW_WHY,	/* a page for each revision */
	SHOW_STATUS,	/* a page of the autoscaler */
	SHOW_ROLLOUT,	/* a page of a rollout */
	SHOW_VERSION,	/* a line for each program */
	SHOW_RESULTS,	/* a line for each program that has done something */
	SHOW_STEP	/* the same, of a step of a command; as JSON only if it fails */
};

struct show; /* opaque */

/* name: only of this revision ("v1"), or NULL.  most: rows of SHOW_LOAD; 0: all. */
NODISCARD struct show *show_new(enum show_kind, enum ctl_format, const char *revision, size_t most);
/* A session_line_fn; arg: the struct show. */
void show_line(const struct session_line *, void *arg);
/* Write it, and free it.  end: how the request ended; of another end than CTL_EXIT_OK, only
 * SHOW_RESULTS and SHOW_STEP are written. */
void show_end(struct show **, const struct session_end *end);

#endif
