/* refuse - answers of our own: each refusal says why, to a person (text) and to a program
 * (x-activator-reason, JSON where the client prefers it), and when to come again.  A call of gRPC
 * gets the same as a status and a message of gRPC, with the status 200 of HTTP.
 * The answer is written to the client; what becomes of the request is the caller's.
 * Thread: the worker's. */
#ifndef ACTIVATOR_REFUSE_H
#define ACTIVATOR_REFUSE_H

#include "activator/outcome.h"

struct xfer;
struct h1_head;
struct request;
struct rule_conf;
struct waitpage_view;

/* There is no room for the connection fd: answer 503 queue_full, and close it. */
void refuse_connection(int fd, const char *why);
/* The answer of an outcome.  why: more to the text, or NULL.  retry_after_s: 0: the answer has
 * no retry-after. */
void refuse_write(struct xfer *, enum outcome, const char *why, int64_t retry_after_s);
/* The retry-after of an outcome, in seconds; 0: it has none. */
int64_t refuse_retry_after(const struct xfer *, enum outcome);
/* The waiting page of the request's service. */
void refuse_page(struct xfer *, const struct waitpage_view *);
/* A redirect to the same address by https. */
void refuse_redirect(struct xfer *, const struct request *);
/* The answer of a rule with RULE_ANSWER. */
/* A probe gets this status, fields (each ended by CR LF) and body. */
void refuse_probe(struct xfer *, uint32_t status, const char *fields, const char *body);
void refuse_rule(struct xfer *, const struct rule_conf *);
/* TRACE whose Max-Forwards is 0: the head as it came, without fields that may hold a secret. */
void refuse_trace(struct xfer *, const struct h1_head *);

#endif
