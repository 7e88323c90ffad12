/* status - /status on the admin endpoint: everything that the autoscaler knows of its
 * revisions, as one JSON object; with ?revision=NAME that one alone.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_STATUS_H
#define AUTOSCALER_STATUS_H

struct admin_request;
struct facts;

extern const char *const status_params[]; /* for admin_page_params() */
void status_answer(struct admin_request *, const struct facts *);

#endif
