/* metrics - the autoscaler's exposition (metrics.def), and /status as JSON.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_METRICS_H
#define AUTOSCALER_METRICS_H

struct admin_request;
struct strbuf;

/* arg: the struct control. */
void metrics_write(struct strbuf *, void *arg);
void status_answer(struct admin_request *, void *arg);

#endif
