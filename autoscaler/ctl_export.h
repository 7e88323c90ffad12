/* ctl_export - the command of activatorctl that writes stored services as the text of a conf file.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_EXPORT_H
#define AUTOSCALER_CTL_EXPORT_H

struct ctl_request;
struct facts;

/* Carry it out, and end the request. */
void ctl_export(struct ctl_request *, const struct facts *);

#endif
