/* session - one request at the control socket, and its answer: connects, says hello, sends the
 * request, and hands over line by line until `done`.  Blocks; Ctrl-C ends the wait. */
#ifndef AUTOSCALER_CTL_SESSION_H
#define AUTOSCALER_CTL_SESSION_H

#include "autoscaler/ctl/ctl.h"
#include "common/jget.h"

struct session_request {
	const char *command;
	const char *name;     /* NULL: none */
	const char *text;     /* services as the text of a conf file; NULL: none */
	char *const *options; /* "KEY=VALUE" */
	size_t options_n;
	const char *state;  /* NULL: none */
	bool is_waiting;    /* answer when it is done; else when it has begun */
	int64_t timeout_ns; /* > 0 */
};

/* A line of the answer; borrowed for the call. */
struct session_line {
	const char *type; /* "service", "status", "why", "result" */
	const struct jget *root;
	const char *text; /* the whole line … */
	size_t n;	  /* … without its newline */
};
typedef void session_line_fn(const struct session_line *, void *arg);

/* How it ended. */
struct session_end {
	enum ctl_exit status;
	char *message; /* never NULL; "": there is nothing to say */
	char *next;    /* what can be done next; NULL: nothing */
};

/* Ask, and fill in how it ended.  Progress is shown on the way. */
void session_ask(const struct ctl_options *, const struct session_request *, session_line_fn *,
		 void *arg, struct session_end *);
void session_end_fini(struct session_end *);

/* Ctrl-C ends a wait in place of the program. */
void session_watch_interrupt(void);
bool session_is_interrupted(void);
/* Wait; less if interrupted. */
void session_pause(int64_t ns);

/* Members that may be missing, or null. */
/* The text, the caller's to free; NULL: there is none. */
NODISCARD char *session_text(const struct jget *, const char *key);
double session_number(const struct jget *, const char *key, double otherwise);
bool session_bool(const struct jget *, const char *key);
/* The elements of an array of texts with `between` between them; the caller's. */
NODISCARD char *session_list(const struct jget *, const char *key, const char *between);

#endif
