/* audit_record - the lines of the audit: an intent before something is changed, and an outcome
 * after it, each a JSON object.  activator-protocol(7) has no part in them; autoscaler(8) describes
 * their members.
 * Pure.  Thread: any. */
#ifndef COMMON_AUDIT_RECORD_H
#define COMMON_AUDIT_RECORD_H

#include <sys/types.h>

#include "common/err.h"

struct strbuf;

#define AUDIT_KINDS(X)                                                                             \
	X(SCALE, scale)		    /* how many instances a revision has */                        \
	X(CONF, conf)		    /* the conf file was read again */                             \
	X(DEPLOY, deploy)	    /* a version was made */                                       \
	X(ROUTE, route)		    /* percents and tags */                                        \
	X(ROLLOUT, rollout)	    /* begun, moved on by a step, paused, ended */                 \
	X(DELETE, delete)	    /* a service, or a revision of it */                           \
	X(CERTIFICATE, certificate) /* a pair was read again */                                    \
	X(UPGRADE, upgrade)	    /* another program takes the place of this one */
enum audit_kind {
#define X(id, name) AUDIT_##id,
	AUDIT_KINDS(X)
#undef X
		AUDIT_KINDS_N
};

#define AUDIT_RESULTS(X)                                                                           \
	X(DONE, done)                                                                              \
	X(FAILED, failed)	  /* scale: so far; the driver goes on trying */                   \
	X(SUPERSEDED, superseded) /* another change has begun before it was done */                \
	X(UNKNOWN, unknown)	  /* the process was killed before it could say */
enum audit_result {
#define X(id, name) AUDIT_##id,
	AUDIT_RESULTS(X)
#undef X
};

/* Who changes it. */
enum audit_by_kind {
	AUDIT_BY_RULE,	  /* the autoscaler decides: name: the rule; why: the same in words */
	AUDIT_BY_ROLLOUT, /* likewise: a rollout that was asked for before */
	AUDIT_BY_COMMAND, /* activatorctl; name: the command */
	AUDIT_BY_SIGNAL,  /* name: "SIGHUP" */
	AUDIT_BY_FILE,	  /* a file has changed */
	AUDIT_BY_FOREIGN, /* another program, or a person; name: as the platform says; NULL: it does
			   * not say */
};

/* Of a process that has sent a command. */
struct audit_peer {
	pid_t pid; /* 0: unknown */
	uid_t uid;
	uid_t login_uid; /* of the user that has logged in, whatever sudo did; (uid_t)-1: none */
};

struct audit_by {
	enum audit_by_kind kind;
	const char *name, *why; /* NULL: none */
	struct audit_peer peer; /* AUDIT_BY_COMMAND */
};

/* One side of a change: a number (text NULL), or a text. */
struct audit_value {
	bool is_known;
	int64_t n;
	const char *text;
};
#define AUDIT_NUMBER(number) ((struct audit_value){.is_known = true, .n = (number)})
#define AUDIT_TEXT(string) ((struct audit_value){.is_known = (string) != NULL, .text = (string)})

/* What both lines of a change begin with; the texts are borrowed. */
struct audit_subject {
	enum audit_kind kind;
	const char *service, *revision; /* the latter with the service: "shop/v1"; NULL: none */
	const char *object;		/* a file, or the name of a certificate; NULL: none */
	uint64_t generation; /* of the stored service, after the change; 0: none is stored */
};

struct audit_change {
	struct audit_subject subject;
	struct audit_by by;
	struct audit_value from, to;
	const char *what; /* the change in words; NULL: from and to say all */
};

struct audit_end {
	enum audit_result result;
	const char *why;	/* NULL: there is nothing to say */
	struct audit_value now; /* what there is now */
	int64_t took_ns;	/* < 0: unknown */
	bool is_after_restart;	/* the process that began it has ended */
};

/* Who writes a line, and when. */
struct audit_stamp {
	const char *id;	     /* of the change: the same in both lines */
	const char *program; /* "autoscaler" */
	pid_t pid;
	int64_t wall_ns;
};

/* Append a line.  It has no names of users: to find them may take a server of names, and a record
 * must not wait for that. */
void audit_record_intent(const struct audit_stamp *, const struct audit_change *, struct strbuf *);
void audit_record_outcome(const struct audit_stamp *, const struct audit_subject *,
			  const struct audit_end *, struct strbuf *);
/* Records were lost. */
void audit_record_lost(const struct audit_stamp *, uint64_t count, struct strbuf *);

#define AUDIT_TIME_TEXT 32
/* As in the records, so that the order of texts is that of times. */
void audit_time_format(int64_t wall_ns, char out[AUDIT_TIME_TEXT]);

/* What a line says at its beginning, in the line. */
struct audit_mark {
	const char *time, *id;
	size_t time_n, id_n;
	bool is_intent, is_outcome;
};
/* False: it is no whole record. */
bool audit_record_mark(const char *line, size_t n, struct audit_mark *);

/* An intent that was read back; all its own. */
struct audit_left {
	char *id;
	enum audit_kind kind;
	char *service, *revision, *object, *to_text; /* NULL: none */
	int64_t to;				     /* a number; -1: none */
	uint64_t generation;
};
NODISCARD int audit_record_parse(const char *line, size_t n, struct audit_left *, struct err *);
void audit_left_fini(struct audit_left *);

#endif
