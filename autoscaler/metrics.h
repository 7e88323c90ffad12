/* metrics - the autoscaler's metrics (metrics.def) as text for Prometheus.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_METRICS_H
#define AUTOSCALER_METRICS_H

struct facts;
struct strbuf;

/* While another autoscaler may hold the Lease. */
void metrics_write_waiting(struct strbuf *);
void metrics_write(struct strbuf *, const struct facts *);

#endif
