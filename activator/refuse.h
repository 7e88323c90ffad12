/* refuse - answers of our own: each refusal says why, to a person (text) and to a program
 * (x-activator-reason, JSON where the client prefers it), and when to come again.
 * The answer is written to the client; what becomes of the request is the caller's.
 * Thread: the worker's. */
#ifndef ACTIVATOR_REFUSE_H
#define ACTIVATOR_REFUSE_H

#include "activator/outcome.h"

struct conn;
struct h1_head;
struct rule_conf;
struct waitpage_view;

/* fd is a connection that is not to be kept: answer 503 queue_full, and close it. */
void refuse_connection(int fd, const char *why);
/* The answer of an outcome.  why: more to the text, or NULL.  retry_after_s: 0: not said. */
void refuse_write(struct conn *, enum outcome, const char *why, int64_t retry_after_s);
/* When to come again after an outcome, in seconds; 0: that is not said. */
int64_t refuse_retry_after(const struct conn *, enum outcome);
/* The waiting page of the request's service. */
void refuse_page(struct conn *, const struct waitpage_view *);
/* What a rule with an answer says. */
void refuse_rule(struct conn *, const struct rule_conf *);
/* TRACE whose Max-Forwards is 0: the head as it came, without what could be a secret. */
void refuse_trace(struct conn *, const struct h1_head *);

#endif
