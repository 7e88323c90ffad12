/* explain - /why on the admin endpoint: how many instances of a revision are wanted, the rule
 * that decided it, what the slow brain, learned idleness and schedules say, and the last
 * decisions.  Text, or JSON if the client accepts it or asks for it with format=json.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_EXPLAIN_H
#define AUTOSCALER_EXPLAIN_H

struct admin_request;
struct facts;
struct jput;
struct scaled_revision;
struct strbuf;

extern const char *const explain_params[]; /* for admin_page_params() */
void explain_answer(struct admin_request *, const struct facts *);

/* The same of one revision, for activatorctl: as text, and as members of an object. */
void explain_put_text(const struct scaled_revision *, struct strbuf *);
void explain_put_members(const struct scaled_revision *, struct jput *);

#endif
