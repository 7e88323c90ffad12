/* model - a service of the store: what is the same for all its versions, the revisions that were
 * made of it, and the route, which says what part of the traffic each of them gets.
 *
 * A revision never changes.  A template that equals an existing one makes no new revision.  The
 * percents of a service sum to 100.  A revision without percent and without tag costs nothing, and
 * stays to go back to, until there are too many (model_collect()).
 * A part of a revision's percent may follow `latest`: it moves on when the next one is deployed.
 * Pure: no clock, no I/O.  Thread: the owner.
 *
 * Room: autoscaler/versions has the services that activatorctl makes: their model, and the store
 * that keeps them in state_dir.  It may use common/ alone.  It knows neither drivers nor
 * activators: services.c makes settings of what is in the store, like those of the conf file.
 *	store		the files
 *	document	a service as the text of conf files, and back
 *	change		what a command has changed, in words
 *	model		what a command, or a step of a rollout, changes
 *	rollout		a rollout: what was asked for, and how far it is
 *	rollout_judge	when a step is over, and when the rollout goes back
 *	evidence	what the requests of each revision have come to */
#ifndef AUTOSCALER_VERSIONS_MODEL_H
#define AUTOSCALER_VERSIONS_MODEL_H

#include "autoscaler/versions/rollout.h"

#define MODEL_REVISIONS_MAX 2000 /* of a service */

struct stored_revision {
	char *name;	   /* "shop-00002", or as the operator has named it */
	char *body;	   /* its keys and sections, as the text of a conf file (document.h) */
	int64_t created_s; /* wall clock */
	/* Since when it has had neither traffic nor a tag (wall clock); 0: it has, or it is not
	 * known (model_note_activity()). */
	int64_t inactive_s;
	uint32_t percent;
	uint32_t latest; /* of percent; of one revision at most it is not 0 */
	char *tag;	 /* NULL: none */
	/* `deploy --wait` finds out whether it starts, before it gets traffic.  Not stored: after a
	 * restart it is a revision like any other without traffic. */
	bool is_tried;
	bool is_in_rollout; /* the rollout under way needs it; not stored */
	bool is_deployed; /* the command under way names it: model_collect() keeps it; not stored */
	char *rejected;	  /* why a rollout to it has gone back; NULL: none has */
};

struct stored_service {
	char *name;
	char *body;		   /* keys that are not a revision's */
	uint64_t generation;	   /* of this document; each change raises it */
	uint32_t next;		   /* number of the next revision that is not named */
	struct stored_revision *v; /* in the order in which they were made */
	size_t n;
	struct rollout *rollout;   /* the newest one; NULL: there was none */
	bool has_replaced_rollout; /* the newest change has ended it (model_by_hand()); not stored
				    */
};

NODISCARD struct stored_service *stored_service_new(const char *name);
NODISCARD struct stored_service *stored_service_copy(const struct stored_service *);
void stored_service_free(struct stored_service **);
void stored_revision_fini(struct stored_revision *);
/* "latest": the one that has the traffic of `latest`, else the newest that is not tried. */
struct stored_revision *stored_service_find(const struct stored_service *, const char *revision);
/* Has it traffic, or a tag by which it can be reached, is it tried, or in a rollout? */
bool stored_revision_is_active(const struct stored_revision *);

#define MODEL_ALL (-1)	/* percent: what follows `latest`; if there is none, all of it */
#define MODEL_KEEP (-2) /* … what it has; a new one gets none */
struct model_deploy {
	const char *service_body; /* NULL: stays as it is */
	const char *body;	  /* of the revision */
	const char *revision;	  /* its name; NULL: by number */
	const char *tag;	  /* NULL: none */
	int percent;		  /* of the traffic, the others keep their proportions; MODEL_ALL */
	int64_t now_s;
};
/* Returns the revision that has the template now, *is_new: it was made; NULL with err. */
NODISCARD struct stored_revision *model_deploy(struct stored_service *, const struct model_deploy *,
					       bool *is_new, struct err *);

/* Give each revision its percent; what is not named gets 0, and they must sum to 100.  What is
 * given to "latest" follows it from now on. */
struct model_traffic {
	const char *revision;
	uint32_t percent;
	uint32_t latest; /* of percent, of a revision that is named: follows `latest` */
};
NODISCARD int model_set_traffic(struct stored_service *, const struct model_traffic *, size_t n,
				struct err *);
/* Name a revision by a tag, which another one loses; or (revision NULL) remove the tag. */
NODISCARD int model_set_tag(struct stored_service *, const char *revision, const char *tag,
			    struct err *);
NODISCARD int model_delete_revision(struct stored_service *, const char *revision, struct err *);

/* Begin a rollout to a revision; NULL: the newest.  The plan is moved into it; also on failure, its
 * bounds are gone.  No percent changes before the first step. */
NODISCARD int model_rollout_begin(struct stored_service *, const char *to, struct rollout_plan *,
				  int64_t now_s, struct err *);
/* The next step, for a rollout that is active and has one. */
void model_rollout_step(struct stored_service *, int64_t now_s);
/* End the rollout that is active.  ROLLOUT_ABORTED: the percents are put back, and the revision is
 * marked as rejected; reason: why; NULL: none. */
void model_rollout_end(struct stored_service *, enum rollout_state, const char *reason,
		       int64_t now_s);
/* An operator's command has made `now` of `before` (NULL: it is new).  Where that has changed a
 * percent, it ends the rollout.  A revision that is given traffic is rejected no more. */
void model_by_hand(struct stored_service *now, const struct stored_service *before,
		   const char *command, int64_t now_s);
/* After the rollout was set: note which revisions it needs. */
void model_mark_rollout(struct stored_service *);

/* Note which revisions are not active any more (now_s: wall clock).  To be called after each
 * change, before model_collect(). */
void model_note_activity(struct stored_service *, int64_t now_s);

/* Which revisions that are not active are kept, as Knative's config-gc has it. */
struct model_retention {
	int64_t since_create_s, since_active_s; /* 0: does not count */
	uint32_t least, most;
};
/* Remove revisions that are neither active nor the newest nor is_deployed, those first that have
 * been so for the longest: more than `least` of them, as long as they are older than both times;
 * and all beyond `most`.  Clears is_deployed.  Returns how many. */
size_t model_collect(struct stored_service *, const struct model_retention *, int64_t now_s);

#endif
